//! A hospital that is down is not hammered by its patients: triggers ask, and one place decides when
//! something may be sent again.

use std::time::Duration;

use hdms_tests::Result;
use hdms_tests::engine::Engine;
use hdms_tests::sick::Sick;
use hdms_tests::world::World;
use hdms_tests::{in_engines, until};
use serde_json::{Value, json};
use tokio::time::sleep;

/// How long the hospital asks to be left alone, and how long the page stays open.
const RETRY_AFTER: u32 = 60;

/// As long as that, less what the browser takes to do what the test wants.
const OPEN: Duration = Duration::from_secs(50);

const ASK_THE_SICK: &str = "
    const hospitals = await node.hospitals();
    const { id } = hospitals.find(({ name }) => name === args[0]);
    const request = { reason: 'Cough', date: null, mayRead: [] };
    await node.ask({ case: hdms.uuidv7(), hospital: id, request });
    await until(async () => (await node.outbox())[0].attempts > 0);";

/// What every page, timer and wake-up does, far more often than they would.
const TRIGGERS: &str = "
    for (let times = 0; times < 20; times++) {
        await node.sync();
        dispatchEvent(new Event('online'));
    }";

const WAITING: &str = "
    const [{ attempts, nextAttempt, refused }] = await node.outbox();
    return [attempts, nextAttempt > Date.now(), refused];";

in_engines!(
    a_hospital_that_asks_to_be_left_alone_is_left_alone: Chromium as chromium, Firefox as firefox
);

async fn a_hospital_that_asks_to_be_left_alone_is_left_alone(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    let World { network, browser, .. } = &world;
    let sick = Sick::join(network, "Sick", RETRY_AFTER).await?;
    let listed = "await until(async () => {
        await node.restart();
        return (await node.hospitals()).length === 2;
    })";
    browser.node(listed, Vec::new()).await?;
    browser.node(ASK_THE_SICK, vec![json!("Sick")]).await?;
    assert_eq!(sick.posts(), 1);
    browser.node(TRIGGERS, Vec::new()).await?;
    sleep(OPEN / 2).await;
    assert_eq!(sick.posts(), 1, "its pause is kept to");

    browser.stop_worker().await?;
    browser.node(TRIGGERS, Vec::new()).await?;
    assert_eq!(sick.posts(), 1, "also by a worker that has just started");

    browser.node("await node.sendNow()", Vec::new()).await?;
    assert_eq!(sick.posts(), 2, "a person is heard");
    browser.node(TRIGGERS, Vec::new()).await?;
    sleep(OPEN / 2).await;
    assert_eq!(sick.posts(), 2, "once");
    let waiting: Value = browser.node(WAITING, Vec::new()).await?;
    assert_eq!(waiting, json!([2, true, false]));
    until("its time comes", async || {
        browser.node("await node.sync()", Vec::new()).await?;
        Ok(sick.posts() == 3)
    })
    .await
}
