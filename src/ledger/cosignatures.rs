//! What receipts rest on: the word of those who watch a log. They say when a checkpoint was there,
//! and so which rule and whose standing counts. The log's own word about time decides nothing, for
//! it could write its past.

use crate::error::Error;
use crate::log::{Checkpoint, SignedCheckpoint};
use crate::network::{NotaryLog, Parameters, Trust};
use crate::provider::Primitives;

/// The cosignatures of a checkpoint that hold, earliest first.
#[derive(Clone, Debug, Default)]
pub struct Cosignatures(Vec<(NotaryLog, u64)>);

impl Cosignatures {
    /// Those of listed notaries, also former ones, other than the log's own. [`Error::LogForged`] for
    /// a line in the name of one that it has not signed (C2SP signed-note).
    pub async fn read(
        checkpoint: &SignedCheckpoint,
        log: &NotaryLog,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let mut found = Vec::new();
        for witness in trust.logs().iter().filter(|other| other.notary != log.notary) {
            let time = checkpoint.cosignature_time(&witness.witness_key(), primitives).await?;
            found.extend(time.map(|time| (witness.clone(), time)));
        }
        Ok(Self::of(found))
    }

    /// Those that were found to hold, each with its time, seconds.
    pub fn of(found: Vec<(NotaryLog, u64)>) -> Self {
        let mut sorted = Vec::with_capacity(found.len());
        for (witness, time) in found {
            let place = sorted.partition_point(|(_, earlier)| *earlier <= time);
            sorted.insert(place, (witness, time));
        }
        Self(sorted)
    }

    /// When the checkpoint was co-signed, seconds: the upper median of the cosignatures' times, so
    /// that one witness alone among several can't choose it. `None` without any.
    pub fn time(&self) -> Option<u64> {
        self.0.get(self.0.len() / 2).map(|(_, time)| *time)
    }

    /// Those who were members then.
    pub fn witnesses(&self) -> impl Iterator<Item = &NotaryLog> {
        let time = self.time();
        let counts = move |witness: &&NotaryLog| time.is_some_and(|time| witness.counts_at(time));
        self.0.iter().map(|(witness, _)| witness).filter(counts)
    }

    /// How many witnesses a receipt under this checkpoint needs.
    pub fn needed(&self, parameters: &Parameters) -> usize {
        match self.time() {
            Some(time) => parameters.witnesses_needed(time),
            None => parameters.witnesses_needed(u64::MAX),
        }
    }

    /// Whether a checkpoint that `log` has signed counts: when the parameters pin it, or when the
    /// log's notary was a member as it was co-signed and enough others have. Where nobody has, nobody
    /// knows when it was signed, and it counts for a present member alone, if no rule asks for more.
    pub fn suffice(
        &self,
        checkpoint: &Checkpoint,
        log: &NotaryLog,
        parameters: &Parameters,
    ) -> bool {
        let is_member = self.time().map_or(log.is_member(), |time| log.counts_at(time));
        let witnessed = is_member && self.witnesses().count() >= self.needed(parameters);
        witnessed || parameters.pins(&log.notary, checkpoint)
    }
}
