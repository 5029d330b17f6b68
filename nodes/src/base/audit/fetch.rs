//! Reading from those who are audited: within bounds, and again when the way there has failed.

use std::time::Duration;

use hdms::Error;
use hdms::ledger::LEAF_BYTES;
use hdms::log::Hash;
use serde::de::DeserializeOwned;

use super::fault::Unchecked;
use crate::base::http::client::Client;
use crate::base::http::problem::Problem;
use crate::base::log::tile_path::{Content, TilePath};
use crate::base::log::tree::WIDTH;
use crate::base::pause::doubled;

/// How often something is asked for before it counts as unreachable.
const TRIES: u32 = 3;

/// Longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(10);

/// Bytes of a leaf's length in a bundle, in front of it (C2SP tlog-tiles).
const LENGTH: usize = 2;

/// Reads resources over HTTP.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Asks.
    pub client: Client,
    /// How long one answer may take.
    pub patience: Duration,
    /// Bytes of a leaf: those of a ledger's entry, or the digest of a manifest.
    pub leaf: usize,
}

impl Fetch {
    /// The bytes at `path` below `base`; none where there is nothing.
    ///
    /// Errors: [`Error::AnswerTooLarge`] for more than `limit` bytes; [`Error::TimedOut`] and
    /// [`Error::NetworkUnreachable`] when several tries have failed.
    pub async fn bytes(
        &self,
        base: &str,
        path: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Unchecked> {
        let mut tried = 1;
        loop {
            let answer = self.client.resource(base, path, limit);
            let answer = tokio::time::timeout(self.patience, answer).await;
            match answer.unwrap_or(Err(Error::TimedOut.into())) {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(Problem { error: Error::NotFound, .. }) => return Ok(None),
                Err(Problem { error, .. }) if !error.is_transient() || tried == TRIES => {
                    return Err(Unchecked { what: format!("{base}{path}"), why: error });
                }
                Err(Problem { retry_after, .. }) => {
                    let asked = Duration::from_secs(retry_after.unwrap_or_default()).min(LONGEST);
                    let pause = doubled(tried, self.patience / 60, LONGEST).max(asked);
                    tokio::time::sleep(pause).await;
                    tried += 1;
                }
            }
        }
    }

    /// JSON, which must be there.
    pub async fn json<T: DeserializeOwned>(
        &self,
        base: &str,
        path: &str,
        limit: usize,
    ) -> Result<T, Unchecked> {
        let found = self.found(base, path, limit).await?;
        found.ok_or(Error::NotFound).map_err(Unchecked::of(format!("{base}{path}")))
    }

    /// The JSON that is at a path; `None` where nothing is.
    pub async fn found<T: DeserializeOwned>(
        &self,
        base: &str,
        path: &str,
        limit: usize,
    ) -> Result<Option<T>, Unchecked> {
        let bytes = self.bytes(base, path, limit).await?;
        let json = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        json.map_err(|_| Error::NetworkUnreachable).map_err(Unchecked::of(format!("{base}{path}")))
    }

    /// A tile or a bundle of the log at `base`; as no bytes what is longer than one can be. A partial
    /// one that is no longer kept is read from the full one (C2SP tlog-tiles).
    pub async fn tile(&self, base: &str, path: TilePath) -> Result<Option<Vec<u8>>, Unchecked> {
        let full = TilePath { width: WIDTH, ..path };
        let partial = self.content(base, path).await?;
        if partial.is_some() || path == full {
            return Ok(partial);
        }
        let whole = self.content(base, full).await?;
        Ok(whole.map(|mut bytes| {
            bytes.truncate(self.length(path));
            bytes
        }))
    }

    async fn content(&self, base: &str, path: TilePath) -> Result<Option<Vec<u8>>, Unchecked> {
        match self.bytes(base, &format!("/log/tile/{path}"), self.length(path)).await {
            Err(Unchecked { why: Error::AnswerTooLarge, .. }) => Ok(Some(Vec::new())),
            otherwise => otherwise,
        }
    }

    /// How many bytes there are at a path.
    fn length(&self, path: TilePath) -> usize {
        let each = match path.content {
            Content::Hashes(_) => size_of::<Hash>(),
            Content::Entries => LENGTH + self.leaf,
        };
        each * path.width as usize
    }

    /// The hashes of a tile, if it has as many as its path says.
    pub fn hashes<'a>(&self, bytes: &'a [u8], path: TilePath) -> Option<&'a [Hash]> {
        let (hashes, _) = bytes.as_chunks();
        (bytes.len() == self.length(path)).then_some(hashes)
    }

    /// The leaves of a bundle, if it has as many as its path says and nothing else.
    pub fn leaves<'a>(&self, bytes: &'a [u8], path: TilePath) -> Option<Vec<&'a [u8]>> {
        let leaves = bytes.chunks_exact(LENGTH + self.leaf).map(|entry| {
            let (length, leaf) = entry.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)) == self.leaf).then_some(leaf)
        });
        (bytes.len() == self.length(path)).then(|| leaves.collect()).flatten()
    }

    /// Whether the leaves are those of a ledger's entries.
    pub fn has_entries(&self) -> bool {
        self.leaf == LEAF_BYTES
    }
}
