//! The provider over `aws-lc-rs`.

use std::fmt;
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use hdms::Error;
use hdms::ids::NodeId;
use hdms::jose::jwk::{EcJwk, RsaJwk};
use hdms::provider::{NodeKeys, Primitives};
use rustix::time::{ClockId, clock_gettime};
use zeroize::Zeroizing;

use super::file::Pkcs8;
use super::public::PublicKey;

/// The primitives that need no private key.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsPrimitives;

impl Primitives for AwsPrimitives {
    async fn verify_ps256(
        &self,
        key: &RsaJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        PublicKey::of(key)
            .map_err(|_| Error::SignatureInvalid)?
            .verifying
            .verify_sig(message, signature)
            .map_err(|_| Error::SignatureInvalid)
    }

    async fn verify_pkcs1(
        &self,
        key: &RsaJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        RsaPublicKeyComponents { n: key.modulus(), e: key.exponent() }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .map_err(|_| Error::SignatureInvalid)
    }

    async fn verify_es256(
        &self,
        key: &EcJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.sec1())
            .parse()
            .map_err(|_| Error::KeyMalformed)?
            .verify_sig(message, signature)
            .map_err(|_| Error::SignatureInvalid)
    }

    async fn verify_ed25519(
        &self,
        key: &[u8; 32],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        UnparsedPublicKey::new(&ED25519, key)
            .verify(message, signature)
            .map_err(|_| Error::SignatureInvalid)
    }

    async fn encrypt_oaep(&self, key: &RsaJwk, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let key = &PublicKey::of(key)?.encrypting;
        let mut ciphertext = vec![0; key.ciphertext_size()];
        key.encrypt(&OAEP_SHA256_MGF1SHA256, plaintext, &mut ciphertext, None)
            .map_err(|_| Error::CryptoFailed)?;
        Ok(ciphertext)
    }

    async fn seal_gcm(
        &self,
        key: &[u8; 32],
        iv: &[u8; 12],
        aad: &[u8],
        mut plaintext: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        content_key(key)?
            .seal_in_place_append_tag(Nonce::from(iv), Aad::from(aad), &mut plaintext)
            .map_err(|_| Error::CryptoFailed)?;
        Ok(plaintext)
    }

    async fn open_gcm(
        &self,
        key: &[u8; 32],
        iv: &[u8; 12],
        aad: &[u8],
        mut ciphertext: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let length = content_key(key)?
            .open_in_place(Nonce::from(iv), Aad::from(aad), &mut ciphertext)
            .map_err(|_| Error::DecryptionFailed)?
            .len();
        ciphertext.truncate(length);
        Ok(ciphertext)
    }
}

static OPERATIONS: AtomicU64 = AtomicU64::new(0);
static NANOSECONDS: AtomicU64 = AtomicU64::new(0);

/// What private keys have cost.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Signatures and decryptions.
    pub operations: u64,
    /// CPU time spent in them.
    pub time: Duration,
}

/// What the private keys of all nodes of this process have cost so far.
pub fn private_work() -> Work {
    Work {
        operations: OPERATIONS.load(Ordering::Relaxed),
        time: Duration::from_nanos(NANOSECONDS.load(Ordering::Relaxed)),
    }
}

/// Does `operation`, and counts it.
fn counted<T>(operation: impl FnOnce() -> T) -> T {
    let begun = thread_time();
    let outcome = operation();
    let spent = thread_time().saturating_sub(begun);
    OPERATIONS.fetch_add(1, Ordering::Relaxed);
    NANOSECONDS.fetch_add(spent, Ordering::Relaxed);
    outcome
}

/// CPU time of this thread, nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The private keys of a native node: those that it uses, and former ones that open what was sealed
/// to them.
pub struct AwsKeys {
    node: NodeId,
    signing: RsaKeyPair,
    encryption: OaepPrivateDecryptingKey,
    public: (RsaJwk, RsaJwk),
    former: Vec<OaepPrivateDecryptingKey>,
    changes: Vec<String>,
}

impl AwsKeys {
    /// Makes both keys, of 3072 bits each, in memory only; [`super::open_or_make`] keeps them.
    pub fn generate() -> Result<Self, Error> {
        let [signing, encryption] = Self::generate_pkcs8()?;
        Self::from_pkcs8(&signing, &encryption)
    }

    /// From two private keys as PKCS#8 DER (RFC 5958), unencrypted. [`Error::KeyMalformed`], or
    /// [`Error::KeyTooShort`] for one of other than 2048 to 4096 bits.
    pub fn from_pkcs8(signing: &[u8], encryption: &[u8]) -> Result<Self, Error> {
        let malformed = |_| Error::KeyMalformed;
        let decrypting = decrypting(encryption)?;
        let encryption = RsaKeyPair::from_pkcs8(encryption).map_err(malformed)?;
        let signing = RsaKeyPair::from_pkcs8(signing).map_err(malformed)?;
        let public = (public_half(&signing)?, public_half(&encryption)?);
        Ok(Self {
            node: public.0.thumbprint().parse()?,
            public,
            signing,
            encryption: decrypting,
            former: Vec::new(),
            changes: Vec::new(),
        })
    }

    /// The same keys, of `node` where that has had others before: its former encryption keys as
    /// PKCS#8 DER, and its statements. Errors as [`AwsKeys::from_pkcs8`].
    pub(super) fn with_former(
        self,
        former: &[Pkcs8],
        node: Option<NodeId>,
        changes: Vec<String>,
    ) -> Result<Self, Error> {
        let former = former.iter().map(|key| decrypting(key)).collect::<Result<_, _>>()?;
        Ok(Self { node: node.unwrap_or(self.node), former, changes, ..self })
    }

    /// The node whose keys they are.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The public halves of the signing and of the encryption key.
    pub fn public(&self) -> (&RsaJwk, &RsaJwk) {
        (&self.public.0, &self.public.1)
    }

    /// The node's statements that it changed its keys ([`hdms::card::KeyChange`]), oldest first.
    pub fn changes(&self) -> &[String] {
        &self.changes
    }

    fn sign(&self, scheme: &'static dyn RsaEncoding, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.signing.public_modulus_len()];
        let random = SystemRandom::new();
        counted(|| self.signing.sign(scheme, &random, message, &mut signature))
            .map_err(|_| Error::CryptoFailed)?;
        Ok(signature)
    }

    /// The signing and the encryption key.
    pub(super) fn generate_pkcs8() -> Result<[Pkcs8; 2], Error> {
        let make = || -> Result<Pkcs8, Error> {
            let der = RsaKeyPair::generate(KeySize::Rsa3072)
                .and_then(|key| AsDer::<Pkcs8V1Der<'_>>::as_der(&key))
                .map_err(|_| Error::CryptoFailed)?;
            Ok(Zeroizing::new(der.as_ref().to_vec()))
        };
        Ok([make()?, make()?])
    }
}

impl NodeKeys for AwsKeys {
    async fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.sign(&RSA_PSS_SHA256, message)
    }

    async fn sign_pkcs1(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.sign(&RSA_PKCS1_SHA256, message)
    }

    async fn decrypt_oaep(&self, ciphertext: &[u8]) -> Result<Vec<u8>, Error> {
        let mut keys = iter::once(&self.encryption).chain(&self.former);
        keys.find_map(|key| decrypt(key, ciphertext)).ok_or(Error::DecryptionFailed)
    }
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKeys").field("public", &self.public).finish_non_exhaustive()
    }
}

fn decrypting(pkcs8: &[u8]) -> Result<OaepPrivateDecryptingKey, Error> {
    let key = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| Error::KeyMalformed)?;
    OaepPrivateDecryptingKey::new(key).map_err(|_| Error::KeyMalformed)
}

fn decrypt(key: &OaepPrivateDecryptingKey, ciphertext: &[u8]) -> Option<Vec<u8>> {
    let mut plaintext = vec![0; key.min_output_size()];
    let padding = &OAEP_SHA256_MGF1SHA256;
    let length = counted(|| {
        let decrypted = key.decrypt(padding, ciphertext, &mut plaintext, None);
        decrypted.map(|plaintext| plaintext.len())
    });
    plaintext.truncate(length.ok()?);
    Some(plaintext)
}

fn content_key(key: &[u8; 32]) -> Result<LessSafeKey, Error> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| Error::CryptoFailed)
}

fn public_half(pair: &RsaKeyPair) -> Result<RsaJwk, Error> {
    let public = pair.public_key();
    let jwk = RsaJwk::from_modulus(public.modulus().big_endian_without_leading_zero().to_vec())?;
    if public.exponent().big_endian_without_leading_zero() != jwk.exponent() {
        return Err(Error::KeyTooShort);
    }
    Ok(jwk)
}
