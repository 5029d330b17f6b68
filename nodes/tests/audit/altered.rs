//! Leaves and tiles that are not what was signed, and leaves that should never have been logged.

use std::sync::LazyLock;

use crate::shelf::{StaticLog, leaf};
use crate::stage::Stage;

/// Three levels of tiles.
static HIGH: LazyLock<StaticLog> = LazyLock::new(|| StaticLog::of(65_536 + 300));

const ALTERED: &str = "1 of its hashes, first that of the";
const NOT_OF_IT: &str = "are not of what is under them";
const ROOT: &str =
    "root: the leaves don't lead to the root that was signed in the log's checkpoint";

#[tokio::test]
async fn an_altered_tile_is_found_at_every_level() {
    let stage = Stage::with(1).await;
    let good = stage.audit_altered(&HIGH, |_| ()).await;
    good.is_good().says("places      65836, each held against all others");
    let altered = [
        ("0/007", 3, "leaf 1795"),
        ("1/000", 3, "tile under it with number 3"),
        ("1/001.p/1", 0, "tile under it with number 256"),
        ("2/000.p/1", 0, "tile under it with number 0"),
    ];
    let all = stage.audit_altered(&HIGH, |shelf| {
        for (tile, hash, _) in altered {
            shelf.alter(&format!("/log/tile/{tile}"), |tile| tile[hash * 32] ^= 1);
        }
    });
    let fault = |(tile, _, below)| format!("{tile}: {ALTERED} {below}, {NOT_OF_IT}");
    let faults = altered.map(fault);
    all.await.has_faults(&faults.each_ref().map(String::as_str));
}

#[tokio::test]
async fn an_altered_and_a_dropped_leaf_are_found() {
    let (stage, log) = (Stage::with(1).await, StaticLog::of(600));
    let change = |entries: &mut Vec<u8>| entries[107 * 44 + 2 + 104] ^= 1;
    let audited =
        stage.audit_altered(&log, |shelf| shelf.alter("/log/tile/entries/001", change)).await;
    audited.has_faults(&[
        &format!("0/001: {ALTERED} leaf 300, {NOT_OF_IT}"),
        &format!("{ROOT} (600 leaves)"),
        &format!("1/000.p/2: {ALTERED} tile under it with number 1, {NOT_OF_IT}"),
    ]);

    let mut dropped: Vec<_> = (0..600).map(leaf).collect();
    dropped.remove(300);
    let without: StaticLog = dropped.into_iter().collect();
    // Everything but the checkpoint is as if the leaf had never been.
    stage.notary().publish(&without);
    let signed = stage.notary().checkpoint(&log).to_text();
    stage.notary().shelf.put_bytes("/log/checkpoint", signed);
    let audited = stage.audit(&[]).await;
    audited.has_faults(&[
        "entries/002.p/88: it is missing",
        "0/002.p/88: it is missing",
        "rollback: there are 512 leaves, fewer than in the log's checkpoint (600 leaves)",
    ]);
    // And the checkpoint says how many there are now.
    let signed = stage.notary().sign(599, log.root()).to_text();
    stage.notary().shelf.put_bytes("/log/checkpoint", signed);
    stage.audit(&[]).await.has_faults(&[&format!("{ROOT} (599 leaves)")]);
}

#[tokio::test]
async fn a_leaf_that_is_none_is_found_even_if_it_was_signed() {
    let stage = Stage::with(1).await;
    let mut log = StaticLog::of(5);
    log.push([&[9], &leaf(5).to_bytes()[1..]].concat());
    stage.audit_altered(&log, |_| ()).await.has_faults(&["leaf 5: it can't be read"]);
    log.push(leaf(6).to_bytes()[1..].to_vec());
    let faults = ["entries/000.p/7: it has another length than it must have"];
    stage.audit_altered(&log, |_| ()).await.has_faults(&faults);
}

#[tokio::test]
async fn two_entries_in_one_place_are_named_and_time_that_goes_backwards() {
    let stage = Stage::with(1).await;
    let mut leaves: Vec<_> = (0..600).map(leaf).collect();
    leaves[577].place = leaves[3].place;
    leaves[300].place = leaves[3].place;
    leaves[599].place = leaves[598].place;
    let audited = stage.audit_altered(&leaves.into_iter().collect(), |_| ()).await;
    audited.has_faults(&[
        "leaves 3 and 300: both take the same place in a case",
        "leaves 3 and 577: both take the same place in a case",
        "leaves 598 and 599: both take the same place in a case",
    ]);

    let mut leaves: Vec<_> = (0..300).map(leaf).collect();
    leaves[256].time = leaves[254].time;
    leaves[10].time = leaves[9].time;
    let audited = stage.audit_altered(&leaves.into_iter().collect(), |_| ()).await;
    audited.has_faults(&[
        "leaf 256: its time 1700000254 is before 1700000255, the time of the leaf before it",
    ]);
}
