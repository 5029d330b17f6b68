//! The notaries of the network as witnesses of this node's log, from the asking side. All are
//! asked at once, each for one checkpoint at a time; one that fails is left out for a while, unless
//! there are too few without it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use hdms::endpoint::Endpoint;
use hdms::ids::NodeId;
use hdms::log::{NoteSignature, SignedCheckpoint};
use hdms::network::NotaryLog;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::asking::{Asking, Progress};
use super::tiles::Tiles;
use super::witnesses::Witnesses;
use crate::base::http::client::Client;

/// How long to wait for enough of them.
const LONGEST: Duration = Duration::from_secs(5);

/// How long the others have once enough have answered.
const MOMENT: Duration = Duration::from_millis(10);

/// Whom a log may ask.
pub trait Roll: Debug + Send + Sync + 'static {
    /// The witnesses of now, each with its base URL.
    fn witnesses(&self) -> Vec<(NotaryLog, Endpoint)>;
}

/// See the module.
#[derive(Debug)]
pub struct Others<R> {
    roll: R,
    client: Client,
    tiles: Arc<Tiles>,
    known: Mutex<HashMap<NodeId, Arc<Turn<Progress>>>>,
}

/// A witness that can be asked.
struct Other {
    log: NotaryLog,
    endpoint: Endpoint,
    progress: Arc<Turn<Progress>>,
}

impl<R: Roll> Others<R> {
    /// Those of `roll`, whenever they are asked; `tiles` are those of this node's log.
    pub fn new(roll: R, client: Client, tiles: Tiles) -> Self {
        Self { roll, client, tiles: Arc::new(tiles), known: Mutex::default() }
    }

    fn others(&self) -> Vec<Other> {
        let witnesses = self.roll.witnesses().into_iter();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let others = witnesses.map(|(log, endpoint)| {
            let progress = known.entry(log.notary.clone()).or_default().clone();
            Other { log, endpoint, progress }
        });
        others.collect()
    }

    /// Asks `other` in its turn, and to the end even when nobody waits for that any more.
    fn ask(
        &self,
        other: Other,
        checkpoint: &SignedCheckpoint,
        progress: OwnedMutexGuard<Progress>,
    ) -> JoinHandle<Option<NoteSignature>> {
        let asking = Asking {
            client: self.client.clone(),
            tiles: Arc::downgrade(&self.tiles),
            witness: other.log,
            endpoint: other.endpoint,
            checkpoint: checkpoint.clone(),
        };
        tokio::spawn(asking.run(progress))
    }

    /// The cosignatures of all that answer until there are `enough`, and of those that do so in a
    /// `moment` more.
    pub async fn cosign_until(
        &self,
        checkpoint: &SignedCheckpoint,
        enough: impl Fn(&[NoteSignature]) -> bool,
        moment: Duration,
    ) -> Vec<NoteSignature> {
        let (mut asked, mut left_out) = (FuturesUnordered::new(), Vec::new());
        for other in self.others() {
            match other.progress.clone().try_lock_owned() {
                Ok(progress) if progress.is_rested() => {
                    asked.push(self.ask(other, checkpoint, progress));
                }
                _ => left_out.push(other),
            }
        }
        let mut cosignatures = Vec::new();
        let until_enough = async {
            while !enough(&cosignatures) {
                match asked.next().await {
                    Some(answer) => cosignatures.extend(answer.ok().flatten()),
                    None => break,
                }
            }
            if !enough(&cosignatures) {
                let others = left_out.into_iter();
                let answers = join_all(others.map(|other| self.ask_in_turn(other, checkpoint)));
                cosignatures.extend(answers.await.into_iter().flatten());
            }
        };
        let in_time = timeout(LONGEST, until_enough).await.is_ok();
        let rest = async {
            while let Some(answer) = asked.next().await {
                cosignatures.extend(answer.ok().flatten());
            }
        };
        if in_time && !moment.is_zero() && timeout(moment, rest).await.is_err() {
            tracing::debug!("published before every witness has answered");
        }
        cosignatures
    }

    async fn ask_in_turn(
        &self,
        other: Other,
        checkpoint: &SignedCheckpoint,
    ) -> Option<NoteSignature> {
        let progress = other.progress.clone().lock_owned().await;
        self.ask(other, checkpoint, progress).await.ok().flatten()
    }
}

impl<R: Roll> Witnesses for Others<R> {
    async fn cosign(
        &self,
        checkpoint: &SignedCheckpoint,
        needed: usize,
        times: RangeInclusive<u64>,
    ) -> Vec<NoteSignature> {
        let moment = if needed > 0 { MOMENT } else { Duration::ZERO };
        let counts =
            |line: &&NoteSignature| line.cosigned_at().is_some_and(|time| times.contains(&time));
        let enough = |lines: &[NoteSignature]| lines.iter().filter(counts).count() >= needed;
        self.cosign_until(checkpoint, enough, moment).await
    }
}
