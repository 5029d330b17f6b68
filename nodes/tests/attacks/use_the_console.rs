//! Whoever has a page open beside the console, or a way to the institution's address, wants to act
//! for the hospital: by its pages in a frame of theirs, by a page that asks its interface, by
//! guessing its key.

use std::path::PathBuf;

use axum::http::HeaderValue;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::{Config, Institution};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{Net, prepare_keys};
use crate::stage::His;

const HIS: &str = "https://his.example";

/// An institution whose console listens on an address of its own.
async fn institution(net: &Net, pages: Option<PathBuf>) -> Institution {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let console = Some(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    prepare_keys(net.dir.path(), &["institution"]);
    let member = net.member_config("institution", endpoint);
    let origins = vec![HeaderValue::from_static(HIS)];
    let config = Config { member, api_key: None, console, origins, pages, samples: None };
    let clock = NodeClock::new(net.clock.clone());
    let started = Institution::start(config, clock, listener, CancellationToken::new());
    let (started, ()) = tokio::join!(started, net.admit_next());
    started.unwrap()
}

async fn get(url: &str) -> Response {
    Client::new().get(url).send().await.unwrap()
}

fn assert_guarded(headers: &HeaderMap, policy: &str, at: &str) {
    let is = |name: &str, value: &str| assert_eq!(headers[name], value, "{name} of {at}");
    is("x-content-type-options", "nosniff");
    is("referrer-policy", "no-referrer");
    is("cross-origin-resource-policy", "same-origin");
    is("cross-origin-opener-policy", "same-origin");
    assert!(headers["permissions-policy"].to_str().unwrap().contains("camera=()"), "{at}");
    assert!(headers.contains_key("cache-control"), "{at}");
    assert!(!headers.contains_key("strict-transport-security"), "{at}: there is no TLS");
    let said = headers["content-security-policy"].to_str().unwrap();
    assert!(said.starts_with(policy) && said.contains("frame-ancestors 'none'"), "{at}: {said}");
}

#[tokio::test]
async fn no_answer_may_be_framed_sniffed_or_kept_and_no_refusal_either() {
    let pages = tempfile::tempdir().unwrap();
    std::fs::create_dir(pages.path().join("assets")).unwrap();
    for file in ["index.html", "console.html", "sw.js", "assets/a.js"] {
        std::fs::write(pages.path().join(file), "x").unwrap();
    }
    let folder = Some(pages.path().to_owned());
    let net = Net::start_with(|config| config.pages.clone_from(&folder)).await;
    let institution = institution(&net, folder).await;
    let (server, inbox, console) = (&net.url, institution.url(), institution.console_url());
    for (url, status, policy) in [
        (format!("{server}/network"), 200, "default-src 'none'"),
        (format!("{server}/mailbox"), 401, "default-src 'none'"),
        (format!("{server}/doorman/admissions"), 405, "default-src 'none'"),
        (format!("{server}/nothing"), 404, "default-src 'self'; script-src 'self' 'wasm"),
        (format!("{server}/"), 200, "default-src 'self'; script-src 'self' 'wasm"),
        (format!("{server}/sw.js"), 200, "default-src 'self'; script-src 'self' 'wasm"),
        (format!("{inbox}/inbox"), 405, "default-src 'none'"),
        (format!("{inbox}/nothing"), 404, "default-src 'none'"),
        (format!("{console}/api/cases"), 401, "default-src 'none'"),
        (format!("{console}/openapi.json"), 200, "default-src 'none'"),
        (format!("{console}/"), 200, "default-src 'self'; script-src 'self';"),
        (format!("{console}/assets/a.js"), 200, "default-src 'self'; script-src 'self';"),
    ] {
        let answer = get(&url).await;
        assert_eq!(answer.status(), status, "{url}");
        assert_guarded(answer.headers(), policy, &url);
    }
    let his = His::new(&console, institution.api_key());
    let cases = his.request(Method::GET, "/api/cases").send().await.unwrap();
    assert_eq!(cases.headers()["cache-control"], "no-store");
    let asset = get(&format!("{console}/assets/a.js")).await;
    assert!(asset.headers()["cache-control"].to_str().unwrap().contains("immutable"));
}

/// Asks as a browser does before a page of `origin` may.
async fn may_ask(url: &str, origin: &str) -> bool {
    let asked = Client::new().request(Method::OPTIONS, url).header("origin", origin);
    let asked = asked.header("access-control-request-method", "POST");
    let sent = ["authorization", "content-type", "idempotency-key"];
    let answer = asked.header("access-control-request-headers", sent.join(",")).send();
    let headers = answer.await.unwrap().headers().clone();
    let named = headers["access-control-allow-headers"].to_str().unwrap();
    assert!(sent.iter().all(|header| named.contains(header)), "{url}: {named}");
    let allowed = headers.get("access-control-allow-origin");
    allowed.is_some_and(|allowed| allowed == origin || allowed == "*")
}

#[tokio::test]
async fn a_strangers_page_may_write_to_the_inbox_and_not_ask_the_interface() {
    let net = Net::start().await;
    let institution = institution(&net, None).await;
    let (inbox, console) = (institution.url(), institution.console_url());
    assert!(may_ask(&format!("{inbox}/inbox"), "https://patient.example").await);
    assert!(may_ask(&format!("{}/mailbox", net.url), "https://patient.example").await);
    for path in ["/api/cases", "/api/cases/x/approval", "/openapi.json"] {
        let url = format!("{console}{path}");
        assert!(may_ask(&url, HIS).await, "{path}");
        assert!(!may_ask(&url, "https://elsewhere.example").await, "{path}");
    }
}

#[tokio::test]
async fn the_console_is_not_where_the_inbox_is() {
    let net = Net::start().await;
    let institution = institution(&net, None).await;
    let key = institution.api_key();
    let (outside, inside) =
        (His::new(&institution.url(), key), His::new(&institution.console_url(), key));
    for path in ["/api/cases", "/api/node", "/openapi.json", "/"] {
        assert_eq!(outside.get(path).await.code(), "api/not-found", "{path}");
    }
    assert_eq!(outside.post("/inbox", "hello").await.code(), "envelope/malformed");
    assert_eq!(inside.get("/api/cases").await.status, 200);
    assert_eq!(inside.post("/inbox", "hello").await.code(), "api/not-found");
}

#[tokio::test]
async fn whoever_guesses_keys_waits_and_the_right_one_is_no_better_then() {
    let net = Net::start().await;
    let institution = institution(&net, None).await;
    let (url, key) = (institution.console_url(), institution.api_key());
    for _ in 0..10 {
        let guess = His::new(&url, "a guess of somebody").get("/api/cases").await;
        assert_eq!((guess.status, guess.code()), (401, "api/unauthorised"));
    }
    let waits = His::new(&url, key).get("/api/cases").await;
    assert_eq!((waits.status, waits.code()), (429, "api/too-many"));
    net.clock.advance(61_000);
    // From now on the HIS is there as well, over a connection that stays open.
    let (his, thief) = (His::new(&url, key), His::new(&url, "a guess of somebody"));
    let mut guesses = Vec::new();
    for guess in 0..620 {
        if guess % 20 == 0 {
            assert_eq!(his.get("/api/cases").await.status, 200, "nobody locks it out");
        }
        guesses.push(thief.get("/api/cases").await.status);
    }
    let (considered, waiting) = guesses.split_at(600);
    assert!(considered.iter().all(|status| *status == 401), "{considered:?}");
    assert!(waiting.iter().all(|status| *status == 429), "{waiting:?}");
    assert_eq!(his.get("/api/cases").await.status, 200);
}
