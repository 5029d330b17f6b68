//! Randomness as the RustCrypto crates want it.

use std::convert::Infallible;

use rsa::rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::provider::Randomness;

/// A 32-byte seed, stretched by SHA-256 in counter mode. RSA's blinding and prime search take an
/// amount that depends on the platform's word size; stretched, every operation takes the same from
/// the node's source, and a source that fails does so before the operation begins.
pub(crate) struct Stream {
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
}

impl Stream {
    /// The stream of a fresh seed from `source`.
    pub(crate) fn draw(source: &impl Randomness) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        source.fill(seed.as_mut())?;
        Ok(Self { seed, counter: 0 })
    }

    /// The stream of this seed.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed), counter: 0 }
    }

    /// The next bytes; what is left of the last block is thrown away.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = Sha256::new()
                .chain_update(self.seed.as_ref())
                .chain_update(self.counter.to_be_bytes())
                .finalize();
            self.counter += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Stream {}
