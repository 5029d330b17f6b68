//! Figures of the personal node in headless Chromium.

use std::fs;
use std::process::Command;

use hdms_tests::browser::Browser;
use hdms_tests::engine::Engine;
use hdms_tests::fhir::{OBSERVATION, example};
use hdms_tests::network::Network;
use hdms_tests::{Result, pages};
use serde_json::{Value, json};

use crate::table::{Table, median};

/// Our worker's code and npm `jose` in turn, with the same keys and claims, in one page.
const BESIDE: &str = r#"
    const [size, times, rounds] = args;
    const { default: init, Figures } = await import("./hdms_worker.js");
    const jose = await import("./jose/index.js");
    await init({ module_or_path: fetch("./hdms_worker_bg.wasm") });
    const rsa = (name, uses) => crypto.subtle.generateKey({
        name, hash: "SHA-256", modulusLength: 3072, publicExponent: new Uint8Array([1, 0, 1]),
    }, false, uses);
    const signing = await rsa("RSA-PSS", ["sign", "verify"]);
    const encryption = await rsa("RSA-OAEP", ["decrypt", "encrypt"]);
    const claims = { iss: "a", aud: "b", iat: 1, exp: 2, type: "figures", body: "x".repeat(size) };
    const figures = await Figures.of(signing, encryption, JSON.stringify(claims));
    // A node has several keys to decrypt with, and finds the one by its name.
    const kid = await jose.calculateJwkThumbprint(await jose.exportJWK(encryption.publicKey));
    const encode = new TextEncoder(), decode = new TextDecoder();
    const theirs = {
        async seal() {
            const signed = await new jose.CompactSign(encode.encode(JSON.stringify(claims)))
                .setProtectedHeader({ alg: "PS256", typ: "hdms+jwt", kid }).sign(signing.privateKey);
            return new jose.CompactEncrypt(encode.encode(signed))
                .setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM", cty: "JWT", kid })
                .encrypt(encryption.publicKey);
        },
        async open(envelope) {
            const { plaintext } = await jose.compactDecrypt(envelope, encryption.privateKey);
            const { payload } = await jose.compactVerify(decode.decode(plaintext), signing.publicKey);
            return JSON.parse(decode.decode(payload));
        },
    };
    // Each opens what the other has sealed.
    const [ourEnvelope, theirEnvelope] = [await figures.seal(), await theirs.seal()];
    const kinds = {
        ourOpen: () => figures.open(theirEnvelope), theirOpen: () => theirs.open(ourEnvelope),
        ourSeal: () => figures.seal(), theirSeal: () => theirs.seal(),
    };
    const took = { ourOpen: [], theirOpen: [], ourSeal: [], theirSeal: [] };
    for (let round = 0; round <= rounds; round += 1) {
        for (const [kind, operation] of Object.entries(kinds)) {
            const start = performance.now();
            for (let i = 0; i < times; i += 1) await operation();
            // The first round warms up.
            if (round) took[kind].push((performance.now() - start) / times);
        }
    }
    return took;
"#;

/// Cold starts that are measured.
const STARTS: usize = 25;

/// Open and seal 2 KB and 200 KB, beside npm `jose`.
pub async fn envelopes(table: &mut Table) -> Result<()> {
    let pages = pages::bare()?;
    let jose = pages.path().join("jose");
    pages::copy_into(&pages::root().join("node_modules/jose/dist/webapi"), &jose)?;
    let network = Network::start(pages.path().to_owned()).await?;
    let browser = Browser::start(Engine::Chromium).await?;
    browser.go(network.url()).await?;
    for (size, times) in [(2_000, 10), (200_000, 5)] {
        let took = browser.run(BESIDE, vec![json!(size), json!(times), json!(45)]).await?;
        for what in ["Open", "Seal"] {
            let figure = |who: &str| numbers(&took[format!("{who}{what}")]).map(median);
            let (ours, theirs) = (figure("our")?, figure("their")?);
            table.held(
                &format!("Chromium: {} a {} KB envelope", what.to_lowercase(), size / 1000),
                "not slower than jose".into(),
                format!("{ours:.2} ms (jose {theirs:.2} ms)"),
                ours <= theirs,
            );
        }
    }
    Ok(())
}

/// From an event that finds no worker to a record that is committed.
pub async fn worker_start(table: &mut Table) -> Result<()> {
    let pages = pages::bare_on(&pages::root().join("worker/pkg"))?;
    let network = Network::start(pages.path().to_owned()).await?;
    let browser = Browser::start(Engine::Chromium).await?;
    browser.go(network.url()).await?;
    browser.node("await node.make({ name: 'Kim' })", Vec::new()).await?;
    let fhir = json!(example(OBSERVATION)?);
    let add = "const start = performance.now();
        await node.addRecord({ fhir: args[0] });
        return performance.now() - start;";
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        browser.stop_worker().await?;
        for took in [&mut cold, &mut warm] {
            let milliseconds = browser.node(add, vec![fhir.clone()]).await?;
            took.push(milliseconds.as_f64().ok_or("not a number")?);
        }
    }
    let (cold, warm) = (median(cold), median(warm));
    table.held(
        "Chromium: worker start, event to committed record",
        "at most 50 ms".into(),
        format!("{cold:.1} ms (with the worker running {warm:.1} ms)"),
        cold <= 50.0,
    );
    Ok(())
}

/// All WASM and JavaScript of the worker, as its build measures them.
pub fn size(table: &mut Table) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["run", "--quiet", "--package", "hdms-worker-build"]);
    let said = build.current_dir(pages::root()).output()?;
    let said = String::from_utf8(said.stdout)?;
    let last = said.lines().last().ok_or("the worker's build says nothing")?;
    let mut words = last.split_whitespace();
    let bytes: u64 = words.nth(1).ok_or("no size")?.parse()?;
    let most: u64 = words.next_back().ok_or("no budget")?.parse()?;
    let module = fs::metadata(pages::root().join("worker/pkg/hdms_worker_bg.wasm"))?.len();
    table.held(
        "worker: all WASM and JavaScript, brotli",
        format!("at most {most} bytes"),
        format!("{bytes} bytes (module {module} before)"),
        bytes <= most,
    );
    Ok(())
}

fn numbers(list: &Value) -> Result<Vec<f64>> {
    let list = list.as_array().ok_or("not a list")?;
    Ok(list.iter().filter_map(Value::as_f64).collect())
}
