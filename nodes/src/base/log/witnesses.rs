//! Those who co-sign the log's checkpoints.

use std::ops::RangeInclusive;

use hdms::log::{NoteSignature, SignedCheckpoint};

/// Who is asked before a checkpoint is published.
pub trait Witnesses: Send + Sync + 'static {
    /// Cosignatures on `checkpoint` that were seen to be by witnesses of the network, each by
    /// another one: `needed` of them that are dated within `times`, seconds, or fewer when no more can
    /// be had now; and what came with other dates.
    fn cosign(
        &self,
        checkpoint: &SignedCheckpoint,
        needed: usize,
        times: RangeInclusive<u64>,
    ) -> impl Future<Output = Vec<NoteSignature>> + Send;
}

/// Nobody.
impl Witnesses for () {
    async fn cosign(
        &self,
        _: &SignedCheckpoint,
        _: usize,
        _: RangeInclusive<u64>,
    ) -> Vec<NoteSignature> {
        Vec::new()
    }
}
