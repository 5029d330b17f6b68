//! `hdms scenario treatment`: starts a whole network on this machine and takes a case through the
//! papers' 21 steps for every FHIR file, over real HTTP.

mod case;
mod check;
mod his;
mod input;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use hdms::Error;
use hdms::{fhir::resource, json};
use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

pub use report::{Failed, Style, Summary};

use crate::base::keys;
use crate::base::system::NodeClock;
use crate::local::network::{LocalConfig, LocalNetwork};
use crate::local::personal::Personal;
use crate::server::PushConfig;
use case::{OwnRecord, Stage};
use his::{Changes, His};
use input::Input;
use report::{Journal, Measured};

/// What the patient wrote and shares in every case.
const OWN: &str = include_str!("own-record.json");

/// What to run.
#[derive(Clone, Debug)]
pub struct Treatment {
    /// FHIR R4 resources or Bundles, or folders of them: one case for each file.
    pub records: Vec<PathBuf>,
    /// How many cases, going through the files again and again; one for each when left out.
    pub cases: Option<usize>,
    /// Cases under way at the same time.
    pub concurrency: usize,
    /// What to print.
    pub style: Style,
}

impl Treatment {
    /// Runs the cases on a network of their own, and prints each case's steps once it is through.
    ///
    /// Errors: what can't be read or started; a case that fails is in the summary.
    pub async fn run(&self) -> Result<Summary, Failed> {
        let inputs = input::find(&self.records)?;
        let folder = tempfile::tempdir().map_err(|error| Failed::new(&error.to_string()))?;
        let stop = CancellationToken::new();
        let network = LocalNetwork::start(plan(folder.path()), stop.clone()).await?;
        let me = network.personal("patient", "Pat Doe");
        let personal = Personal::start(me, NodeClock::default(), stop).await?;
        let stage = Arc::new(set(&network, &personal).await?);
        let begun = Begun::now();
        let outcomes = self.run_cases(inputs, &stage).await;
        let measured = begun.measured();
        network.stop().await;
        personal.ended().await;
        let passed = outcomes.iter().flatten().count();
        let results = outcomes.iter().flatten().sum();
        Ok(Summary::new(passed, outcomes.len() - passed, results, measured))
    }

    /// The number of results of each case, `None` of one that failed.
    async fn run_cases(&self, inputs: Vec<Input>, stage: &Arc<Stage>) -> Vec<Option<usize>> {
        let style = self.style;
        let count = self.cases.unwrap_or(inputs.len());
        let inputs = inputs.into_iter().map(Arc::new).collect::<Vec<_>>().into_iter().cycle();
        let cases = inputs.take(count).enumerate().map(|(place, input)| {
            let stage = stage.clone();
            tokio::spawn(async move {
                let mut journal = Journal::new(place + 1, input.name.clone());
                let outcome = case::run(&stage, &input, &mut journal).await;
                journal.print(style, outcome.as_ref().err());
                outcome.ok()
            })
        });
        let outcomes = stream::iter(cases).buffer_unordered(self.concurrency.max(1));
        outcomes.map(|outcome| outcome.ok().flatten()).collect().await
    }
}

fn plan(data: &Path) -> LocalConfig {
    LocalConfig {
        data: data.to_owned(),
        port: None,
        name: "Scenario".to_owned(),
        institutions: vec![("hospital".to_owned(), "General Hospital".to_owned())],
        pages: None,
        samples: None,
        push: PushConfig::default(),
    }
}

/// Brings the patient and the HIS onto the stage.
async fn set(network: &LocalNetwork, personal: &Personal) -> Result<Stage, Failed> {
    let patient = personal.node().clone();
    let hospital = network.institutions().first().ok_or(Error::NodeUnknown)?;
    let his = His::connect(hospital.url(), hospital.api_key().to_owned()).await?;
    let changes = Changes::default();
    let (mut changed, tell) = (patient.platform().changes(), changes.clone());
    tokio::spawn(async move {
        loop {
            match changed.recv().await {
                Ok(case) => tell.tell(&case),
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => tell.tell_all(),
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            }
        }
    });
    let own = json::parse(OWN.as_bytes())?;
    let kind = resource::kind(&own).unwrap_or_default().to_owned();
    let text = own.to_string();
    let name = patient.add_record(own).await?;
    let own = OwnRecord { name, kind, text };
    let (name, hospital) = (personal.name().to_owned(), hospital.node().id().clone());
    Ok(Stage { patient, name, changes, hospital, his, own })
}

/// The clocks at the beginning of a run.
struct Begun {
    wall: Instant,
    cpu: Duration,
    private: keys::Work,
}

impl Begun {
    fn now() -> Self {
        Self { wall: Instant::now(), cpu: cpu_time(), private: keys::private_work() }
    }

    fn measured(&self) -> Measured {
        let private = keys::private_work();
        Measured {
            wall: self.wall.elapsed(),
            cpu: cpu_time().saturating_sub(self.cpu),
            operations: private.operations - self.private.operations,
            in_operations: private.time.saturating_sub(self.private.time),
        }
    }
}

/// What this process has used of all cores.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
