//! Something between a node and its server that passes everything on, until it lies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

/// A proxy, as it terminates TLS before many servers.
#[derive(Clone)]
pub struct LyingServer {
    pub url: String,
    behind: String,
    /// By path.
    lies: Arc<Mutex<HashMap<String, String>>>,
    /// The paths for which it has lied.
    told: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<Bytes>>>,
}

impl LyingServer {
    /// Before the server at this address.
    pub async fn before(behind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behind = behind.to_owned();
        let (lies, told, answers) = Default::default();
        let server = Self { url, behind, lies, told, answers };
        let router = Router::new().fallback(pass_on).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// From now on everybody who wants to be admitted gets this to decrypt.
    pub fn challenge_with(&self, challenge: &str) {
        let lie = serde_json::json!({ "challenge": challenge, "expires": u64::MAX >> 1 });
        self.answer_with("/doorman/admissions", lie.to_string());
    }

    /// From now on everybody who asks for this path gets this.
    pub fn answer_with(&self, path: &str, lie: String) {
        self.lies.lock().unwrap().insert(path.to_owned(), lie);
    }

    /// Waits until it has lied so often about this path.
    pub async fn has_lied(&self, path: &str, times: usize) {
        let told = || self.told.lock().unwrap().iter().filter(|told| *told == path).count();
        for _ in 0..400 {
            if told() >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("nobody asked for {path} so often");
    }

    /// From now on it tells the truth.
    pub fn repent(&self) {
        self.lies.lock().unwrap().clear();
    }

    /// What was answered to challenges.
    pub fn answers(&self) -> Vec<Bytes> {
        self.answers.lock().unwrap().clone()
    }
}

async fn pass_on(
    State(server): State<LyingServer>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    if let Some(lie) = server.lies.lock().unwrap().get(uri.path()) {
        server.told.lock().unwrap().push(uri.path().to_owned());
        return lie.clone().into_response();
    }
    if uri.path() == "/doorman/answers" {
        server.answers.lock().unwrap().push(body.clone());
    }
    let url = format!("{}{uri}", server.behind);
    let request = reqwest::Client::new().request(method, url).body(body);
    let answer = request.header("content-type", "application/json").send().await.unwrap();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    let headers = answer.headers().clone();
    let mut passed = (status, answer.bytes().await.unwrap()).into_response();
    for name in ["content-type", "etag"] {
        headers.get(name).map(|value| passed.headers_mut().insert(name, value.clone()));
    }
    passed
}
