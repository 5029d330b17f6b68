//! Primitives that believe everything and hide nothing.

use hdms::Error;
use hdms::jwk::{EcJwk, RsaJwk};
use hdms::provider::{NodeKeys, Primitives};

/// Every signature is right, every key opens everything.
#[derive(Clone, Copy, Debug)]
pub struct Trusting;

const TAG: [u8; 16] = [0; 16];

impl Primitives for Trusting {
    async fn verify_ps256(&self, _: &RsaJwk, _: &[u8], _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    async fn verify_pkcs1(&self, _: &RsaJwk, _: &[u8], _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    async fn verify_es256(&self, _: &EcJwk, _: &[u8], _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    async fn verify_ed25519(&self, _: &[u8; 32], _: &[u8], _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    async fn encrypt_oaep(&self, _: &RsaJwk, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(plaintext.to_vec())
    }

    async fn seal_gcm(
        &self,
        _: &[u8; 32],
        _: &[u8; 12],
        _: &[u8],
        plaintext: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        Ok([plaintext, TAG.to_vec()].concat())
    }

    async fn open_gcm(
        &self,
        _: &[u8; 32],
        _: &[u8; 12],
        _: &[u8],
        mut ciphertext: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let length = ciphertext.len().checked_sub(TAG.len()).ok_or(Error::DecryptionFailed)?;
        ciphertext.truncate(length);
        Ok(ciphertext)
    }
}

impl NodeKeys for Trusting {
    async fn sign_ps256(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(b"signed".to_vec())
    }

    async fn sign_request(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(b"signed".to_vec())
    }

    async fn decrypt_oaep(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(vec![0; 32])
    }
}
