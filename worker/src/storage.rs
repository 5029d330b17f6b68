//! How much storage the browser gives this origin.

use js_sys::Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::views::Storage;

/// So much is never much: twenty messages of the largest size, bytes.
const LEAST: u64 = 20_000_000;

/// So much is enough, be it less than a tenth of a large disk: a full page of the mailbox, bytes.
const ENOUGH: u64 = 100_000_000;

#[wasm_bindgen(module = "/js/realm.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn storage_estimate() -> Result<JsValue, JsValue>;
}

/// What the browser tells; `None` where it does not. Chromium tells every origin that 10 GB are left:
/// there the storage is low once a write has found none, which `full` says.
pub async fn estimate(full: bool) -> Option<Storage> {
    let told = Array::from(&storage_estimate().await.ok()?);
    let bytes = |index| told.get(index).as_f64().map(|bytes| bytes as u64);
    let (used, quota) = (bytes(0)?, bytes(1)?);
    let low = full || quota.saturating_sub(used) < (quota / 10).clamp(LEAST, ENOUGH);
    Some(Storage { used, quota, low })
}
