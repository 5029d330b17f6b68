//! How this device becomes a member of the network, and is one again each time the worker starts:
//! the pinned configuration, the network's documents, the Doorman's card.

mod documents;
mod standing;

use std::cell::{Cell, RefCell};

use futures_util::try_join;
use hdms::answers::SMALL;
use hdms::card::VerifiedCard;
use hdms::ids::MessageId;
use hdms::json;
use hdms::jwk::RsaJwk;
use hdms::network::{self, KeyWarning, Trust};
use hdms::node::{Node, Platform};
use hdms::provider::{Clock, Store, Table, Timestamp, Write};
use hdms::treatment::message::MAX_NAME;
use hdms::{Error, proof};
use serde::{Deserialize, Serialize};

use crate::eviction::{MADE, Remains};
use crate::platform::{Browser, BrowserClock, BrowserRandomness};
use crate::store::IndexedDb;
use crate::webcrypto::{WebCryptoKeys, WebPrimitives};
use crate::{eviction, transport};

pub use documents::Fetched;

/// At this path of the worker's own origin lies `{"server": URL, "root": JWK}`.
const CONFIGURATION: &str = "/network.json";

/// Rows of [`Table::Meta`].
const CONFIG: &str = "config";
const CARD: &str = "card";

/// To which network this device belongs. Pinned when the node is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Version of this stored form.
    version: u32,
    /// The server's base URL, without a slash at the end.
    pub server: String,
    /// The network's root key.
    pub root: RsaJwk,
    /// How the patient is called; may be empty. See [`Member::name`].
    name: String,
}

/// A node that is a member of its network.
#[derive(Debug)]
pub struct Member {
    /// The node.
    pub node: Node<Browser>,
    /// Its network.
    pub config: Config,
    /// How the patient is called now.
    name: RefCell<String>,
    documents_seen: Cell<Timestamp>,
    /// Those that the person has not dismissed.
    warnings: RefCell<Vec<KeyWarning>>,
    /// That the Doorman does not renew the card.
    refusal: Cell<Option<Error>>,
    /// When a card was asked for last because the server seemed to lack it.
    joined: Cell<Option<Timestamp>>,
    /// Whether the server has shown two networks, and nothing since that continues the first.
    split: Cell<bool>,
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
    /// The node that `store` keeps. The network is needed only when the kept documents are in a form
    /// that this version does not know.
    ///
    /// Errors: [`Error::StoreLost`] when this device had a node which is gone; those of the store,
    /// and of [`Member::make`] when the network is needed.
    pub async fn stored(store: &IndexedDb) -> Result<Stored, Error> {
        // At once: one after the other they would be half of a cold start.
        let (keys, card, config, network, warnings, rows_lost) = try_join!(
            WebCryptoKeys::stored(store),
            store.read(Table::Meta, CARD),
            store.read(Table::Meta, CONFIG),
            store.read(Table::Meta, documents::NETWORK),
            network::warnings(store),
            store.has_lost_rows(),
        )?;
        let remains = Remains {
            keys: keys.is_some(),
            card: card.is_some(),
            rest: config.is_some() && network.is_some(),
            made: store.is_marked(MADE),
            rows_lost,
        };
        remains.check().await?;
        let Some(keys) = keys else { return Ok(Stored::Nothing) };
        let (Some(card), Some(config), Some(network)) = (card, config, network) else {
            return Ok(Stored::Unfinished);
        };
        store.mark(MADE).await?;
        let config: Config = json::stored(&config)?;
        let card = String::from_utf8(card).map_err(|_| Error::StoreCorrupt)?;
        let member = match documents::kept(&network, &config).await? {
            Some(trust) => {
                let card = VerifiedCard::vouched(&card, &WebPrimitives::default()).await?;
                Self::of(store, &keys, &config, card, trust)?
            }
            None => Self::join(store, &keys, &config).await?,
        };
        member.warnings.replace(warnings);
        member.documents_seen.set(Timestamp(0));
        Ok(Stored::Member(Box::new(member)))
    }

    /// First run: keys, the network's documents, admission, card. Every step may be interrupted
    /// and done again.
    ///
    /// Errors: [`Error::CommandMalformed`] for a name that is too long, [`Error::NetworkUnreachable`],
    /// those of [`Trust::verify`] and of the Doorman.
    pub async fn make(store: &IndexedDb, name: String) -> Result<Self, Error> {
        check_name(&name)?;
        let config = match store.read(Table::Meta, CONFIG).await? {
            Some(pinned) => Config { name, ..json::stored(&pinned)? },
            None => configuration(name).await?,
        };
        let keys = WebCryptoKeys::stored_or_new(store).await?;
        eviction::mark_device().await?;
        store.commit(vec![put(CONFIG, json::write(&config)?)]).await?;
        Self::join(store, &keys, &config).await
    }

    /// Fetches the network's documents and a card, and keeps them.
    async fn join(store: &IndexedDb, keys: &WebCryptoKeys, config: &Config) -> Result<Self, Error> {
        let fetched = documents::fetch(config, None, 0).await?.ok_or(Error::NetworkUnreachable)?;
        let trust = documents::verify(&fetched.documents, config, None).await?;
        let card = standing::admission(config, keys, &trust).await?;
        let jwt = card.jwt().into();
        let member = Self::of(store, keys, config, card, trust)?;
        let mut writes = fetched.writes()?;
        writes.push(put(CARD, jwt));
        store.commit(writes).await?;
        store.mark(MADE).await?;
        Ok(member)
    }

    fn of(
        store: &IndexedDb,
        keys: &WebCryptoKeys,
        config: &Config,
        card: VerifiedCard,
        trust: Trust,
    ) -> Result<Self, Error> {
        if card.id().as_ref() != keys.public().0.thumbprint() {
            return Err(Error::CardMismatch);
        }
        Ok(Self {
            node: Node::new(Browser::new(store.clone(), keys.clone()), card, trust),
            config: config.clone(),
            name: RefCell::new(config.name.clone()),
            documents_seen: Cell::new(BrowserClock.now()),
            warnings: RefCell::default(),
            refusal: Cell::default(),
            joined: Cell::default(),
            split: Cell::default(),
        })
    }

    /// How the patient is called. Nobody is told but the hospitals that are asked for treatment.
    pub fn name(&self) -> String {
        self.name.borrow().clone()
    }

    /// Keeps another name. [`Error::CommandMalformed`] when it is too long; those of the store.
    pub async fn rename(&self, name: String) -> Result<(), Error> {
        check_name(&name)?;
        let config = Config { name, ..self.config.clone() };
        let row = put(CONFIG, json::write(&config)?);
        self.node.platform().store().commit(vec![row]).await?;
        self.name.replace(config.name);
        Ok(())
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
    let Configuration { server, root } = transport::get(CONFIGURATION, &[], SMALL).await?.json()?;
    let server = server.trim_end_matches('/').to_owned();
    Ok(Config { version: 1, server, root, name })
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.len() <= MAX_NAME { Ok(()) } else { Err(Error::CommandMalformed) }
}

fn put(key: &str, value: Vec<u8>) -> Write {
    Write::Put { table: Table::Meta, key: key.to_owned(), value }
}
