//! The hospital's REST interface as its HIS meets it: refusals with their codes, and the
//! description that answers keep to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::slice;
use std::time::{Duration, Instant};

use hdms::card::Role;
use hdms::ids::CaseId;
use hdms::node::{Attempts, OutboxItem, Payload, Platform};
use hdms::provider::{Clock, Store, Table, Timestamp, Write};
use hdms_nodes::base::system::{NodeClock, SystemClock, SystemRandomness};
use hdms_nodes::server::operator::Operator;
use reqwest::Method;
use serde_json::{Value, json};
use stage::described::fits;
use stage::{His, PATIENT, RESULT, Stage, received, refusal};

const UNKNOWN: &str = "/api/cases/0192f0c1-2345-7abc-89ab-0123456789ab";

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_of_a_his_has_its_own_code() {
    let stage = Stage::set().await;
    let his = &stage.his;
    let requested = stage.ask().await;
    his.until(&requested, |view| view["summary"]["phase"]["kind"] == "requested").await;
    let case = format!("/api/cases/{requested}");
    let large = "x".repeat(70_000);
    for (path, body, status, code) in [
        (format!("{UNKNOWN}/approval"), "", 404, "treatment/unknown-case"),
        ("/api/cases/no-id/approval".into(), "", 404, "treatment/unknown-case"),
        (format!("{case}/refusal"), "{}", 400, "api/malformed"),
        (format!("{case}/refusal"), r#"{"reason":"a","more":1}"#, 400, "api/malformed"),
        (format!("{case}/refusal"), &large, 413, "api/too-large"),
        (
            format!("{case}/data-requests"),
            r#"{"resources":["Observation"],"purpose":"p"}"#,
            409,
            "treatment/not-allowed-now",
        ),
        (
            format!("{case}/data-requests"),
            r#"{"resources":["Novel"],"purpose":"p"}"#,
            422,
            "fhir/not-fhir",
        ),
        ("/api/cases".into(), "", 405, "api/method"),
        ("/api/patients".into(), "", 404, "api/not-found"),
        ("/inbox".into(), "hello", 400, "envelope/malformed"),
    ] {
        let answer = his.post(&path, body.to_owned()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path}");
        assert_eq!(answer.media_type, "application/problem+json", "{path}");
    }
    for (query, field) in [
        ("cases?limit=many", "limit"),
        ("cases?limit=0", "limit"),
        ("cases?limit=1001", "limit"),
        ("cases?phase=bogus", "phase"),
        ("cases?more=1", "more"),
        ("cases?after=zzz", "after"),
        ("outbox?limit=0", "limit"),
        ("outbox?after=zzz", "after"),
        ("undelivered?after=zzz", "after"),
        ("quarantine?after=zzz", "after"),
    ] {
        let answer = his.get(&format!("/api/{query}")).await;
        let said = (answer.status, answer.code(), answer.body["field"].as_str());
        assert_eq!(said, (400, "api/malformed", Some(field)), "{query}");
    }
    for (what, body, field) in [
        ("refusal", "{}", "reason"),
        ("refusal", r#"{"reason":1}"#, "reason"),
        ("refusal", r#"{"reason":" "}"#, "reason"),
        ("refusal", r#"{"reason":"a","more":1}"#, "more"),
        ("data-requests", r#"{"resources":["Observation",2],"purpose":"p"}"#, "resources[1]"),
        ("data-requests", r#"{"resources":["Observation"],"purpose":""}"#, "purpose"),
        ("data-requests", r#"{"id":"x","resources":["Observation"],"purpose":"p"}"#, "id"),
    ] {
        let answer = his.post(&format!("{case}/{what}"), body).await;
        let said = (answer.status, answer.code(), answer.body["field"].as_str());
        assert_eq!(said, (400, "api/malformed", Some(field)), "{body}");
    }
    for body in ["{", "1", "no JSON", ""] {
        let answer = his.post(&format!("{case}/refusal"), body).await;
        let said = (answer.status, answer.code(), answer.body["field"].as_str());
        assert_eq!(said, (400, "api/malformed", None), "{body}");
    }
    let quarantined = his.get("/api/quarantine").await.body;
    assert_eq!(quarantined["quarantined"][0]["code"], "envelope/malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_on_fhir_paths_are_operation_outcomes() {
    let stage = Stage::set().await;
    let case = stage.approved().await;
    let results = format!("/api/cases/{case}/results");
    let (none, large) = (format!("{UNKNOWN}/results"), "x".repeat(33 * 1024 * 1024));
    for (path, body, status, code, issue) in [
        (&results, "{", 400, "fhir/not-json", "invalid"),
        (&results, r#"{"resourceType":"Novel"}"#, 422, "fhir/not-fhir", "invalid"),
        (&results, r#"{"a":1,"a":2}"#, 400, "fhir/not-json", "invalid"),
        (&results, &large, 413, "api/too-large", "too-long"),
        (&none, RESULT, 404, "treatment/unknown-case", "not-found"),
    ] {
        let answer = stage.his.post(path, body.to_owned()).await;
        assert_eq!((answer.status, answer.code()), (status, code));
        assert_eq!(answer.media_type, "application/fhir+json");
        assert_eq!(answer.body["resourceType"], "OperationOutcome");
        assert_eq!(answer.body["issue"][0]["code"], issue);
    }
    for keys in [&["one", "two"][..], &["same", "same"], &[""]] {
        let request = stage.his.request(Method::POST, &results);
        let request = keys.iter().fold(request, |it, key| it.header("idempotency-key", *key));
        let answer = stage.his.send(request.body(RESULT)).await;
        assert_eq!((answer.status, answer.code()), (400, "api/malformed"), "{keys:?}");
    }
    let wrong_method = stage.his.get(&results).await;
    assert_eq!((wrong_method.status, wrong_method.code()), (405, "api/method"));
    assert_eq!(stage.his.get(&format!("/api/cases/{case}")).await.body["summary"]["results"], 0);
    a_case_whose_notary_was_revoked_says_so_and_takes_no_more_results(&stage, &case).await;
}

#[derive(Debug)]
struct HourAgo;

impl Clock for HourAgo {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 - 3_600_000)
    }
}

async fn a_case_whose_notary_was_revoked_says_so_and_takes_no_more_results(
    stage: &Stage,
    case: &CaseId,
) {
    let his = &stage.his;
    let results = format!("/api/cases/{case}/results");
    let hand_in = async |key: &str, result: &str| {
        let request = his.request(Method::POST, &results).header("idempotency-key", key);
        his.send(request.body(result.to_owned())).await
    };
    assert_eq!(hand_in("before", RESULT).await.status, 201);
    let summary = his.get(&format!("/api/cases/{case}")).await.body["summary"].take();
    assert!(summary["notaryUntil"].is_null(), "{summary}");
    let server = stage.dir.path().join("server");
    // As of before the case's entries were logged.
    let operator = Operator::with_clock(&server, NodeClock::new(HourAgo)).unwrap();
    let notary = summary["notary"].as_str().unwrap().parse().unwrap();
    operator.revoke(notary, "it was sold").await.unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    let view = loop {
        let view = his.get(&format!("/api/cases/{case}")).await.body;
        if view["summary"]["notaryUntil"].is_u64() {
            break view;
        }
        assert!(tokio::time::Instant::now() < until, "the hospital never heard of it");
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.network.institutions()[0].refresh().await.ok();
    };
    let logged = &view["ledger"][0];
    assert_eq!(logged["receiptProblem"]["code"], "ledger/receipt", "{view}");
    assert!(logged["receipt"].is_null());
    let refused = hand_in("after", &RESULT.replace("final", "amended")).await;
    assert_eq!((refused.status, refused.code()), (409, "treatment/not-allowed-now"));
    let why = refused.body["issue"][0]["diagnostics"].as_str().unwrap();
    assert!(why.contains("notary is no member"), "{why}");
    assert_eq!(hand_in("before", RESULT).await.status, 201, "that was handed in, and is again");
    let view = his.get(&format!("/api/cases/{case}")).await.body;
    assert_eq!(view["summary"]["notaryName"], summary["notaryName"]);
    assert!(view["summary"]["notaryName"].as_str().unwrap().starts_with("Notary"), "{view}");
    assert_eq!(view["results"][0]["neverFinal"]["sentence"], why);
    let listed = his.get("/api/cases").await.body["cases"].take();
    assert!(listed.as_array().unwrap().iter().any(|one| one["notaryUntil"].is_u64()), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_interface_answers_without_the_key_and_all_of_it_is_described() {
    let stage = Stage::set().await;
    let document = stage.his.get("/openapi.json").await.body;
    let mut described: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().keys();
        for method in methods.filter(|method| *method != "parameters") {
            described.push((method.to_uppercase(), path.clone()));
        }
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        let parameters = item["parameters"].as_array().into_iter().flatten();
        let named = parameters.map(|it| format!("{{{}}}", it["name"].as_str().unwrap()));
        let parts = path.split('/').filter(|part| part.starts_with('{'));
        assert_eq!(named.collect::<Vec<_>>(), parts.collect::<Vec<_>>(), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            let is_described = operation["responses"]["default"]["content"].is_object();
            assert!(method == "parameters" || is_described, "{method} {path}");
        }
    }
    described.sort();
    let routes = [
        ("GET", "/api/cases"),
        ("GET", "/api/cases/{case}"),
        ("GET", "/api/cases/{case}/results/{entry}"),
        ("GET", "/api/cases/{case}/shared"),
        ("GET", "/api/events"),
        ("GET", "/api/node"),
        ("GET", "/api/outbox"),
        ("GET", "/api/quarantine"),
        ("GET", "/api/undelivered"),
        ("GET", "/api/warnings"),
        ("POST", "/api/cases/{case}/approval"),
        ("POST", "/api/cases/{case}/data-requests"),
        ("POST", "/api/cases/{case}/refusal"),
        ("POST", "/api/cases/{case}/results"),
        ("POST", "/api/cases/{case}/verification"),
        ("POST", "/api/warnings/{node}/dismissal"),
    ];
    assert_eq!(described, routes.map(|(method, path)| (method.into(), path.into())));
    for key in ["wrong", "", &format!("{}x", stage.his.key)] {
        let stranger = His::new(&stage.his.url, key);
        for (method, path) in &described {
            let path = path.replace("{case}", "c").replace("{entry}", "e").replace("{node}", "n");
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = stranger.send(stranger.request(method, &path)).await;
            // Who guesses often has to wait.
            let refusals = [(401, "api/unauthorised"), (429, "api/too-many")];
            assert!(refusals.contains(&(answer.status, answer.code())), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_answers_fit_the_description() {
    let stage = Stage::set().await;
    let (his, patient) = (&stage.his, stage.node());
    let document = his.get("/openapi.json").await.body;
    let declined = stage.ask().await;
    his.until(&declined, |view| view["summary"].is_object()).await;
    let case = stage.approved().await;
    let path = |what: &str| format!("/api/cases/{case}{what}");
    let asked = r#"{"resources":["Observation"],"purpose":"To compare"}"#;
    let mut answers = vec![
        ("post", "/api/cases/{case}/approval", his.post(&path("/approval"), "").await),
        (
            "post",
            "/api/cases/{case}/refusal",
            his.post(&format!("/api/cases/{declined}/refusal"), refusal("Full")).await,
        ),
        ("post", "/api/cases/{case}/data-requests", his.post(&path("/data-requests"), asked).await),
    ];
    let own = patient.add_record(hdms::json::parse(RESULT.as_bytes()).unwrap()).await.unwrap();
    let request = answers[2].2.body["id"].as_str().unwrap().parse().unwrap();
    stage::until(patient, &case, |case| !case.data_requests.is_empty()).await;
    patient.share(&case, &request, &[own]).await.unwrap();
    answers.push(("post", "/api/cases/{case}/results", his.post(&path("/results"), RESULT).await));
    let entry = answers[3].2.body["results"][0].as_str().unwrap().parse().unwrap();
    received(patient, &case, &entry).await;
    patient.confirm(&case, slice::from_ref(&entry)).await.unwrap();
    his.until(&case, |view| view["summary"]["openResults"] == 0).await;
    his.post("/inbox", "no envelope").await;
    let verification = "/api/cases/{case}/verification";
    answers.push(("post", verification, his.post(&path("/verification"), "").await));
    for (route, path) in [
        ("/api/warnings", "/api/warnings".to_owned()),
        ("/api/node", "/api/node".to_owned()),
        ("/api/cases", "/api/cases?phase=approved&limit=1".to_owned()),
        ("/api/cases/{case}", path("")),
        ("/api/cases/{case}/shared", path("/shared")),
        ("/api/outbox", "/api/outbox".to_owned()),
        ("/api/quarantine", "/api/quarantine".to_owned()),
    ] {
        answers.push(("get", route, his.get(&path).await));
    }
    for (method, route, answer) in answers {
        let responses = &document["paths"][route][method]["responses"];
        let described = &responses[answer.status.to_string()]["content"]["application/json"];
        let schema = &described["schema"];
        assert!(schema.is_object(), "{method} {route} {} is not described", answer.status);
        fits(&document, schema, &answer.body).unwrap_or_else(|why| panic!("{route}: {why}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_sent_or_was_refused_is_listed_with_its_recipient_and_reason() {
    let stage = Stage::set().await;
    let case = stage.ask().await;
    stage.his.until(&case, |view| view["summary"].is_object()).await;
    let hospital = stage.network.institutions()[0].node();
    let item = OutboxItem {
        id: "0192f0c1-2345-7abc-89ab-000000000001".into(),
        case: case.clone(),
        to: stage.node().id().clone(),
        role: Role::Personal,
        payload: Payload::Envelope {
            kind: "treatment/result".into(),
            compact: "sealed".into(),
            signed: None,
        },
        since: Timestamp(5),
        refused: None,
        attempts: Attempts {
            count: 2,
            problem: Some("mailbox/full".into()),
            ..Attempts::default()
        },
    };
    let mut refused = OutboxItem { id: item.id.replace("01", "02"), ..item.clone() };
    refused.refused = Some("api/too-large".into());
    // The sender looks into the store only when the node starts: these stay.
    let put = |item: &OutboxItem| Write::Put {
        table: Table::Outbox,
        key: item.id.clone(),
        value: serde_json::to_vec(item).unwrap(),
    };
    hospital.platform().store().commit(vec![put(&item), put(&refused)]).await.unwrap();
    let page = stage.his.get("/api/outbox?limit=1").await.body;
    let (first, next) = (&page["outbox"], page["next"].as_str().unwrap());
    let full = &first[0]["problem"];
    assert_eq!(first.as_array().unwrap().len(), 1);
    assert_eq!(
        (&full["code"], full["sentence"].as_str().unwrap().is_empty()),
        (&"mailbox/full".into(), false)
    );
    let (name, refused) = (&first[0]["name"], &first[0]["refused"]);
    assert_eq!(
        (name, refused, &first[0]["case"]),
        (&PATIENT.into(), &false.into(), &case.to_string().into())
    );
    let page = stage.his.get(&format!("/api/outbox?limit=1&after={next}")).await.body;
    let last = &page["outbox"][0];
    assert_eq!(
        (&last["problem"]["code"], &last["refused"], &page["next"]),
        (&"api/too-large".into(), &true.into(), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_no_envelope_holds_counts_as_refused() {
    let stage = Stage::set().await;
    let case = stage.ask().await;
    stage.his.until(&case, |view| view["summary"].is_object()).await;
    let platform = stage.network.institutions()[0].node().platform();
    let padded = "x".repeat(600_000);
    let deposit = OutboxItem {
        id: "0192f0c1-2345-7abc-89ab-000000000001".into(),
        case: case.clone(),
        to: stage.network.notaries()[0].member().id().clone(),
        role: Role::Notary,
        payload: Payload::Deposit {
            entries: vec!["0192f0c1-2345-4abc-89ab-000000000002".parse().unwrap()],
            endorsements: vec![padded.clone(), padded],
            participants: [stage.node().id().clone(), stage.hospital().clone()],
            case_secret: None,
            draw: None,
        },
        since: Timestamp(5),
        refused: None,
        attempts: Attempts::default(),
    };
    let (key, value) = (deposit.id.clone(), serde_json::to_vec(&deposit).unwrap());
    let kept = Write::Put { table: Table::Outbox, key, value };
    platform.store().commit(vec![kept]).await.unwrap();
    platform.queued(vec![deposit]);
    let begun = Instant::now();
    while stage.his.get("/api/outbox").await.body["outbox"] != json!([]) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it waits for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_are_listed_by_phase_and_page() {
    let stage = Stage::set().await;
    let mut cases: Vec<CaseId> = Vec::new();
    for _ in 0..5 {
        cases.push(stage.ask().await);
    }
    for case in &cases {
        stage.his.until(case, |view| view["summary"].is_object()).await;
    }
    for (reason, status) in [("Full", 200), ("Full", 200), ("Closed", 409)] {
        let path = format!("/api/cases/{}/refusal", cases[1]);
        let answer = stage.his.post(&path, refusal(reason)).await;
        assert_eq!(
            (answer.status, answer.code() == "treatment/already-decided"),
            (status, status == 409)
        );
    }
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let page = stage.his.get(&format!("/api/cases?phase=requested&limit=2{after}")).await.body;
        let ids = page["cases"].as_array().unwrap().iter();
        listed.extend(ids.map(|case| case["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    cases.remove(1);
    assert_eq!(listed, cases.iter().map(ToString::to_string).collect::<Vec<_>>());
    let unused = CaseId::new(&SystemClock, &SystemRandomness).unwrap();
    let beyond = stage.his.get(&format!("/api/cases?after={unused}")).await.body;
    assert_eq!(beyond["cases"], Value::Array(Vec::new()));
}
