//! Values on their way to JavaScript and back, as JSON text: the quickest for large ones, and the
//! code for it is there anyway.

use hdms::{Error, json};
use js_sys::JSON;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::JsValue;

/// As `JSON.parse` makes it. [`Error::CryptoFailed`] when the platform refuses.
pub fn from<T: Serialize>(value: &T) -> Result<JsValue, Error> {
    let text = String::from_utf8(json::write(value)?).map_err(|_| Error::CryptoFailed)?;
    JSON::parse(&text).map_err(|_| Error::CryptoFailed)
}

/// Reads what a page sent. [`Error::CommandMalformed`].
pub fn read<T: DeserializeOwned>(value: &JsValue) -> Result<T, Error> {
    let text = JSON::stringify(value).map_err(|_| Error::CommandMalformed)?;
    let text = text.as_string().ok_or(Error::CommandMalformed)?;
    let value = json::parse(text.as_bytes()).map_err(|_| Error::CommandMalformed)?;
    json::read(value, Error::CommandMalformed)
}
