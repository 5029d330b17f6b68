//! What a node brings with it: cryptographic primitives, its private keys, a clock, randomness and
//! a store. The core knows these only as the small traits of this file.
//!
//! There are three providers of primitives with one logic above them: `software` (the
//! reference, with which transcripts are reproduced), WebCrypto in the browser, and `aws-lc-rs`
//! natively. The same vectors run over all three.

use crate::error::Error;
use crate::jwk::{EcJwk, RsaJwk};

/// Milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since the Unix epoch, the unit of JWT's NumericDate (RFC 7519 section 2).
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The instant a NumericDate names.
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
}

/// How far the clock of others may be ahead, in seconds.
pub const CLOCK_SKEW: u64 = 300;

/// Tells the time.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Unpredictable bytes.
pub trait Randomness {
    /// Fills `bytes`; [`Error::RandomnessFailed`] when the platform has none to give.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error>;
}

/// Public-key and content primitives; they hold no secret of the node.
pub trait Primitives {
    /// Checks a PS256 signature (RFC 7518 section 3.5: SHA-256, MGF1-SHA-256, 32 bytes of salt).
    /// [`Error::SignatureInvalid`] when it does not hold.
    async fn verify_ps256(
        &self,
        key: &RsaJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error>;

    /// Checks an RSASSA-PKCS1-v1_5 signature with SHA-256 (RFC 8017 section 8.2.2); errors as above.
    async fn verify_pkcs1(
        &self,
        key: &RsaJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error>;

    /// Checks an ES256 signature (RFC 7518 section 3.4: `r || s`, 64 bytes).
    async fn verify_es256(
        &self,
        key: &EcJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error>;

    /// Checks an Ed25519 signature (RFC 8032 section 5.1.7, without the cofactor), 64 bytes. Whether
    /// it takes a key of small order is left to the platform: the network lists none
    /// ([`LogKeys::are_sound`](crate::network::LogKeys::are_sound)). [`Error::SignatureInvalid`] when
    /// the signature does not hold.
    async fn verify_ed25519(
        &self,
        key: &[u8; 32],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error>;

    /// Encrypts up to a few hundred bytes with RSA-OAEP-256 (RFC 7518 section 4.3).
    async fn encrypt_oaep(&self, key: &RsaJwk, plaintext: &[u8]) -> Result<Vec<u8>, Error>;

    /// AES-256-GCM (RFC 7518 section 5.3); answers ciphertext followed by the 16-byte tag.
    async fn seal_gcm(
        &self,
        key: &[u8; 32],
        iv: &[u8; 12],
        aad: &[u8],
        plaintext: Vec<u8>,
    ) -> Result<Vec<u8>, Error>;

    /// Opens what [`Primitives::seal_gcm`] answers; [`Error::DecryptionFailed`] when anything was
    /// altered.
    async fn open_gcm(
        &self,
        key: &[u8; 32],
        iv: &[u8; 12],
        aad: &[u8],
        ciphertext: Vec<u8>,
    ) -> Result<Vec<u8>, Error>;
}

/// The private keys of a node, which never leave their provider: one that signs (RSA), one or more that
/// decrypt (RSA), of which only one is in its card, and one that signs its requests to a server (P-256).
pub trait NodeKeys {
    /// Signs with the node's signing key, PS256.
    async fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, Error>;

    /// Signs with the node's signing key, RSASSA-PKCS1-v1_5 with SHA-256: the one signature that this key
    /// makes over a message. Only the draw of a notary is signed so. [`Error::PlatformUnsupported`]
    /// where the platform binds the key to PS256, as browsers do; patients' nodes never need it.
    async fn sign_pkcs1(&self, _message: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::PlatformUnsupported)
    }

    /// Signs with the node's request key, ES256. Only request proofs are signed so.
    async fn sign_request(&self, message: &[u8]) -> Result<Vec<u8>, Error>;

    /// Decrypts with that of the node's encryption keys whose thumbprint is `kid`, RSA-OAEP-256.
    /// [`Error::WrongRecipientKey`] when there is none, else [`Error::DecryptionFailed`] for whatever
    /// the reason.
    async fn decrypt_oaep(&self, kid: &str, ciphertext: &[u8]) -> Result<Vec<u8>, Error>;

    /// Whether this is the thumbprint of the newest encryption key, which others may know from a card that
    /// has not reached the node itself.
    fn is_newest(&self, _kid: &str) -> bool {
        false
    }
}

/// The P-256 keys that a patient makes, one for each case (RFC 9901 section 4.1.2, `cnf`).
pub trait HolderKeys {
    /// Makes and keeps a new key; answers its public half.
    async fn make_holder_key(&self) -> Result<EcJwk, Error>;

    /// Signs with the private half of `key`, ES256. [`Error::UnknownKey`] when it isn't kept here.
    async fn sign_es256(&self, key: &EcJwk, message: &[u8]) -> Result<Vec<u8>, Error>;
}

/// The tables that a node keeps. Rust alone owns the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The node's own few values: schema version, own card, last good network documents.
    Meta,
    /// Cards of other nodes, by node id.
    Cards,
    /// One state for each case, by case id.
    Cases,
    /// Ledger entries with their endorsements, by `case/entry`.
    Entries,
    /// Records (SD-JWT), by `case/entry`.
    Records,
    /// Receipts of notaries, by `case/entry`.
    Receipts,
    /// Message ids taken in, and messages held until their turn.
    Inbox,
    /// What waits to be sent.
    Outbox,
    /// What was refused, with its reason.
    Quarantine,
}

impl Table {
    /// Every table, in the order of creation.
    pub const ALL: [Table; 9] = [
        Table::Meta,
        Table::Cards,
        Table::Cases,
        Table::Entries,
        Table::Records,
        Table::Receipts,
        Table::Inbox,
        Table::Outbox,
        Table::Quarantine,
    ];

    /// The table's name in every store.
    pub fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Cards => "cards",
            Table::Cases => "cases",
            Table::Entries => "entries",
            Table::Records => "records",
            Table::Receipts => "receipts",
            Table::Inbox => "inbox",
            Table::Outbox => "outbox",
            Table::Quarantine => "quarantine",
        }
    }
}

/// One change within a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Stores `value` under `key`, in place of what was there.
    Put {
        /// Where.
        table: Table,
        /// ASCII, ordered bytewise.
        key: String,
        /// Any bytes.
        value: Vec<u8>,
    },
    /// Removes `key`; not an error when it is absent.
    Delete {
        /// Where.
        table: Table,
        /// ASCII.
        key: String,
    },
}

/// Ordered tables of bytes with atomic commits. One writer at a time.
pub trait Store {
    /// The value under `key`.
    async fn read(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Up to `limit` pairs whose key starts with `prefix` and lies after `after` (exclusive; `""`
    /// for the start), in ascending order of keys.
    async fn scan(
        &self,
        table: Table,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, Error>;

    /// Makes all `writes` durable, in order, or none; returns when they are on stable storage.
    /// [`Error::StoreFailed`]: nothing was changed, and the node must stop.
    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error>;
}
