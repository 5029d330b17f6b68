//! A network, and a browser with a node on a bare page: most of what befalls nodes happens here.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::Browser;
use crate::engine::Engine;
use crate::fhir::{OBSERVATION, example};
use crate::network::Network;
use crate::{Result, pages};

/// A running network and a browser that shows a bare page with a node.
pub struct World {
    /// Server, notaries, hospital.
    pub network: Network,
    /// The patient's.
    pub browser: Browser,
    _pages: TempDir,
}

/// Asks for treatment in a new case, which it answers.
pub const ASK: &str = "
    const [hospital] = await node.hospitals();
    const request = { reason: 'Cough', date: null, mayRead: ['AllergyIntolerance'] };
    return (await node.ask({ case: hdms.uuidv7(), hospital: hospital.id, request })).id;";

/// The case has its result.
pub const ARRIVED: &str =
    "await until(async () => (await node.case(args[0])).results.length === 1)";

/// The result of the case is final.
pub const FINAL: &str = "await until(async () =>
    (await node.case(args[0])).results[0].status.kind === 'committed')";

impl World {
    /// Everything new.
    pub async fn new(engine: Engine) -> Result<Self> {
        Self::with(Browser::start(engine).await?, async |_, _| Ok(())).await
    }

    /// In this browser, with something done before it sees the network.
    pub async fn with(
        browser: Browser,
        before: impl AsyncFnOnce(&Browser, &Network) -> Result<()>,
    ) -> Result<Self> {
        let pages = pages::bare()?;
        let network = Network::start(pages.path().to_owned()).await?;
        before(&browser, &network).await?;
        browser.go(network.url()).await?;
        browser.node("await node.make({ name: 'Kim' })", Vec::new()).await?;
        Ok(Self { network, browser, _pages: pages })
    }

    /// Asks for treatment; answers the approved case.
    pub async fn approved(&self) -> Result<String> {
        let case = self.browser.node(ASK, Vec::new()).await?;
        let case = case.as_str().ok_or("no case")?;
        self.network.until("cases?phase=requested&limit=1000", |cases| holds(cases, case)).await?;
        self.network.approve(case).await?;
        let approved =
            "await until(async () => (await node.case(args[0])).phase.kind === 'approved')";
        self.browser.node(approved, vec![json!(case)]).await?;
        Ok(case.to_owned())
    }

    /// A result that waits for the patient; answers its case and entry.
    pub async fn with_result(&self) -> Result<(String, String)> {
        let case = self.approved().await?;
        let entry = self.hand_in(&case).await?;
        self.browser.node(ARRIVED, vec![json!(case)]).await?;
        Ok((case, entry))
    }

    /// The hospital hands in a laboratory value; answers its entry.
    pub async fn hand_in(&self, case: &str) -> Result<String> {
        static BEFORE: AtomicUsize = AtomicUsize::new(0);
        let mut result: Value = serde_json::from_str(&example(OBSERVATION)?)?;
        // The same once more would be taken for the one before.
        result["id"] = BEFORE.fetch_add(1, Ordering::Relaxed).to_string().into();
        let entries = self.network.hand_in(case, result.to_string()).await?;
        Ok(entries.into_iter().next().ok_or("no entry")?)
    }

    /// The case's ledger holds exactly the request and one result, both final, and nobody has
    /// refused anything.
    pub async fn one_result(&self, case: &str, entry: &str) -> Result<()> {
        self.network.result_is(case, entry, "committed").await?;
        let view = self.network.get(&format!("cases/{case}")).await?;
        assert_eq!(view["ledger"].as_array().map(Vec::len), Some(2), "{view}");
        self.nothing_refused().await
    }

    /// Neither side has set anything aside.
    pub async fn nothing_refused(&self) -> Result<()> {
        assert_eq!(self.network.get("quarantine").await?["quarantined"], json!([]));
        let set_aside = self.browser.node("return await node.quarantine()", Vec::new()).await?;
        assert_eq!(set_aside, json!([]));
        Ok(())
    }
}

/// Whether a list of the HIS names the case.
pub fn holds(cases: &Value, case: &str) -> bool {
    cases["cases"].as_array().into_iter().flatten().any(|listed| listed["id"] == case)
}
