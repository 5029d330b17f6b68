//! The ids of results that are handed in: new ones, or the same as before when the HIS repeats
//! itself under an idempotency key.

use axum::http::HeaderMap;
use hdms::Error;
use hdms::base64url;
use hdms::ids::EntryId;
use hdms::node::Platform;
use hdms::provider::{Clock, Randomness, Timestamp};
use hdms::treatment::hospital::HospitalCase;

use super::views::ProblemView;
use crate::institution::platform::NativeNode;

/// The header with which a HIS may hand in the same result twice without handing in two
/// (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Longest key, characters.
const MAX_KEY: usize = 255;

/// What is wrong with a key.
pub const NO_KEY: &str =
    "The header Idempotency-Key stands there once at most, and has 1 to 255 ASCII characters.";

/// Why no result can be handed in, and none that was ever becomes final.
pub const NO_NOTARY: &str = "The case's notary is no member of the network any more, and logs nothing: \
                             hand the result in under a new case, for which the patient asks.";

/// The same of a result.
pub fn no_notary() -> ProblemView {
    ProblemView { code: Error::NotAllowedNow.code().to_owned(), sentence: NO_NOTARY.to_owned() }
}

/// The ids of what is handed in together.
pub struct Ids {
    /// One for each result.
    pub of_results: Vec<EntryId>,
    /// What one more result would have under the same key.
    of_next: Option<EntryId>,
}

impl Ids {
    /// For `count` results of `case`; derived from the case and the key in `headers`, if there is one.
    /// [`Error::CommandMalformed`] for several keys, and one that is empty, too long or no ASCII text.
    pub fn new(
        node: &NativeNode,
        case: &HospitalCase,
        headers: &HeaderMap,
        count: usize,
    ) -> Result<Self, Error> {
        let (p, mut keys) = (node.platform(), headers.get_all(IDEMPOTENCY_KEY).iter());
        let Some(key) = keys.next() else {
            let new = (0..count).map(|_| EntryId::new(p.clock(), p.randomness()));
            return Ok(Self { of_results: new.collect::<Result<_, _>>()?, of_next: None });
        };
        let key = key.to_str().map_err(|_| Error::CommandMalformed)?;
        if keys.next().is_some() || !(1..=MAX_KEY).contains(&key.len()) {
            return Err(Error::CommandMalformed);
        }
        let derived = |place| {
            let derived = Derived { begun: case.begun, text: format!("{} {place} {key}", case.id) };
            EntryId::new(&derived, &derived)
        };
        let of_results = (0..count).map(derived).collect::<Result<_, _>>()?;
        Ok(Self { of_results, of_next: Some(derived(count)?) })
    }

    /// Whether more than these was handed in under their key.
    pub fn are_fewer(&self, case: &HospitalCase) -> bool {
        let next = self.of_next.as_ref();
        next.is_some_and(|next| case.results.iter().any(|result| result.id == *next))
    }
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
        let digest = base64url::digest(&self.text);
        let source = digest.as_bytes().get(..bytes.len()).ok_or(Error::RandomnessFailed)?;
        bytes.copy_from_slice(source);
        Ok(())
    }
}
