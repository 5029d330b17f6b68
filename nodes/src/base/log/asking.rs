//! One witness is asked for its cosignature on one checkpoint (C2SP tlog-witness).

use std::sync::Weak;
use std::time::Duration;

use hdms::Error;
use hdms::endpoint::Endpoint;
use hdms::log::{Hash, NoteSignature, SignedCheckpoint, decimal};
use hdms::network::NotaryLog;
use reqwest::StatusCode;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};

use super::submission::Submission;
use super::tiles::Tiles;
use crate::base::http::client::Client;
use crate::base::keys::AwsPrimitives;
use crate::base::pause::doubled;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long one is left out after it has failed: at first, and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How far one has come; locked while it is asked.
#[derive(Debug, Default)]
pub struct Progress {
    /// Leaves of the tree that it last co-signed.
    pub size: u64,
    failures: u32,
    rests_until: Option<Instant>,
}

impl Progress {
    /// Notes how it went. Answers how often it has failed in a row.
    pub fn note(&mut self, success: bool) -> u32 {
        self.failures = if success { 0 } else { self.failures.saturating_add(1) };
        let rest = (!success).then(|| doubled(self.failures, REST.0, REST.1));
        self.rests_until = rest.map(|rest| Instant::now() + rest);
        self.failures
    }

    /// Whether it may be asked again after it has failed.
    pub fn is_rested(&self) -> bool {
        self.rests_until.is_none_or(|until| until <= Instant::now())
    }
}

/// See the module.
pub struct Asking {
    /// Asks.
    pub client: Client,
    /// Proves that the log has only grown. Nobody waits for a witness with the database open: a
    /// node that has stopped can be started again at once.
    pub tiles: Weak<Tiles>,
    /// The witness.
    pub witness: NotaryLog,
    /// Its base URL.
    pub endpoint: Endpoint,
    /// What it is to co-sign.
    pub checkpoint: SignedCheckpoint,
}

impl Asking {
    /// The cosignature, checked, or nothing.
    pub async fn run(self, mut progress: OwnedMutexGuard<Progress>) -> Option<NoteSignature> {
        let answer = timeout(PATIENCE, self.cosignature(&mut progress.size)).await;
        let answer = answer.unwrap_or(Err(Error::TimedOut));
        let (witness, failures) = (self.witness.notary.as_ref(), progress.note(answer.is_ok()));
        answer
            .inspect_err(|error| match failures {
                1 => tracing::warn!(witness, code = error.code(), "a witness has not co-signed"),
                _ => tracing::debug!(witness, failures, code = error.code(), "not co-signed again"),
            })
            .ok()
    }

    /// Asks from the size that the witness is thought to have, and again from the one that it says.
    async fn cosignature(&self, size: &mut u64) -> Result<NoteSignature, Error> {
        let (mut old, own) = (*size, self.checkpoint.checkpoint().size);
        for _ in 0..2 {
            let (status, answer) = self.submit(old.min(own)).await?;
            match status {
                StatusCode::OK => {
                    let line = self.verified(&answer).await?;
                    *size = own;
                    return Ok(line);
                }
                StatusCode::CONFLICT => {
                    let theirs = decimal(answer.trim_end_matches('\n'))?;
                    *size = theirs;
                    if theirs > own || theirs == old {
                        return Err(self.contradicted(theirs));
                    }
                    old = theirs;
                }
                StatusCode::UNPROCESSABLE_ENTITY => return Err(self.contradicted(old)),
                // It has an older Network Map than this node, or a newer one.
                StatusCode::NOT_FOUND => return Err(Error::NodeUnknown),
                _ => return Err(Error::NetworkUnreachable),
            }
        }
        Err(Error::LogForged)
    }

    async fn submit(&self, old: u64) -> Result<(StatusCode, String), Error> {
        let proof = self.proof(old).await?;
        let submission = Submission { old, proof, checkpoint: self.checkpoint.clone() };
        self.client.add_checkpoint(self.endpoint.as_ref(), submission.to_text()).await
    }

    async fn proof(&self, old: u64) -> Result<Vec<Hash>, Error> {
        let tiles = self.tiles.upgrade().ok_or(Error::NodeStopped)?;
        tiles.consistency(old, self.checkpoint.checkpoint().size).await
    }

    /// The line of the witness in its answer. [`Error::LogForged`] unless it has signed the
    /// checkpoint, in its time as a member.
    async fn verified(&self, answer: &str) -> Result<NoteSignature, Error> {
        let key = self.witness.witness_key();
        let lines = answer.lines().filter_map(|line| NoteSignature::parse(line).ok());
        let mut own = lines.filter(|line| line.name == key.name && line.key_id == key.id());
        let line = own.next().ok_or(Error::LogForged)?;
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.add(line.clone());
        let time = checkpoint.cosignature_time(&key, &AwsPrimitives).await?;
        let counts = time.is_some_and(|time| self.witness.counts_at(time));
        if counts { Ok(line) } else { Err(Error::LogForged) }
    }

    /// Says aloud that the witness has co-signed a tree of `size` leaves that this log does not have.
    fn contradicted(&self, size: u64) -> Error {
        let (own, witness) = (self.checkpoint.checkpoint(), self.witness.notary.as_ref());
        tracing::error!(
            witness,
            cosigned_size = size,
            own_size = own.size,
            own_root = hdms::log::encode(&own.root),
            "a witness has co-signed another or a larger tree of this log: was the database \
             replaced by an older copy? Restore the newest one"
        );
        Error::LogForged
    }
}
