//! Checking a receipt in the service worker, as every result that a patient reads has it checked.

use std::fs;

use hdms::ids::EntryId;
use hdms::ledger::{Commitment, LeafOpening, Salt, VerificationKey};
use hdms::log::merkle::{leaf_hash, root_of_inclusion};
use hdms::log::{Checkpoint, TlogProof};
use hdms::network::origin;
use hdms::provider::{Clock, Randomness};
use hdms_simulation::log::LogSigner;
use hdms_simulation::{BEGIN, Operator, Providers, id, keys};
use hdms_tests::browser::Browser;
use hdms_tests::engine::Engine;
use hdms_tests::network::Network;
use hdms_tests::{Result, pages};
use serde_json::{Value, json};

use crate::table::{Table, median};

/// Leaves of the log, the place of one of them, and the hashes that prove it.
const LEAVES: u64 = 10_000_000;
const INDEX: u64 = 6_543_210;
const HASHES: usize = 24;

/// Receipts that are checked in one go, and how often: the browsers' clocks are coarse.
const TIMES: u32 = 50;
const ROUNDS: u32 = 41;

/// Most that one may take, milliseconds.
const MOST: f64 = 1.0;

/// A service worker with the node's code alone.
const WORKER: &str = r#"
import init, { Receipts } from "./hdms_worker.js";
addEventListener("message", (event) => event.waitUntil(
    measure(event.data).catch(String).then((answer) => event.ports[0].postMessage(answer)),
));
async function measure({ network, receipt, times, rounds }) {
    await init({ module_or_path: fetch("./hdms_worker_bg.wasm") });
    const receipts = await Receipts.of(network);
    const took = [];
    let witnesses;
    for (let round = 0; round <= rounds; round += 1) {
        const start = performance.now();
        for (let i = 0; i < times; i += 1) witnesses = await receipts.check(receipt);
        // The first round warms up.
        if (round) took.push((performance.now() - start) / times);
    }
    return { took, witnesses };
}
"#;

const MEASURE: &str = "
    const scope = './receipts/', type = 'module';
    const registration = await navigator.serviceWorker.register('./receipts.js', { scope, type });
    while (registration.active?.state !== 'activated') await new Promise((resolve) => setTimeout(resolve, 50));
    const { port1, port2 } = new MessageChannel();
    return new Promise((resolve) => {
        port1.onmessage = ({ data }) => resolve(data);
        registration.active.postMessage(args[0], [port2]);
    });";

/// With proofs in a log of ten million leaves and up to 3 witnesses.
pub async fn checks(table: &mut Table) -> Result<()> {
    let fixture = Fixture::new().await?;
    let pages = pages::bare()?;
    fs::write(pages.path().join("receipts.js"), WORKER)?;
    let network = Network::start(pages.path().to_owned()).await?;
    for engine in [Engine::Chromium, Engine::Firefox] {
        let browser = Browser::start(engine).await?;
        browser.go(network.url()).await?;
        for witnesses in 0..=fixture.witnesses.len() {
            let took = fixture.measure(&browser, witnesses).await?;
            table.held(
                &format!("{engine:?}: check a receipt, witnesses: {witnesses}"),
                format!("at most {MOST} ms"),
                format!("{took:.2} ms ({} bytes)", fixture.receipt(witnesses)?.len()),
                took <= MOST,
            );
        }
    }
    Ok(())
}

/// A network of four notaries that asks for no witness, and an entry in the log of one of them.
struct Fixture {
    network: Value,
    log: LogSigner,
    witnesses: Vec<LogSigner>,
    opening: LeafOpening,
    hashes: Vec<[u8; 32]>,
}

impl Fixture {
    async fn new() -> Result<Self> {
        let providers = Providers {
            clock: hdms::testing::FixedClock::new(BEGIN),
            randomness: hdms::testing::SeededRandomness::new(1),
        };
        let operator = Operator::new(&providers)?;
        let mut network = operator.network(&[], &[])?;
        network.parameters.witnesses.clear();
        let third = LogSigner::of(&id(&keys("stranger", providers.randomness.clone())?)?)?;
        network.map.logs.push(third.listed().clone());
        let documents = operator.publish(&network).await?;
        let network = json!({"documents": documents, "root": operator.root(), "now": BEGIN});
        let mut hashes = vec![[0; 32]; HASHES];
        for hash in &mut hashes {
            providers.randomness.fill(hash)?;
        }
        let opening = LeafOpening {
            version: 2,
            entry: EntryId::new(&providers.randomness)?,
            verification_key: VerificationKey::of("a document"),
            time: providers.clock.now().seconds(),
            salt: Salt::new(&providers.randomness)?,
            place: Commitment([1; 32]),
            parties: Commitment([2; 32]),
            parties_salt: Some(Salt::new(&providers.randomness)?),
            number: Some(1),
        };
        let log = LogSigner::of(&id(&keys("notary", providers.randomness.clone())?)?)?;
        let mut witnesses = operator.witnesses()?;
        witnesses.push(third);
        Ok(Self { network, log, witnesses, opening, hashes })
    }

    /// The receipt under a checkpoint that so many have co-signed.
    fn receipt(&self, witnesses: usize) -> Result<String> {
        let (opening, hashes) = (&self.opening, self.hashes.clone());
        let leaf = leaf_hash(&opening.leaf().to_bytes());
        let root = root_of_inclusion(INDEX, LEAVES, leaf, &hashes).ok_or("not its hashes")?;
        let origin = origin(&self.log.listed().notary);
        let mut checkpoint = self.log.sign(Checkpoint { origin, size: LEAVES, root });
        for witness in &self.witnesses[..witnesses] {
            checkpoint.add(witness.cosign(&checkpoint, opening.time));
        }
        Ok(opening.receipt(TlogProof { extra: None, index: INDEX, hashes, checkpoint })?)
    }

    /// The median, milliseconds.
    async fn measure(&self, browser: &Browser, witnesses: usize) -> Result<f64> {
        let (network, receipt) = (self.network.to_string(), self.receipt(witnesses)?);
        let measured = json!({
            "network": network, "receipt": receipt, "times": TIMES, "rounds": ROUNDS,
        });
        let answer = browser.run(MEASURE, vec![measured]).await?;
        if answer["witnesses"] != witnesses {
            return Err(format!("the worker does not find {witnesses} witnesses: {answer}").into());
        }
        let took = answer["took"].as_array().into_iter().flatten();
        Ok(median(took.filter_map(Value::as_f64).collect()))
    }
}
