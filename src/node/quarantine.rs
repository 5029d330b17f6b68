//! What was refused: kept with its reason, to be looked at and never acted on. Of one sender only so
//! much is kept that it can't fill a disk.

use serde::{Deserialize, Serialize};

use super::{Node, Platform, Taken, put};
use crate::error::Error;
use crate::ids::NodeId;
use crate::jose::digest;
use crate::json;
use crate::provider::{Store, Table, Timestamp, Write};
use crate::treatment::Flow;

/// Rows read at a time.
const PAGE: usize = 100;

/// Most refusals of one sender that are kept: so many say what there is to say.
pub const MOST_REFUSALS: u64 = 1_000;

/// Most bytes of one sender's refused envelopes that are kept with their reasons; of further ones
/// only the reason is.
pub const MOST_REFUSED_BYTES: u64 = 4 * 1024 * 1024;

/// An envelope that was refused: neither acted on nor, unless its sender overdoes it, lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// When it came.
    pub received: Timestamp,
    /// The code of the refusal.
    pub code: String,
    /// As it came; empty when it was larger than an envelope may be, or when enough of its sender
    /// was kept before.
    pub envelope: String,
}

/// Why an envelope was refused, and who has sent it, if that was verified by then.
pub(super) struct Refusal {
    pub(super) why: Error,
    pub(super) sender: Option<NodeId>,
}

impl From<Error> for Refusal {
    fn from(why: Error) -> Self {
        Self { why, sender: None }
    }
}

/// How much of one sender was ever quarantined.
#[derive(Default, Serialize, Deserialize)]
struct Tally {
    refusals: u64,
    bytes: u64,
}

impl<P: Platform> Node<P> {
    /// What was refused, by digest of the envelope.
    pub async fn quarantined(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Quarantined)>, Error> {
        let rows = self.platform.store().scan(Table::Quarantine, "", after, limit).await?;
        rows.into_iter().map(|(key, value)| Ok((key, json::stored(&value)?))).collect()
    }

    /// Gives what was refused because it came before its time, by this node's clock or its sender's,
    /// another try. Answers what was taken in now; what is refused for another reason stays with
    /// that. Errors: those that [are passing](Error::is_passing).
    pub async fn retry_early<F: Flow>(&self) -> Result<Vec<Taken>, Error> {
        let (mut taken, mut after) = (Vec::new(), String::new());
        let is_early = |(_, kept): &(String, Quarantined)| {
            kept.code == Error::NotYetValid.code() && !kept.envelope.is_empty()
        };
        loop {
            let page = self.quarantined(&after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(taken) };
            after = last.clone();
            for (key, mut kept) in page.into_iter().filter(is_early) {
                let write = match self.take_in_all::<F>(kept.envelope.as_bytes(), self.now()).await
                {
                    Ok(one) => {
                        taken.push(one);
                        Write::Delete { table: Table::Quarantine, key }
                    }
                    Err(Refusal { why: Error::NotYetValid, .. }) => continue,
                    Err(Refusal { why, .. }) if why.is_passing() => return Err(why),
                    Err(Refusal { why, .. }) => {
                        why.code().clone_into(&mut kept.code);
                        put(Table::Quarantine, key, json::write(&kept)?)
                    }
                };
                self.platform.store().commit(vec![write]).await?;
            }
        }
    }

    /// Keeps a refusal. All whose sender could not be verified share one tally.
    pub(super) async fn quarantine(
        &self,
        envelope: &[u8],
        received: Timestamp,
        refusal: &Refusal,
    ) -> Result<(), Error> {
        let (store, key) = (self.platform.store(), digest(envelope));
        if store.read(Table::Quarantine, &key).await?.is_some() {
            return Ok(());
        }
        let sender = refusal.sender.as_ref().map_or("unknown", |sender| sender.as_ref());
        let row = format!("quarantine/{sender}");
        let kept = store.read(Table::Meta, &row).await?;
        let mut tally: Tally =
            kept.map(|kept| json::stored(&kept)).transpose()?.unwrap_or_default();
        if tally.refusals >= MOST_REFUSALS {
            return Ok(());
        }
        let bytes = envelope.len() as u64;
        let fits = tally.bytes.saturating_add(bytes) <= MOST_REFUSED_BYTES;
        let keeps = fits && refusal.why != Error::EnvelopeTooLarge;
        tally.refusals += 1;
        tally.bytes += if keeps { bytes } else { 0 };
        let envelope = if keeps { envelope } else { &[] };
        let quarantined = Quarantined {
            received,
            code: refusal.why.code().to_owned(),
            envelope: String::from_utf8_lossy(envelope).into_owned(),
        };
        let tally = put(Table::Meta, row, json::write(&tally)?);
        let quarantined = put(Table::Quarantine, key, json::write(&quarantined)?);
        store.commit(vec![tally, quarantined]).await
    }
}
