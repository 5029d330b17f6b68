//! Version 1 of the protocol, as commit d3a5b34 had stored it.

use std::slice;
use std::time::Duration;

use hdms::Error;
use hdms::network::Trust;
use hdms::treatment::patient::{PatientCase, ResultStatus};
use hdms_nodes::base::keys::open_or_make;
use hdms_nodes::local::network::passphrase;
use hdms_nodes::server::operator::Operator;
use rusqlite::Connection;

use crate::disk::holding;
use crate::kept::Copied;
use crate::reading;
use crate::stage::{His, RESULT};

const VERSION: &str = "version-1";

#[tokio::test(flavor = "multi_thread")]
async fn the_server_has_its_nodes_and_documents() {
    let mut copied = Copied::certified(VERSION).await;
    let server = copied.server().await;
    let documents = reqwest::get(format!("http://{}/network", server.address())).await.unwrap();
    assert_eq!(documents.status(), 200);
    let operator = Operator::of(&copied.dir.path().join("server")).unwrap();
    assert!(operator.pending(None).await.unwrap().is_empty());
    let member = copied.patient().await;
    // Their cards of then name keys that no statement of theirs goes with: they are listed again as
    // they come back.
    let trust = member.node().trust();
    assert_eq!((trust.nodes().len(), trust.logs().len()), (0, 3));
    let notary = copied.notary(0).await;
    let hospital = copied.hospital().await;
    let is_listed = |trust: &Trust| {
        trust.node(hospital.node().id()).is_ok() && trust.notary(notary.member().id()).is_ok()
    };
    while !is_listed(&member.node().trust()) {
        for member in [hospital.node(), member.node()].map(|node| node.platform().member()) {
            member.refresh().await.unwrap();
        }
        notary.member().refresh().await.unwrap();
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(member.node().trust().nodes().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_a_card_that_names_its_request_key_before_it_asks() {
    let mut copied = Copied::certified(VERSION).await;
    let server = copied.server().await;
    let patient = copied.patient().await;
    let named = patient.node().card().request_key().cloned();
    let kept = open_or_make(&copied.dir.path().join("patient"), &passphrase()).unwrap();
    assert_eq!(named.as_ref(), Ok(kept.request_key()), "made once, and kept");
    let member = patient.node().platform().member();
    let url = format!("http://{}", server.address());
    let page = member.client().mailbox(&url, member.signer(), 0, 10).await.unwrap();
    assert!(page.knows(&patient.node().card()));
}

#[tokio::test(flavor = "multi_thread")]
async fn notaries_have_their_logs_and_publish_them() {
    let mut copied = Copied::certified(VERSION).await;
    let _server = copied.server().await;
    let mut leaves = 0;
    for number in 0..3 {
        let notary = copied.notary(number).await;
        let url = format!("http://{}/log/checkpoint", notary.address());
        let checkpoint = reqwest::get(url).await.unwrap();
        if checkpoint.status() == 200 {
            let text = checkpoint.text().await.unwrap();
            leaves += text.lines().nth(1).unwrap().parse::<usize>().unwrap();
        }
    }
    assert_eq!(leaves, 3, "two requests and a result");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hospital_reads_its_cases_and_verifies_their_receipts() {
    reading::as_hospital(Copied::certified(VERSION).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_reads_records_and_verifies_receipts() {
    reading::as_patient(Copied::certified(VERSION).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_of_version_1_take_no_new_entries() {
    let mut copied = Copied::certified(VERSION).await;
    let _server = copied.server().await;
    let hospital = copied.hospital().await;
    let his = His::new(&hospital.url(), hospital.api_key());
    let (cases, former) = (&copied.kept.cases, Error::FormerCase);
    for path in [format!("{}/approval", cases.asked), format!("{}/results", cases.open)] {
        let answer = his.post(&format!("/api/cases/{path}"), RESULT).await;
        assert_eq!((answer.status, answer.code()), (409, former.code()), "{path}");
    }
    let patient = copied.patient().await;
    let open: PatientCase = patient.node().case(&cases.open).await.unwrap();
    let waiting = &open.results[0].entry.id;
    assert_eq!(patient.node().confirm(&cases.open, slice::from_ref(waiting)).await, Err(former));
    let disputed =
        patient.node().dispute(&cases.open, slice::from_ref(waiting), "Too late").await.unwrap();
    assert!(matches!(disputed.results[0].status, ResultStatus::Disputed { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_forgets_what_its_patients_are_called() {
    let mut copied = Copied::of(VERSION);
    let folder = copied.dir.path().join("server");
    let name = ["\"name\":\"Pat Doe\"", "Pat Doe"];
    let held = holding(&folder, &name);
    assert_eq!(held.len(), 2, "{held:?}");
    copied.certify().await;
    let server = copied.server().await;
    // What the server does by itself within a minute.
    let database = Connection::open(folder.join("server.sqlite")).unwrap();
    let tidied = "PRAGMA wal_checkpoint(TRUNCATE)";
    assert_eq!(database.query_row(tidied, [], |row| row.get::<_, bool>(0)), Ok(false));
    assert_eq!(holding(&folder, &name), []);
    let hospital = "SELECT count(*) FROM nodes WHERE request ->> '$.name' = 'The hospital'";
    assert_eq!(database.query_row(hospital, [], |row| row.get::<_, u64>(0)), Ok(1));

    let patient = copied.patient().await;
    let member = patient.node().platform().member();
    let url = format!("http://{}", server.address());
    let page = member.client().mailbox(&url, member.signer(), 0, 10).await;
    assert!(page.is_ok(), "the patient is a member all the same: {page:?}");
}
