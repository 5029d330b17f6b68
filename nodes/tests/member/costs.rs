//! What a patient's node may cost a hospital.

use std::time::Duration;

use hdms::Error;
use hdms_nodes::costs::Costs;
use serde_json::Value;

use crate::scene::Scene;

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
    let asked_to_wait = async || {
        let waiting = scene.node().waiting("", 10).await.unwrap();
        let problems: Vec<_> = waiting.into_iter().map(|item| item.attempts.problem).collect();
        problems == [Some(Error::TooManyRequests.code().to_owned())]
    };
    while !asked_to_wait().await {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(scene.his.get(&format!("/api/cases/{fifth}")).await.status, 404);
    scene.net.clock.advance(HALF_A_DAY);
    let sixth = scene.ask().await;
    for case in [fifth, sixth] {
        scene.his.until(&case, requested).await;
    }
}
