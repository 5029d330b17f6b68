//! The network's documents: fetched when there are newer ones, and the last good ones kept, also
//! against older ones that a server offers after a restart.

use hdms::answers::DOCUMENTS;
use hdms::ids::NodeId;
use hdms::network::{self, KeyWarning, NetworkDocuments, Trust};
use hdms::node::Platform;
use hdms::provider::{Clock, Store, Table, Timestamp, Write};
use hdms::{Error, json};

use super::{Config, Member, put};
use crate::platform::BrowserClock;
use crate::transport;
use crate::webcrypto::WebPrimitives;

/// Documents older than this are fetched again before they are relied on, milliseconds.
const FRESH: u64 = 60_000;

/// Rows of [`Table::Meta`]: the documents, and the server's name for them (RFC 9110 section 8.8.3).
pub(super) const NETWORK: &str = "network";
const ETAG: &str = "etag";

const NOT_MODIFIED: u16 = 304;

/// Documents that a server has offered; nothing of them is checked.
#[derive(Debug)]
pub struct Fetched {
    pub(super) documents: NetworkDocuments,
    etag: Option<String>,
}

impl Fetched {
    /// What keeps them.
    pub(super) fn writes(&self) -> Result<Vec<Write>, Error> {
        let etag = match &self.etag {
            Some(etag) => put(ETAG, etag.as_str().into()),
            None => Write::Delete { table: Table::Meta, key: ETAG.into() },
        };
        Ok(vec![put(NETWORK, json::write(&self.documents)?), etag])
    }
}

impl Member {
    /// Whether the network's documents were fetched just now.
    pub fn is_fresh(&self) -> bool {
        BrowserClock.now().0.abs_diff(self.documents_seen.get().0) < FRESH
    }

    /// Fetches the network's documents unless they were fetched just now; `None` when those that
    /// are kept are still the newest. [`Error::NetworkUnreachable`].
    pub async fn fetch(&self) -> Result<Option<Fetched>, Error> {
        if self.is_fresh() {
            return Ok(None);
        }
        let etag = self.node.platform().store().read(Table::Meta, ETAG).await?;
        let etag = etag.and_then(|etag| String::from_utf8(etag).ok());
        let size = self.node.trust().manifest().number;
        let fetched = fetch(&self.config, etag, size).await?;
        if fetched.is_none() {
            self.documents_seen.set(BrowserClock.now());
        }
        Ok(fetched)
    }

    /// Trusts and keeps documents if they are good, with warnings about what changed; and as evidence
    /// what proves that the server shows different networks.
    ///
    /// Errors: those of [`Trust::verify`]: the older ones stay then.
    pub async fn adopt(&self, fetched: Fetched) -> Result<(), Error> {
        let (before, store) = (self.node.trust(), self.node.platform().store());
        let trust = verify(&fetched.documents, &self.config, Some(&before)).await;
        if let Err(Error::NetworkSplit) = trust {
            self.split.set(true);
            network::keep_split(store, &before, &fetched.documents, BrowserClock.now()).await?;
        }
        let trust = trust?;
        self.split.set(false);
        let mut writes = fetched.writes()?;
        writes.extend(network::keep(store, &before, &trust, BrowserClock.now()).await?.1);
        store.commit(writes).await?;
        self.warnings.replace(network::warnings(store).await?);
        self.node.set_trust(trust);
        self.documents_seen.set(BrowserClock.now());
        Ok(())
    }

    /// What a person is to be told of changed keys.
    pub fn warnings(&self) -> Vec<KeyWarning> {
        self.warnings.borrow().clone()
    }

    /// A person has seen what is said about `node`.
    pub async fn dismiss(&self, node: &NodeId) -> Result<(), Error> {
        let store = self.node.platform().store();
        network::dismiss(store, node).await?;
        self.warnings.replace(network::warnings(store).await?);
        Ok(())
    }
}

/// What the kept documents make a node trust; `None` when this version can't read them.
pub(super) async fn kept(documents: &[u8], config: &Config) -> Result<Option<Trust>, Error> {
    let Ok(documents) = json::stored(documents) else { return Ok(None) };
    let primitives = WebPrimitives::default();
    // Documents that have expired since they came still tell what to read with. Newer ones are
    // fetched before anything is sent.
    for now in [BrowserClock.now(), Timestamp(0)] {
        match Trust::reopen(&documents, &config.root, now, &primitives).await {
            Err(Error::NetworkForged) => {}
            trust => return trust.map(Some),
        }
    }
    Ok(None)
}

/// Fetches the documents, with proof that they continue the log of so many manifests; `None` when
/// they are still those with this name.
pub(super) async fn fetch(
    config: &Config,
    etag: Option<String>,
    size: u64,
) -> Result<Option<Fetched>, Error> {
    let known = etag.as_deref().map(|etag| ("if-none-match", etag));
    let url = format!("{}/network?size={size}", config.server);
    let answer = transport::get(&url, known.as_slice(), DOCUMENTS).await?;
    if known.is_some() && answer.status() == NOT_MODIFIED {
        return Ok(None);
    }
    Ok(Some(Fetched { documents: answer.json()?, etag: answer.etag() }))
}

pub(super) async fn verify(
    documents: &NetworkDocuments,
    config: &Config,
    previous: Option<&Trust>,
) -> Result<Trust, Error> {
    let (now, primitives) = (BrowserClock.now(), WebPrimitives::default());
    Trust::verify(documents, &config.root, previous, now, &primitives).await
}
