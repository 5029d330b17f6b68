//! A simulated network (fixed keys, standing clock) behind standard input and output: one line of
//! JSON in is a [`Command`], one line out its answer, `{"ok": …}` or `{"refused": code}`. The peers
//! in `peers/` play a participant against it with JOSE libraries that others wrote; they know the
//! private keys from `tests/simulation/vectors/keys.json`.

use std::io::{BufRead, Write};

use futures_lite::future::block_on;
use hdms::Error;
use hdms::ids::{CaseId, EntryId, MessageId};
use hdms::json;
use hdms::node::Outcome;
use hdms::node::Platform;
use hdms::node::patient::RecordName;
use hdms::provider::Clock;
use hdms::record::{self, Record, Selection};
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{Mail, World};
use serde::Deserialize;
use serde_json::{Value, json};

/// What a peer can ask for.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum Command {
    /// Time, network documents, root key and everybody's card.
    Network,
    /// Everything that our nodes have sent since this was last asked.
    Mail,
    /// Delivers an envelope to our patient or our hospital.
    Receive { to_patient: bool, envelope: String },
    /// Delivers an envelope to our notary.
    Deposit { envelope: String },
    /// Our patient asks our hospital for treatment.
    Ask { case: CaseId, request: TreatmentRequest },
    /// Our hospital approves.
    Approve { case: CaseId },
    /// Our hospital asks for data.
    AskForData { case: CaseId, asked: DataRequestBody },
    /// Our patient shares a result.
    Share { case: CaseId, request: MessageId, entry: EntryId },
    /// Our hospital hands in results.
    HandIn { case: CaseId, results: Vec<Value> },
    /// Our patient confirms results.
    Confirm { case: CaseId, entries: Vec<EntryId> },
    /// Our patient presents places of a record that it holds.
    Present { record: Record, places: Vec<String>, nonce: String, audience: String },
    /// A record that our hospital is said to have issued: what it discloses.
    Verify { record: String },
    /// How a case stands with our patient or our hospital.
    State { of_patient: bool, case: CaseId },
}

fn main() -> Result<(), std::io::Error> {
    let mut world = block_on(World::new(11)).map_err(std::io::Error::other)?;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let answer = match block_on(carry_out(&mut world, &line?)) {
            Ok(answer) => json!({ "ok": answer }),
            Err(error) => json!({ "refused": error.code() }),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

async fn carry_out(world: &mut World, line: &str) -> Result<Value, Error> {
    let command = json::read(json::parse(line.as_bytes())?, Error::CommandMalformed)?;
    let answer = match command {
        Command::Network => network(world),
        Command::Mail => mail(world),
        Command::Receive { to_patient, envelope } => receive(world, to_patient, envelope).await?,
        Command::Deposit { envelope } => json!(world.notary.receive(&envelope).await?),
        Command::Present { record, places, nonce, audience } => {
            json!(present(world, &record, &places, &nonce, &audience).await?)
        }
        Command::Verify { record } => verify(world, &record).await?,
        Command::State { of_patient: true, case } => {
            json!(world.patient.case::<PatientCase>(&case).await?)
        }
        Command::State { of_patient: false, case } => {
            json!(world.hospital.case::<HospitalCase>(&case).await?)
        }
        decision => {
            decide(world, decision).await?;
            Value::Null
        }
    };
    world.settle().await?;
    Ok(answer)
}

/// Commands that are a person's decision.
async fn decide(world: &mut World, command: Command) -> Result<(), Error> {
    match command {
        Command::Ask { case, request } => {
            let hospital = world.hospital.id().clone();
            world.patient.ask(&case, &hospital, request).await?;
        }
        Command::Approve { case } => {
            world.hospital.approve(&case).await?;
        }
        Command::AskForData { case, asked } => {
            world.hospital.ask_for_data(&case, asked).await?;
        }
        Command::Share { case, request, entry } => {
            let name = RecordName { case: case.clone(), entry };
            world.patient.share(&case, &request, &[name]).await?;
        }
        Command::HandIn { case, results } => {
            world.hand_in(&case, results).await?;
        }
        Command::Confirm { case, entries } => {
            world.patient.confirm(&case, &entries).await?;
        }
        _ => return Err(Error::CommandMalformed),
    }
    Ok(())
}

fn network(world: &World) -> Value {
    json!({
        "now": world.providers.clock.now().seconds(),
        "documents": world.documents,
        "root": world.root,
        "cards": {
            "patient": world.patient.card().jwt(),
            "hospital": world.hospital.card().jwt(),
            "notary": world.patient.trust().nodes()[1].jwt(),
        },
    })
}

fn mail(world: &mut World) -> Value {
    let sent = world.mail.drain(..);
    sent.map(
        |mail| json!({"toPatient": mail.to_patient, "type": mail.kind, "envelope": mail.envelope}),
    )
    .collect()
}

async fn receive(world: &mut World, to_patient: bool, envelope: String) -> Result<Value, Error> {
    let mail = Mail { to_patient, kind: String::new(), envelope };
    Ok(json!(match world.deliver(&mail).await? {
        Outcome::Applied => "applied",
        Outcome::Repeated | Outcome::Renewed => "repeated",
        Outcome::Held => "held",
    }))
}

async fn present(
    world: &World,
    record: &Record,
    places: &[String],
    nonce: &str,
    audience: &str,
) -> Result<String, Error> {
    let (keys, clock) = (world.patient.platform().holders(), &world.providers.clock);
    record::present(record, Selection::Whole(places), nonce, audience, keys, clock).await
}

async fn verify(world: &World, compact: &str) -> Result<Value, Error> {
    let (author, primitives) = (world.hospital.card(), world.hospital.platform().primitives());
    let record = record::verify(compact, author.keys(), primitives).await?;
    Ok(json!({"fhir": record.fhir(), "subject": record.subject(), "case": record.case()}))
}
