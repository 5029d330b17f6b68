//! Showing a record, or parts of it, to somebody: the proof that it is its holder who shows it
//! (RFC 9901 section 4.3).

use serde::{Deserialize, Serialize};

use super::claims::unverified;
use super::sdjwt::Parts;
use super::{Record, Selection, VerifiedRecord, verify};
use crate::base64url;
use crate::card::SigningKeys;
use crate::error::Error;
use crate::jose::jws::{self, Kind, Unverified};
use crate::json;
use crate::jwk::EcJwk;
use crate::provider::{Clock, HolderKeys, Primitives, Timestamp};

const KEY_BINDING: Kind = Kind::statement("kb+jwt");

/// For how many seconds a key binding is good: as long as the message that carries it may wait. The
/// nonce, used once, is what stops replays.
pub const WINDOW: u64 = crate::envelope::LIFETIME;

/// Presents `selection` of `record` to `audience` (its node id), which asked with `nonce`; answers
/// the compact serialisation with a key binding. `keys` are the holder's.
///
/// Errors of [`Record::select`]; [`Error::HolderUnproven`] when the record names no holder,
/// [`Error::UnknownKey`] when its key is not among `keys`.
pub async fn present(
    record: &Record,
    selection: Selection<'_>,
    nonce: &str,
    audience: &str,
    keys: &impl HolderKeys,
    clock: &impl Clock,
) -> Result<String, Error> {
    let (_, signed) = unverified(record.jwt())?;
    let holder = signed.payload().get("cnf").ok_or(Error::HolderUnproven)?;
    let jwk = holder.get("jwk").cloned().ok_or(Error::RecordMalformed)?;
    let holder: EcJwk = json::read(jwk, Error::RecordMalformed)?;
    let presented = record.select(selection)?.compact;
    let binding = KeyBinding {
        iat: clock.now().seconds(),
        aud: audience.to_owned(),
        nonce: nonce.to_owned(),
        sd_hash: base64url::digest(&presented),
    };
    let binding = jws::sign_es256(KEY_BINDING.typ, &binding, &holder, keys).await?;
    Ok(presented + &binding)
}

/// Checks a presentation made for `audience` and `nonce` at most [`WINDOW`] seconds from `now`
/// (RFC 9901 section 7.3).
///
/// Errors of [`verify`]; [`Error::HolderUnproven`] when the key binding is missing, is not of the
/// holder that the author named, or was made for another presentation.
pub async fn verify_presentation(
    compact: &str,
    author: &SigningKeys,
    audience: &str,
    nonce: &str,
    now: Timestamp,
    primitives: &impl Primitives,
) -> Result<VerifiedRecord, Error> {
    let parts = Parts::parse(compact)?;
    let record = verify(parts.presented, author, primitives).await?;
    let holder = record.holder().ok_or(Error::HolderUnproven)?;
    let binding = KeyBinding::verify(&parts, holder, primitives).await?;
    let fits = binding.aud == audience
        && binding.nonce == nonce
        && binding.iat.abs_diff(now.seconds()) <= WINDOW;
    if fits { Ok(record) } else { Err(Error::HolderUnproven) }
}

/// The claims of a key binding JWT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBinding {
    /// When it was made, in seconds since the Unix epoch.
    pub iat: u64,
    /// For whom.
    pub aud: String,
    /// What the asker asked with.
    pub nonce: String,
    /// base64url of the SHA-256 over all that is presented before it.
    pub sd_hash: String,
}

impl KeyBinding {
    /// The key binding that `holder` signed over what `parts` present, for whatever audience,
    /// nonce and time. [`Error::HolderUnproven`] when there is none.
    pub async fn verify(
        parts: &Parts<'_>,
        holder: &EcJwk,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let unproven = Error::HolderUnproven;
        let signed = Unverified::parse(parts.key_binding.ok_or(unproven)?, &KEY_BINDING, unproven)?;
        let claims =
            signed.verify_es256(holder, primitives).await.map_err(|error| match error {
                Error::SignatureInvalid | Error::KeyMalformed => unproven,
                other => other,
            })?;
        let binding: Self = json::read(claims, unproven)?;
        if binding.sd_hash == base64url::digest(parts.presented) {
            Ok(binding)
        } else {
            Err(unproven)
        }
    }
}
