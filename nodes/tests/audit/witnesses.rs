//! What the witnesses know speaks against the log.

use serde_json::json;

use crate::shelf::{Served, StaticLog, leaf};
use crate::stage::{Played, Stage};

fn forked(size: u64) -> StaticLog {
    let mut leaves: Vec<_> = (0..size).map(leaf).collect();
    leaves[0].document = leaves[1].document;
    leaves.into_iter().collect()
}

/// The state of a witness that has co-signed this log of `notary`.
fn cosigned(notary: &Played, witness: &Played, log: &StaticLog) -> serde_json::Value {
    let mut checkpoint = notary.checkpoint(log);
    witness.cosign(&mut checkpoint);
    let origin = checkpoint.checkpoint().origin.clone();
    json!([{ "log": origin, "checkpoint": checkpoint.to_text() }])
}

#[tokio::test]
async fn what_witnesses_co_signed_is_held_against_the_log() {
    let stage = Stage::with(3).await;
    let [notary, one, other] = &stage.notaries[..] else { panic!("three notaries") };
    notary.publish(&StaticLog::of(300));
    one.witness(&cosigned(notary, one, &StaticLog::of(300)), &json!([]));
    other.witness(&cosigned(notary, other, &StaticLog::of(100)), &json!([]));
    let audited = stage.audit(&[]).await;
    let (id, url) = (one.id(), &one.url);
    let line = format!("witness     {id} at {url} co-signed 300 leaves, alarms: 0");
    audited
        .is_good()
        .says(&line)
        .says("computed    every hash, and the roots of 3 signed checkpoints");

    // The log shows the auditor another one than this witness has seen.
    other.witness(&cosigned(notary, other, &forked(100)), &json!([]));
    let claim = format!("the checkpoint co-signed by {} (100 leaves)", other.id());
    let fault = format!("root: the leaves don't lead to the root that was signed in {claim}");
    stage.audit(&[]).await.has_faults(&[&fault]);
}

#[tokio::test]
async fn a_log_that_hides_what_was_co_signed_is_found() {
    let stage = Stage::with(2).await;
    let [notary, witness] = &stage.notaries[..] else { panic!("two notaries") };
    stage.audit(&[]).await.is_good().says("empty       it has logged nothing yet");
    notary.publish(&StaticLog::of(300));
    witness.witness(&cosigned(notary, witness, &StaticLog::of(310)), &json!([]));
    let claim = format!("the checkpoint co-signed by {} (310 leaves)", witness.id());
    stage.audit(&[]).await.has_faults(&[
        "entries/001.p/54: it is missing",
        "0/001.p/54: it is missing",
        &format!("rollback: there are 300 leaves, fewer than in {claim}"),
    ]);

    // It says that it has logged nothing at all.
    notary.witness(&json!([]), &json!([]));
    notary.shelf.put("/log/checkpoint", Served::Status(404));
    let fault = format!("rollback: there are 0 leaves, fewer than in {claim}");
    stage.audit(&[]).await.has_faults(&[&fault]);

    // They are there, and were not yet published: that happens.
    notary.publish(&StaticLog::of(310));
    let earlier = notary.checkpoint(&StaticLog::of(300)).to_text();
    notary.shelf.put_bytes("/log/checkpoint", earlier);
    stage.notary().shelf.put_bytes(
        "/log/tile/entries/001.p/44",
        notary.shelf.bytes("/log/tile/entries/001.p/54")[..44 * 107].to_vec(),
    );
    stage.notary().shelf.put_bytes(
        "/log/tile/0/001.p/44",
        notary.shelf.bytes("/log/tile/0/001.p/54")[..44 * 32].to_vec(),
    );
    stage.audit(&[]).await.is_good().says("read        310 leaves in 3 bundles, 5 tiles");
}

#[tokio::test]
async fn alarms_are_shown_and_what_the_log_has_signed_in_them_counts() {
    let stage = Stage::with(2).await;
    let [notary, witness] = &stage.notaries[..] else { panic!("two notaries") };
    let log = StaticLog::of(30);
    notary.publish(&log);
    let origin = &notary.log.log_key().name;
    let alarm = |refused: String| {
        let state = cosigned(notary, witness, &log);
        let cosigned = state[0]["checkpoint"].clone();
        let alarm = json!({ "log": origin, "kind": "fork", "time": 1_700_000_000,
            "cosigned": cosigned, "refused": refused });
        witness.witness(&state, &json!([alarm]));
    };
    alarm(notary.checkpoint(&forked(30)).to_text());
    let claim = format!("a checkpoint in an alarm of {} (30 leaves)", witness.id());
    let fault = format!("root: the leaves don't lead to the root that was signed in {claim}");
    let audited = stage.audit(&[]).await;
    let shown = "ALARM       fork, Tue, 14 Nov 2023 22:13:20 GMT: 30 leaves refused, 30 co-signed";
    audited.has_faults(&[&fault]).says(shown);

    // A witness can't accuse a log of what that has not signed.
    alarm(witness.checkpoint(&forked(30)).to_text());
    let unsigned = "            and shows 1 checkpoints that the log has not signed";
    stage.audit(&[]).await.is_good().says(unsigned);
}

#[tokio::test]
async fn a_witness_that_does_not_answer_is_named_and_must_if_it_was() {
    let stage = Stage::with(2).await;
    let [notary, witness] = &stage.notaries[..] else { panic!("two notaries") };
    notary.publish(&StaticLog::of(3));
    stage.audit(&["--witnesses", &witness.url]).await.is_good();
    witness.shelf.put_bytes("/witness/state", "nonsense");
    let audited = stage.audit(&["--patience", "1"]).await;
    let silent = format!("witness     {} has not answered: {}", witness.id(), witness.url);
    assert!(audited.is_good().report.contains(&silent), "{}", audited.report);
    let audited = stage.audit(&["--patience", "1", "--witnesses", &witness.url]).await;
    audited.is_unchecked(&format!("{}/witness/state", witness.url), "network/unreachable");
    let audited = stage.audit(&["--witnesses", "http://127.0.0.1:1"]).await;
    audited.is_unchecked("witness http://127.0.0.1:1", "network/unknown-node");
}
