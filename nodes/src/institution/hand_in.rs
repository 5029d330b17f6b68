//! The idempotency key under which the HIS hands in results, and why they can't be handed in.

use axum::http::HeaderMap;
use hdms::Error;

use super::views::ProblemView;

/// The header with which a HIS may hand in the same results twice without handing in two
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

/// The key in `headers`, if there is one. [`Error::CommandMalformed`] for several, and one that is empty,
/// too long or no ASCII text.
pub fn key(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.to_str().map_err(|_| Error::CommandMalformed)?;
    if keys.next().is_some() || !(1..=MAX_KEY).contains(&key.len()) {
        return Err(Error::CommandMalformed);
    }
    Ok(Some(key))
}
