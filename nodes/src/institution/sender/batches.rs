//! Which envelopes go together, and how many at a time.

use hdms::Error;
use hdms::card::Role;
use hdms::mailbox::MAX_DELIVERIES;
use hdms::node::{OutboxItem, Payload};

/// Bytes of envelopes after which a delivery is divided.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// What goes together, and how many requests are in flight, to one destination. Where a request
/// carries many, the next one leaves when the last was answered, so that it carries all that came
/// meanwhile: each costs a signature.
pub(super) struct Batching {
    pub in_flight: usize,
    pub batch: usize,
}

impl Batching {
    pub fn to(role: Role) -> Self {
        match role {
            Role::Personal => Self { in_flight: 1, batch: MAX_DELIVERIES },
            // With two cards each they must fit an envelope.
            Role::Notary => Self { in_flight: 1, batch: 50 },
            Role::Institution => Self { in_flight: 16, batch: 1 },
        }
    }
}

/// The envelope of an item that is delivered as one.
pub(super) fn envelope(item: &OutboxItem) -> &str {
    match &item.payload {
        Payload::Envelope { compact, .. } => compact,
        Payload::Deposit { .. } => "",
    }
}

/// Whether this is a deposit that no envelope holds: it counts as refused, as it gets no smaller.
pub(super) fn will_never_fit(item: &OutboxItem, why: Error) -> bool {
    matches!(item.payload, Payload::Deposit { .. }) && why == Error::EnvelopeTooLarge
}

/// Groups of at most [`BATCH_BYTES`], or of one item.
pub(super) fn by_size(items: Vec<OutboxItem>) -> Vec<Vec<OutboxItem>> {
    let mut groups: Vec<Vec<OutboxItem>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        let size = envelope(&item).len();
        bytes += size;
        match groups.last_mut() {
            Some(group) if bytes <= BATCH_BYTES => group.push(item),
            _ => {
                groups.push(vec![item]);
                bytes = size;
            }
        }
    }
    groups
}
