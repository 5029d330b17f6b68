//! What opens a node's key files, and what it costs to try another one.

use std::fmt;

use hdms::Error;
use hdms::provider::Randomness;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::{EncryptionScheme, pbes2, scrypt};
use zeroize::Zeroizing;

use crate::base::system::SystemRandomness;

/// Cost of a try (scrypt, RFC 7914: log₂ N, r, p) as OWASP recommends it today: 128 MiB of memory
/// and about a third of a second.
const COST: (u8, u32, u32) = (17, 8, 1);

/// Of a passphrase that is no secret.
const CHEAP: u8 = 10;

/// A passphrase of key files.
#[derive(Clone)]
pub struct Passphrase {
    text: Zeroizing<String>,
    log_n: u8,
}

impl Passphrase {
    /// One that is a secret: files that it seals are costly to try others on.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self { text, log_n: COST.0 }
    }

    /// One that is written down for all to see, as that of a demonstration or a test: files cost
    /// next to nothing to open. They are made costly once they are opened as [`Passphrase::new`].
    pub fn of_no_secret(text: &str) -> Self {
        Self { text: Zeroizing::new(text.to_owned()), log_n: CHEAP }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// New parameters for sealing one key. [`Error::RandomnessFailed`], [`Error::CryptoFailed`].
    pub(super) fn parameters(&self) -> Result<pbes2::Parameters, Error> {
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        SystemRandomness.fill(&mut salt)?;
        SystemRandomness.fill(&mut iv)?;
        let cost = scrypt::Params::new(self.log_n, COST.1, COST.2);
        let cost = cost.map_err(|_| Error::CryptoFailed)?;
        let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv);
        parameters.map_err(|_| Error::CryptoFailed)
    }

    /// Whether a key is sealed at a lower cost than this passphrase asks for.
    pub(super) fn is_costlier_than(&self, sealed: &EncryptedPrivateKeyInfoRef<'_>) -> bool {
        let EncryptionScheme::Pbes2(parameters) = &sealed.encryption_algorithm else { return true };
        let cost = parameters.kdf.scrypt();
        cost.is_none_or(|cost| {
            cost.cost_parameter < 1 << self.log_n || u32::from(cost.block_size) < COST.1
        })
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passphrase").finish_non_exhaustive()
    }
}
