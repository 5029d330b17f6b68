//! The node's two RSA keys.

use futures_util::future::try_join;
use hdms::Error;
use hdms::jose::jwk::RsaJwk;
use hdms::provider::NodeKeys;
use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CryptoKey, CryptoKeyPair};

use super::{
    OAEP, PSS, SHA256, algorithm, bytes, export_jwk, failed, pss, settled, subtle, usages,
};
use crate::store::IndexedDb;

/// Bits of the modulus.
const BITS: u32 = 3072;

/// Under this name the store keeps `{signing, encryption}`, two CryptoKeyPairs.
const NAME: &str = "node";

/// The private keys of this node, non-extractable: kept in IndexedDB, used by the browser, read by
/// nobody.
#[derive(Clone, Debug)]
pub struct WebCryptoKeys {
    signing: CryptoKey,
    encryption: CryptoKey,
    public: (RsaJwk, RsaJwk),
}

impl WebCryptoKeys {
    /// The keys that the store keeps, if it keeps any.
    pub async fn stored(store: &IndexedDb) -> Result<Option<Self>, Error> {
        let Some(kept) = store.key(NAME).await? else { return Ok(None) };
        let pair = |name: &str| {
            Reflect::get(&kept, &name.into())
                .map_err(|_| Error::StoreCorrupt)
                .map(|pair| pair.unchecked_into())
        };
        Self::of(&pair("signing")?, &pair("encryption")?).await.map(Some)
    }

    /// The keys that the store keeps; new ones, kept before they are answered, if it has none.
    pub async fn stored_or_new(store: &IndexedDb) -> Result<Self, Error> {
        if let Some(keys) = Self::stored(store).await? {
            return Ok(keys);
        }
        let (signing, encryption) =
            try_join(generate(PSS, ["sign", "verify"]), generate(OAEP, ["decrypt", "encrypt"]))
                .await?;
        let kept = Object::new();
        for (name, pair) in [("signing", &signing), ("encryption", &encryption)] {
            Reflect::set(&kept, &name.into(), pair).map_err(failed)?;
        }
        store.keep_key(NAME, &kept).await?;
        Self::of(&signing, &encryption).await
    }

    /// From an RSA-PSS and an RSA-OAEP pair whose public halves can be exported.
    pub async fn of(signing: &CryptoKeyPair, encryption: &CryptoKeyPair) -> Result<Self, Error> {
        let (verifies, encrypts) = (signing.get_public_key(), encryption.get_public_key());
        let public = try_join(export_jwk(&verifies), export_jwk(&encrypts)).await?;
        Ok(Self {
            signing: signing.get_private_key(),
            encryption: encryption.get_private_key(),
            public,
        })
    }

    /// The public halves of the signing and of the encryption key.
    pub fn public(&self) -> (&RsaJwk, &RsaJwk) {
        (&self.public.0, &self.public.1)
    }
}

impl NodeKeys for WebCryptoKeys {
    async fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let subtle = subtle()?;
        let promise = subtle.sign_with_object_and_u8_array(&pss()?, &self.signing, message);
        bytes(promise, Error::CryptoFailed).await
    }

    async fn decrypt_oaep(&self, ciphertext: &[u8]) -> Result<Vec<u8>, Error> {
        let oaep = algorithm(OAEP, &[])?;
        let promise =
            subtle()?.decrypt_with_object_and_u8_array(&oaep, &self.encryption, ciphertext);
        bytes(promise, Error::DecryptionFailed).await
    }
}

async fn generate(name: &str, purposes: [&str; 2]) -> Result<CryptoKeyPair, Error> {
    let exponent: JsValue = Uint8Array::from(&[1, 0, 1][..]).into();
    let algorithm = algorithm(
        name,
        &[("modulusLength", BITS.into()), ("publicExponent", exponent), ("hash", SHA256.into())],
    )?;
    let promise = subtle()?.generate_key_with_object(&algorithm, false, &usages(&purposes));
    settled(promise, Error::CryptoFailed).await
}
