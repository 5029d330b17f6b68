//! A page's requests, each answered once on every port that it came with.

use std::cell::RefCell;
use std::rc::Rc;

use hdms::Error;
use js_sys::{Object, Reflect};
use serde::Deserialize;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::MessagePort;

use crate::commands::{Command, Wish};
use crate::queue::Queue;
use crate::views::{NodeErrorView, NodeEvent, NodeState, NodeStatus, PushState};
use crate::worker::Worker;
use crate::{clients, eviction, js};

/// The node's database.
const DATABASE: &str = "hdms";

/// How long opening it may take, milliseconds.
const OPENING: u32 = 10_000;

thread_local! {
    static WORKER: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
    static TURNS: Queue = Queue::new(OPENING);
    /// The ports on which a request under way is to be answered: pages repeat what is not answered
    /// in time.
    static PORTS: RefCell<Vec<(String, MessagePort)>> = RefCell::default();
}

/// `{"id": …, "command": {"name": …, "options": …}}`
#[derive(Debug, Deserialize)]
struct Request {
    id: String,
    command: Wish,
}

/// Carries out a page's request, answers on `port` with `{"value": …}` or
/// `{"error": {"code", "sentence"}}`, and does what follows from it. One that is under way already
/// is not begun again. The promise settles when all is done: until then the worker is needed.
#[wasm_bindgen]
pub async fn handle(request: JsValue, port: MessagePort) {
    let read = js::read(&request);
    let read = read.and_then(|Request { id, command }| Ok((id, command.read()?)));
    let (id, command) = match read {
        Ok(read) => read,
        Err(error) => return answer(&port, Err(error)),
    };
    let under_way = PORTS.with_borrow_mut(|ports| {
        let known = ports.iter().any(|(other, _)| *other == id);
        ports.push((id.clone(), port));
        known
    });
    if under_way {
        return;
    }
    let result = execute(&id, command).await;
    PORTS.with_borrow_mut(|ports| {
        for (_, port) in ports.extract_if(.., |(other, _)| *other == id) {
            answer(&port, result.clone());
        }
    });
    if let Some(worker) = WORKER.with_borrow(Clone::clone) {
        worker.follow_up().await;
    }
}

/// Takes in what a push brought, and shows it. Answers whether something is shown; then
/// [`synchronise`] is to follow.
#[wasm_bindgen]
pub async fn wake(payload: Vec<u8>) -> bool {
    match opened().await {
        Ok(worker) => worker.woken(&payload).await,
        Err(_) => false,
    }
}

/// Fetches the mailbox, sends what is due, and does what follows from it. The promise settles when
/// all is done.
#[wasm_bindgen]
pub async fn synchronise() {
    if let Ok(worker) = opened().await {
        // Why it failed is in the status.
        let _ = worker.sync(false).await;
        worker.follow_up().await;
    }
}

/// The database was closed by the browser, or is being deleted: looks at what is left of it, and tells
/// every page.
#[wasm_bindgen]
pub async fn reopen() {
    if WORKER.take().is_some_and(|worker| worker.has_node()) {
        // So that a node whose every trace is removed is missed.
        let _ = eviction::mark_device().await;
    }
    match opened().await {
        Ok(worker) => worker.follow_up().await,
        Err(error) => clients::tell(&NodeEvent::Status { status: stopped(error) }).await,
    }
}

/// Background Sync: sends what may go. Rejects while something still waits, so that the browser
/// wakes the node again.
#[wasm_bindgen]
pub async fn send_waiting() -> Result<(), JsValue> {
    let sent = async {
        let waits = opened().await?.wake_up().await?;
        if waits { Err(Error::NetworkUnreachable) } else { Ok(()) }
    };
    sent.await.map_err(|error| error.code().into())
}

/// Traps, as a defect would.
#[cfg(feature = "test-hooks")]
#[wasm_bindgen]
pub fn trap() {
    std::process::abort();
}

/// Makes the next commit fail, as a full disk would.
#[cfg(feature = "test-hooks")]
#[wasm_bindgen]
pub async fn fail_next_commit() {
    if let Ok(worker) = opened().await {
        worker.fail_next_commit();
    }
}

async fn execute(id: &str, command: Command) -> Result<JsValue, Error> {
    if command == Command::Restart {
        WORKER.take();
    }
    match (opened().await, command) {
        (Ok(worker), command) => worker.execute(id, command).await,
        (Err(error), Command::Status | Command::Restart) => js::from(&stopped(error)),
        (Err(error), _) => Err(error),
    }
}

/// The node, opened at first use. A failure is not kept: the next request tries again.
async fn opened() -> Result<Rc<Worker>, Error> {
    let opening = async {
        if let Some(worker) = WORKER.with_borrow(Clone::clone) {
            return Ok(worker);
        }
        let worker = Worker::open(DATABASE).await?;
        WORKER.set(Some(worker.clone()));
        Ok(worker)
    };
    TURNS.with(Clone::clone).run(opening).await
}

fn stopped(problem: Error) -> NodeStatus {
    NodeStatus {
        state: NodeState::Stopped,
        node: None,
        name: None,
        network: None,
        server: None,
        persistent: None,
        waiting: 0,
        quarantined: 0,
        storage: None,
        next_attempt: None,
        last_reached: None,
        push: PushState::None,
        vapid: None,
        key_warnings: Vec::new(),
        problem: Some(problem.into()),
    }
}

fn answer(port: &MessagePort, result: Result<JsValue, Error>) {
    let (member, value) = match result {
        Ok(value) => ("value", value),
        Err(error) => {
            let view = js::from(&NodeErrorView::from(error));
            ("error", view.unwrap_or(JsValue::NULL))
        }
    };
    let message = Object::new();
    // Neither fails on a plain object; a page that has gone asks again if it comes back.
    let _ = Reflect::set(&message, &member.into(), &value);
    let _ = port.post_message(&message);
}
