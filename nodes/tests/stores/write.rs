//! Writes the stores of the version that runs, for its successors to open:
//!
//! ```text
//! HDMS_FIXTURES=../version-N cargo test -p hdms-nodes --test stores -- --ignored write
//! ```

use std::path::{Path, PathBuf};
use std::slice;

use hdms::ids::EntryId;
use hdms::provider::{Clock, Store, Table};
use hdms::treatment::patient::Phase;
use hdms_nodes::base::store::SqliteStore;
use hdms_nodes::base::system::SystemClock;
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use crate::kept::{Cases, Kept, TABLES, copy};
use crate::stage::{RESULT, Stage, received, refusal, until};

/// A treatment of each kind: with a final result, open, and declined.
async fn treatments(stage: &Stage) -> (Cases, EntryId) {
    let patient = stage.node();
    let done = stage.approved().await;
    let result = stage.his.hand_in(&done, RESULT).await.remove(0);
    received(patient, &done, &result).await;
    patient.confirm(&done, slice::from_ref(&result)).await.unwrap();
    stage.his.until(&done, |view| view["summary"]["openResults"] == 0).await;
    let open = stage.approved().await;
    let waiting = stage.his.hand_in(&open, RESULT).await.remove(0);
    received(patient, &open, &waiting).await;
    let refused = stage.ask().await;
    stage.his.until(&refused, |view| view["summary"]["phase"]["kind"] == "requested").await;
    stage.his.post(&format!("/api/cases/{refused}/refusal"), refusal("No bed is free")).await;
    until(patient, &refused, |case| case.phase != Phase::Requested).await;
    let asked = stage.ask().await;
    stage.his.until(&asked, |view| view["summary"]["phase"]["kind"] == "requested").await;
    (Cases { done, open, refused, asked }, result)
}

/// Everything in a store that is text: JSON of its tables.
async fn tables(store: &impl Store) -> Value {
    let mut tables = Map::new();
    for table in Table::ALL {
        let rows = store.scan(table, "", "", usize::MAX).await.unwrap().into_iter();
        let rows = rows.map(|(key, value)| (key, String::from_utf8(value).unwrap().into()));
        tables.insert(table.name().into(), Value::Object(rows.collect()));
    }
    tables.into()
}

fn vacuum(database: &Path) {
    let connection = Connection::open(database).unwrap();
    let compact = "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE; VACUUM;";
    connection.execute_batch(compact).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes what the others read"]
async fn write() {
    let to = PathBuf::from(std::env::var("HDMS_FIXTURES").unwrap());
    let stage = Stage::set().await;
    let (cases, result) = treatments(&stage).await;
    let notaries = stage.network.notaries().iter();
    let kept = Kept {
        time: SystemClock.now().0,
        server: stage.network.url().into(),
        notaries: notaries.map(|notary| format!("http://{}", notary.address())).collect(),
        hospital: stage.network.institutions()[0].url(),
        cases,
        result,
    };
    let Stage { network, patient, dir, .. } = stage;
    network.stop().await;
    patient.ended().await;
    let store = SqliteStore::open(&dir.path().join("patient/personal.sqlite")).unwrap();
    let tables = tables(&store).await;
    drop(store);
    let databases = ["server/server.sqlite", "hospital/institution.sqlite"].map(String::from);
    let logs = (1..=3).map(|number| format!("notary-{number}/notary.sqlite"));
    databases.into_iter().chain(logs).for_each(|database| vacuum(&dir.path().join(database)));
    for file in std::fs::read_dir(dir.path().join("patient")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "pem") {
            std::fs::remove_file(path).unwrap();
        }
    }
    copy(dir.path(), &to);
    std::fs::write(to.join(TABLES), serde_json::to_string_pretty(&tables).unwrap()).unwrap();
    std::fs::write(to.join("network.json"), serde_json::to_string_pretty(&json!(kept)).unwrap())
        .unwrap();
}
