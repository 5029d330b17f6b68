//! What becomes of a node when pages, worker, browser or storage fail it: on a bare page, by the
//! interface that integrators use.

use hdms_tests::browser::Browser;
use hdms_tests::engine::Engine;
use hdms_tests::fhir::{ALLERGY, example};
use hdms_tests::network::Network;
use hdms_tests::patient::Patient;
use hdms_tests::world::{ARRIVED, FINAL, World};
use hdms_tests::{Result, in_every_engine, pages};
use serde_json::{Value, json};

in_every_engine!(
    a_result_that_arrives_while_no_page_is_open_waits_for_the_patient,
    two_tabs_that_confirm_at_once_confirm_once,
    a_page_outlives_its_worker,
    a_trap_is_survived,
    a_failed_commit_stops_the_node_and_says_so,
);

async fn a_result_that_arrives_while_no_page_is_open_waits_for_the_patient(
    engine: Engine,
) -> Result<()> {
    let world = World::new(engine).await?;
    let case = world.approved().await?;
    world.browser.go("about:blank").await?;
    let entry = world.hand_in(&case).await?;
    world.network.result_is(&case, &entry, "sent").await?;
    world.browser.go(world.network.url()).await?;
    world.browser.node(ARRIVED, vec![json!(case)]).await?;
    let confirm = "await node.confirm({ case: args[0], entries: [args[1]] })";
    world.browser.node(confirm, vec![json!(case), json!(entry)]).await?;
    world.browser.node(FINAL, vec![json!(case)]).await?;
    world.one_result(&case, &entry).await
}

async fn two_tabs_that_confirm_at_once_confirm_once(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    let (case, entry) = world.with_result().await?;
    let args = vec![json!(case), json!(entry)];
    let session = world.browser.session()?;
    let ready = "const channel = new BroadcastChannel('both');
        const [one, entry] = args;
        window.decided = new Promise((resolve, reject) => {
            channel.onmessage = () => node.confirm({ case: one, entries: [entry] }).then(resolve, reject);
        });
        window.channel = channel;";
    let go = "channel.postMessage('now'); channel.onmessage(); await window.decided;";
    world.browser.node(ready, args.clone()).await?;
    let first = session.window().await?;
    let second = session.new_tab().await?;
    session.switch_to_window(second).await?;
    world.browser.go(world.network.url()).await?;
    world.browser.node(ARRIVED, args.clone()).await?;
    world.browser.node(ready, args.clone()).await?;
    world.browser.node(go, args.clone()).await?;
    world.browser.node(FINAL, args.clone()).await?;
    session.switch_to_window(first).await?;
    world.browser.node("await window.decided", Vec::new()).await?;
    world.browser.node(FINAL, args).await?;
    world.one_result(&case, &entry).await
}

async fn a_page_outlives_its_worker(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    let case = world.approved().await?;
    let listen = "window.told = 0; hdms.subscribe(() => { window.told += 1; });";
    world.browser.node(listen, Vec::new()).await?;
    // WebKit keeps a worker as long as it has pages: this page can't outlive it there.
    if engine != Engine::WebKit {
        world.browser.stop_worker().await?;
    }
    let status = world.browser.node("return (await node.status()).state", Vec::new()).await?;
    assert_eq!(status, "ready");
    if engine != Engine::WebKit {
        world.browser.stop_worker().await?;
    }
    // The page is still told of what comes.
    let entry = world.hand_in(&case).await?;
    world.browser.node("await until(() => window.told > 0)", Vec::new()).await?;
    world.browser.node(ARRIVED, vec![json!(case)]).await?;
    let confirm = "await node.confirm({ case: args[0], entries: [args[1]] })";
    world.browser.node(confirm, vec![json!(case), json!(entry)]).await?;
    world.one_result(&case, &entry).await
}

async fn a_trap_is_survived(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    let case = world.approved().await?;
    let fhir = example(ALLERGY)?;
    let trap_while_working = "
        const adding = node.addRecord({ fhir: args[0] });
        const looking = node.cases();
        const { active } = await navigator.serviceWorker.ready;
        active.postMessage({ hook: 'trap' });
        await Promise.all([adding, looking]);
        active.postMessage({ hook: 'trap' });
        return (await node.records()).length;";
    let records = world.browser.node(trap_while_working, vec![json!(fhir)]).await?;
    assert_eq!(records, 1);
    let entry = world.hand_in(&case).await?;
    world.browser.node(ARRIVED, vec![json!(case)]).await?;
    let confirm = "await node.confirm({ case: args[0], entries: [args[1]] })";
    world.browser.node(confirm, vec![json!(case), json!(entry)]).await?;
    world.one_result(&case, &entry).await
}

async fn a_failed_commit_stops_the_node_and_says_so(engine: Engine) -> Result<()> {
    let pages = pages::with_hooks()?;
    let network = Network::start(pages.path().to_owned()).await?;
    let browser = Browser::start(engine).await?;
    let patient = Patient::arrive(&browser, network.url()).await?;
    patient.make_node().await?;
    patient.open("records/new").await?;
    browser.paste("textarea", &example(ALLERGY)?).await?;
    browser.hook("fail_next_commit").await?;
    patient.press("Add to my records").await?;
    patient.sees("Your node has stopped, so that nothing is lost").await?;
    let code = browser.find("[role=alert] code").await?.text().await?;
    assert_eq!(code, "store/failed");
    patient.press("Start again").await?;
    patient.open("records").await?;
    patient.sees("Records").await?;
    let kept = browser
        .run("return document.querySelectorAll('main a[href*=\"/records/0\"]').length", Vec::new());
    assert_eq!(kept.await?, Value::from(0));
    patient.add_record(&example(ALLERGY)?).await
}

/// WebKitGTK's browser keeps no profile while it is automated: not tested there.
mod a_node_is_there_after_its_browser_was_closed {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn chromium() {
        run(Engine::Chromium).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn firefox() {
        run(Engine::Firefox).await.unwrap();
    }

    async fn run(engine: Engine) -> Result<()> {
        let mut world = World::new(engine).await?;
        let case = world.approved().await?;
        let who = "const { state, node: id } = await node.status(); return [state, id]";
        let before = world.browser.node(who, Vec::new()).await?;
        world.browser.restart().await?;
        let entry = world.hand_in(&case).await?;
        world.browser.go(world.network.url()).await?;
        assert_eq!(world.browser.node(who, Vec::new()).await?, before);
        world.browser.node(ARRIVED, vec![json!(case)]).await?;
        let confirm = "await node.confirm({ case: args[0], entries: [args[1]] })";
        world.browser.node(confirm, vec![json!(case), json!(entry)]).await?;
        world.one_result(&case, &entry).await
    }
}
