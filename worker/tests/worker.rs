//! The worker's queue, lock and answers, in a service worker, without a network.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use hdms::Error;
use hdms_worker::commands::{Command, MakeOptions};
use hdms_worker::eviction;
use hdms_worker::queue::Queue;
use hdms_worker::requests::handle;
use hdms_worker::views::NodeState;
use hdms_worker::worker::Worker;
use js_sys::{JSON, Promise};
use serde_json::Value;
use support::fresh_name;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{MessageChannel, MessageEvent};

wasm_bindgen_test_configure!(run_in_service_worker);

#[wasm_bindgen(inline_js = "
    export const hold = (name) => new Promise((held) => {
        navigator.locks.request(name, () => new Promise((release) => held(release)));
    });
    export const forget_mark = () => caches.delete('hdms-node');
")]
extern "C" {
    async fn hold(name: &str) -> JsValue;
    async fn forget_mark() -> JsValue;
}

#[wasm_bindgen_test]
async fn what_is_queued_runs_one_at_a_time_in_its_order() {
    let queue = Queue::new(1_000);
    let (seen, running) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
    let entry = |number: u32, pause: u32| {
        let (seen, running) = (seen.clone(), running.clone());
        queue.run(async move {
            assert!(!running.replace(true), "{number} began while another ran");
            TimeoutFuture::new(pause).await;
            running.set(false);
            seen.borrow_mut().push(number);
            Ok(number)
        })
    };
    let answers = futures_util::future::join3(entry(1, 30), entry(2, 0), entry(3, 10)).await;
    assert_eq!(answers, (Ok(1), Ok(2), Ok(3)));
    assert_eq!(*seen.borrow(), [1, 2, 3]);
}

#[wasm_bindgen_test]
async fn what_exceeds_its_deadline_is_given_up_and_the_rest_goes_on() {
    let queue = Queue::new(50);
    let never = queue.run(std::future::pending::<Result<(), Error>>());
    let next = queue.run(async { Ok("next") });
    let answers = futures_util::future::join(never, next).await;
    assert_eq!(answers, (Err(Error::TimedOut), Ok("next")));
}

#[wasm_bindgen_test]
async fn queued_work_is_done_though_nobody_waits_for_it() {
    let (queue, done) = (Queue::new(1_000), Rc::new(Cell::new(false)));
    let work = done.clone();
    let first = queue.clone();
    spawn_local(async move {
        let job = first.run(async move {
            TimeoutFuture::new(20).await;
            work.set(true);
            Ok(())
        });
        // Asks, and gives up at once.
        futures_util::future::select(Box::pin(job), TimeoutFuture::new(0)).await;
    });
    TimeoutFuture::new(5).await;
    assert_eq!(queue.run(async { Ok(()) }).await, Ok(()));
    assert!(done.get());
}

#[wasm_bindgen_test]
async fn a_database_that_somebody_else_writes_is_refused_until_it_is_free() {
    let name = fresh_name("lock");
    let release = hold(&format!("hdms/{name}")).await;
    assert_eq!(Worker::open(&name).await.err(), Some(Error::StoreBusy));
    release.unchecked_into::<js_sys::Function>().call0(&JsValue::NULL).unwrap();
    let worker = Worker::open(&name).await.unwrap();
    drop(worker);
    // As an instance does that takes the place of one that trapped.
    assert!(Worker::open(&name).await.is_ok());
}

#[wasm_bindgen_test]
async fn a_lost_node_is_said_and_replaced_only_by_a_persons_word() {
    eviction::mark_device().await.unwrap();
    let worker = Worker::open(&fresh_name("lost")).await.unwrap();
    forget_mark().await;
    let status = worker.status().await.unwrap();
    assert_eq!(status.state, NodeState::Stopped);
    assert_eq!(status.problem.unwrap().code, "store/lost");
    assert_eq!(worker.execute("", Command::Cases).await.err(), Some(Error::StoreLost));
    let make = |replace_lost| Command::Make(MakeOptions { name: String::new(), replace_lost });
    assert_eq!(worker.execute("", make(false)).await.err(), Some(Error::StoreLost));
    // Nobody answers at /network.json here: but it was tried.
    assert_eq!(worker.execute("", make(true)).await.err(), Some(Error::NetworkUnreachable));
}

#[wasm_bindgen_test]
async fn a_device_without_a_node_says_so() {
    let status = ask(r#"{"id": "1", "command": {"name": "status"}}"#).await;
    assert_eq!(status["value"]["state"], "absent");
    assert_eq!(status["value"]["node"], Value::Null);
    let cases = ask(r#"{"id": "2", "command": {"name": "cases"}}"#).await;
    assert_eq!(cases["error"]["code"], "node/not-ready");
}

#[wasm_bindgen_test]
async fn what_is_no_command_is_refused() {
    for request in [
        "7",
        "null",
        r#"{"command": {"name": "status"}}"#,
        r#"{"id": "1", "command": {"name": "erase"}}"#,
        r#"{"id": "1", "command": {"name": "case"}}"#,
        r#"{"id": "1", "command": {"name": "case", "options": 7}}"#,
        r#"{"id": "1", "command": {"name": "make", "options": {"name": "", "as": "root"}}}"#,
    ] {
        assert_eq!(ask(request).await["error"]["code"], "api/malformed", "{request}");
    }
}

#[wasm_bindgen_test]
async fn a_repeated_request_is_answered_on_every_port() {
    let request = r#"{"id": "twice", "command": {"name": "status"}}"#;
    let answers = futures_util::future::join(ask(request), ask(request)).await;
    assert_eq!(answers.0["value"]["state"], "absent");
    assert_eq!(answers.0, answers.1);
}

/// The answer to a request, as a page gets it.
async fn ask(request: &str) -> Value {
    let channel = MessageChannel::new().unwrap();
    let answer = Promise::new(&mut |resolve, _| {
        let hear = Closure::once_into_js(move |event: MessageEvent| {
            resolve.call1(&JsValue::NULL, &event.data()).unwrap();
        });
        channel.port1().set_onmessage(Some(hear.unchecked_ref()));
    });
    handle(JSON::parse(request).unwrap(), channel.port2()).await;
    let answer = answer.await.unwrap();
    let text = JSON::stringify(&answer).unwrap().as_string().unwrap();
    serde_json::from_str(&text).unwrap()
}
