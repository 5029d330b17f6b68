//! A database that a notary wrote before its log was a Merkle tree.

use hdms::Error;
use hdms::base64url::encode;
use hdms::ids::CaseId;
use hdms::ledger::{Entry, EntryKind, VerificationKey};
use rusqlite::Connection;

use crate::case::{Case, refused};
use crate::common::{Net, case_id, entry_id};

/// As it was: two migrations.
const SQL: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE entries (
        place INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        case_id TEXT NOT NULL,
        previous TEXT NOT NULL,
        entry TEXT NOT NULL,
        receipt TEXT NOT NULL,
        UNIQUE (case_id, previous)
    ) STRICT;
    PRAGMA application_id = 0x48444d03;
    PRAGMA user_version = 2;
";

fn insert(database: &Connection, place: u64, time: u64, entry: &Entry) {
    let claims =
        serde_json::json!({"iss": "notary", "iat": time, "entry": entry.id, "index": place});
    let receipt = format!("h.{}.s", encode(claims.to_string()));
    let previous = entry.previous.as_ref().map_or("", |id| id.as_ref());
    let json = serde_json::to_string(entry).unwrap();
    let row = (place, entry.id.as_ref(), entry.case.as_ref(), previous, json, receipt);
    database.execute("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row).unwrap();
}

#[tokio::test]
async fn what_was_logged_before_there_were_trees_is_kept_in_its_order() {
    let net = Net::start().await;
    let (patient, hospital) = (net.person(0).await, net.hospital(1).await);
    let folder = net.dir.path().join("notary");
    std::fs::create_dir_all(&folder).unwrap();
    let database = Connection::open(folder.join("notary.sqlite")).unwrap();
    database.execute_batch(SQL).unwrap();
    let id: CaseId = case_id();
    let mut chain: Vec<Entry> = Vec::new();
    for place in 0..300 {
        let entry = Entry {
            id: entry_id(),
            kind: EntryKind::Request,
            case: id.clone(),
            author: patient.id.clone(),
            counterparty: hospital.id.clone(),
            verification_key: VerificationKey::of(&place.to_string()),
            previous: chain.last().map(|entry| entry.id.clone()),
            case_secret: None,
            draw: None,
        };
        insert(&database, place, 1_700_000_000 + place, &entry);
        chain.push(entry);
    }
    drop(database);
    let notary = net.notary("notary").await;
    let mut case = Case::of(net, notary, [patient, hospital], id, None).await;

    // They are of version 1: they keep their receipts, and their case takes no more.
    let next = case.result("next");
    let rival = Entry { verification_key: VerificationKey::of("rival"), ..chain[11].clone() };
    let asked = [&chain[0], &chain[299], &next, &rival];
    let mut deposits = Vec::new();
    for entry in asked {
        deposits.push(case.endorsed(entry).await);
    }
    let answers = case.deposit(&case.hospital, deposits.clone()).await;
    for (answer, (entry, place)) in answers.iter().zip(asked.into_iter().zip([0, 299])) {
        assert_eq!(case.place(answer, entry).await, place);
    }
    assert_eq!(answers[2], refused(Error::FormerCase));
    assert_eq!(case.receipt(&answers[0]).await.receipt().iat, 1_700_000_000);
    assert_eq!(case.first(&answers[3], &rival).await, chain[11]);

    case.restart(|_| ()).await.unwrap();
    let again = case.deposit(&case.hospital, deposits).await;
    assert_eq!(again[..3], answers[..3]);
}
