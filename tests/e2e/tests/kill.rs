//! The worker is stopped at random points of treatments, in both directions. After each of them
//! nothing that was accepted is lost, nothing has happened twice, and both sides' ledgers agree.
//!
//! `HDMS_KILL_RUNS` says how many runs there are for each engine, `HDMS_KILL_SEED` the first one's
//! seed: each run prints its own, with which it can be repeated.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdms::provider::Randomness;
use hdms::testing::SeededRandomness;
use hdms_tests::engine::Engine;
use hdms_tests::fhir::{ALLERGY, OBSERVATION, example};
use hdms_tests::network::Network;
use hdms_tests::world::{World, holds};
use hdms_tests::{Result, until};
use serde_json::{Value, json};
use tokio::time::sleep;

/// WebKitGTK's driver can't stop a worker.
mod a_worker_stopped_at_random_points_loses_and_doubles_nothing {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn chromium() {
        kill_at_random(Engine::Chromium).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn firefox() {
        kill_at_random(Engine::Firefox).await.unwrap();
    }
}

/// Runs of each engine when nobody says how many.
const RUNS: u64 = 10;

/// Most stops in a run.
const MOST_STOPS: u64 = 6;

/// Longest time between two stops, milliseconds.
const LONGEST_LIFE: u64 = 600;

/// What the patient does in one case, without being asked: goes on as soon as it can.
const TREATMENT: &str = "
    const [id] = args;
    const decide = async () => {
        const [hospital] = await node.hospitals();
        const request = { reason: 'Cough', date: null, mayRead: ['AllergyIntolerance'] };
        await node.ask({ case: id, hospital: hospital.id, request });
        const { dataRequests: [asked] } =
            await until(async () => { const one = await node.case(id); return one.dataRequests.length && one; });
        const records = await node.recordsFor({ case: id, dataRequest: asked.id });
        await node.share({ case: id, dataRequest: asked.id, records: [records[0].id] });
        const { results: [result] } =
            await until(async () => { const one = await node.case(id); return one.results.length && one; });
        await node.confirm({ case: id, entries: [result.entry] });
        await until(async () => (await node.case(id)).results[0].status.kind === 'committed');
        await until(async () => (await node.outbox()).length === 0);
    };
    window.treatment = { done: false };
    decide().then(() => { window.treatment.done = true },
        (error) => { window.treatment.error = String(error.code ?? error) });";

const STATE: &str =
    "return [await node.status(), await node.outbox(), (await node.cases()).at(-1)]";

async fn kill_at_random(engine: Engine) -> Result<()> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let runs = number("HDMS_KILL_RUNS").unwrap_or(RUNS);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let first = number("HDMS_KILL_SEED").unwrap_or(clock % 1_000_000_000);
    let world = World::new(engine).await?;
    let adding = "await node.addRecord({ fhir: args[0] })";
    world.browser.node(adding, vec![example(ALLERGY)?.into()]).await?;
    let begun = Instant::now();
    let mut stops = 0;
    for seed in first..first + runs {
        println!("{engine:?}: HDMS_KILL_SEED={seed} HDMS_KILL_RUNS=1");
        match run(&world, seed).await {
            Ok(stopped) => stops += stopped,
            Err(error) => {
                let state = world.browser.node(STATE, Vec::new()).await;
                let hospital = world.network.get("outbox").await;
                return Err(format!(
                    "seed {seed}: {error}; the node: {state:?}; the hospital's outbox: {hospital:?}"
                )
                .into());
            }
        }
    }
    let cases = world.browser.node("return (await node.cases()).length", Vec::new()).await?;
    assert_eq!(cases, runs);
    println!("{engine:?}: {stops} stops in {runs} runs, {:?}", begun.elapsed());
    Ok(())
}

/// One treatment under fire; answers how often the worker was stopped.
async fn run(world: &World, seed: u64) -> Result<u64> {
    let id = world.browser.node("return hdms.uuidv7()", Vec::new()).await?;
    let case = id.as_str().ok_or("no id")?;
    world.browser.node(TREATMENT, vec![id.clone()]).await?;
    let (stops, entry) = tokio::try_join!(fire(world, seed), treat(&world.network, case))?;
    world.one_result(case, &entry).await?;
    agree(world, case).await?;
    Ok(stops)
}

/// Stops the worker some times, then waits until the patient is done.
async fn fire(world: &World, seed: u64) -> Result<u64> {
    let chance = SeededRandomness::new(seed);
    let below = |limit: u64| -> Result<u64> {
        let mut random = [0; 8];
        chance.fill(&mut random)?;
        Ok(u64::from_le_bytes(random) % limit)
    };
    let stops = 1 + below(MOST_STOPS)?;
    for _ in 0..stops {
        sleep(Duration::from_millis(below(LONGEST_LIFE)?)).await;
        world.browser.stop_worker().await?;
    }
    let done = async || {
        let treatment = world.browser.run("return window.treatment", Vec::new()).await?;
        match treatment["error"].as_str() {
            Some(error) => Err(error.to_owned().into()),
            None => Ok(treatment["done"] == true),
        }
    };
    until("the patient is done", done).await?;
    Ok(stops)
}

/// What the hospital does meanwhile; answers the result's entry.
async fn treat(network: &Network, case: &str) -> Result<String> {
    let requested = "cases?phase=requested&limit=1000";
    until("the request comes", async || Ok(holds(&network.get(requested).await?, case))).await?;
    network.approve(case).await?;
    let approved = |view: &Value| view["summary"]["phase"]["kind"] == "approved";
    network.until(&format!("cases/{case}"), approved).await?;
    network.ask_for_data(case, "AllergyIntolerance").await?;
    let entries = network.hand_in(case, example(OBSERVATION)?).await?;
    let entry = entries.into_iter().next().ok_or("no entry")?;
    network.result_is(case, &entry, "committed").await?;
    Ok(entry)
}

/// Both sides keep the same ledger, one answer to the one request for data, and one result.
async fn agree(world: &World, case: &str) -> Result<()> {
    let path = format!("cases/{case}");
    let answered = |view: &Value| view["dataRequests"][0]["answer"]["kind"] == "answered";
    let theirs = world.network.until(&path, answered).await?;
    let ours = world.browser.node("return await node.case(args[0])", vec![json!(case)]).await?;
    for side in [&theirs, &ours] {
        for (list, length) in [("dataRequests", 1), ("results", 1), ("ledger", 2)] {
            assert_eq!(side[list].as_array().map(Vec::len), Some(length), "{list} of {side}");
        }
    }
    for (theirs, ours) in theirs["ledger"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(ours["ledger"].as_array().into_iter().flatten())
    {
        for member in ["id", "verificationKey", "number", "endorsedByPatient", "endorsedByHospital"]
        {
            assert_eq!(theirs[member], ours[member], "{member}");
        }
        assert_eq!(theirs["receipt"]["index"], ours["receipt"]["index"]);
        assert!(ours["receipt"]["index"].is_u64(), "{ours}");
    }
    let shared = world.network.get(&format!("{path}/shared")).await?;
    assert_eq!(shared["shared"].as_array().map(Vec::len), Some(1), "{shared}");
    Ok(())
}
