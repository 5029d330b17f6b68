//! Those who co-sign the log's checkpoints.

use hdms::log::{NoteSignature, SignedCheckpoint};

/// Who is asked before a checkpoint is published.
pub trait Witnesses: Send + Sync + 'static {
    /// Cosignatures on `checkpoint` that were seen to be by witnesses of the network, each by
    /// another one: `needed` of them, or fewer when no more can be had now.
    fn cosign(
        &self,
        checkpoint: &SignedCheckpoint,
        needed: usize,
    ) -> impl Future<Output = Vec<NoteSignature>> + Send;
}

/// Nobody.
impl Witnesses for () {
    async fn cosign(&self, _: &SignedCheckpoint, _: usize) -> Vec<NoteSignature> {
        Vec::new()
    }
}
