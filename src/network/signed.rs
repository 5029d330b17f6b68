//! Who has signed the network's documents.

use serde_json::Value;

use super::{Doormen, NetworkDocument};
use crate::error::Error;
use crate::jose::jws::{Kind, Unverified};
use crate::json;
use crate::jwk::RsaJwk;
use crate::provider::{Primitives, Timestamp};

/// The list of Doormen that the root key has signed and that has not ended.
pub(super) async fn verify_doormen(
    jwt: &str,
    root: &RsaJwk,
    now: Timestamp,
    primitives: &impl Primitives,
) -> Result<Doormen, Error> {
    let doormen: Doormen = verify_by(jwt, &[root], primitives).await?;
    if now.seconds() >= doormen.exp { Err(Error::NetworkForged) } else { Ok(doormen) }
}

/// A document that the Doorman's present key signed.
pub(super) async fn verify<D: NetworkDocument>(
    jwt: &str,
    doormen: &Doormen,
    primitives: &impl Primitives,
) -> Result<D, Error> {
    let present = doormen.doormen.iter().filter(|doorman| doorman.until.is_none());
    let keys: Vec<_> = present.map(|doorman| &doorman.key).collect();
    verify_by(jwt, &keys, primitives).await
}

/// A document that one of `keys` signed, as its issuer. [`Error::NetworkForged`].
pub async fn verify_by<D: NetworkDocument>(
    jwt: &str,
    keys: &[&RsaJwk],
    primitives: &impl Primitives,
) -> Result<D, Error> {
    let (kid, payload) = verify_signature(jwt, &D::KIND, keys, primitives).await?;
    let document: D = json::read(payload, Error::NetworkForged)?;
    if document.issuer().as_ref() == kid { Ok(document) } else { Err(Error::NetworkForged) }
}

/// Answers the thumbprint of the key that signed, and what it signed.
async fn verify_signature(
    jwt: &str,
    kind: &Kind,
    keys: &[&RsaJwk],
    primitives: &impl Primitives,
) -> Result<(String, Value), Error> {
    let forged = Error::NetworkForged;
    let unverified = Unverified::parse(jwt, kind, forged).map_err(|_| forged)?;
    let kid = unverified.header().kid.clone().ok_or(forged)?;
    let key = keys.iter().find(|key| key.thumbprint() == kid).ok_or(forged)?;
    let payload = unverified.verify_ps256(key, primitives).await.map_err(|_| forged)?;
    Ok((kid, payload))
}
