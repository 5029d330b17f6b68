//! The Network Map and the other signed documents (DESIGN section 4), and the keys that sign them.
//! Follows the table of nodes: whatever changes there, by a node or by the operator, is signed and
//! offered anew.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Bytes;
use hdms::Error;
use hdms::card;
use hdms::doorman::AdmissionRequest;
use hdms::envelope;
use hdms::ids::NodeId;
use hdms::jose::digest;
use hdms::jose::jwk::RsaJwk;
use hdms::json;
use hdms::network::{
    self, DoormanKey, Doormen, NetworkDocument, NetworkDocuments, NetworkMap, NotaryLog,
    Parameters, Revocations,
};
use hdms::provider::{Clock, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::nodes::{self, IssuedCard, Known, Status};
use crate::keys::{self, AwsKeys};
use crate::sqlite::{Database, Failure};
use crate::system::NodeClock;

/// How long the root vouches for a Doorman's key: two years, in seconds.
const CERTIFICATE_LIFETIME: u64 = 2 * 365 * 24 * 3600;

/// How long before its end a certificate is renewed: 90 days, so that every card issued under it
/// lives as long as it says.
const CERTIFICATE_MARGIN: u64 = card::LIFETIME;

/// The server's own value that keeps the certificate.
const CERTIFIED: &str = "certified";

/// Signs and offers the network's documents.
#[derive(Debug)]
pub struct Network {
    doorman: AwsKeys,
    doorman_id: NodeId,
    certified: Certified,
    rules: Rules,
    vapid: String,
    database: Database,
    clock: NodeClock,
    refreshing: Mutex<()>,
    offered: RwLock<Arc<Offered>>,
}

/// The documents as they are offered.
#[derive(Clone, Debug, Default)]
pub struct Offered {
    /// JSON of [`NetworkDocuments`].
    pub body: Bytes,
    /// Changes with the body.
    pub etag: String,
}

/// What the network is called and how strict it is.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The network's name.
    pub name: String,
    /// How old a revocation list may be, seconds.
    pub revocation_age: u64,
    /// How many witnesses a receipt needs.
    pub witnesses: u64,
    /// Lowest protocol version that may take part.
    pub minimum_version: u64,
}

impl Rules {
    /// The usual ones, without witnesses.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), revocation_age: 24 * 3600, witnesses: 0, minimum_version: 1 }
    }
}

impl Network {
    /// Opens the Doorman's keys under `data`, or makes them and the root's at the first start; the
    /// root's folder is not looked at again until the certificate runs out. `vapid` is the key with
    /// which browsers subscribe to web push, base64url.
    pub async fn open(
        data: &Path,
        passphrase: &str,
        rules: Rules,
        vapid: String,
        database: Database,
        clock: NodeClock,
    ) -> Result<Self, Error> {
        let doorman = keys::open_or_make(&data.join("doorman"), passphrase)?;
        let doorman_id: NodeId = doorman.public().0.thumbprint().parse()?;
        let certified = certify(data, passphrase, &doorman, &database, &clock).await?;
        let network = Self {
            doorman,
            doorman_id,
            certified,
            rules,
            vapid,
            database,
            clock,
            refreshing: Mutex::default(),
            offered: RwLock::default(),
        };
        network.refresh().await?;
        Ok(network)
    }

    /// The root key's public half.
    pub fn root(&self) -> &RsaJwk {
        &self.certified.root
    }

    /// The documents as they are offered now.
    pub fn offered(&self) -> Arc<Offered> {
        self.offered.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Signs a card for what a node asked to be.
    pub async fn issue(&self, request: &AdmissionRequest) -> Result<IssuedCard, Error> {
        let card = request.card(&self.doorman_id, self.clock.now());
        let jwt = card::issue(&card, &self.doorman).await?;
        Ok(IssuedCard { jwt, claims: self.claims(request)?, expires: card.exp })
    }

    /// Whether a card says what a node asks to be, under this Doorman's key.
    pub fn is_for(&self, card: &IssuedCard, request: &AdmissionRequest) -> Result<bool, Error> {
        Ok(card.claims == self.claims(request)?)
    }

    fn claims(&self, request: &AdmissionRequest) -> Result<String, Error> {
        let mut card = request.card(&self.doorman_id, Timestamp(0));
        card.exp = 0;
        Ok(digest(json::write(&card)?))
    }

    /// Issues the cards that admitted nodes lack, and signs what has changed, or what has reached
    /// a quarter of the age at which nodes stop to rely on it.
    pub async fn refresh(&self) -> Result<(), Error> {
        // One after another: a later look at the nodes never loses to an earlier one.
        let _one = self.refreshing.lock().await;
        let now = self.clock.now().seconds();
        let (listed, revoked) = self
            .database
            .read(move |connection| {
                Ok((nodes::listed(connection)?, nodes::revoked(connection, now)?))
            })
            .await?;
        let logs = listed.iter().filter_map(|node| {
            let notary = node.card.as_ref().map(|_| node.request.iss.clone())?;
            Some(NotaryLog { notary, keys: node.request.log?, until: None })
        });
        let logs: Vec<_> = logs.collect();
        let mut cards = Vec::new();
        for node in listed {
            cards.extend(self.current_card(node, now).await?);
        }
        let documents = self.documents((cards, logs), revoked, now).await?;
        let body = json::write(&documents)?;
        let etag = format!("\"{}\"", digest(&body));
        let offered = Arc::new(Offered { body: body.into(), etag });
        *self.offered.write().unwrap_or_else(PoisonError::into_inner) = offered;
        Ok(())
    }

    async fn documents(
        &self,
        (nodes, logs): (Vec<String>, Vec<NotaryLog>),
        revoked: Vec<NodeId>,
        iat: u64,
    ) -> Result<NetworkDocuments, Error> {
        let iss = || self.doorman_id.clone();
        let forever = u64::MAX;
        let rules = self.parameters(0, 0);
        let parameters = |number| self.parameters(iat, number);
        let map = |number| {
            let (nodes, logs) = (nodes.clone(), logs.clone());
            NetworkMap { iss: iss(), iat, number, nodes, logs }
        };
        let revocations = |number| {
            let revoked = revoked.iter().cloned().collect();
            Revocations { iss: iss(), iat, number, revoked }
        };
        Ok(NetworkDocuments {
            doormen: self.certified.certificate.clone(),
            parameters: self.sign("parameters", &rules, forever, parameters).await?,
            map: self.sign("map", &(&nodes, &logs), forever, map).await?,
            revocations: self
                .sign("revocations", &revoked, self.rules.revocation_age / 4, revocations)
                .await?,
        })
    }

    fn parameters(&self, iat: u64, number: u64) -> Parameters {
        Parameters {
            iss: self.doorman_id.clone(),
            iat,
            number,
            name: self.rules.name.clone(),
            root: self.certified.root_id.clone(),
            max_envelope: envelope::MAX_BYTES as u64,
            minimum_version: self.rules.minimum_version,
            revocation_age: self.rules.revocation_age,
            vapid: Some(self.vapid.clone()),
            witnesses: Vec::new(),
        }
    }

    /// The card under which the map lists a node, newly issued where it lacks one for what it
    /// was admitted as.
    async fn current_card(&self, node: Known, now: u64) -> Result<Option<String>, Error> {
        let Known { request, status, card } = node;
        let card = card.filter(|card| card.expires > now);
        let fits = match &card {
            Some(card) => self.is_for(card, &request)?,
            None => false,
        };
        match status {
            Status::Revoked => Ok(None),
            Status::Admitted if !fits => {
                let card = self.issue(&request).await?;
                let jwt = card.jwt.clone();
                let id = request.iss;
                self.database.write(move |tx| nodes::keep_card(tx, &id, &card)).await?;
                Ok(Some(jwt))
            }
            Status::Admitted | Status::Pending => Ok(card.map(|card| card.jwt)),
        }
    }

    /// The signed document of this kind: the kept one while its content is `content` and it is
    /// younger than `age`, else a new one.
    async fn sign<D: NetworkDocument>(
        &self,
        kind: &'static str,
        content: &impl Serialize,
        age: u64,
        document: impl FnOnce(u64) -> D,
    ) -> Result<String, Error> {
        let content = digest(json::write(&(&self.doorman_id, content))?);
        let now = self.clock.now().seconds();
        let kept = self.database.read(move |connection| kept_document(connection, kind)).await?;
        let number = match kept {
            Some(kept) if kept.content == content && kept.issued.saturating_add(age) > now => {
                return Ok(kept.jwt);
            }
            Some(kept) => kept.number + 1,
            None => 1,
        };
        let jwt = network::sign(&document(number), &self.doorman).await?;
        let row = (kind, number, now, content, jwt.clone());
        self.database
            .write(move |tx| {
                tx.execute("INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, ?4, ?5)", row)?;
                Ok(())
            })
            .await?;
        Ok(jwt)
    }
}

/// The root's word for the Doorman's key, as the server keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Certified {
    root: RsaJwk,
    root_id: NodeId,
    doorman: NodeId,
    certificate: String,
    end: u64,
}

/// The kept certificate for this Doorman's key, or a new one, for which the root's key file must be
/// there; only the very first start makes it.
async fn certify(
    data: &Path,
    passphrase: &str,
    doorman: &AwsKeys,
    database: &Database,
    clock: &NodeClock,
) -> Result<Certified, Error> {
    let kept = database.read(|connection| nodes::setting(connection, CERTIFIED)).await?;
    let kept = kept.map(|json| json::stored::<Certified>(json.as_bytes())).transpose()?;
    let key = doorman.public().0;
    let now = clock.now().seconds();
    let folder = data.join("root");
    if let Some(kept) = kept {
        let good = kept.doorman.as_ref() == key.thumbprint() && now < kept.end;
        if good && now + CERTIFICATE_MARGIN < kept.end {
            return Ok(kept);
        }
        if !folder.join(keys::KEY_FILE).exists() {
            tracing::error!(
                "the Doorman's key needs a new certificate: bring back the root's key file"
            );
            return if good { Ok(kept) } else { Err(Error::UnknownKey) };
        }
    }
    let root = keys::open_or_make(&folder, passphrase)?;
    let root_id: NodeId = root.public().0.thumbprint().parse()?;
    let doorman: NodeId = key.thumbprint().parse()?;
    let end = now + CERTIFICATE_LIFETIME;
    let certificate = Doormen {
        iss: root_id.clone(),
        iat: now,
        exp: end,
        number: now,
        doormen: vec![DoormanKey { key: key.clone(), until: None }],
    };
    let certificate = network::sign(&certificate, &root).await?;
    let root = root.public().0.clone();
    let certified = Certified { root, root_id, doorman, certificate, end };
    let json = serde_json::to_string(&certified).map_err(|_| Error::StoreCorrupt)?;
    database.write(move |tx| nodes::set_setting(tx, CERTIFIED, &json)).await?;
    Ok(certified)
}

struct KeptDocument {
    number: u64,
    issued: u64,
    content: String,
    jwt: String,
}

fn kept_document(connection: &Connection, kind: &str) -> Result<Option<KeptDocument>, Failure> {
    let sql = "SELECT number, issued, content, jwt FROM documents WHERE kind = ?1";
    let row = connection.prepare_cached(sql)?.query_row([kind], |row| {
        Ok(KeptDocument {
            number: row.get(0)?,
            issued: row.get(1)?,
            content: row.get(2)?,
            jwt: row.get(3)?,
        })
    });
    Ok(row.optional()?)
}
