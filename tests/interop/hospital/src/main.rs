//! A real network on loopback (server, three notaries, a native personal node; HTTP and SQLite)
//! for the hospital in `hospital.py`, which others could have written: `hdms-interop-hospital DIR`.
//! One line of JSON in is a [`Command`], one line out its answer, `{"ok": …}` or
//! `{"refused": code}`; the first line out says where the server is.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hdms::Error;
use hdms::ids::{CaseId, EntryId, MessageId, NodeId};
use hdms::json;
use hdms::node::patient::RecordName;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::platform::NativeNode;
use hdms_nodes::local::network::{LocalConfig, LocalNetwork};
use hdms_nodes::local::personal::Personal;
use hdms_nodes::server::PushConfig;
use hdms_nodes::server::operator::Operator;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// How the patient is called.
const NAME: &str = "Kim Minji";

/// What can be asked for.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum Command {
    /// The operator admits a node.
    Admit { node: NodeId },
    /// The patient takes the newest network documents.
    Refresh,
    /// The patient asks a hospital for treatment.
    Ask { case: CaseId, hospital: NodeId, request: TreatmentRequest },
    /// The patient keeps a record of its own. Answers its name.
    AddRecord { fhir: String },
    /// The patient shares records, each named by case and entry.
    Share { case: CaseId, request: MessageId, records: Vec<(CaseId, EntryId)> },
    /// The patient shares nothing.
    RefuseData { case: CaseId, request: MessageId, reason: String },
    /// The patient confirms results.
    Confirm { case: CaseId, entries: Vec<EntryId> },
    /// The patient disputes results.
    Dispute { case: CaseId, entries: Vec<EntryId>, reason: String },
    /// How a case stands with the patient.
    State { case: CaseId },
    /// The content of a record as the patient reads it.
    Read { case: CaseId, entry: EntryId },
    /// The codes of what the patient's node refused.
    Quarantined,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = PathBuf::from(std::env::args_os().nth(1).ok_or("say where: DIR")?);
    let stop = CancellationToken::new();
    let config = LocalConfig {
        data: data.clone(),
        port: None,
        name: "Interoperability".into(),
        institutions: Vec::new(),
        pages: None,
        samples: None,
        push: PushConfig::default(),
    };
    let network = LocalNetwork::start(config, stop.clone()).await?;
    let patient = network.personal("patient", "");
    let patient = Personal::start(patient, NodeClock::default(), stop.clone()).await?;
    say(&json!({"ok": {"server": network.url()}}))?;
    for line in std::io::stdin().lock().lines() {
        say(&match carry_out(&data, patient.node(), &line?).await {
            Ok(answer) => json!({ "ok": answer }),
            Err(error) => json!({ "refused": error.code() }),
        })?;
    }
    network.stop().await;
    patient.ended().await;
    Ok(())
}

fn say(answer: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    out.flush()
}

async fn carry_out(data: &Path, patient: &Arc<NativeNode>, line: &str) -> Result<Value, Error> {
    let command = json::read(json::parse(line.as_bytes())?, Error::CommandMalformed)?;
    match command {
        Command::Admit { node } => Operator::of(&data.join("server"))?.admit(node).await?,
        Command::Refresh => {
            patient.platform().member().refresh().await?;
            // The node learns of it a moment later.
            let newest = patient.platform().member().standing().trust.manifest().number;
            while patient.trust().manifest().number < newest {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Command::AddRecord { fhir } => {
            let name = patient.add_record(json::parse(fhir.as_bytes())?).await?;
            return Ok(json!([name.case, name.entry]));
        }
        Command::Read { case, entry } => {
            let record = patient.open_record(&case, &entry).await?;
            return Ok(json!(record.fhir().to_string()));
        }
        Command::State { case } => return Ok(json!(patient.case::<PatientCase>(&case).await?)),
        Command::Quarantined => {
            let refused = patient.quarantined("", 1000).await?;
            return Ok(refused.into_iter().map(|(_, refused)| refused.code).collect());
        }
        decision => decide(patient, decision).await?,
    }
    Ok(Value::Null)
}

/// Commands that are the patient's decision about a case.
async fn decide(patient: &NativeNode, command: Command) -> Result<(), Error> {
    match command {
        Command::Ask { case, hospital, request } => {
            patient.ask_by_name(&case, &hospital, request, NAME).await?
        }
        Command::Share { case, request, records } => {
            let name = |(case, entry)| RecordName { case, entry };
            let records: Vec<_> = records.into_iter().map(name).collect();
            patient.share(&case, &request, &records).await?
        }
        Command::RefuseData { case, request, reason } => {
            patient.refuse_data(&case, &request, &reason).await?
        }
        Command::Confirm { case, entries } => patient.confirm(&case, &entries).await?,
        Command::Dispute { case, entries, reason } => {
            patient.dispute(&case, &entries, &reason).await?
        }
        _ => return Err(Error::CommandMalformed),
    };
    Ok(())
}
