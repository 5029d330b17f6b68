//! The network's documents: newer ones are taken from the server, and the last good ones kept, for
//! when the server is away and against older ones that it offers after a restart.

use hdms::Error;
use hdms::json;
use hdms::jwk::RsaJwk;
use hdms::network::{self, KeyWarning, NetworkDocuments, Trust};
use hdms::provider::{Store, Table, Timestamp, Write};

use super::put;
use crate::base::http::client::Fetched;
use crate::base::keys::AwsPrimitives;
use crate::base::store::SqliteStore;

/// Keys of [`Table::Meta`]: the documents, and the server's name for them (RFC 9110 section 8.8.3).
const NETWORK: &str = "member/network";
const ETAG: &str = "member/etag";

/// What was kept.
pub(super) struct KeptDocuments {
    pub trust: Trust,
    pub etag: Option<String>,
}

/// What the kept documents make a node trust; `None` when there are none, or none that this version
/// can read. Errors: those of the store, [`Error::NetworkForged`].
pub(super) async fn kept(
    store: &SqliteStore,
    root: &RsaJwk,
    now: Timestamp,
) -> Result<Option<KeptDocuments>, Error> {
    let Some(bytes) = store.read(Table::Meta, NETWORK).await? else { return Ok(None) };
    let Ok(documents) = json::stored::<NetworkDocuments>(&bytes) else { return Ok(None) };
    let etag = store.read(Table::Meta, ETAG).await?;
    let etag = etag.and_then(|etag| String::from_utf8(etag).ok());
    if let Ok(trust) = Trust::reopen(&documents, root, now, &AwsPrimitives).await {
        return Ok(Some(KeptDocuments { trust, etag }));
    }
    // Documents that have expired since they came still tell what to read with, and what is older
    // than they are. Newer ones are asked for before anything is sent.
    let trust = Trust::reopen(&documents, root, Timestamp(0), &AwsPrimitives).await?;
    Ok(Some(KeptDocuments { trust, etag: None }))
}

/// Trusts documents if they are good and no older than `before`, and keeps them in one commit with
/// the warnings that they give rise to. What proves that the server shows different networks is kept
/// as well.
///
/// Errors: those of [`Trust::verify`] and of the store.
pub(super) async fn take(
    fetched: &Fetched,
    root: &RsaJwk,
    before: Option<&Trust>,
    store: &SqliteStore,
    now: Timestamp,
) -> Result<Trust, Error> {
    let documents = &fetched.documents;
    let trust = Trust::verify(documents, root, before, now, &AwsPrimitives).await;
    if let (Err(Error::NetworkSplit), Some(held)) = (&trust, before) {
        network::keep_split(store, held, documents, now).await?;
    }
    let trust = trust?;
    let etag = match &fetched.etag {
        Some(etag) => put(ETAG, etag.as_str().into()),
        None => Write::Delete { table: Table::Meta, key: ETAG.into() },
    };
    let mut writes = vec![put(NETWORK, json::write(documents)?), etag];
    if let Some(before) = before {
        let (found, more) = network::keep(store, before, &trust, now).await?;
        found.iter().for_each(warn);
        writes.extend(more);
    }
    store.commit(writes).await?;
    Ok(trust)
}

fn warn(KeyWarning { node, name, former, .. }: &KeyWarning) {
    let (node, former) = (node.as_ref(), former.as_ref().map(AsRef::as_ref));
    tracing::warn!(node, name, former, "its keys changed without a word of the old ones: ask it");
}
