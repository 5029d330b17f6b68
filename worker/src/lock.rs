//! One writer: a Web Lock on the database, held by this worker until it ends.

use hdms::Error;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// How long a worker that replaces another waits for it to end, milliseconds.
const PATIENCE: u32 = 3000;

#[wasm_bindgen(module = "/js/realm.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn hold_lock(name: &str, patience: u32) -> Result<JsValue, JsValue>;
}

/// Takes the lock on `database`; having it already is as good, also when an earlier instance of the
/// WASM took it. [`Error::StoreBusy`] when somebody else has it.
pub async fn hold(database: &str) -> Result<(), Error> {
    let held = hold_lock(&format!("hdms/{database}"), PATIENCE).await;
    if held.is_ok_and(|held| held.is_truthy()) { Ok(()) } else { Err(Error::StoreBusy) }
}
