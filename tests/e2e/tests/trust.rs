//! What a patient's node relies on: receipts that it checks by itself, and network documents that no
//! server can take back.

use hdms_tests::engine::Engine;
use hdms_tests::world::{FINAL, World};
use hdms_tests::{Result, in_engines};
use serde_json::{Value, json};

in_engines!(
    receipts_are_checked_when_server_and_notaries_are_gone:
        Chromium as chromium, Firefox as firefox
);
in_engines!(
    a_revoked_hospital_is_offered_no_more_and_what_it_wrote_stays:
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
    let (case, entry) = world.with_result().await?;
    let confirm = "await node.confirm({ case: args[0], entry: args[1] })";
    world.browser.node(confirm, vec![json!(case), json!(entry)]).await?;
    world.browser.node(FINAL, vec![json!(case)]).await?;
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
    assert_eq!(receipts[0], json!([null, null, "ledger/receipt"]));
    assert_eq!(receipts[1][2], Value::Null, "the other one still holds");
    Ok(())
}

async fn a_revoked_hospital_is_offered_no_more_and_what_it_wrote_stays(
    engine: Engine,
) -> Result<()> {
    let world = World::new(engine).await?;
    let (case, _) = world.with_result().await?;
    world.network.revoke_hospital().await?;
    // A worker that was just started fetches the documents anew.
    let gone = "return await until(async () => {
        await node.restart();
        return (await node.hospitals()).length === 0;
    })";
    world.browser.node(gone, Vec::new()).await?;
    let look = "const one = await node.case(args[0]);
        const record = await node.record(`${args[0]}/${one.results[0].entry}`);
        return [one.hospitalListed, one.hospitalName, record.authorName];";
    let seen = world.browser.node(look, vec![json!(case)]).await?;
    assert_eq!(seen, json!([false, "Test Hospital", "Test Hospital"]));
    Ok(())
}
