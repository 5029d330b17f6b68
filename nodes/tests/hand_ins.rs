//! Results that are handed in together, over real HTTP: whole or not at all, and final after one decision.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::time::Instant;

use hdms::ids::EntryId;
use hdms::treatment::patient::{PatientCase, ResultStatus};
use stage::{Stage, until, whole_patient};

fn is_all(case: &PatientCase, entries: &[EntryId], is: fn(&ResultStatus) -> bool) -> bool {
    entries.iter().all(|entry| case.result(entry).is_ok_and(|result| is(&result.status)))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_results_are_final_after_one_decision() {
    let stage = Stage::set().await;
    let (case, patient) = (stage.approved().await, stage.node());
    let begun = Instant::now();
    let entries = stage.his.hand_in(&case, &whole_patient(200, "final")).await;
    assert_eq!(entries.len(), 200);
    let received = |one: &ResultStatus| *one == ResultStatus::Received;
    let state = until(patient, &case, |case| is_all(case, &entries, received)).await;
    let [hand_in] = &state.hand_ins[..] else { panic!("{:?}", state.hand_ins) };
    assert_eq!((hand_in.of, state.came_of(hand_in)), (200, 200));
    println!("handed in and received: {:.1?}", begun.elapsed());

    let begun = Instant::now();
    patient.confirm(&case, &entries).await.unwrap();
    let committed = |one: &ResultStatus| matches!(one, ResultStatus::Committed { .. });
    until(patient, &case, |case| is_all(case, &entries, committed)).await;
    let view = stage.his.until(&case, |view| view["summary"]["openResults"] == 0).await;
    println!("confirmed and final on both sides: {:.1?}", begun.elapsed());
    let numbers = view["ledger"].as_array().unwrap().iter().map(|entry| entry["number"].as_u64());
    assert!(numbers.eq((1..=201).map(Some)));
    assert!(
        view["results"].as_array().unwrap().iter().all(|one| one["status"]["kind"] == "committed")
    );
    assert!(patient.missing_numbers(&case).await.unwrap().is_empty());

    let again = stage.his.hand_in(&case, &whole_patient(200, "final")).await;
    assert_eq!(again, entries, "the same once more is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_results_than_are_handed_in_at_once_are_refused_and_none_of_them_taken() {
    let stage = Stage::set().await;
    let case = stage.approved().await;
    let path = format!("/api/cases/{case}/results");
    let refused = stage.his.post(&path, whole_patient(257, "final")).await;
    assert_eq!((refused.status, refused.code()), (413, "treatment/count"));
    let view = stage.his.get(&format!("/api/cases/{case}")).await.body;
    assert_eq!((&view["summary"]["results"], &view["ledger"][1]), (&0.into(), &().into()));
}
