//! The provider over `aws-lc-rs`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
    RsaKeyPair, UnparsedPublicKey,
};
use hdms::Error;
use hdms::card::Subkeys;
use hdms::ids::NodeId;
use hdms::jwk::{EcJwk, RsaJwk};
use hdms::provider::{NodeKeys, Primitives, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use zeroize::Zeroizing;

use super::es256::Es256Key;
use super::public::PublicKey;
use super::sealed::Pkcs8;

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
        let known = PublicKey::of(key).map_err(|_| Error::SignatureInvalid)?;
        let key = known.drawing(key).map_err(|_| Error::SignatureInvalid)?;
        key.verify_sig(message, signature).map_err(|_| Error::SignatureInvalid)
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

/// What private RSA keys have cost.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Signatures and decryptions.
    pub operations: u64,
    /// CPU time spent in them.
    pub time: Duration,
}

/// What the private RSA keys of all nodes of this process have cost so far.
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

/// The private keys of a native node: the one that signs, the one that signs its requests, and those that
/// open what was sealed to them, the newest first.
pub struct AwsKeys {
    node: NodeId,
    signing: RsaKeyPair,
    signing_key: RsaJwk,
    request: Es256Key,
    request_key: EcJwk,
    encryption: RwLock<Arc<[DecryptionKey]>>,
    changes: Vec<String>,
}

/// One that opens.
struct DecryptionKey {
    private: OaepPrivateDecryptingKey,
    public: RsaJwk,
    kid: String,
    /// Until when it is kept, seconds; none while the node's card names it or is to name it.
    until: Option<u64>,
}

impl AwsKeys {
    /// Makes all keys, those of RSA of 3072 bits each, in memory only; [`super::open_or_make`] keeps them.
    pub fn generate() -> Result<Self, Error> {
        let (signing, encryption) = (Self::generate_pkcs8()?, Self::generate_pkcs8()?);
        Self::from_pkcs8(&signing, &encryption, &Es256Key::generate_pkcs8()?)
    }

    /// From private keys as PKCS#8 DER (RFC 5958), unencrypted: two of RSA, and the request key of P-256.
    /// [`Error::KeyMalformed`], or [`Error::KeyTooShort`] for one of RSA of other than 2048 to 4096 bits.
    pub fn from_pkcs8(signing: &[u8], encryption: &[u8], request: &[u8]) -> Result<Self, Error> {
        let signing = RsaKeyPair::from_pkcs8(signing).map_err(|_| Error::KeyMalformed)?;
        let (signing_key, request) = (public_half(&signing)?, Es256Key::from_pkcs8(request)?);
        Ok(Self {
            node: signing_key.thumbprint().parse()?,
            signing,
            signing_key,
            request_key: request.public_jwk()?,
            request,
            encryption: RwLock::new([DecryptionKey::from_pkcs8(encryption, None)?].into()),
            changes: Vec::new(),
        })
    }

    /// The same keys, of `node` where that has signed with others before, by its statements. Errors as
    /// [`AwsKeys::from_pkcs8`].
    pub(super) fn changed(self, node: Option<NodeId>, changes: Vec<String>) -> Self {
        Self { node: node.unwrap_or(self.node), changes, ..self }
    }

    /// Opens with these keys from now on, PKCS#8 DER, the newest first, each with the time until which
    /// it is kept. Errors as [`AwsKeys::from_pkcs8`].
    pub(super) fn open_with(&self, encryption: &[(Pkcs8, Option<u64>)]) -> Result<(), Error> {
        let keys = encryption.iter().map(|(key, until)| DecryptionKey::from_pkcs8(key, *until));
        let keys: Arc<[_]> = keys.collect::<Result<Vec<_>, _>>()?.into();
        *self.encryption.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn encryption(&self) -> Arc<[DecryptionKey]> {
        self.encryption.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a former encryption key is to be given its time, or has reached it at `now`, seconds.
    pub(crate) fn some_retire(&self, now: u64) -> bool {
        let encryption = self.encryption();
        encryption.iter().skip(1).any(|key| key.until.is_none_or(|until| until <= now))
    }

    /// Whether what is sealed to the key with this thumbprint can be opened.
    pub fn opens(&self, kid: &str) -> bool {
        self.encryption().iter().any(|key| key.kid == kid)
    }

    /// The node whose keys they are.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The public halves of the signing key and of the newest encryption key.
    pub fn public(&self) -> (&RsaJwk, RsaJwk) {
        // There is always one.
        let newest = self.encryption().first().map(|key| key.public.clone());
        (&self.signing_key, newest.unwrap_or_else(|| self.signing_key.clone()))
    }

    /// The public half of the request key.
    pub fn request_key(&self) -> &EcJwk {
        &self.request_key
    }

    /// The node's statement of its subkeys, made at `now`.
    pub async fn stated_subkeys(&self, now: Timestamp) -> Result<String, Error> {
        let (iss, iat) = (self.node.clone(), now.seconds());
        let (encryption, request) = (self.public().1, self.request_key.clone());
        Subkeys { iss, iat, encryption, request }.sign(self).await
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

    /// A key of RSA.
    pub(super) fn generate_pkcs8() -> Result<Pkcs8, Error> {
        let der = RsaKeyPair::generate(KeySize::Rsa3072)
            .and_then(|key| AsDer::<Pkcs8V1Der<'_>>::as_der(&key))
            .map_err(|_| Error::CryptoFailed)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }
}

impl DecryptionKey {
    fn from_pkcs8(pkcs8: &[u8], until: Option<u64>) -> Result<Self, Error> {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| Error::KeyMalformed)?;
        let public = public_half(&pair)?;
        let private = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| Error::KeyMalformed)?;
        let private = OaepPrivateDecryptingKey::new(private).map_err(|_| Error::KeyMalformed)?;
        Ok(Self { private, kid: public.thumbprint(), public, until })
    }
}

impl NodeKeys for AwsKeys {
    async fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.sign(&RSA_PSS_SHA256, message)
    }

    async fn sign_pkcs1(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.sign(&RSA_PKCS1_SHA256, message)
    }

    async fn sign_request(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.request.sign(message)
    }

    async fn decrypt_oaep(&self, kid: &str, ciphertext: &[u8]) -> Result<Vec<u8>, Error> {
        let keys = self.encryption();
        let key = keys.iter().find(|key| key.kid == kid).ok_or(Error::WrongRecipientKey)?;
        decrypt(&key.private, ciphertext).ok_or(Error::DecryptionFailed)
    }

    fn is_newest(&self, kid: &str) -> bool {
        self.encryption().first().is_some_and(|newest| newest.kid == kid)
    }
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKeys").field("public", &self.public()).finish_non_exhaustive()
    }
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
