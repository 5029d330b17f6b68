//! A database that somebody altered: the notary refuses to start, or to answer.

use std::path::Path;

use hdms::Error;
use hdms::notary::DepositAnswer;
use rusqlite::Connection;

use crate::case::Case;

/// Runs SQL in the notary's database.
fn altering(sql: &'static str) -> impl FnOnce(&Path) {
    move |folder| {
        let database = Connection::open(folder.join("notary.sqlite")).unwrap();
        assert_eq!(database.execute(sql, []).unwrap(), 1, "{sql}");
    }
}

async fn three_logged() -> Case {
    let case = Case::begin().await;
    case.grow(2).await;
    case.grow(1).await;
    case
}

#[tokio::test]
async fn a_notary_whose_right_edge_is_not_what_it_signed_does_not_start() {
    for sql in [
        "UPDATE tiles SET hashes = zeroblob(96) WHERE level = 0",
        "UPDATE tiles SET hashes = substr(hashes, 1, 64) WHERE level = 0",
        "DELETE FROM tiles",
        "DELETE FROM entries WHERE place = 2",
        "DELETE FROM checkpoints WHERE size = 3",
        "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 2) WHERE size = 3",
        "UPDATE checkpoints SET note = replace(note, char(10) || '3' || char(10), char(10) || '2' || char(10)) WHERE size = 3",
        "UPDATE checkpoints SET note = 'no note' WHERE size = 3",
    ] {
        let case = three_logged().await;
        let started = case.restart(altering(sql)).await;
        assert_eq!(started.err(), Some(Error::StoreCorrupt), "{sql}");
    }
}

#[tokio::test]
async fn nothing_that_was_altered_goes_out_as_a_proof() {
    for sql in [
        "UPDATE entries SET time = time + 1 WHERE place = 0",
        "UPDATE entries SET verification_key = zeroblob(32) WHERE place = 0",
        "UPDATE entries SET parties_salt = zeroblob(16) WHERE place = 0",
        "UPDATE checkpoints SET note = replace(note, 'A', 'B') WHERE size = 1",
        "UPDATE checkpoints SET published = 0 WHERE size = 1",
    ] {
        let case = Case::begin().await;
        let entry = case.entry(None, "request");
        let deposit = case.endorsed(&entry).await;
        let first = case.deposit(&case.patient, vec![deposit.clone()]).await;
        case.grow(2).await;
        let case = case.restart(altering(sql)).await.unwrap();
        let envelope = case.seal(&case.hospital, vec![deposit]).await;
        match case.send(envelope).await {
            Err(error) => assert_eq!(error, Error::StoreCorrupt, "{sql}"),
            // Another entry in this place, or under another checkpoint: proved to be what was signed.
            Ok(answers) => {
                assert_ne!(answers, first, "{sql}");
                let [answer @ DepositAnswer::Receipt(_)] = &answers[..] else { panic!("{sql}") };
                case.place(answer, &entry).await;
            }
        }
        case.grow(1).await;
    }
}
