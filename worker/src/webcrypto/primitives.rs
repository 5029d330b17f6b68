//! The primitives that hold no secret of the node.

use std::cell::RefCell;

use hdms::Error;
use hdms::jwk::{EcJwk, RsaJwk};
use hdms::provider::Primitives;
use js_sys::{Boolean, Object, Uint8Array};
use wasm_bindgen::JsValue;
use web_sys::CryptoKey;

use super::{
    ED25519, GCM, OAEP, PKCS1, PSS, SHA256, algorithm, bytes, es256, import_jwk, p256, pss,
    settled, subtle, usages,
};

/// How many imported keys are kept. A patient's node knows a handful of other nodes.
const KEPT: usize = 64;

/// All by WebCrypto. AES in WebAssembly was measured beside it: for 512 bytes it is 0.05 ms quicker,
/// from 2 KB on slower, for 200 KB twenty times; and it would make the worker larger.
#[derive(Debug, Default)]
pub struct WebPrimitives {
    /// Importing a key takes longer than using it.
    imported: RefCell<Vec<(&'static str, RsaJwk, CryptoKey)>>,
}

impl WebPrimitives {
    async fn import(
        &self,
        key: &RsaJwk,
        name: &'static str,
        usage: &str,
    ) -> Result<CryptoKey, Error> {
        let same = |known: &&(&str, RsaJwk, CryptoKey)| known.0 == name && known.1 == *key;
        if let Some((_, _, known)) = self.imported.borrow().iter().find(same) {
            return Ok(known.clone());
        }
        let algorithm = algorithm(name, &[("hash", SHA256.into())])?;
        let imported = import_jwk(key, &algorithm, usage).await?;
        let mut kept = self.imported.borrow_mut();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.push((name, key.clone(), imported.clone()));
        Ok(imported)
    }
}

impl Primitives for WebPrimitives {
    async fn verify_ps256(
        &self,
        key: &RsaJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let key = self.import(key, PSS, "verify").await?;
        let promise = subtle()?.verify_with_object_and_u8_array_and_u8_array(
            &pss()?,
            &key,
            signature,
            message,
        );
        holds(settled(promise, Error::SignatureInvalid).await?)
    }

    async fn verify_pkcs1(
        &self,
        key: &RsaJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let key = self.import(key, PKCS1, "verify").await?;
        let promise =
            subtle()?.verify_with_str_and_u8_array_and_u8_array(PKCS1, &key, signature, message);
        holds(settled(promise, Error::SignatureInvalid).await?)
    }

    async fn verify_es256(
        &self,
        key: &EcJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        // Firefox takes shorter ones, with both halves cut alike.
        if signature.len() != 64 {
            return Err(Error::SignatureInvalid);
        }
        let key = import_raw(&key.sec1(), &p256()?, Error::KeyMalformed).await?;
        let promise = subtle()?.verify_with_object_and_u8_array_and_u8_array(
            &es256()?,
            &key,
            signature,
            message,
        );
        holds(settled(promise, Error::SignatureInvalid).await?)
    }

    async fn verify_ed25519(
        &self,
        key: &[u8; 32],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let ed25519 = algorithm(ED25519, &[])?;
        // Any 32 bytes can be imported where Ed25519 is known.
        let key = import_raw(key, &ed25519, Error::PlatformUnsupported).await?;
        let promise = subtle()?
            .verify_with_object_and_u8_array_and_u8_array(&ed25519, &key, signature, message);
        holds(settled(promise, Error::SignatureInvalid).await?)
    }

    async fn encrypt_oaep(&self, key: &RsaJwk, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.import(key, OAEP, "encrypt").await?;
        let oaep = algorithm(OAEP, &[])?;
        let promise = subtle()?.encrypt_with_object_and_u8_array(&oaep, &key, plaintext);
        bytes(promise, Error::CryptoFailed).await
    }

    async fn seal_gcm(
        &self,
        key: &[u8; 32],
        iv: &[u8; 12],
        aad: &[u8],
        plaintext: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let (key, gcm) = (import_aes(key, "encrypt").await?, gcm(iv, aad)?);
        let promise = subtle()?.encrypt_with_object_and_u8_array(&gcm, &key, &plaintext);
        bytes(promise, Error::CryptoFailed).await
    }

    async fn open_gcm(
        &self,
        key: &[u8; 32],
        iv: &[u8; 12],
        aad: &[u8],
        ciphertext: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let (key, gcm) = (import_aes(key, "decrypt").await?, gcm(iv, aad)?);
        let promise = subtle()?.decrypt_with_object_and_u8_array(&gcm, &key, &ciphertext);
        bytes(promise, Error::DecryptionFailed).await
    }
}

fn holds(valid: Boolean) -> Result<(), Error> {
    if valid.value_of() { Ok(()) } else { Err(Error::SignatureInvalid) }
}

fn gcm(iv: &[u8; 12], aad: &[u8]) -> Result<Object, Error> {
    let array = |bytes: &[u8]| JsValue::from(Uint8Array::from(bytes));
    algorithm(GCM, &[("iv", array(iv)), ("additionalData", array(aad))])
}

async fn import_raw(key: &[u8], algorithm: &Object, otherwise: Error) -> Result<CryptoKey, Error> {
    let (key, usages) = (Uint8Array::from(key), usages(&["verify"]));
    let promise = subtle()?.import_key_with_object("raw", &key, algorithm, false, &usages);
    settled(promise, otherwise).await
}

async fn import_aes(key: &[u8; 32], usage: &str) -> Result<CryptoKey, Error> {
    let key = Uint8Array::from(&key[..]);
    let usages = usages(&[usage]);
    let promise = subtle()?.import_key_with_str("raw", &key, GCM, false, &usages);
    settled(promise, Error::CryptoFailed).await
}
