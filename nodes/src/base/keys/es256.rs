//! P-256 keys, by `aws-lc-rs`: that of a sender of web push, which signs VAPID tokens (RFC 8292), and the
//! request keys of nodes.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use hdms::Error;
use hdms::base64url::encode;
use hdms::jwk::EcJwk;
use zeroize::Zeroizing;

use super::sealed::Pkcs8;

/// A private key for ES256 (RFC 7518 section 3.4).
pub struct Es256Key(EcdsaKeyPair);

impl Es256Key {
    /// From PKCS#8 DER, unencrypted. [`Error::KeyMalformed`].
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map(Self)
            .map_err(|_| Error::KeyMalformed)
    }

    /// The public half: the uncompressed point, base64url.
    pub fn public(&self) -> String {
        encode(self.0.public_key())
    }

    /// The same as JWK. [`Error::KeyMalformed`].
    pub(super) fn public_jwk(&self) -> Result<EcJwk, Error> {
        // After the octet that says that it is not compressed.
        let point = self.0.public_key().as_ref().get(1..);
        let (x, y) =
            point.and_then(|point| point.split_at_checked(32)).ok_or(Error::KeyMalformed)?;
        let coordinate = |bytes: &[u8]| bytes.try_into().map_err(|_| Error::KeyMalformed);
        Ok(EcJwk::from_coordinates(coordinate(x)?, coordinate(y)?))
    }

    /// The signature over `message`: 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_| Error::CryptoFailed)?.as_ref().to_vec())
    }

    pub(super) fn generate_pkcs8() -> Result<Pkcs8, Error> {
        let der = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|key| key.to_pkcs8v1())
            .map_err(|_| Error::CryptoFailed)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }
}

impl fmt::Debug for Es256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Es256Key").field(&self.public()).finish()
    }
}
