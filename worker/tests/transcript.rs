//! The same logic everywhere: the treatment's transcript, made in a service worker, is that of the
//! native run, byte for byte.
#![cfg(target_arch = "wasm32")]

use hdms_simulation::transcript;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_service_worker);

#[wasm_bindgen_test]
async fn the_treatment_is_byte_for_byte_that_of_the_native_run() {
    assert_eq!(transcript::treatment().await, Ok(transcript::KNOWN.to_owned()));
}
