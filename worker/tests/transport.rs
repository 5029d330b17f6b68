//! What a node reads of an answer, in a service worker: no more than it may have.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hdms::Error;
use hdms_worker::transport::get;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_service_worker);

const URL: &str = "https://server.test/";

/// Bytes of one part of the answer, which goes on for ever.
const PART: usize = 1000;

#[wasm_bindgen(inline_js = r#"
    let parts = 0, ended = false, redirects = null;
    export function answer_without_end(part) {
        globalThis.fetch = async () => new Response(new ReadableStream({
            pull(controller) {
                parts += 1;
                controller.enqueue(new Uint8Array(part));
            },
            cancel() {
                ended = true;
            },
        }));
    }
    export function answer(text, status) {
        globalThis.fetch = async (_, { redirect }) => {
            redirects = redirect;
            return new Response(text, { status, headers: { etag: "1", "retry-after": "7" } });
        };
    }
    export const read = () => parts;
    export const was_ended = () => ended;
    export const follows = () => redirects;
"#)]
extern "C" {
    fn answer_without_end(part: usize);
    fn answer(text: &str, status: u16);
    fn read() -> usize;
    fn was_ended() -> bool;
    fn follows() -> Option<String>;
}

#[wasm_bindgen_test]
async fn an_answer_above_the_limit_is_refused_and_not_read_to_its_end() {
    answer_without_end(PART);
    let answer = get(URL, &[], 10 * PART).await;
    assert_eq!(answer.err(), Some(Error::AnswerTooLarge));
    assert!((11..=13).contains(&read()), "{} parts were read", read());
    assert!(was_ended());
}

#[wasm_bindgen_test]
async fn an_answer_of_just_the_limit_is_read() {
    answer(r#"["ä"]"#, 200);
    let found = get(URL, &[], 6).await.unwrap();
    assert_eq!(found.json::<Vec<String>>(), Ok(vec!["ä".to_owned()]));
    assert_eq!((found.status(), found.etag().as_deref()), (200, Some("1")));
    assert_eq!(found.retry_after(), Some(7));
    assert_eq!(follows().as_deref(), Some("error"), "led to another address");
    assert_eq!(get(URL, &[], 5).await.err(), Some(Error::AnswerTooLarge));
}

#[wasm_bindgen_test]
async fn a_server_error_ends_nothing_that_was_sent_whatever_its_code() {
    let asked = async |status, code: &str| {
        answer(&format!(r#"{{"code":"{code}"}}"#), status);
        get(URL, &[], 100).await.unwrap().success().unwrap_err()
    };
    assert_eq!(asked(409, "treatment/outdated").await, Error::RequestOutdated);
    assert_eq!(asked(503, "treatment/outdated").await, Error::NetworkUnreachable);
    assert_eq!(asked(503, "network/stale").await, Error::NetworkStale);
}
