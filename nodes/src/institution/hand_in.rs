//! The ids of results that are handed in: new ones, or the same as before when the HIS repeats
//! itself under an idempotency key.

use axum::http::HeaderValue;
use hdms::Error;
use hdms::ids::EntryId;
use hdms::jose;
use hdms::node::Platform;
use hdms::provider::{Clock, Randomness, Timestamp};
use hdms::treatment::hospital::HospitalCase;

use crate::platform::NativeNode;

/// The header with which a HIS may hand in the same result twice without handing in two
/// (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Ids for `count` results of `case`; derived from the case and `key`, if there is one.
/// [`Error::CommandMalformed`] when the key is no ASCII text.
pub fn entry_ids(
    node: &NativeNode,
    case: &HospitalCase,
    key: Option<&HeaderValue>,
    count: usize,
) -> Result<Vec<EntryId>, Error> {
    let p = node.platform();
    let Some(key) = key else {
        return (0..count).map(|_| EntryId::new(p.clock(), p.randomness())).collect();
    };
    let key = key.to_str().map_err(|_| Error::CommandMalformed)?;
    let derived = |place| {
        let derived = Derived { begun: case.begun, text: format!("{} {place} {key}", case.id) };
        EntryId::new(&derived, &derived)
    };
    (0..count).map(derived).collect()
}

/// Clock and randomness of an id that is to come out the same again.
struct Derived {
    begun: Timestamp,
    text: String,
}

impl Clock for Derived {
    fn now(&self) -> Timestamp {
        self.begun
    }
}

impl Randomness for Derived {
    /// At most 43 bytes, which is more than an id asks for.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let digest = jose::digest(&self.text);
        let source = digest.as_bytes().get(..bytes.len()).ok_or(Error::RandomnessFailed)?;
        bytes.copy_from_slice(source);
        Ok(())
    }
}
