//! What 200 results cost that are handed in together, until all are final after one decision.

use std::time::{Duration, Instant};

use hdms::ids::{CaseId, EntryId};
use hdms::node::Platform;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::patient::{PatientCase, ResultStatus};
use hdms::treatment::request::TreatmentRequest;
use hdms_nodes::base::keys::private_work;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::platform::NativeNode;
use hdms_nodes::local::network::{LocalConfig, LocalNetwork};
use hdms_nodes::local::personal::Personal;
use hdms_nodes::server::PushConfig;
use hdms_simulation::World;
use hdms_simulation::transcript::CASE;
use hdms_tests::Result;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::table::Table;

/// Results.
const COUNT: usize = 200;

/// Of each, about as many bytes.
const BYTES: usize = 2_000;

/// Counted in memory, and timed over HTTP between native nodes.
pub async fn costs(table: &mut Table) -> Result<()> {
    let counts = Counts::of_one_decision().await?;
    table.beside(
        &format!("{COUNT} results handed in, commits of both sides"),
        format!("{} to hand in, {} in all", counts.handed_in, counts.commits),
    );
    table.beside("  messages and deposits", format!("{}, {}", counts.messages, counts.deposits));
    let (seconds, operations) = timed().await?;
    table.beside("  RSA private operations of all nodes", operations.to_string());
    table.beside("  all final after one decision", format!("{seconds:.1} s"));
    Ok(())
}

fn results() -> Vec<Value> {
    let note = "n".repeat(BYTES);
    let one = |number: usize| {
        let id = number.to_string();
        json!({"resourceType": "Observation", "id": id, "status": "final", "note": [{"text": note}]})
    };
    (0..COUNT).map(one).collect()
}

fn request() -> TreatmentRequest {
    TreatmentRequest { reason: "Cough".into(), date: None, may_read: Vec::new() }
}

/// What happened in a simulated network.
struct Counts {
    handed_in: usize,
    commits: usize,
    messages: usize,
    deposits: usize,
}

impl Counts {
    async fn of_one_decision() -> Result<Self> {
        let (mut world, case): (_, CaseId) = (World::new(1).await?, CASE.parse()?);
        world.patient.ask(&case, world.hospital.id(), request()).await?;
        world.deliver_all().await?;
        world.hospital.approve(&case).await?;
        world.deliver_all().await?;
        let commits = |world: &World| {
            let nodes = [&world.patient, &world.hospital].into_iter();
            nodes.map(|node| node.platform().store().commits()).sum::<usize>()
        };
        let (before, deposits) = (commits(&world), world.notary.answered().len());
        let entries = world.hand_in(&case, results()).await?;
        let handed_in = commits(&world) - before;
        let mut messages = deliver_all(&mut world).await?;
        world.patient.confirm(&case, &entries).await?;
        messages += deliver_all(&mut world).await?;
        let deposits = world.notary.answered().len() - deposits;
        Ok(Self { handed_in, commits: commits(&world) - before, messages, deposits })
    }
}

/// Answers how many messages that were.
async fn deliver_all(world: &mut World) -> Result<usize> {
    world.settle().await?;
    let mut count = 0;
    while !world.mail.is_empty() {
        let mail = world.mail.remove(0);
        world.deliver(&mail).await?;
        count += 1;
    }
    Ok(count)
}

/// Seconds from the decision until all is final on both sides, and private operations from the hand-in on.
async fn timed() -> Result<(f64, u64)> {
    let (dir, stop) = (tempfile::tempdir()?, CancellationToken::new());
    let config = LocalConfig {
        data: dir.path().to_owned(),
        port: None,
        name: "Figures".into(),
        institutions: vec![("hospital".into(), "Hospital".into())],
        pages: None,
        samples: None,
        push: PushConfig::default(),
    };
    let network = LocalNetwork::start(config, stop.clone()).await?;
    let me = network.personal("patient", "Pat Doe");
    let personal = Personal::start(me, NodeClock::default(), stop).await?;
    let (patient, hospital) = (personal.node(), network.institutions()[0].node());
    let case = approved(patient, hospital).await?;
    let before = private_work().operations;
    let (state, _) = hospital.hand_in(&case, results(), None).await?;
    let entries: Vec<EntryId> = state.results.into_iter().map(|result| result.id).collect();
    until(patient, &case, |case: &PatientCase| case.results.len() == COUNT).await?;
    let begun = Instant::now();
    patient.confirm(&case, &entries).await?;
    let is_final = |status: &ResultStatus| matches!(status, ResultStatus::Committed { .. });
    let ours = |case: &PatientCase| case.results.iter().all(|result| is_final(&result.status));
    until(patient, &case, ours).await?;
    let theirs = |case: &HospitalCase| case.results.iter().all(|result| !result.status.is_open());
    until(hospital, &case, theirs).await?;
    let measured = (begun.elapsed().as_secs_f64(), private_work().operations - before);
    network.stop().await;
    personal.ended().await;
    Ok(measured)
}

async fn approved(patient: &NativeNode, hospital: &NativeNode) -> Result<CaseId> {
    let p = patient.platform();
    let case = CaseId::new(p.clock(), p.randomness())?;
    patient.ask(&case, hospital.id(), request()).await?;
    while hospital.case::<HospitalCase>(&case).await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
    hospital.approve(&case).await?;
    until(patient, &case, |case: &PatientCase| case.notary.is_some()).await?;
    Ok(case)
}

const PAUSE: Duration = Duration::from_millis(10);

async fn until<F: hdms::treatment::Flow>(
    node: &NativeNode,
    case: &CaseId,
    wanted: impl Fn(&F) -> bool,
) -> Result<()> {
    while !wanted(&node.case(case).await?) {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
