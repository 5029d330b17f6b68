//! Offline is a normal state: everything that a patient decides without a network is accepted, kept,
//! shown as waiting, and sent once when the network is back.

use hdms_tests::browser::{Browser, PATIENCE};
use hdms_tests::engine::Engine;
use hdms_tests::fhir::{ALLERGY, example};
use hdms_tests::world::{ASK, World, holds};
use hdms_tests::{Result, until};
use serde_json::{Value, json};

/// WebKitGTK's driver can't take the network away.
mod what_is_decided_offline_is_kept_and_sent_once {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn chromium() {
        decide_offline(Engine::Chromium).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn firefox() {
        decide_offline(Engine::Firefox).await.unwrap();
    }
}

/// What waits for a decision: a result to confirm, one to dispute, and two requests for data, each
/// in a case of its own.
struct Open {
    confirm: (String, String),
    dispute: (String, String),
    share: (String, String),
    refuse: (String, String),
}

impl Open {
    async fn new(world: &World) -> Result<Self> {
        Ok(Self {
            confirm: world.with_result().await?,
            dispute: world.with_result().await?,
            share: Self::data_request(world).await?,
            refuse: Self::data_request(world).await?,
        })
    }

    async fn data_request(world: &World) -> Result<(String, String)> {
        let case = world.approved().await?;
        let request = world.network.ask_for_data(&case, "AllergyIntolerance").await?;
        let asked = "await until(async () => (await node.case(args[0])).dataRequests.length === 1)";
        world.browser.node(asked, vec![json!(case)]).await?;
        Ok((case, request))
    }

    fn args(&self, fhir: String) -> Vec<Value> {
        let pairs = [&self.confirm, &self.dispute, &self.share, &self.refuse];
        let mut args: Vec<Value> = pairs.iter().map(|(case, id)| json!([case, id])).collect();
        args.push(fhir.into());
        args
    }
}

const DECIDE: &str = "
    const [confirm, dispute, share, refuse, fhir] = args;
    const { id } = await node.addRecord({ fhir });
    await node.confirm({ case: confirm[0], entries: [confirm[1]] });
    await node.dispute({ case: dispute[0], entries: [dispute[1]], reason: 'Not mine' });
    await node.share({ case: share[0], dataRequest: share[1], records: [id] });
    await node.refuseData({ case: refuse[0], dataRequest: refuse[1], reason: 'Private' });";

/// The kinds of what waits, once each has been tried in vain.
const WAITING: &str = "
    const waiting = await until(async () => {
        const waiting = await node.outbox();
        return waiting.every(({ attempts, problem, nextAttempt, refused }) =>
            attempts > 0 && problem.code === 'network/unreachable' && nextAttempt && !refused) && waiting;
    });
    return waiting.map(({ kind }) => kind).sort();";

const CONTACT: &str = "
    const { lastReached, problem, waiting } = await node.status();
    return { lastReached, problem: problem?.code ?? null, waiting };";

const DELIVERED: &str = "await until(async () => (await node.outbox()).length === 0)";

async fn decide_offline(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    let (browser, network) = (&world.browser, &world.network);
    let open = Open::new(&world).await?;
    browser.node(DELIVERED, Vec::new()).await?;

    let cut = browser.cut_off().await?;
    browser.node(DECIDE, open.args(example(ALLERGY)?)).await?;
    let asked = browser.node(ASK, Vec::new()).await?;
    let asked = asked.as_str().ok_or("no case")?;
    let kinds = browser.node(WAITING, Vec::new()).await?;
    let expected = [
        "notary/deposit",
        "treatment/data",
        "treatment/data-refusal",
        "treatment/dispute",
        "treatment/request",
    ];
    assert_eq!(kinds, json!(expected));
    let away =
        "await until(async () => (await node.sync()).problem?.code === 'network/unreachable')";
    browser.node(away, Vec::new()).await?;
    let contact = browser.node(CONTACT, Vec::new()).await?;
    assert!(contact["lastReached"].is_u64(), "{contact}");
    assert_eq!(contact["waiting"], expected.len());

    // A worker that starts without a network knows it all.
    browser.stop_worker().await?;
    assert_eq!(browser.node(CONTACT, Vec::new()).await?, contact);
    assert_eq!(browser.node(WAITING, Vec::new()).await?, kinds);

    browser.reconnect(cut).await?;
    browser.node("await node.sendNow()", Vec::new()).await?;
    browser.node(DELIVERED, Vec::new()).await?;
    came_once(&world, &open).await?;
    network.until("cases?phase=requested", |cases| holds(cases, asked)).await?;
    let after = browser.node(CONTACT, Vec::new()).await?;
    assert!(after["lastReached"].as_u64() > contact["lastReached"].as_u64());
    assert_eq!(after["problem"], Value::Null);
    world.nothing_refused().await
}

async fn came_once(world: &World, open: &Open) -> Result<()> {
    let Open { confirm, dispute, share, refuse } = open;
    world.one_result(&confirm.0, &confirm.1).await?;
    world.network.result_is(&dispute.0, &dispute.1, "disputed").await?;
    let answered = async |(case, _): &(String, String), kind: &str| {
        let answer = |view: &Value| view["dataRequests"][0]["answer"]["kind"] == kind;
        world.network.until(&format!("cases/{case}"), answer).await
    };
    answered(share, "answered").await?;
    answered(refuse, "refused").await?;
    let shared = world.network.get(&format!("cases/{}/shared", share.0)).await?;
    assert_eq!(shared["shared"][0]["records"].as_array().map(Vec::len), Some(1), "{shared}");
    Ok(())
}

/// Only Chromium has Background Sync.
#[tokio::test(flavor = "multi_thread")]
async fn the_browser_sends_what_waits_by_itself_when_no_page_is_open() {
    sync_in_background().await.unwrap();
}

async fn sync_in_background() -> Result<()> {
    let world = World::new(Engine::Chromium).await?;
    let (browser, url) = (&world.browser, world.network.url());
    let cut = browser.cut_off().await?;
    let case = browser.node(ASK, Vec::new()).await?;
    let case = case.as_str().ok_or("no case")?;
    browser.node(WAITING, Vec::new()).await?;
    let registered = "const { sync } = await navigator.serviceWorker.ready;
        await until(async () => (await sync.getTags()).includes('hdms-outbox'))";
    browser.node(registered, Vec::new()).await?;
    browser.go("about:blank").await?;
    browser.reconnect(cut).await?;
    sync_event(browser, url).await?;
    let phase = "cases?phase=requested";
    until("the request comes", async || Ok(holds(&world.network.get(phase).await?, case))).await
}

/// As Chromium does when it sees the network again; what it sees can't be emulated.
async fn sync_event(browser: &Browser, url: &str) -> Result<()> {
    let sync = async { browser.cdp().await?.dispatch_sync(url, "hdms-outbox").await };
    tokio::time::timeout(PATIENCE, sync).await?
}
