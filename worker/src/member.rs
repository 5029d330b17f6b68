//! How this device becomes a member of the network, and is one again each time the worker starts:
//! the pinned configuration, the network's documents, the Doorman's card.

use std::cell::Cell;

use futures_util::try_join;
use hdms::card::{Role, VerifiedCard};
use hdms::doorman::{AdmissionRequest, Admitted, Challenge};
use hdms::ids::{MessageId, NodeId};
use hdms::jose::jwk::RsaJwk;
use hdms::json;
use hdms::network::{NetworkDocuments, Trust};
use hdms::node::{Node, Platform};
use hdms::provider::{Clock, Store, Table, Timestamp, Write};
use hdms::{Error, proof};
use serde::{Deserialize, Serialize};

use crate::platform::{Browser, BrowserClock, BrowserRandomness};
use crate::store::IndexedDb;
use crate::webcrypto::{WebCryptoKeys, WebPrimitives};
use crate::{marker, transport};

/// At this path of the worker's own origin lies `{"server": URL, "root": JWK}`.
const CONFIGURATION: &str = "/network.json";

/// A card is renewed when it is valid for less than this, seconds.
const RENEWAL: u64 = 30 * 24 * 3600;

/// Documents older than this are fetched again before they are relied on, milliseconds.
const FRESH: u64 = 60_000;

/// Rows of [`Table::Meta`].
const CONFIG: &str = "config";
const CARD: &str = "card";
const NETWORK: &str = "network";

/// Marks the storage of a node that was made: what is missing in it has been lost.
const MADE: &str = "made";

/// To which network this device belongs. Pinned when the node is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Version of this stored form.
    version: u32,
    /// The server's base URL, without a slash at the end.
    pub server: String,
    /// The network's root key.
    pub root: RsaJwk,
    /// How the patient is called; may be empty.
    pub name: String,
}

/// A node that is a member of its network.
#[derive(Debug)]
pub struct Member {
    /// The node.
    pub node: Node<Browser>,
    /// Its network.
    pub config: Config,
    documents_seen: Cell<Timestamp>,
}

/// What the storage holds.
#[derive(Debug)]
pub enum Stored {
    /// No node.
    Nothing,
    /// A node whose making was interrupted.
    Unfinished,
    /// A node.
    Member(Box<Member>),
}

impl Member {
    /// The node that `store` keeps. The network is needed only when the Doorman's key or its
    /// certificate has changed since the documents were kept.
    ///
    /// Errors: [`Error::StoreLost`] when this device had a node which is gone; those of the store,
    /// and of [`Member::make`] when the network is needed.
    pub async fn stored(store: &IndexedDb) -> Result<Stored, Error> {
        // At once: one after the other they would be half of a cold start.
        let (keys, card, config, network, lost) = try_join!(
            WebCryptoKeys::stored(store),
            store.read(Table::Meta, CARD),
            store.read(Table::Meta, CONFIG),
            store.read(Table::Meta, NETWORK),
            store.has_lost_rows(),
        )?;
        let Some(keys) = keys else {
            let was_here = card.is_some() || marker::exists().await?;
            return if was_here { Err(Error::StoreLost) } else { Ok(Stored::Nothing) };
        };
        let (Some(card), Some(config), Some(network)) = (card, config, network) else {
            let made = store.is_marked(MADE);
            return if made { Err(Error::StoreLost) } else { Ok(Stored::Unfinished) };
        };
        if lost {
            return Err(Error::StoreLost);
        }
        store.mark(MADE).await?;
        let config: Config = json::stored(&config)?;
        let card = String::from_utf8(card).map_err(|_| Error::StoreCorrupt)?;
        let documents: NetworkDocuments = json::stored(&network)?;
        let member = match verify(&documents, &config, None).await {
            Ok(trust) => Self::of(store, &keys, &config, &card, trust).await,
            Err(error) => Err(error),
        };
        let member = match member {
            Err(Error::NetworkForged | Error::CardForged) => {
                Self::join(store, &keys, &config).await?
            }
            member => member?,
        };
        member.documents_seen.set(Timestamp(0));
        Ok(Stored::Member(Box::new(member)))
    }

    /// First run: keys, the network's documents, admission, card. Every step may be interrupted
    /// and done again.
    ///
    /// Errors: [`Error::NetworkUnreachable`], those of [`Trust::verify`] and of the Doorman.
    pub async fn make(store: &IndexedDb, name: String) -> Result<Self, Error> {
        let config = match store.read(Table::Meta, CONFIG).await? {
            Some(pinned) => Config { name, ..json::stored(&pinned)? },
            None => configuration(name).await?,
        };
        let keys = WebCryptoKeys::stored_or_new(store).await?;
        // Only now: from here on a device without keys is one that has lost them.
        marker::set().await?;
        store.commit(vec![put(CONFIG, json::write(&config)?)]).await?;
        Self::join(store, &keys, &config).await
    }

    /// Fetches the network's documents and a card, and keeps them.
    async fn join(store: &IndexedDb, keys: &WebCryptoKeys, config: &Config) -> Result<Self, Error> {
        let documents = fetch_documents(config).await?;
        let trust = verify(&documents, config, None).await?;
        let card = admission(config, keys).await?;
        let member = Self::of(store, keys, config, &card, trust).await?;
        store.commit(vec![put(NETWORK, json::write(&documents)?), put(CARD, card.into())]).await?;
        store.mark(MADE).await?;
        Ok(member)
    }

    async fn of(
        store: &IndexedDb,
        keys: &WebCryptoKeys,
        config: &Config,
        card: &str,
        trust: Trust,
    ) -> Result<Self, Error> {
        let own = keys.public().0.thumbprint();
        let card = VerifiedCard::verify_chain(card, &trust, &WebPrimitives::default()).await?;
        if card.id().as_ref() != own {
            return Err(Error::CardMismatch);
        }
        let node = Node::new(Browser::new(store.clone(), keys.clone()), card, trust);
        Ok(Self { node, config: config.clone(), documents_seen: Cell::new(BrowserClock.now()) })
    }

    /// Fetches the network's documents unless they were fetched just now, and trusts and keeps
    /// them if they are good.
    ///
    /// Errors: [`Error::NetworkUnreachable`], those of [`Trust::verify`]: the older ones stay then.
    pub async fn refresh(&self) -> Result<(), Error> {
        if self.is_fresh() {
            return Ok(());
        }
        let documents = fetch_documents(&self.config).await?;
        let trust = verify(&documents, &self.config, Some(&self.node.trust())).await?;
        let write = put(NETWORK, json::write(&documents)?);
        self.node.platform().store().commit(vec![write]).await?;
        self.node.set_trust(trust);
        self.documents_seen.set(BrowserClock.now());
        Ok(())
    }

    /// Whether the network's documents were fetched just now.
    pub fn is_fresh(&self) -> bool {
        BrowserClock.now().0.abs_diff(self.documents_seen.get().0) < FRESH
    }

    /// Whether the card is to be renewed by now.
    pub fn card_is_old(&self) -> bool {
        self.node.card().card().exp < BrowserClock.now().seconds() + RENEWAL
    }

    /// Asks the Doorman for a new card and keeps it.
    pub async fn renew(&self) -> Result<(), Error> {
        let platform = self.node.platform();
        let card = admission(&self.config, platform.keys()).await?;
        platform.store().commit(vec![put(CARD, card.into())]).await
    }

    /// Tells the server something, with a proof. Errors: the server's refusal, those of the way.
    pub async fn post<T: Serialize>(&self, path: &str, body: &T) -> Result<(), Error> {
        let url = format!("{}{path}", self.config.server);
        let body = String::from_utf8(json::write(body)?).map_err(|_| Error::CryptoFailed)?;
        let proof = self.proof("POST", &url, body.as_bytes()).await?;
        transport::post(&url, "application/json", body, Some(&proof)).await?.success()
    }

    /// A proof for one request to the server.
    pub async fn proof(&self, method: &str, url: &str, body: &[u8]) -> Result<String, Error> {
        let id = MessageId::new(&BrowserClock, &BrowserRandomness)?;
        let node = self.node.id();
        let proof = proof::RequestProof::new(node, id, method, url, body, BrowserClock.now());
        proof.sign(self.node.platform().keys()).await
    }
}

#[derive(Deserialize)]
struct Configuration {
    server: String,
    root: RsaJwk,
}

async fn configuration(name: String) -> Result<Config, Error> {
    let Configuration { server, root } = transport::get(CONFIGURATION, None).await?.json()?;
    let server = server.trim_end_matches('/').to_owned();
    Ok(Config { version: 1, server, root, name })
}

async fn fetch_documents(config: &Config) -> Result<NetworkDocuments, Error> {
    transport::get(&format!("{}/network", config.server), None).await?.json()
}

async fn verify(
    documents: &NetworkDocuments,
    config: &Config,
    previous: Option<&Trust>,
) -> Result<Trust, Error> {
    let primitives = WebPrimitives::default();
    Trust::verify(documents, &config.root, previous, BrowserClock.now(), &primitives).await
}

/// Proves possession of both keys to the Doorman. Answers the card.
async fn admission(config: &Config, keys: &WebCryptoKeys) -> Result<String, Error> {
    let (signing_key, encryption_key) = keys.public();
    let node: NodeId = signing_key.thumbprint().parse()?;
    let request = AdmissionRequest {
        iss: node.clone(),
        iat: BrowserClock.now().seconds(),
        jti: MessageId::new(&BrowserClock, &BrowserRandomness)?,
        role: Role::Personal,
        name: config.name.clone(),
        endpoint: None,
        about: None,
        signing_key: signing_key.clone(),
        encryption_key: encryption_key.clone(),
        changes: Vec::new(),
        log: None,
    };
    let jwt = request.sign(keys).await?;
    let url = format!("{}/doorman/admissions", config.server);
    let challenge: Challenge = transport::post(&url, "application/jwt", jwt, None).await?.json()?;
    let answer = challenge.answer(&node, keys, &WebPrimitives::default()).await?;
    let answer = String::from_utf8(json::write(&answer)?).map_err(|_| Error::CryptoFailed)?;
    let url = format!("{}/doorman/answers", config.server);
    let admitted: Admitted =
        transport::post(&url, "application/json", answer, None).await?.json()?;
    Ok(admitted.card)
}

fn put(key: &str, value: Vec<u8>) -> Write {
    Write::Put { table: Table::Meta, key: key.to_owned(), value }
}
