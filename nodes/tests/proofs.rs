//! Who may ask: the proof that a request carries, and what every address answers alike.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Net, Person, delivery, id, keys, message_id, problem};
use hdms::Error;
use hdms::base64url::digest;
use hdms::card::LIFETIME;
use hdms::jose::jws::sign_ps256;
use hdms::proof::{RequestProof, WINDOW};
use rusqlite::Connection;

/// A request for the mailbox with this proof, which `alter` may have changed before it was signed.
async fn ask(
    net: &Net,
    person: &Person,
    alter: impl FnOnce(&mut RequestProof),
) -> Result<(), Error> {
    let url = format!("{}/mailbox", net.url);
    let mut proof = RequestProof::new(&person.id, message_id(), "GET", &url, b"", net.now());
    alter(&mut proof);
    get(&url, Some(&proof.sign(person.keys).await.unwrap())).await
}

async fn get(url: &str, proof: Option<&str>) -> Result<(), Error> {
    let request = reqwest::Client::new().get(url);
    let request = match proof {
        Some(proof) => request.header("HDMS-Proof", proof),
        None => request,
    };
    let answer = request.send().await.unwrap();
    if answer.status().is_success() {
        return Ok(());
    }
    Err(Error::from_code(&problem(answer).await.1).unwrap())
}

#[tokio::test]
async fn a_proof_is_good_for_one_request_at_its_time() {
    let net = Net::start().await;
    let person = net.person(0).await;
    let invalid = Err(Error::RequestProofInvalid);
    let now = net.now().seconds();
    assert_eq!(ask(&net, &person, |_| ()).await, Ok(()));
    assert_eq!(ask(&net, &person, |proof| proof.iat = now - WINDOW).await, Ok(()));
    assert_eq!(ask(&net, &person, |proof| proof.iat = now + WINDOW).await, Ok(()));
    assert_eq!(ask(&net, &person, |proof| proof.iat = now - WINDOW - 1).await, invalid);
    assert_eq!(ask(&net, &person, |proof| proof.iat = now + WINDOW + 1).await, invalid);
    assert_eq!(ask(&net, &person, |proof| proof.htm = "POST".into()).await, invalid);
    assert_eq!(ask(&net, &person, |proof| proof.htu.push('x')).await, invalid);
    let elsewhere = "https://other.example/mailbox";
    assert_eq!(ask(&net, &person, |proof| proof.htu = elsewhere.into()).await, invalid);
    assert_eq!(ask(&net, &person, |proof| proof.body = digest("other")).await, invalid);
}

#[tokio::test]
async fn a_proof_is_good_once() {
    let net = Net::start().await;
    let person = net.person(0).await;
    let url = format!("{}/mailbox", net.url);
    let proof = RequestProof::new(&person.id, message_id(), "GET", &url, b"", net.now());
    let jwt = proof.sign(person.keys).await.unwrap();
    assert_eq!(get(&url, Some(&jwt)).await, Ok(()));
    assert_eq!(get(&url, Some(&jwt)).await, Err(Error::RequestProofInvalid));
    let again = proof.sign(person.keys).await.unwrap();
    assert_eq!(get(&url, Some(&again)).await, Err(Error::RequestProofInvalid), "same id");
    net.clock.advance(WINDOW * 1000);
    assert_eq!(get(&url, Some(&jwt)).await, Err(Error::RequestProofInvalid));
}

#[tokio::test]
async fn a_request_without_a_proof_or_with_another_body_is_refused() {
    let net = Net::start().await;
    let person = net.person(0).await;
    let mailbox = format!("{}/mailbox", net.url);
    for proof in [None, Some(""), Some("x"), Some("a.b.c"), Some(person.card.jwt())] {
        let invalid = Err(Error::RequestProofInvalid);
        assert_eq!(get(&mailbox, proof).await, invalid, "{proof:?}");
    }
    let url = format!("{}/mailbox/acknowledgement", net.url);
    let body = br#"{"upto":1}"#;
    let proof = RequestProof::new(&person.id, message_id(), "POST", &url, body, net.now());
    let proof = proof.sign(person.keys).await.unwrap();
    let request = reqwest::Client::new().post(url).header("HDMS-Proof", proof);
    let answer = request.body(r#"{"upto":2}"#).send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "HDMS-Proof");
    assert_eq!(problem(answer).await, (401, "proof/invalid".into()));
}

#[tokio::test]
async fn a_signing_key_proves_no_request() {
    let net = Net::start().await;
    let person = net.person(0).await;
    let url = format!("{}/mailbox", net.url);
    let proof = RequestProof::new(&person.id, message_id(), "GET", &url, b"", net.now());
    let signed = sign_ps256("hdms-proof+jwt", person.id.as_ref(), &proof, person.keys).await;
    assert_eq!(get(&url, Some(&signed.unwrap())).await, Err(Error::RequestProofInvalid));
    assert_eq!(get(&url, Some(&proof.sign(person.keys).await.unwrap())).await, Ok(()));
}

/// As the server has kept nodes of before there were request keys.
#[tokio::test]
async fn a_member_that_has_stated_no_request_key_takes_another_card_before_it_asks() {
    let net = Net::start().await;
    let person = net.person(0).await;
    let database = Connection::open(net.data().join("server.sqlite")).unwrap();
    let before = "UPDATE nodes SET request = json_set(request, '$.subkeys', ''), claims = ''";
    assert_eq!(database.execute(before, []), Ok(1));
    assert_eq!(ask(&net, &person, |_| ()).await, Err(Error::CardUnknown));
    let person = net.person(0).await;
    assert_eq!(ask(&net, &person, |_| ()).await, Ok(()));
}

#[tokio::test]
async fn only_members_ask_and_only_as_themselves() {
    let net = Net::start().await;
    let (person, other) = (net.person(0).await, net.person(1).await);
    let as_other = ask(&net, &person, |proof| proof.iss = other.id.clone()).await;
    assert_eq!(as_other, Err(Error::RequestProofInvalid));
    let stranger = Person { keys: keys(2), id: id(keys(2)), card: person.card.clone() };
    assert_eq!(ask(&net, &stranger, |_| ()).await, Err(Error::CardUnknown));
    let pending = net.request(keys(3), hdms::card::Role::Notary, "Notary").await;
    assert_eq!(net.ask(keys(3), &pending).await, Err(Error::AdmissionPending));
    let pending = Person { keys: keys(3), id: pending.iss, card: person.card.clone() };
    assert_eq!(ask(&net, &pending, |_| ()).await, Err(Error::CardUnknown));
}

#[tokio::test]
async fn a_node_is_refused_once_its_card_is_revoked_or_has_expired() {
    let net = Net::start().await;
    let (person, other) = (net.person(0).await, net.person(1).await);
    assert_eq!(ask(&net, &person, |_| ()).await, Ok(()));
    net.operator().revoke(person.id.clone(), "closed").await.unwrap();
    let revoked = Err(Error::CardRevoked);
    net.until(|trust| trust.check_revocation(&person.id, net.now()) == revoked).await;
    let mut answer = ask(&net, &person, |_| ()).await;
    for _ in 0..40 {
        if answer.is_err() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        answer = ask(&net, &person, |_| ()).await;
    }
    assert_eq!(answer, revoked);
    assert_eq!(ask(&net, &other, |_| ()).await, Ok(()));
    net.clock.advance(LIFETIME * 1000);
    assert_eq!(ask(&net, &other, |_| ()).await, Err(Error::CardExpired));
}

#[tokio::test]
async fn other_addresses_and_methods_are_refused_by_their_codes() {
    let net = Net::start().await;
    let http = reqwest::Client::new();
    for path in ["/", "/nowhere", "/mailbox/", "/network/root/x"] {
        let answer = http.get(format!("{}{path}", net.url)).send().await.unwrap();
        assert_eq!(problem(answer).await, (404, "api/not-found".into()), "{path}");
    }
    for path in ["/network", "/mailbox", "/mailbox/stream"] {
        let answer = http.post(format!("{}{path}", net.url)).send().await.unwrap();
        assert_eq!(problem(answer).await, (405, "api/method".into()), "{path}");
    }
    for path in ["/doorman/admissions", "/mailbox/deliveries"] {
        let answer = http.get(format!("{}{path}", net.url)).send().await.unwrap();
        assert_eq!(problem(answer).await, (405, "api/method".into()), "{path}");
    }
}

#[tokio::test]
async fn pages_of_every_origin_may_ask() {
    let net = Net::start().await;
    let url = format!("{}/mailbox/deliveries", net.url);
    let preflight = reqwest::Client::new()
        .request(reqwest::Method::OPTIONS, &url)
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "hdms-proof,content-type,last-event-id");
    let answer = preflight.send().await.unwrap();
    assert!(answer.status().is_success());
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let allowed = answer.headers()["access-control-allow-headers"].to_str().unwrap().to_owned();
    for header in ["hdms-proof", "content-type", "last-event-id"] {
        assert!(allowed.contains(header), "{allowed}");
    }
    let refused = reqwest::Client::new().get(&url).header("origin", "https://app.example");
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.headers()["access-control-allow-origin"], "*", "refusals can be read too");
}

#[tokio::test]
async fn pages_are_served_as_a_service_worker_needs_them() {
    let pages = tempfile::tempdir().unwrap();
    std::fs::create_dir(pages.path().join("assets")).unwrap();
    for (name, content) in [
        ("index.html", "<!doctype html>"),
        ("sw.js", "self"),
        ("node.wasm", "\0asm"),
        ("assets/app-1234.js", "1"),
    ] {
        std::fs::write(pages.path().join(name), content).unwrap();
    }
    let net = Net::start_with(|config| config.pages = Some(pages.path().to_owned())).await;
    for (path, media_type, cache) in [
        ("/", "text/html", "no-cache"),
        ("/sw.js", "text/javascript", "no-cache"),
        ("/node.wasm", "application/wasm", "no-cache"),
        ("/assets/app-1234.js", "text/javascript", "public, max-age=31536000, immutable"),
    ] {
        let answer = reqwest::get(format!("{}{path}", net.url)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], media_type);
        assert_eq!(answer.headers()["cache-control"], cache);
        assert_eq!(answer.headers()["service-worker-allowed"], "/");
    }
    for path in ["/absent.html", "/assets/absent.js", "/../server/server.sqlite"] {
        let answer = reqwest::get(format!("{}{path}", net.url)).await.unwrap();
        assert_eq!(problem(answer).await, (404, "api/not-found".into()), "{path}");
    }
    let posted = reqwest::Client::new().post(format!("{}/sw.js", net.url)).send().await.unwrap();
    assert_eq!(problem(posted).await, (404, "api/not-found".into()));
    assert!(net.client.network(&net.url, None, 0).await.is_ok());
    let hospital = net.hospital(0).await;
    let sent = vec![delivery(&hospital.id, "x")];
    let sent = net.deliver(hospital.signer(), sent).await;
    assert!(sent.is_ok());
}
