//! Servers that answer badly, or not at all.

use crate::shelf::{Served, StaticLog};
use crate::stage::Stage;

#[tokio::test]
async fn what_has_another_length_is_found() {
    let (stage, log) = (Stage::with(1).await, StaticLog::of(300));
    for path in ["entries/000", "entries/001.p/44", "0/000", "0/001.p/44", "1/000.p/1"] {
        let fault = format!("{path}: it has another length than it must have");
        let at = format!("/log/tile/{path}");
        let shorter = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
        stage.audit_altered(&log, |shelf| shelf.alter(&at, shorter)).await.has_faults(&[&fault]);
        let longer = |bytes: &mut Vec<u8>| bytes.push(0);
        stage.audit_altered(&log, |shelf| shelf.alter(&at, longer)).await.has_faults(&[&fault]);
        let endless = stage.audit_altered(&log, |shelf| shelf.put(&at, Served::Endless)).await;
        endless.has_faults(&[&fault]);
        let gone = stage.audit_altered(&log, |shelf| shelf.put(&at, Served::Status(404))).await;
        gone.has_faults(&[&format!("{path}: it is missing")]);
    }
    let change = |entries: &mut Vec<u8>| entries[1] -= 1;
    let at = "/log/tile/entries/000";
    let audited = stage.audit_altered(&log, |shelf| shelf.alter(at, change)).await;
    audited.has_faults(&["entries/000: it has another length than it must have"]);
}

#[tokio::test]
async fn a_partial_tile_that_is_no_longer_kept_is_read_from_the_full_one() {
    let (stage, log) = (Stage::with(1).await, StaticLog::of(300));
    stage.notary().publish(&StaticLog::of(512));
    let signed = stage.notary().checkpoint(&log).to_text();
    stage.notary().shelf.put_bytes("/log/checkpoint", signed);
    // There is no full tile of level 1 yet.
    let tile: Vec<u8> = {
        stage.notary().shelf.alter("/log/tile/1/000.p/2", |tile| tile.truncate(32));
        stage.notary().shelf.bytes("/log/tile/1/000.p/2")
    };
    stage.notary().shelf.put_bytes("/log/tile/1/000.p/1", tile);
    stage.audit(&[]).await.is_good().says("read        300 leaves in 2 bundles, 3 tiles");
}

#[tokio::test]
async fn what_is_no_checkpoint_is_found() {
    let (stage, log) = (Stage::with(1).await, StaticLog::of(3));
    let fault = "checkpoint: it is no signed checkpoint";
    for served in [
        Served::Bytes("".into()),
        Served::Bytes("hello\n".into()),
        Served::Bytes(vec![0xff; 100].into()),
        Served::Endless,
    ] {
        let change = |shelf: &crate::shelf::Shelf| shelf.put("/log/checkpoint", served);
        stage.audit_altered(&log, change).await.has_faults(&[fault]);
    }
    let unknown = "hdms-log/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let note = stage.notary().checkpoint(&log).to_text();
    let note = note.replace(&stage.notary().log.log_key().name, unknown);
    let change = |shelf: &crate::shelf::Shelf| shelf.put_bytes("/log/checkpoint", note);
    let fault = format!("checkpoint: the network knows no log named \"{unknown}\"");
    stage.audit_altered(&log, change).await.has_faults(&[&fault]);
}

#[tokio::test]
async fn what_does_not_answer_is_not_checked() {
    let (stage, log) = (Stage::with(1).await, StaticLog::of(300));
    for (served, code) in [
        (Served::Broken(100), "network/unreachable"),
        (Served::Status(500), "network/unreachable"),
        (Served::Slow, "node/timed-out"),
    ] {
        let at = "/log/tile/0/001.p/44";
        let audited = stage.audit_altered(&log, |shelf| shelf.put(at, served)).await;
        audited.is_unchecked(at, code).says("read        256 leaves in 2 bundles, 1 tiles");
    }
    let none = stage.audit_altered(&log, |shelf| shelf.put("/log/checkpoint", Served::Status(404)));
    let none = none.await;
    none.is_unchecked("no other notary to ask", "api/not-found");
    none.says("empty       it has logged nothing yet");
    let nobody = crate::stage::audit(&stage.net, "http://127.0.0.1:1", &["--patience", "1"]).await;
    nobody.is_unchecked("http://127.0.0.1:1/log/checkpoint", "network/unreachable");
}

#[tokio::test]
async fn a_fault_is_reported_even_when_the_rest_can_t_be_checked() {
    let (stage, log) = (Stage::with(1).await, StaticLog::of(300));
    let audited = stage.audit_altered(&log, |shelf| {
        shelf.alter("/log/tile/0/000", |tile| tile[0] ^= 1);
        shelf.put("/log/tile/0/001.p/44", Served::Status(503));
    });
    let audited = audited.await;
    audited.has_faults(&[
        "0/000: 1 of its hashes, first that of the leaf 0, are not of what is under them",
    ]);
    assert!(audited.report.contains("UNCHECKED"), "{}", audited.report);
}

#[tokio::test]
async fn progress_is_told_in_lines_where_there_is_no_terminal() {
    let (stage, log) = (Stage::with(1).await, StaticLog::of(2560));
    let audited = stage.audit_altered(&log, |_| ()).await;
    let lines: Vec<_> = audited.is_good().messages.lines().collect();
    assert_eq!(lines.len(), 10, "{lines:?}");
    assert_eq!(lines[0], "hdms: 256 of 2560 leaves");
    assert_eq!(lines[9], "hdms: 2560 of 2560 leaves");
}
