//! What a patient's node relies on: receipts that it checks by itself, and network documents that no
//! server can take back.

use hdms::network::PROTOCOL_VERSION;
use hdms_tests::browser::Browser;
use hdms_tests::engine::Engine;
use hdms_tests::network::{HOSPITAL, Network};
use hdms_tests::patient::Patient;
use hdms_tests::world::{ARRIVED, FINAL, World};
use hdms_tests::{Result, in_engines, pages, until};
use serde_json::{Value, json};

in_engines!(
    receipts_are_checked_when_server_and_notaries_are_gone:
        Chromium as chromium, Firefox as firefox
);
in_engines!(
    a_revoked_hospital_is_refused_what_it_wrote_stays_and_no_server_takes_that_back:
        Chromium as chromium, Firefox as firefox
);
in_engines!(
    below_the_minimum_version_a_node_takes_in_and_sends_nothing_until_it_may_again:
        Chromium as chromium, Firefox as firefox
);
in_engines!(
    another_hospital_of_the_same_name_is_warned_of_until_the_patient_has_asked:
        Chromium as chromium, Firefox as firefox
);

/// Index and witnesses of every receipt of the case, and what is wrong with it.
const RECEIPTS: &str = "return (await node.case(args[0])).ledger.map((entry) =>
    [entry.receipt?.index ?? null, entry.receipt?.witnesses.length ?? null,
     entry.receiptProblem?.code ?? null])";

/// Gives the first receipt in the node's storage another place in the log.
const FORGE: &str = "
    const database = await new Promise((resolve, reject) => {
        const request = indexedDB.open('hdms');
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
    const store = database.transaction('receipts', 'readwrite').objectStore('receipts');
    const ask = (request) => new Promise((resolve) => request.onsuccess = () => resolve(request.result));
    const key = (await ask(store.getAllKeys()))[0];
    const text = new TextDecoder().decode(await ask(store.get(key)));
    const forged = text.replace(/^index (\\d+)$/m, (_, index) => `index ${Number(index) + 1}`);
    await ask(store.put(new TextEncoder().encode(forged), key));
    database.close();";

async fn receipts_are_checked_when_server_and_notaries_are_gone(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    let case = with_final_result(&world).await?;
    let World { network, browser, .. } = world;
    network.stop().await;
    browser.stop_worker().await?;
    let receipts = browser.node(RECEIPTS, vec![json!(case)]).await?;
    let receipts = receipts.as_array().ok_or("no ledger")?;
    assert_eq!(receipts.len(), 2);
    for receipt in receipts {
        assert!(receipt[0].is_u64() && receipt[2].is_null(), "{receipt}");
        assert!(receipt[1].as_u64().is_some_and(|witnesses| witnesses >= 1), "{receipt}");
    }
    browser.node(FORGE, Vec::new()).await?;
    let receipts = browser.node(RECEIPTS, vec![json!(case)]).await?;
    let mut problems: Vec<_> = receipts.as_array().ok_or("no ledger")?.iter().collect();
    problems.sort_by_key(|receipt| receipt[2].is_null());
    assert_eq!(*problems[0], json!([null, null, "ledger/receipt"]));
    assert_eq!(problems[1][2], Value::Null, "the other one still holds");
    Ok(())
}

async fn a_revoked_hospital_is_refused_what_it_wrote_stays_and_no_server_takes_that_back(
    engine: Engine,
) -> Result<()> {
    let world = World::new(engine).await?;
    let World { network, browser, .. } = &world;
    let case = with_final_result(&world).await?;
    let before = network.documents().await?;
    leave(browser).await?;
    hand_in_meanwhile(&world, &case).await?;
    network.revoke_hospital().await?;

    let look = "await until(async () => (await node.status()).quarantined === 1);
        const { hospitalListed, hospitalName, results, ledger } = await node.case(args[0]);
        const record = await node.record(`${args[0]}/${results[0].entry}`);
        const refused = await node.quarantine();
        return [refused.map(({ error }) => error.code), hospitalListed, hospitalName,
            results.map(({ status }) => status.kind), ledger.length, record.authorName];";
    let held = json!([["card/revoked"], false, "Test Hospital", ["committed"], 2, "Test Hospital"]);
    browser.go(network.url()).await?;
    assert_eq!(browser.node(look, vec![json!(case)]).await?, held);
    assert_eq!(browser.node("return await node.hospitals()", Vec::new()).await?, json!([]));

    let newest = network.documents().await?;
    network.offer(&before).await?;
    let listed = json!(network.hospital_id());
    for stop in [false, true] {
        if stop {
            leave(browser).await?;
            browser.go(network.url()).await?;
        }
        browser.node(&problem_is("network/rollback"), Vec::new()).await?;
        assert_eq!(browser.node(look, vec![json!(case)]).await?, held);
        let asked = browser.node(ASK_OF, vec![listed.clone()]).await;
        assert_eq!(asked.err().map(|error| error.to_string()), Some("network/unknown-node".into()));
    }
    network.offer(&newest).await?;
    browser.node(&problem_is(""), Vec::new()).await.map(drop)
}

async fn below_the_minimum_version_a_node_takes_in_and_sends_nothing_until_it_may_again(
    engine: Engine,
) -> Result<()> {
    let world = World::new(engine).await?;
    let World { network, browser, .. } = &world;
    let case = world.approved().await?;
    leave(browser).await?;
    // Before the hospital hears of it.
    let entry = hand_in_meanwhile(&world, &case).await?;
    network.require_version(PROTOCOL_VERSION + 1).await?;
    browser.go(network.url()).await?;
    browser.node(&problem_is("network/version"), Vec::new()).await?;
    browser.node(ARRIVED, vec![json!(case)]).await?;
    let confirm = "await node.confirm({ case: args[0], entries: [args[1]] });
        const { problem, waiting } = await node.sendNow();
        const outbox = await node.outbox();
        return [problem.code, waiting === outbox.length, waiting > 0,
            outbox.some(({ attempts }) => attempts > 0)];";
    let waits = browser.node(confirm, vec![json!(case), json!(entry)]).await?;
    assert_eq!(waits, json!(["network/version", true, true, false]));
    network.result_is(&case, &entry, "sent").await?;

    network.require_version(PROTOCOL_VERSION).await?;
    network.refresh().await?;
    browser.node(&problem_is(""), Vec::new()).await?;
    browser.node(FINAL, vec![json!(case)]).await?;
    browser.node("await until(async () => (await node.status()).waiting === 0)", vec![]).await?;
    world.one_result(&case, &entry).await
}

async fn another_hospital_of_the_same_name_is_warned_of_until_the_patient_has_asked(
    engine: Engine,
) -> Result<()> {
    let pages = pages::with_hooks()?;
    let network = Network::start(pages.path().to_owned()).await?;
    let browser = Browser::start(engine).await?;
    let patient = Patient::arrive(&browser, network.url()).await?;
    patient.make_node().await?;
    let another = network.replace_hospital().await?;

    let bare = format!("{}/{}", network.url(), pages::BARE_PAGE);
    browser.go(&bare).await?;
    let warned = "const warnings = await until(async () => {
            await node.restart();
            const { keyWarnings } = await node.sync();
            return keyWarnings.length > 0 && keyWarnings;
        });
        return warnings.map(({ node, name, former }) => ({ node, name, former }));";
    let warning = json!([{
        "node": another.node().id(), "name": HOSPITAL, "former": network.hospital_id(),
    }]);
    assert_eq!(browser.node(warned, Vec::new()).await?, warning);

    patient.open("").await?;
    let heading = format!("{HOSPITAL} has other keys than before");
    patient.sees(&heading).await?;
    patient.press("I have asked them").await?;
    let shown = async || Ok(browser.find("main").await?.text().await?.contains(&heading));
    until("the warning goes", async || shown().await.map(|shown| !shown)).await?;
    leave(&browser).await?;
    patient.open("").await?;
    patient.sees("Ready").await?;
    assert!(!shown().await?);
    browser.go(&bare).await?;
    let left = "await node.restart(); return (await node.sync()).keyWarnings";
    assert_eq!(browser.node(left, Vec::new()).await?, json!([]));
    Ok(())
}

/// Asks this hospital for treatment in a new case.
const ASK_OF: &str = "
    const request = { reason: 'Cough', date: null, mayRead: [] };
    await node.ask({ case: hdms.uuidv7(), hospital: args[0], request });";

/// Waits until a worker that was just started, and fetches the documents anew, has this problem.
fn problem_is(code: &str) -> String {
    format!(
        "await until(async () => {{
            await node.restart();
            return ((await node.sync()).problem?.code ?? '') === '{code}';
        }})"
    )
}

/// A case whose result is final.
async fn with_final_result(world: &World) -> Result<String> {
    let (case, entry) = world.with_result().await?;
    let confirm = "await node.confirm({ case: args[0], entries: [args[1]] })";
    world.browser.node(confirm, vec![json!(case), json!(entry)]).await?;
    world.browser.node(FINAL, vec![json!(case)]).await?;
    Ok(case)
}

/// The patient closes the page, and the browser stops the worker.
async fn leave(browser: &Browser) -> Result<()> {
    browser.go("about:blank").await?;
    browser.stop_worker().await
}

/// The hospital hands in a result, which waits in the mailbox of a patient who has left; answers
/// its entry.
async fn hand_in_meanwhile(world: &World, case: &str) -> Result<String> {
    let before = world.network.mailbox()?.0;
    let entry = world.hand_in(case).await?;
    until("it is in the mailbox", async || Ok(world.network.mailbox()?.0 > before)).await?;
    Ok(entry)
}
