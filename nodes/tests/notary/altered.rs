//! A database that somebody altered: the notary refuses to start, or to answer.

use std::path::Path;

use hdms::Error;
use rusqlite::Connection;

use crate::case::Case;

/// Puts back what was saved, and runs SQL in it.
fn altering(saved: &[u8], sql: &str) -> impl FnOnce(&Path) {
    move |path| {
        for more in ["-wal", "-shm"] {
            let _gone = std::fs::remove_file(format!("{}{more}", path.display()));
        }
        std::fs::write(path, saved).unwrap();
        let database = Connection::open(path).unwrap();
        assert_eq!(database.execute(sql, []).unwrap(), 1, "{sql}");
    }
}

/// The database while the notary does not run.
async fn saved(case: &mut Case) -> Vec<u8> {
    let mut saved = Vec::new();
    case.restart(|path| saved = std::fs::read(path).unwrap()).await.unwrap();
    saved
}

#[tokio::test]
async fn a_notary_whose_right_edge_is_not_what_it_signed_does_not_start() {
    let mut case = Case::begin().await;
    case.grow(2).await;
    case.grow(1).await;
    let saved = saved(&mut case).await;
    for sql in [
        "UPDATE tiles SET hashes = zeroblob(96) WHERE level = 0",
        "UPDATE tiles SET hashes = substr(hashes, 1, 64) WHERE level = 0",
        "DELETE FROM entries WHERE place = 2",
        "DELETE FROM checkpoints WHERE size = 3",
        "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 2) WHERE size = 3",
        "UPDATE checkpoints SET note = replace(note, 'hdms-log', 'hdms-LOG') WHERE size = 3",
    ] {
        let started = case.restart(altering(&saved, sql)).await;
        assert_eq!(started, Err(Error::StoreCorrupt), "{sql}");
    }
    case.restart(|path| std::fs::write(path, &saved).unwrap()).await.unwrap();
}

#[tokio::test]
async fn nothing_that_was_altered_goes_out_as_a_proof() {
    let mut case = Case::begin().await;
    let entry = case.request("request");
    let deposit = case.endorsed(&entry).await;
    let first = case.deposit(&case.patient, vec![deposit.clone()]).await;
    case.grow(2).await;
    let saved = saved(&mut case).await;
    for sql in [
        "UPDATE entries SET time = time + 1 WHERE place = 0",
        "UPDATE entries SET parties_salt = zeroblob(16) WHERE place = 0",
        "UPDATE checkpoints SET note = replace(note, substr(note, -9), 'AAAAAAA=' || char(10)) \
         WHERE size = 1",
    ] {
        case.restart(altering(&saved, sql)).await.unwrap();
        let envelope = case.seal(&case.hospital, vec![deposit.clone()]).await;
        assert_eq!(case.send(envelope).await, Err(Error::StoreCorrupt), "{sql}");
        case.grow(1).await;
    }
    // Others are signed as well; the receipt is another one, and holds.
    let sql = "UPDATE checkpoints SET published = 0 WHERE size = 1";
    case.restart(altering(&saved, sql)).await.unwrap();
    let answers = case.deposit(&case.hospital, vec![deposit]).await;
    assert_ne!(answers, first);
    assert_eq!(case.place(&answers[0], &entry).await, 0);
}
