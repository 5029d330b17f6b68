//! What a patient's node may cost a hospital.

use hdms::Error;
use hdms_nodes::costs::Costs;

use crate::scene::Scene;

const DAY: u64 = 24 * 3600 * 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_begins_so_many_cases_a_day_and_the_next_one_later() {
    let mut scene = Scene::set().await;
    scene.stop_hospital().await;
    scene.costs = Costs { treatments: 2, ..Costs::unlimited() };
    scene.start_hospital().await.unwrap();
    let requested = |view: &serde_json::Value| view["summary"]["phase"]["kind"] == "requested";
    for _ in 0..2 {
        let case = scene.ask().await;
        scene.his.until(&case, requested).await;
    }
    let third = scene.ask().await;
    let asked_to_wait = async || {
        let waiting = scene.node().waiting("", 10).await.unwrap();
        let problems = waiting.into_iter().map(|item| item.attempts.problem);
        problems.collect::<Vec<_>>() == [Some(Error::TooManyRequests.code().to_owned())]
    };
    while !asked_to_wait().await {
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(scene.his.get(&format!("/api/cases/{third}")).await.status, 404);
    scene.net.clock.advance(DAY);
    let fourth = scene.ask().await;
    for case in [third, fourth] {
        scene.his.until(&case, requested).await;
    }
}
