//! What a patient's node may cost a hospital.

use std::time::Duration;

use hdms::Error;
use hdms::network::Trust;
use hdms::treatment::patient::{PatientCase, Phase};
use hdms_nodes::member::costs::Costs;
use rusqlite::Connection;
use serde_json::Value;

use crate::scene::Scene;
use crate::stage::until;

/// Until the hospital has said of the last request that it takes no more now.
async fn until_the_last_has_to_wait(scene: &Scene) {
    let asked_to_wait = async || {
        let last = scene.node().waiting("", 10).await.unwrap().pop();
        last.is_some_and(|item| item.attempts.problem.as_deref() == Some(Error::CaseQuota.code()))
    };
    while !asked_to_wait().await {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

const HALF_A_DAY: u64 = 12 * 3600 * 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_begins_so_many_cases_a_day_and_the_next_one_later() {
    let mut scene = Scene::set().await;
    scene.stop_hospital().await;
    scene.costs = Costs { treatments: 4, ..Costs::unlimited() };
    scene.start_hospital().await.unwrap();
    let requested = |view: &Value| view["summary"]["phase"]["kind"] == "requested";
    for _ in 0..4 {
        let case = scene.ask().await;
        scene.his.until(&case, requested).await;
    }
    let fifth = scene.ask().await;
    until_the_last_has_to_wait(&scene).await;
    assert_eq!(scene.his.get(&format!("/api/cases/{fifth}")).await.status, 404);
    scene.net.clock.advance(HALF_A_DAY);
    let sixth = scene.ask().await;
    for case in [fifth, sixth] {
        scene.his.until(&case, requested).await;
    }
}

const A_MONTH: u64 = 31 * 24 * 3600 * 1000 + 1;

#[tokio::test(flavor = "multi_thread")]
async fn what_unknown_patients_ask_for_and_nobody_decides_is_bounded_and_ends() {
    let mut scene = Scene::set().await;
    scene.stop_hospital().await;
    let (undecided_of_address, undecided_of_patient) = (3, 2);
    scene.costs = Costs { undecided_of_address, undecided_of_patient, ..Costs::unlimited() };
    scene.start_hospital().await.unwrap();
    let requested = |view: &Value| view["summary"]["phase"]["kind"] == "requested";
    let cases = [scene.ask().await, scene.ask().await];
    for case in &cases {
        scene.his.until(case, requested).await;
    }
    scene.ask().await;
    until_the_last_has_to_wait(&scene).await;

    scene.net.clock.advance(A_MONTH);
    scene.net.have_it_look();
    let fresh = |trust: &Trust| trust.check_revocation(scene.node().id(), scene.net.now()).is_ok();
    scene.net.until(fresh).await;
    scene.node().platform().member().refresh().await.unwrap();
    for case in &cases {
        let told = |case: &PatientCase| matches!(case.phase, Phase::Declined { .. });
        until(scene.node(), case, told).await;
        assert_eq!(scene.his.get(&format!("/api/cases/{case}")).await.status, 404);
    }
    assert_eq!(rows_of_cases(&scene), 0);

    // Who was approved once is known, and may ask no more at a time than others. The hospital has asked for some seconds of rest meanwhile.
    scene.net.clock.advance(10_000);
    let case = scene.ask().await;
    scene.his.approve(&case).await;
    for _ in 0..2 {
        let case = scene.ask().await;
        scene.his.until(&case, requested).await;
    }
    scene.ask().await;
    until_the_last_has_to_wait(&scene).await;
}

/// What the hospital keeps of cases.
fn rows_of_cases(scene: &Scene) -> u64 {
    let database = Connection::open(scene.net.dir.path().join("hospital/institution.sqlite"));
    let count = "SELECT (SELECT count(*) FROM cases) + (SELECT count(*) FROM records) \
                 + (SELECT count(*) FROM entries)";
    database.unwrap().query_row(count, (), |row| row.get(0)).unwrap()
}
