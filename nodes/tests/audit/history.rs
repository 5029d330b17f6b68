//! A log that no longer is what it was at the last audit.

use crate::shelf::{StaticLog, leaf};
use crate::stage::{Stage, audit};

#[tokio::test]
async fn a_log_that_has_grown_passes_and_is_kept() {
    let stage = Stage::with(1).await;
    for size in [3, 3, 256, 300, 777] {
        let log = StaticLog::of(size);
        stage.notary().publish(&log);
        stage.audit_again().await.is_good();
        let kept = std::fs::read_to_string(stage.state()).unwrap();
        assert_eq!(kept, stage.notary().checkpoint(&log).to_text());
    }
    stage.audit_again().await.is_good().says("kept        777 leaves at the last audit");
}

#[tokio::test]
async fn a_rollback_and_a_fork_are_found_with_the_evidence_and_the_state_stays() {
    let stage = Stage::with(1).await;
    stage.notary().publish(&StaticLog::of(300));
    stage.audit_again().await.is_good();
    let kept = std::fs::read_to_string(stage.state()).unwrap();

    stage.notary().publish(&StaticLog::of(299));
    let rolled_back = stage.audit_again().await;
    let claim = "the checkpoint kept from the last audit (300 leaves)";
    let fault = format!("rollback: there are 299 leaves, fewer than in {claim}");
    rolled_back.has_faults(&[&fault]).shows(&kept);

    for size in [300, 500] {
        let mut leaves: Vec<_> = (0..size).map(leaf).collect();
        leaves[100].document = leaves[101].document;
        stage.notary().publish(&leaves.into_iter().collect());
        let forked = stage.audit_again().await;
        let fault = format!("root: the leaves don't lead to the root that was signed in {claim}");
        forked.has_faults(&[&fault]).shows(&kept);
    }

    stage.notary().shelf.put("/log/checkpoint", crate::shelf::Served::Status(404));
    let gone = format!("rollback: there are 0 leaves, fewer than in {claim}");
    stage.audit_again().await.has_faults(&[&gone]);
    assert_eq!(std::fs::read_to_string(stage.state()).unwrap(), kept);
}

#[tokio::test]
async fn another_log_at_the_same_address_is_found() {
    let stage = Stage::with(2).await;
    let log = StaticLog::of(5);
    stage.notary().publish(&log);
    stage.audit_again().await.is_good();
    let other = stage.notaries[1].checkpoint(&log);
    let origin = &other.checkpoint().origin;
    let fault = format!("checkpoint: it is of another log than expected, {origin}");
    stage.notary().shelf.put_bytes("/log/checkpoint", other.to_text());
    stage.audit(&[]).await.has_faults(&[&fault]);
    stage.audit_again().await.has_faults(&[&fault]);
    // Where nobody is listed, the file may be the wrong one as well.
    let copy = stage.notary().shelf.serve().await;
    audit(&stage.net, &copy, &[]).await.is_good();
    let state = stage.state();
    let kept = audit(&stage.net, &copy, &["--state", state.to_str().unwrap()]).await;
    kept.is_unchecked("state file of another log", "ledger/mismatch");
    // That another notary has logged nothing takes nothing back.
    let (other, state) = (&stage.notaries[1].url, ["--state", state.to_str().unwrap()]);
    let kept = audit(&stage.net, other, &state).await;
    kept.is_unchecked("state file of another log", "ledger/mismatch");
}

#[tokio::test]
async fn a_state_file_that_was_damaged_is_not_taken_for_none() {
    let stage = Stage::with(1).await;
    stage.notary().publish(&StaticLog::of(5));
    stage.audit_again().await.is_good();
    let kept = std::fs::read_to_string(stage.state()).unwrap();
    for (damaged, code) in [
        (String::new(), "store/corrupt"),
        (kept.replacen("\n5\n", "\n4\n", 1), "store/corrupt"),
        (kept.replace("hdms-log/", ""), "log/forged"),
    ] {
        std::fs::write(stage.state(), &damaged).unwrap();
        stage.audit_again().await.is_unchecked("state file", code);
        assert_eq!(std::fs::read_to_string(stage.state()).unwrap(), damaged);
    }
}
