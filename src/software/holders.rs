//! A patient's P-256 keys in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use p256::ecdsa::SigningKey;
use zeroize::Zeroizing;

use super::es256;
use crate::error::Error;
use crate::jwk::EcJwk;
use crate::provider::{HolderKeys, Randomness};

/// The keys of a holder by their thumbprints, in memory that is wiped when dropped. Signatures are
/// deterministic (RFC 6979).
pub struct SoftwareHolders<R> {
    keys: Mutex<BTreeMap<String, SigningKey>>,
    randomness: R,
}

impl<R: Randomness> SoftwareHolders<R> {
    /// With no keys yet.
    pub fn new(randomness: R) -> Self {
        Self { keys: Mutex::default(), randomness }
    }

    /// With the keys that [`SoftwareHolders::secrets`] gave. [`Error::KeyMalformed`] when one of
    /// them is no scalar of P-256.
    pub fn from_secrets(
        secrets: impl IntoIterator<Item = Zeroizing<[u8; 32]>>,
        randomness: R,
    ) -> Result<Self, Error> {
        let holders = Self::new(randomness);
        for secret in secrets {
            holders.keep(SigningKey::from_slice(&*secret).map_err(|_| Error::KeyMalformed)?)?;
        }
        Ok(holders)
    }

    /// Every private key: its scalar, big-endian, 32 bytes. Whoever takes them keeps them safe.
    pub fn secrets(&self) -> Vec<Zeroizing<[u8; 32]>> {
        self.lock().values().map(|key| Zeroizing::new(key.to_bytes().into())).collect()
    }

    fn keep(&self, key: SigningKey) -> Result<EcJwk, Error> {
        let public = es256::public_half(&key)?;
        self.lock().insert(public.thumbprint(), key);
        Ok(public)
    }
}

impl<R> SoftwareHolders<R> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, SigningKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Randomness> HolderKeys for SoftwareHolders<R> {
    async fn make_holder_key(&self) -> Result<EcJwk, Error> {
        self.keep(es256::draw(&self.randomness)?)
    }

    async fn sign_es256(&self, key: &EcJwk, message: &[u8]) -> Result<Vec<u8>, Error> {
        let keys = self.lock();
        let key = keys.get(&key.thumbprint()).ok_or(Error::UnknownKey)?;
        es256::sign(key, message)
    }
}

impl<R> fmt::Debug for SoftwareHolders<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareHolders").field("keys", &self.lock().len()).finish_non_exhaustive()
    }
}
