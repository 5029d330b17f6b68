//! Compact JWE (RFC 7516 section 7.1), RSA-OAEP-256 with A256GCM and no other.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::jwk::RsaJwk;
use super::jws::{parse_part, refuse_other_algorithms};
use super::{decode, encode};
use crate::error::Error;
use crate::json;
use crate::provider::{NodeKeys, Primitives, Randomness};

const IV: usize = 12;
const TAG: usize = 16;
const KEY: usize = 32;

/// The protected header. Members that it does not list, `zip` and `crit` among them, are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// `RSA-OAEP-256`.
    pub alg: String,
    /// `A256GCM`.
    pub enc: String,
    /// `JWT` for an envelope: what is inside is signed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cty: Option<String>,
    /// Thumbprint of the recipient's encryption key.
    pub kid: String,
}

/// A JWE in its parts, still sealed.
#[derive(Clone, Debug)]
pub struct Sealed {
    header: Header,
    aad: String,
    encrypted_key: Vec<u8>,
    iv: [u8; IV],
    ciphertext: Vec<u8>,
}

impl Sealed {
    /// Takes a compact JWE apart. [`Error::EnvelopeMalformed`] or [`Error::AlgorithmRefused`].
    pub fn parse(compact: &str) -> Result<Self, Error> {
        let malformed = Error::EnvelopeMalformed;
        let parts: Vec<&str> = compact.split('.').collect();
        let [aad, encrypted_key, iv, ciphertext, tag] = parts[..] else {
            return Err(malformed);
        };
        let header = parse_part(aad, malformed)?;
        refuse_other_algorithms(&header, &["RSA-OAEP-256"])?;
        if header.get("enc").and_then(|enc| enc.as_str()) != Some("A256GCM") {
            return Err(Error::AlgorithmRefused);
        }
        let header: Header = json::read(header, malformed)?;
        let mut ciphertext = decode(ciphertext).ok_or(malformed)?;
        let tag = decode(tag).filter(|tag| tag.len() == TAG).ok_or(malformed)?;
        ciphertext.extend(tag);
        Ok(Self {
            header,
            aad: aad.to_owned(),
            encrypted_key: decode(encrypted_key).ok_or(malformed)?,
            iv: decode(iv).and_then(|iv| iv.try_into().ok()).ok_or(malformed)?,
            ciphertext,
        })
    }

    /// The protected header; it is authenticated only once decryption succeeds.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The plaintext. [`Error::DecryptionFailed`] whatever the reason, so that nobody learns which
    /// part failed.
    pub async fn decrypt(
        self,
        keys: &impl NodeKeys,
        primitives: &impl Primitives,
    ) -> Result<Vec<u8>, Error> {
        let key = Zeroizing::new(keys.decrypt_oaep(&self.encrypted_key).await?);
        let key: &[u8; KEY] = key.as_slice().try_into().map_err(|_| Error::DecryptionFailed)?;
        primitives.open_gcm(key, &self.iv, self.aad.as_bytes(), self.ciphertext).await
    }
}

/// Encrypts `plaintext` to `recipient`; `cty` as in [`Header`]. Answers the compact JWE.
pub async fn encrypt(
    plaintext: Vec<u8>,
    cty: Option<&str>,
    recipient: &RsaJwk,
    primitives: &impl Primitives,
    randomness: &impl Randomness,
) -> Result<String, Error> {
    let header = Header {
        alg: "RSA-OAEP-256".into(),
        enc: "A256GCM".into(),
        cty: cty.map(Into::into),
        kid: recipient.thumbprint(),
    };
    let aad = encode(json::write(&header)?);
    let mut key = Zeroizing::new([0; KEY]);
    let mut iv = [0; IV];
    randomness.fill(key.as_mut())?;
    randomness.fill(&mut iv)?;
    let encrypted_key = primitives.encrypt_oaep(recipient, key.as_ref()).await?;
    let sealed = primitives.seal_gcm(&key, &iv, aad.as_bytes(), plaintext).await?;
    let (ciphertext, tag) = sealed.split_at(sealed.len().saturating_sub(TAG));
    Ok([aad, encode(encrypted_key), encode(iv), encode(ciphertext), encode(tag)].join("."))
}
