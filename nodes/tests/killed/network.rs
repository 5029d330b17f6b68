//! What lies between the nodes and the server: deliveries get lost on the way there or, once or
//! more often, their answers on the way back, so that their sender repeats them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use crate::chance::Chance;

/// Headers that matter to the nodes.
const HEADERS: [&str; 5] = ["hdms-proof", "content-type", "etag", "if-none-match", "retry-after"];

#[derive(Clone)]
struct Link {
    to: String,
    http: reqwest::Client,
    chance: Chance,
    fates: Arc<Mutex<Fates>>,
}

/// What becomes of the next deliveries, and how many in a row got no answer.
#[derive(Default)]
struct Fates {
    next: VecDeque<Fate>,
    unanswered: usize,
}

/// Most deliveries in a row that get no answer: a sender's pause doubles each time.
const MOST_UNANSWERED: usize = 5;

/// What becomes of a delivery.
#[derive(Clone, Copy)]
enum Fate {
    Lost,
    AnswerLost,
    Answered,
}

/// Starts it; answers the address by which nodes reach the server at `to`.
pub async fn start(to: String, chance: Chance) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let link = Link { to, http: reqwest::Client::new(), chance, fates: Arc::default() };
    let router = Router::new().fallback(forward).with_state(link);
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    url
}

async fn forward(State(link): State<Link>, request: Request) -> Response {
    let delivers =
        request.method() == Method::POST && request.uri().path() == "/mailbox/deliveries";
    let fate = if delivers { link.next_fate() } else { Fate::Answered };
    let lost = StatusCode::BAD_GATEWAY.into_response();
    if matches!(fate, Fate::Lost) {
        return lost;
    }
    match (fate, link.pass_on(request).await) {
        (Fate::Answered, Ok(answer)) => answer,
        _ => lost,
    }
}

impl Link {
    /// None, one, two or five times in all.
    fn next_fate(&self) -> Fate {
        let mut fates = self.fates.lock().unwrap();
        if fates.next.is_empty() {
            match self.chance.times() {
                0 => fates.next.push_back(Fate::Lost),
                times => {
                    fates.next.extend(std::iter::repeat_n(Fate::AnswerLost, times - 1));
                    fates.next.push_back(Fate::Answered);
                }
            }
        }
        let fate = fates.next.pop_front().unwrap();
        let answered = matches!(fate, Fate::Answered) || fates.unanswered == MOST_UNANSWERED;
        fates.unanswered = if answered { 0 } else { fates.unanswered + 1 };
        if answered { Fate::Answered } else { fate }
    }

    async fn pass_on(&self, request: Request) -> Result<Response, reqwest::Error> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let mut asked = self.http.request(parts.method, format!("{}{}", self.to, parts.uri));
        for name in HEADERS {
            if let Some(value) = parts.headers.get(name) {
                asked = asked.header(name, value);
            }
        }
        let answer = asked.body(body).send().await?;
        let mut response = Response::builder().status(answer.status());
        for name in HEADERS {
            if let Some(value) = answer.headers().get(name) {
                response = response.header(name, value);
            }
        }
        Ok(response.body(Body::from(answer.bytes().await?)).unwrap())
    }
}
