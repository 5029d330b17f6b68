//! P-256 keys and ES256 signatures.

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::jwk::EcJwk;
use crate::provider::Randomness;

/// A new key. [`Error::RandomnessFailed`].
pub(super) fn draw(randomness: &impl Randomness) -> Result<SigningKey, Error> {
    let mut secret = Zeroizing::new([0; 32]);
    loop {
        randomness.fill(secret.as_mut())?;
        // One of 2^32 draws is not below the order of the curve.
        if let Ok(key) = SigningKey::from_slice(&*secret) {
            return Ok(key);
        }
    }
}

/// The signature over `message`, ES256; deterministic (RFC 6979).
pub(super) fn sign(key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, Error> {
    let signature: Signature = key.try_sign(message).map_err(|_| Error::CryptoFailed)?;
    Ok(signature.to_bytes().to_vec())
}

/// The public half. [`Error::CryptoFailed`].
pub(super) fn public_half(key: &SigningKey) -> Result<EcJwk, Error> {
    let point = key.verifying_key().to_sec1_point(false);
    let coordinate = |bytes: Option<&_>| -> Option<[u8; 32]> {
        bytes.map(|bytes: &p256::FieldBytes| (*bytes).into())
    };
    match (coordinate(point.x()), coordinate(point.y())) {
        (Some(x), Some(y)) => Ok(EcJwk::from_coordinates(x, y)),
        _ => Err(Error::CryptoFailed),
    }
}
