//! What receipts rest on: the word of those who watch a log. They say when a checkpoint was there,
//! and so which rule and whose standing counts. The log's own word about time decides nothing, for
//! it could write its past.

use crate::error::Error;
use crate::ids::NodeId;
use crate::log::{Checkpoint, SignedCheckpoint};
use crate::network::{NotaryLog, Parameters, Trust};
use crate::provider::Primitives;

/// A checkpoint that its log has signed and enough others have co-signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: SignedCheckpoint,
    time: Option<u64>,
    witnesses: Vec<NodeId>,
}

impl VerifiedCheckpoint {
    /// Checks that `log` has signed it, and that as many other notaries have co-signed it as the network
    /// asked for when they did. [`Error::LogForged`].
    pub(super) async fn verify(
        checkpoint: &SignedCheckpoint,
        log: &NotaryLog,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        checkpoint.verify_log(&log.log_key(), primitives).await?;
        let cosignatures = Cosignatures::read(checkpoint, log, trust, primitives).await?;
        if !cosignatures.suffice(checkpoint.checkpoint(), log, trust.parameters()) {
            return Err(Error::LogForged);
        }
        let witnesses = cosignatures.witnesses().map(|witness| witness.notary.clone()).collect();
        Ok(Self { checkpoint: checkpoint.clone(), time: cosignatures.time(), witnesses })
    }

    /// Whether it is this one, down to its last signature.
    pub(super) fn is(&self, checkpoint: &SignedCheckpoint) -> bool {
        self.checkpoint == *checkpoint
    }

    /// See [`Cosignatures::time`].
    pub fn time(&self) -> Option<u64> {
        self.time
    }

    /// Those who have co-signed it and were members then.
    pub fn witnesses(&self) -> &[NodeId] {
        &self.witnesses
    }
}

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
