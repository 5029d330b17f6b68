//! Public keys as `aws-lc-rs` works with them. Making one of a JWK costs as much as checking a
//! signature with it, and a node meets the same keys again and again: some are remembered.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};

use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents,
};
use hdms::Error;
use hdms::jwk::RsaJwk;

/// Most keys remembered.
const REMEMBERED: usize = 1000;

static KEYS: LazyLock<RwLock<HashMap<RsaJwk, Arc<PublicKey>>>> = LazyLock::new(RwLock::default);

/// A public RSA key, ready for use.
pub(super) struct PublicKey {
    /// Checks PS256 signatures.
    pub verifying: ParsedPublicKey,
    /// Checks RSASSA-PKCS1-v1_5 signatures, by which notaries are drawn: few keys are asked for it.
    drawing: OnceLock<ParsedPublicKey>,
    /// Encrypts with RSA-OAEP-256.
    pub encrypting: OaepPublicEncryptingKey,
}

impl PublicKey {
    /// Of a JWK. [`Error::KeyMalformed`].
    pub fn of(jwk: &RsaJwk) -> Result<Arc<Self>, Error> {
        let known = KEYS.read().unwrap_or_else(PoisonError::into_inner).get(jwk).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let key = Arc::new(Self::make(jwk)?);
        let mut keys = KEYS.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= REMEMBERED {
            keys.clear();
        }
        keys.insert(jwk.clone(), key.clone());
        Ok(key)
    }

    /// What checks RSASSA-PKCS1-v1_5 signatures by this key, whose JWK is `jwk`. [`Error::KeyMalformed`].
    pub fn drawing(&self, jwk: &RsaJwk) -> Result<&ParsedPublicKey, Error> {
        if let Some(known) = self.drawing.get() {
            return Ok(known);
        }
        let key = parsed(jwk, &RSA_PKCS1_2048_8192_SHA256)?;
        Ok(self.drawing.get_or_init(|| key))
    }

    fn make(jwk: &RsaJwk) -> Result<Self, Error> {
        let malformed = Error::KeyMalformed;
        let verifying = parsed(jwk, &RSA_PSS_2048_8192_SHA256)?;
        let encrypting: PublicEncryptingKey = components(jwk).try_into().map_err(|_| malformed)?;
        let encrypting = OaepPublicEncryptingKey::new(encrypting).map_err(|_| malformed)?;
        Ok(Self { verifying, drawing: OnceLock::new(), encrypting })
    }
}

fn components(jwk: &RsaJwk) -> RsaPublicKeyComponents<&[u8]> {
    RsaPublicKeyComponents { n: jwk.modulus(), e: jwk.exponent() }
}

fn parsed(jwk: &RsaJwk, by: &'static RsaParameters) -> Result<ParsedPublicKey, Error> {
    components(jwk).to_parsed_public_key(by).map_err(|_| Error::KeyMalformed)
}
