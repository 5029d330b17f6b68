//! The Ed25519 keys of a notary, by `aws-lc-rs`: one signs its log's checkpoints, the other co-signs
//! those of other logs. They never change: a log's name goes with its key.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use hdms::Error;
use hdms::network::{Ed25519Key, LogKeys};
use zeroize::Zeroizing;

use super::sealed::Pkcs8;

/// Both private keys.
pub struct NotaryKeys {
    log: Ed25519KeyPair,
    witness: Ed25519KeyPair,
}

impl NotaryKeys {
    /// From two private keys as PKCS#8 DER (RFC 8410), unencrypted. [`Error::KeyMalformed`].
    pub fn from_pkcs8(log: &[u8], witness: &[u8]) -> Result<Self, Error> {
        let key = |pkcs8| {
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| Error::KeyMalformed)
        };
        Ok(Self { log: key(log)?, witness: key(witness)? })
    }

    /// The public halves.
    pub fn public(&self) -> LogKeys {
        let public = |key: &Ed25519KeyPair| {
            let mut bytes = [0; 32];
            bytes.copy_from_slice(key.public_key().as_ref());
            Ed25519Key(bytes)
        };
        LogKeys { log_key: public(&self.log), witness_key: public(&self.witness) }
    }

    /// Signs with the log key: 64 bytes (RFC 8032 section 5.1.6). [`Error::CryptoFailed`].
    pub fn sign_as_log(&self, message: &[u8]) -> Result<[u8; 64], Error> {
        sign(&self.log, message)
    }

    /// Signs with the witness key, in the same way.
    pub fn sign_as_witness(&self, message: &[u8]) -> Result<[u8; 64], Error> {
        sign(&self.witness, message)
    }

    /// The log key and the witness key.
    pub(super) fn generate_pkcs8() -> Result<[Pkcs8; 2], Error> {
        let make = || -> Result<Pkcs8, Error> {
            let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
            Ok(Zeroizing::new(der.map_err(|_| Error::CryptoFailed)?.as_ref().to_vec()))
        };
        Ok([make()?, make()?])
    }
}

impl fmt::Debug for NotaryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NotaryKeys").field(&self.public()).finish()
    }
}

fn sign(key: &Ed25519KeyPair, message: &[u8]) -> Result<[u8; 64], Error> {
    let signature = key.try_sign(message).map_err(|_| Error::CryptoFailed)?;
    signature.as_ref().try_into().map_err(|_| Error::CryptoFailed)
}
