//! A node's private keys in memory.

use std::fmt;

use p256::ecdsa::SigningKey;
use rsa::traits::{PaddingScheme, PrivateKeyParts, PublicKeyParts, SignatureScheme};
use rsa::{BoxedUint, Oaep, Pkcs1v15Sign, Pss, RsaPrivateKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::Stream;
use super::es256;
use crate::base64url::{decode, encode};
use crate::error::Error;
use crate::jwk::{EcJwk, RsaJwk};
use crate::provider::{NodeKeys, Randomness};

/// The private keys of a node, in memory that is wiped when dropped.
pub struct SoftwareKeys<R> {
    signing: Pair,
    encryption: Pair,
    request: RequestKey,
    randomness: R,
}

impl<R: Randomness> SoftwareKeys<R> {
    /// Makes all keys, those of RSA with moduli of `bits` bits. [`Error::KeyTooShort`] outside of 2048 to
    /// 4096.
    pub fn generate(bits: usize, randomness: R) -> Result<Self, Error> {
        if !(2048..=4096).contains(&bits) {
            return Err(Error::KeyTooShort);
        }
        let mut stream = Stream::draw(&randomness)?;
        let mut make = || {
            let private = RsaPrivateKey::new(&mut stream, bits).map_err(|_| Error::CryptoFailed)?;
            Pair::new(private)
        };
        let (signing, encryption) = (make()?, make()?);
        let request = RequestKey::new(es256::draw(&randomness)?)?;
        Ok(Self { signing, encryption, request, randomness })
    }

    /// From private JWKs: two of RSA (RFC 7518 section 6.3.2, both primes needed; the CRT members are
    /// calculated anew), and one of P-256 (section 6.2.2). [`Error::KeyMalformed`], also when the numbers
    /// do not fit each other, or [`Error::KeyTooShort`].
    pub fn from_private_jwks(
        signing: &str,
        encryption: &str,
        request: &str,
        randomness: R,
    ) -> Result<Self, Error> {
        Ok(Self {
            signing: Pair::from_private_jwk(signing)?,
            encryption: Pair::from_private_jwk(encryption)?,
            request: RequestKey::from_private_jwk(request)?,
            randomness,
        })
    }

    /// The private JWKs of the signing, the encryption and the request key.
    pub fn to_private_jwks(&self) -> Result<[Zeroizing<String>; 3], Error> {
        let [signing, encryption] = [&self.signing, &self.encryption].map(Pair::to_private_jwk);
        Ok([signing?, encryption?, self.request.to_private_jwk()?])
    }
}

impl<R> SoftwareKeys<R> {
    /// The public halves of the signing and of the encryption key.
    pub fn public(&self) -> (&RsaJwk, &RsaJwk) {
        (&self.signing.public, &self.encryption.public)
    }

    /// The public half of the request key.
    pub fn request_key(&self) -> &EcJwk {
        &self.request.public
    }
}

impl<R: Randomness> NodeKeys for SoftwareKeys<R> {
    async fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut stream = Stream::draw(&self.randomness)?;
        Pss::<Sha256>::new()
            .sign(Some(&mut stream), &self.signing.private, &Sha256::digest(message))
            .map_err(|_| Error::CryptoFailed)
    }

    async fn sign_pkcs1(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        // Against timing only: what comes out is the same.
        let mut blinding = Stream::draw(&self.randomness)?;
        Pkcs1v15Sign::new::<Sha256>()
            .sign(Some(&mut blinding), &self.signing.private, &Sha256::digest(message))
            .map_err(|_| Error::CryptoFailed)
    }

    async fn sign_request(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        es256::sign(&self.request.private, message)
    }

    async fn decrypt_oaep(&self, kid: &str, ciphertext: &[u8]) -> Result<Vec<u8>, Error> {
        if self.encryption.public.thumbprint() != kid {
            return Err(Error::WrongRecipientKey);
        }
        let mut stream = Stream::draw(&self.randomness)?;
        Oaep::<Sha256>::new()
            .decrypt(Some(&mut stream), &self.encryption.private, ciphertext)
            .map_err(|_| Error::DecryptionFailed)
    }
}

impl<R> fmt::Debug for SoftwareKeys<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareKeys").field("public", &self.public()).finish_non_exhaustive()
    }
}

struct Pair {
    private: RsaPrivateKey,
    public: RsaJwk,
}

impl Pair {
    fn new(private: RsaPrivateKey) -> Result<Self, Error> {
        let public = RsaJwk::from_modulus(private.n_bytes().into_vec())?;
        Ok(Self { private, public })
    }

    fn from_private_jwk(jwk: &str) -> Result<Self, Error> {
        // Size and exponent are those that a public key may have.
        let public: RsaJwk = serde_json::from_str(jwk).map_err(|_| Error::KeyMalformed)?;
        let members: PrivateJwk = serde_json::from_str(jwk).map_err(|_| Error::KeyMalformed)?;
        let private = RsaPrivateKey::from_components(
            BoxedUint::from_be_slice_vartime(public.modulus()),
            BoxedUint::from_be_slice_vartime(public.exponent()),
            number(&members.d)?,
            vec![number(&members.p)?, number(&members.q)?],
        );
        Ok(Self { private: private.map_err(|_| Error::KeyMalformed)?, public })
    }

    fn to_private_jwk(&self) -> Result<Zeroizing<String>, Error> {
        let [p, q] = self.private.primes() else { return Err(Error::CryptoFailed) };
        let crt = (self.private.dp(), self.private.dq(), self.private.qinv());
        let (Some(dp), Some(dq), Some(qi)) = crt else { return Err(Error::CryptoFailed) };
        let members = PrivateJwk {
            kty: "RSA".into(),
            n: encode(self.public.modulus()),
            e: encode(self.public.exponent()),
            d: text(self.private.d()),
            p: text(p),
            q: text(q),
            dp: text(dp),
            dq: text(dq),
            qi: text(&qi.retrieve()),
        };
        serde_json::to_string(&members).map(Zeroizing::new).map_err(|_| Error::CryptoFailed)
    }
}

struct RequestKey {
    private: SigningKey,
    public: EcJwk,
}

impl RequestKey {
    fn new(private: SigningKey) -> Result<Self, Error> {
        Ok(Self { public: es256::public_half(&private)?, private })
    }

    fn from_private_jwk(jwk: &str) -> Result<Self, Error> {
        let members: PrivateEcJwk = serde_json::from_str(jwk).map_err(|_| Error::KeyMalformed)?;
        let scalar = Zeroizing::new(decode(&members.d).ok_or(Error::KeyMalformed)?);
        let key = Self::new(SigningKey::from_slice(&scalar).map_err(|_| Error::KeyMalformed)?)?;
        if key.public == members.public { Ok(key) } else { Err(Error::KeyMalformed) }
    }

    fn to_private_jwk(&self) -> Result<Zeroizing<String>, Error> {
        let scalar: Zeroizing<[u8; 32]> = Zeroizing::new(self.private.to_bytes().into());
        let members = PrivateEcJwk { public: self.public.clone(), d: encode(scalar.as_slice()) };
        serde_json::to_string(&members).map(Zeroizing::new).map_err(|_| Error::CryptoFailed)
    }
}

/// The members of a private JWK of P-256.
#[derive(Serialize, Deserialize)]
struct PrivateEcJwk {
    #[serde(flatten)]
    public: EcJwk,
    d: String,
}

impl Drop for PrivateEcJwk {
    fn drop(&mut self) {
        self.d.zeroize();
    }
}

/// The members of a private JWK of RSA.
#[derive(Serialize, Deserialize)]
struct PrivateJwk {
    kty: String,
    n: String,
    e: String,
    d: String,
    p: String,
    q: String,
    #[serde(default)]
    dp: String,
    #[serde(default)]
    dq: String,
    #[serde(default)]
    qi: String,
}

impl Drop for PrivateJwk {
    fn drop(&mut self) {
        for secret in
            [&mut self.d, &mut self.p, &mut self.q, &mut self.dp, &mut self.dq, &mut self.qi]
        {
            secret.zeroize();
        }
    }
}

fn number(text: &str) -> Result<BoxedUint, Error> {
    let bytes = Zeroizing::new(decode(text).ok_or(Error::KeyMalformed)?);
    Ok(BoxedUint::from_be_slice_vartime(&bytes))
}

fn text(number: &BoxedUint) -> String {
    encode(Zeroizing::new(number.to_be_bytes_trimmed_vartime()))
}
