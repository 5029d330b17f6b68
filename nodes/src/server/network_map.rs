//! The Network Map and the other signed documents (DESIGN section 4), and the keys that sign them.
//! Follows the table of nodes: whatever changes there, by a node or by the operator, is signed and
//! offered anew.

use std::sync::atomic::{AtomicU64, Ordering};
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
    self, NetworkDocument, NetworkDocuments, NetworkMap, NotaryLog, Parameters, Revocations,
};
use hdms::provider::{Clock, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use tokio::sync::Mutex;

use super::certificate::{Certificate, Keyring};
use super::nodes::{self, IssuedCard, Known, Status};
use super::rules::History;
use crate::sqlite::{Database, Failure};
use crate::system::NodeClock;

/// How long before the end of the list of Doormen the operator is told: 90 days, so that every card
/// issued under it lives as long as it says.
const MARGIN: u64 = card::LIFETIME;

/// How often it is said: each day.
const SAID: u64 = 24 * 3600;

/// Signs and offers the network's documents.
#[derive(Debug)]
pub struct Network {
    keyring: Keyring,
    certificate: RwLock<Arc<Certificate>>,
    vapid: String,
    database: Database,
    clock: NodeClock,
    refreshing: Mutex<()>,
    offered: RwLock<Arc<Offered>>,
    warned: AtomicU64,
}

/// The documents as they are offered.
#[derive(Clone, Debug, Default)]
pub struct Offered {
    /// JSON of [`NetworkDocuments`].
    pub body: Bytes,
    /// Changes with the body.
    pub etag: String,
}

impl Network {
    /// Opens the Doorman's key. `vapid` is the key with which browsers subscribe to web push,
    /// base64url. Errors as [`Keyring::certificate`].
    pub async fn open(
        keyring: Keyring,
        vapid: String,
        database: Database,
        clock: NodeClock,
    ) -> Result<Self, Error> {
        let certificate = RwLock::new(Arc::new(keyring.certificate().await?));
        let network = Self {
            keyring,
            certificate,
            vapid,
            database,
            clock,
            refreshing: Mutex::default(),
            offered: RwLock::default(),
            warned: AtomicU64::new(0),
        };
        network.refresh().await?;
        Ok(network)
    }

    /// The root key's public half.
    pub fn root(&self) -> RsaJwk {
        self.certificate().root.clone()
    }

    fn certificate(&self) -> Arc<Certificate> {
        self.certificate.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the Doorman's key that the newest list names, if another one was installed.
    pub async fn take_certificate(&self) -> Result<(), Error> {
        if !self.keyring.is_newest(&self.certificate()).await? {
            let newest = Arc::new(self.keyring.certificate().await?);
            let (number, doorman) = (newest.list.number, newest.id.as_ref());
            tracing::info!(number, doorman, "a list of Doormen was installed");
            *self.certificate.write().unwrap_or_else(PoisonError::into_inner) = newest;
        }
        Ok(())
    }

    fn warn_of_the_end(&self, certificate: &Certificate, now: u64) {
        let days = certificate.list.exp.saturating_sub(now) / SAID;
        let due = now + MARGIN >= certificate.list.exp
            && now >= self.warned.load(Ordering::Relaxed) + SAID;
        if due {
            self.warned.store(now, Ordering::Relaxed);
            tracing::error!(
                days,
                "the list of Doormen is about to end, and the network with it: hdms server request, \
                 hdms root certify, hdms server certificate"
            );
        }
    }

    /// The documents as they are offered now.
    pub fn offered(&self) -> Arc<Offered> {
        self.offered.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Signs a card for what a node asked to be.
    pub async fn issue(&self, request: &AdmissionRequest) -> Result<IssuedCard, Error> {
        let certificate = self.certificate();
        let card = request.card(&certificate.id, self.clock.now());
        let jwt = card::issue(&card, &certificate.keys).await?;
        Ok(IssuedCard { jwt, claims: claims(request, &certificate.id)?, expires: card.exp })
    }

    /// Whether a card says what a node asks to be, under this Doorman's key.
    pub fn is_for(&self, card: &IssuedCard, request: &AdmissionRequest) -> Result<bool, Error> {
        Ok(card.claims == claims(request, &self.certificate().id)?)
    }

    /// Issues the cards that admitted nodes lack, and signs what has changed, or what has reached
    /// a quarter of the age at which nodes stop to rely on it.
    pub async fn refresh(&self) -> Result<(), Error> {
        // One after another: a later look at the nodes never loses to an earlier one.
        let _one = self.refreshing.lock().await;
        let now = self.clock.now().seconds();
        let (listed, revoked, rules) = self
            .database
            .read(move |connection| {
                let rules = History::kept(connection)?.ok_or(Error::StoreCorrupt)?;
                Ok((nodes::listed(connection)?, nodes::revoked(connection, now)?, rules))
            })
            .await?;
        let certificate = self.certificate();
        self.warn_of_the_end(&certificate, now);
        let logs: Vec<_> = listed.iter().filter_map(Known::log).collect();
        let mut cards = Vec::new();
        for node in listed {
            cards.extend(self.current_card(node, now).await?);
        }
        let documents = self.documents((&certificate, &rules), (cards, logs), revoked, now).await?;
        let body = json::write(&documents)?;
        let etag = format!("\"{}\"", digest(&body));
        let offered = Arc::new(Offered { body: body.into(), etag });
        *self.offered.write().unwrap_or_else(PoisonError::into_inner) = offered;
        Ok(())
    }

    async fn documents(
        &self,
        (certificate, rules): (&Certificate, &History),
        (nodes, logs): (Vec<String>, Vec<NotaryLog>),
        revoked: Vec<NodeId>,
        iat: u64,
    ) -> Result<NetworkDocuments, Error> {
        let iss = || certificate.id.clone();
        let forever = u64::MAX;
        let said = self.parameters((certificate, rules), 0, 0);
        let parameters = |number| self.parameters((certificate, rules), iat, number);
        let map = |number| {
            let (nodes, logs) = (nodes.clone(), logs.clone());
            NetworkMap { iss: iss(), iat, number, nodes, logs }
        };
        let revocations = |number| {
            let revoked = revoked.iter().cloned().collect();
            Revocations { iss: iss(), iat, number, revoked }
        };
        let age = rules.revocation_age / 4;
        let by = certificate;
        Ok(NetworkDocuments {
            doormen: by.jwt.clone(),
            parameters: self.sign(by, "parameters", &said, forever, parameters).await?,
            map: self.sign(by, "map", &(&nodes, &logs), forever, map).await?,
            revocations: self.sign(by, "revocations", &revoked, age, revocations).await?,
        })
    }

    fn parameters(
        &self,
        (certificate, rules): (&Certificate, &History),
        iat: u64,
        number: u64,
    ) -> Parameters {
        Parameters {
            iss: certificate.id.clone(),
            iat,
            number,
            name: rules.name.clone(),
            root: certificate.list.iss.clone(),
            max_envelope: envelope::MAX_BYTES as u64,
            minimum_version: rules.minimum_version,
            revocation_age: rules.revocation_age,
            vapid: Some(self.vapid.clone()),
            witnesses: rules.witnesses.clone(),
        }
    }

    /// The card under which the map lists a node, newly issued where it lacks one for what it
    /// was admitted as.
    async fn current_card(&self, node: Known, now: u64) -> Result<Option<String>, Error> {
        let card = node.card.clone().filter(|card| card.expires > now);
        let kept = card.as_ref().map(|card| card.jwt.clone());
        let admitted = match (node.status, node.admitted_as()) {
            (Status::Revoked, _) => return Ok(None),
            // From before it was kept what a node was admitted as.
            (_, None) => return Ok(kept),
            (_, Some(admitted)) => admitted,
        };
        if let Some(card) = card
            && self.is_for(&card, admitted)?
        {
            return Ok(kept);
        }
        let card = self.issue(admitted).await?;
        let (jwt, id) = (card.jwt.clone(), admitted.iss.clone());
        self.database.write(move |tx| nodes::keep_card(tx, &id, &card)).await?;
        Ok(Some(jwt))
    }

    /// The signed document of this kind: the kept one while its content is `content` and it is
    /// younger than `age`, else a new one.
    async fn sign<D: NetworkDocument>(
        &self,
        certificate: &Certificate,
        kind: &'static str,
        content: &impl Serialize,
        age: u64,
        document: impl FnOnce(u64) -> D,
    ) -> Result<String, Error> {
        let content = digest(json::write(&(&certificate.id, content))?);
        let now = self.clock.now().seconds();
        let kept = self.database.read(move |connection| kept_document(connection, kind)).await?;
        let number = match kept {
            Some(kept) if kept.content == content && kept.issued.saturating_add(age) > now => {
                return Ok(kept.jwt);
            }
            Some(kept) => kept.number + 1,
            None => 1,
        };
        let jwt = network::sign(&document(number), &certificate.keys).await?;
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

/// Digest of what a card says, its times left out.
fn claims(request: &AdmissionRequest, doorman: &NodeId) -> Result<String, Error> {
    let mut card = request.card(doorman, Timestamp(0));
    card.exp = 0;
    Ok(digest(json::write(&card)?))
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
