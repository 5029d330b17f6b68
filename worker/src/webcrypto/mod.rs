//! WebCrypto: keys that no script can read, and the primitives that the browser does faster than
//! WebAssembly.

mod holders;
mod keys;
mod primitives;

pub use holders::WebHolders;
pub use keys::WebCryptoKeys;
pub use primitives::WebPrimitives;

use hdms::Error;
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CryptoKey, CryptoKeyPair, SubtleCrypto, WorkerGlobalScope};

use crate::js;

const PSS: &str = "RSA-PSS";
const PKCS1: &str = "RSASSA-PKCS1-v1_5";
const OAEP: &str = "RSA-OAEP";
const ED25519: &str = "Ed25519";
const GCM: &str = "AES-GCM";
const SHA256: &str = "SHA-256";
/// Bytes of salt in a PS256 signature (RFC 7518 section 3.5).
const SALT: u32 = 32;

/// The platform's SubtleCrypto; browsers offer it in secure contexts only.
fn subtle() -> Result<SubtleCrypto, Error> {
    let global: WorkerGlobalScope = js_sys::global().unchecked_into();
    Ok(global.crypto().map_err(failed)?.subtle())
}

/// An algorithm's dictionary: its name and parameters.
fn algorithm(name: &str, parameters: &[(&str, JsValue)]) -> Result<Object, Error> {
    let object = Object::new();
    Reflect::set(&object, &"name".into(), &name.into()).map_err(failed)?;
    for (key, value) in parameters {
        Reflect::set(&object, &(*key).into(), value).map_err(failed)?;
    }
    Ok(object)
}

fn pss() -> Result<Object, Error> {
    algorithm(PSS, &[("saltLength", SALT.into())])
}

fn es256() -> Result<Object, Error> {
    algorithm("ECDSA", &[("hash", SHA256.into())])
}

fn p256() -> Result<Object, Error> {
    algorithm("ECDSA", &[("namedCurve", "P-256".into())])
}

/// A new pair that signs, whose private half no script can read.
pub(crate) async fn generate_p256() -> Result<CryptoKeyPair, Error> {
    let purposes = usages(&["sign", "verify"]);
    let promise = subtle()?.generate_key_with_object(&p256()?, false, &purposes);
    settled(promise, Error::CryptoFailed).await
}

fn usages(names: &[&str]) -> Array {
    names.iter().map(|name| JsValue::from(*name)).collect()
}

/// The value of a promise; `otherwise` when it can't be made or is rejected.
async fn settled<T: JsCast>(
    promise: Result<Promise, JsValue>,
    otherwise: Error,
) -> Result<T, Error> {
    let value = promise.map_err(|_| otherwise)?.await.map_err(|_| otherwise)?;
    Ok(value.unchecked_into())
}

/// The bytes of an ArrayBuffer that a promise gives.
async fn bytes(promise: Result<Promise, JsValue>, otherwise: Error) -> Result<Vec<u8>, Error> {
    let buffer: JsValue = settled(promise, otherwise).await?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// Imports a public key from a JWK.
async fn import_jwk(
    jwk: &impl Serialize,
    algorithm: &Object,
    usage: &str,
) -> Result<CryptoKey, Error> {
    let jwk: Object = js::from(jwk).map_err(failed)?.unchecked_into();
    let usages = usages(&[usage]);
    let promise = subtle()?.import_key_with_object("jwk", &jwk, algorithm, false, &usages);
    settled(promise, Error::KeyMalformed).await
}

/// The public key as JWK.
async fn export_jwk<T: DeserializeOwned>(key: &CryptoKey) -> Result<T, Error> {
    let jwk: JsValue = settled(subtle()?.export_key("jwk", key), Error::CryptoFailed).await?;
    js::read(&jwk).map_err(failed)
}

fn failed<T>(_cause: T) -> Error {
    Error::CryptoFailed
}
