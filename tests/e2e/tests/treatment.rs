//! The treatment scenario, the papers' steps 1-21, by a person at the patient's pages in a real
//! browser and a HIS at the hospital's REST interface.

use std::time::Instant;

use hdms_tests::browser::{Browser, PATIENCE};
use hdms_tests::engine::Engine;
use hdms_tests::fhir::{ALLERGY, OBSERVATION, SUMMARY, example};
use hdms_tests::network::Network;
use hdms_tests::patient::Patient;
use hdms_tests::{Result, in_every_engine, pages};
use serde_json::Value;

in_every_engine!(
    a_treatment_goes_from_request_to_commitment,
    a_treatment_survives_a_worker_that_is_stopped_between_steps_and_messages_that_come_twice,
);

async fn a_treatment_goes_from_request_to_commitment(engine: Engine) -> Result<()> {
    let network = Network::start(pages::built()).await?;
    let browser = Browser::start(engine).await?;
    treatment(&network, &browser, async |_| Ok(())).await
}

async fn a_treatment_survives_a_worker_that_is_stopped_between_steps_and_messages_that_come_twice(
    engine: Engine,
) -> Result<()> {
    let pages = pages::twice()?;
    let network = Network::start(pages.path().to_owned()).await?;
    let browser = Browser::start(engine).await?;
    // WebKit takes its time to stop a worker: there, only at the two turning points.
    let stops = |step| engine != Engine::WebKit || [10, 14].contains(&step);
    let between = async |step| {
        if step == 12 {
            sent_twice(&browser).await?;
        }
        if stops(step) { browser.stop_worker().await } else { Ok(()) }
    };
    treatment(&network, &browser, between).await
}

/// What was just shared has gone out twice.
async fn sent_twice(browser: &Browser) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while browser.hook("doubled").await? == 0 {
        if Instant::now() > end {
            return Err("nothing was sent twice".into());
        }
    }
    Ok(())
}

/// The scenario; `between` is what happens after the step with that number.
async fn treatment(
    network: &Network,
    browser: &Browser,
    between: impl AsyncFn(u32) -> Result<()>,
) -> Result<()> {
    let patient = Patient::arrive(browser, network.url()).await?;
    patient.make_node().await?;
    between(0).await?;
    patient.add_record(&example(ALLERGY)?).await?;
    between(0).await?;
    patient.ask("Persistent cough", &["AllergyIntolerance", "Observation"]).await?;
    between(3).await?;
    let case = network.case_in_phase("requested").await?;
    network.approve(&case).await?;
    patient.sees_phase(&case, "Approved").await?;
    between(10).await?;
    let asked = network.ask_for_data(&case, "AllergyIntolerance").await?;
    between(11).await?;
    patient.share(&case, &asked).await?;
    between(12).await?;
    shared(network, &case, &asked).await?;

    let handed_in = [(OBSERVATION, "Observation"), (SUMMARY, "Bundle")];
    let mut entries = Vec::new();
    for (name, kind) in handed_in {
        for entry in network.hand_in(&case, example(name)?).await? {
            between(14).await?;
            patient.confirm(&case, &entry).await?;
            between(19).await?;
            network.result_is(&case, &entry, "committed").await?;
            same_text(network, &patient, &case, &entry).await?;
            entries.push((entry, kind));
        }
    }
    let asked = network.ask_for_data(&case, "Observation").await?;
    between(11).await?;
    patient.share(&case, &asked).await?;
    between(12).await?;
    shared(network, &case, &asked).await?;
    ledger_holds(network, &case, entries.len()).await
}

/// One record was shared in answer to the request, and the hospital could check it.
async fn shared(network: &Network, case: &str, request: &str) -> Result<()> {
    let is_there = |answer: &Value| {
        let shared = answer["shared"].as_array().into_iter().flatten();
        shared.into_iter().any(|one| {
            one["request"] == request && one["records"].as_array().is_some_and(|r| !r.is_empty())
        })
    };
    network.until(&format!("cases/{case}/shared"), is_there).await.map(drop)
}

/// The patient reads what the HIS wrote, byte for byte.
async fn same_text(
    network: &Network,
    patient: &Patient<'_>,
    case: &str,
    entry: &str,
) -> Result<()> {
    let written = network.text(&format!("cases/{case}/results/{entry}")).await?;
    let read = patient.text_of(case, entry).await?;
    let compact = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(compact(&read), compact(&written));
    Ok(())
}

/// Request and results are numbered without a gap, each once, endorsed by both and logged; nothing was set
/// aside.
async fn ledger_holds(network: &Network, case: &str, results: usize) -> Result<()> {
    let view = network.get(&format!("cases/{case}")).await?;
    let ledger = view["ledger"].as_array().cloned().unwrap_or_default();
    assert_eq!(ledger.len(), 1 + results, "{ledger:?}");
    for (number, entry) in (1..).zip(&ledger) {
        assert_eq!(entry["number"], number);
        assert_eq!(entry["endorsedByPatient"], true);
        assert_eq!(entry["endorsedByHospital"], true);
        assert!(entry["receipt"]["index"].is_u64(), "{entry}");
    }
    assert_eq!(view["missing"], serde_json::json!([]));
    assert_eq!(network.get("quarantine").await?["quarantined"], serde_json::json!([]));
    Ok(())
}
