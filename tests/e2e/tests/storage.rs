//! A full disk is told before anything is refused, and loses nothing; storage that is gone, whole or
//! in part, is said and never silently replaced.

use hdms_tests::browser::Browser;
use hdms_tests::engine::Engine;
use hdms_tests::fhir::{ALLERGY, example};
use hdms_tests::world::{ARRIVED, ASK, FINAL, World};
use hdms_tests::{Result, in_engines_with_push as in_engines_with_limits};
use serde_json::{Value, json};

// WebKitGTK tells nothing of its room, and its driver limits nothing.
in_engines_with_limits!(
    a_full_disk_is_told_loses_nothing_and_is_left_behind_when_space_returns,
    a_database_that_is_deleted_under_a_running_node_is_missed_at_once,
    a_database_that_the_browser_removes_is_missed,
    a_node_that_has_lost_a_part_is_not_taken_for_a_whole_one,
);

/// What the browser lets the origin use, bytes.
const QUOTA: u64 = 80_000_000;

const FILLER: &str = "
    const settle = (request) => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
    const fill = async (bytes, most) => {
        const opening = indexedDB.open('filler', 1);
        opening.onupgradeneeded = () => opening.result.createObjectStore('x', { autoIncrement: true });
        const filler = await settle(opening);
        const noise = new Uint8Array(bytes);
        for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(noise.subarray(at, at + 65_536));
        const put = () => new Promise((resolve) => {
            const transaction = filler.transaction('x', 'readwrite');
            transaction.objectStore('x').put(noise);
            transaction.oncomplete = () => resolve(true);
            transaction.onabort = () => resolve(false);
        });
        for (let count = 0; count < most && (await put()); count += 1);
        filler.close();
    };
    const refused = (work) => work.then(() => null, ({ code }) => code);";

/// A browser that gives every origin little room.
async fn narrow(engine: Engine) -> Result<World> {
    let mut browser = Browser::start(engine).await?;
    if engine == Engine::Firefox {
        // An origin gets a fifth of it, KB; read at the browser's start.
        let limit = QUOTA * 5 / 1024;
        let pref = "dom.quotaManager.temporaryStorage.fixedLimit";
        browser.privileged(&format!("Services.prefs.setIntPref('{pref}', {limit})")).await?;
        browser.restart().await?;
    }
    World::with(browser, async |browser, network| {
        if engine == Engine::Chromium {
            // Before the first use: IndexedDB keeps in mind for half a minute how much is left.
            let limits = json!({"origin": network.url(), "quotaSize": QUOTA});
            let cdp = browser.session()?.cdp();
            cdp.send_raw("Storage.overrideQuotaForOrigin", limits).await?;
        }
        Ok(())
    })
    .await
}

async fn filling(world: &World, body: &str, args: Vec<Value>) -> Result<Value> {
    world.browser.node(&format!("{FILLER} {body}"), args).await
}

async fn a_full_disk_is_told_loses_nothing_and_is_left_behind_when_space_returns(
    engine: Engine,
) -> Result<()> {
    let world = narrow(engine).await?;
    let case = world.approved().await?;
    let fhir = json!(example(ALLERGY)?);
    let room = "return (await node.status()).storage.low";
    assert_eq!(world.browser.node(room, Vec::new()).await?, false);
    // Chromium tells every origin that it may use 10 GB more than it does, however full the disk is.
    if engine == Engine::Firefox {
        let nearly = "
            const { used, quota } = (await node.status()).storage;
            await fill(1_000_000, (quota - used) / 1_000_000 - 15);
            await until(async () => (await node.status()).storage.low)";
        filling(&world, nearly, Vec::new()).await?;
    }
    let add = "await node.addRecord({ fhir: args[0] })";
    world.browser.node(add, vec![fhir.clone()]).await?;

    let full = "
        for (const bytes of [1_000_000, 65_536, 4_096]) await fill(bytes, 1_000);
        const code = await refused(node.addRecord({ fhir: args[0] }));
        const { state, problem, storage } = await node.status();
        return [code, state, problem?.code, storage.low, (await node.records()).length];";
    let told = filling(&world, full, vec![fhir.clone()]).await?;
    assert_eq!(told, json!(["store/full", "ready", "store/full", true, 1]));
    let entry = world.hand_in(&case).await?;
    let stays = "await until(async () => (await node.status()).nextAttempt);
        return (await node.case(args[0])).results.length";
    assert_eq!(world.browser.node(stays, vec![json!(case)]).await?, 0);
    world.network.result_is(&case, &entry, "sent").await?;

    // Nobody starts anything again.
    filling(&world, "await settle(indexedDB.deleteDatabase('filler'))", Vec::new()).await?;
    world.browser.node(ARRIVED, vec![json!(case)]).await?;
    let confirm = "await node.confirm({ case: args[0], entries: [args[1]] })";
    world.browser.node(confirm, vec![json!(case), json!(entry)]).await?;
    world.browser.node(FINAL, vec![json!(case)]).await?;
    let well = "await until(async () => !(await node.status()).problem)";
    world.browser.node(well, Vec::new()).await?;
    world.one_result(&case, &entry).await
}

/// The page is told without asking; every command says so; nothing is made anew by itself.
const LOST: &str = "
    const refused = (work) => work.then(() => null, ({ code }) => code);
    await until(() => window.lost);
    const { state, problem } = await node.status();
    return [state, problem.code, await refused(node.cases()), await refused(node.make({ name: 'Kim' }))];";

const LISTEN: &str = "hdms.subscribe((event) => {
    if (event.status?.problem?.code === 'store/lost') window.lost = true;
}); return (await node.status()).node";

async fn is_lost(world: &World) -> Result<()> {
    let told = world.browser.node(LOST, Vec::new()).await?;
    assert_eq!(told, json!(["stopped", "store/lost", "store/lost", "store/lost"]));
    Ok(())
}

/// The next worker says so, too; a person's word makes a new node.
async fn is_replaced(world: &World, before: &Value) -> Result<()> {
    world.browser.stop_worker().await?;
    is_lost(world).await?;
    let replace = "await node.make({ name: 'Kim', replaceLost: true });
        const { state, node: id, problem } = await node.status();
        return [state, id === args[0], problem, (await node.cases()).length]";
    let made = world.browser.node(replace, vec![before.clone()]).await?;
    assert_eq!(made, json!(["ready", false, null, 0]));
    Ok(())
}

async fn a_database_that_is_deleted_under_a_running_node_is_missed_at_once(
    engine: Engine,
) -> Result<()> {
    let world = World::new(engine).await?;
    let before = world.browser.node(LISTEN, Vec::new()).await?;
    filling(&world, "await settle(indexedDB.deleteDatabase('hdms'))", Vec::new()).await?;
    is_lost(&world).await?;
    is_replaced(&world, &before).await
}

async fn a_database_that_the_browser_removes_is_missed(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    let before = world.browser.node(LISTEN, Vec::new()).await?;
    let url = world.network.url();
    if engine == Engine::Chromium {
        let all = json!({"origin": url, "storageTypes": "indexeddb"});
        world.browser.session()?.cdp().send_raw("Storage.clearDataForOrigin", all).await?;
    } else {
        let evict = format!(
            "const uri = Services.io.newURI('{url}');
             const principal = Services.scriptSecurityManager.createContentPrincipal(uri, {{}});
             await new Promise((resolve) => {{
                 Services.qms.clearStoragesForClient(principal, 'idb').callback = resolve;
             }});"
        );
        world.browser.privileged(&evict).await?;
    }
    is_lost(&world).await?;
    is_replaced(&world, &before).await
}

async fn a_node_that_has_lost_a_part_is_not_taken_for_a_whole_one(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    for part in ["cases", "meta", "keys"] {
        world.browser.node(ASK, Vec::new()).await?;
        let before = world.browser.node(LISTEN, Vec::new()).await?;
        let clear = "
            const database = await settle(indexedDB.open('hdms'));
            await settle(database.transaction(args[0], 'readwrite').objectStore(args[0]).clear());
            database.close();";
        filling(&world, clear, vec![json!(part)]).await?;
        world.browser.stop_worker().await?;
        world.browser.node("await node.status(); window.lost = true", Vec::new()).await?;
        is_replaced(&world, &before).await.map_err(|error| format!("{part}: {error}"))?;
        world.browser.node("window.lost = false", Vec::new()).await?;
    }
    Ok(())
}
