//! What the examples are: the messages of the transcript and the documents around them.

use hdms::Error;
use hdms::base64url::digest;
use hdms::card::KeyChange;
use hdms::doorman::{About, AdmissionRequest, Challenge, PATIENCE};
use hdms::envelope::MessageType;
use hdms::ids::MessageId;
use hdms::jose::jwe;
use hdms::json;
use hdms::ledger::Conflict;
use hdms::log::TlogProof;
use hdms::mailbox::{
    Acknowledgement, Bell, Deliveries, Delivery, DeliveryAnswer, DeliveryAnswers, Fate,
    MailboxMessage, MailboxPage, Refused, Report, ReportPage, ReportsRead,
};
use hdms::node::Node;
use hdms::notary::{AnswerBody, DepositAnswer, DepositAnswers, Queried, QueryBody};
use hdms::proof::RequestProof;
use hdms::provider::Clock;
use hdms::push::{PushMessage, Subscription, SubscriptionRemoval};
use hdms::software::Software;
use hdms::treatment::message::{DataRefusalBody, DisputeBody, RefusalBody};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Example, part};
use crate::transcript::{self, Run};
use crate::{BEGIN, Mail, Simulated, World, keys};

const SERVER: &str = "https://server.example";

pub(super) async fn all() -> Result<Vec<(String, Example)>, Error> {
    let run = transcript::run().await?;
    let mut all = network(&run.world)?;
    all.extend(messages(&run).await?);
    all.extend(notary(&run).await?);
    // Last, since they draw further from the run's randomness.
    all.extend(doorman(&run.world).await?);
    all.extend(mailbox(&run).await?);
    all.extend(push(&run)?);
    all.extend(proofs_of_the_notary(&run).await?);
    all.push(("key change", Example::Jws(key_change(&run.world).await?)));
    Ok(all.into_iter().map(|(name, example)| (name.to_owned(), example)).collect())
}

type Named = (&'static str, Example);

fn network(world: &World) -> Result<Vec<Named>, Error> {
    let documents = &world.documents;
    let hospital = world.hospital.card();
    let thumbprints = json!({
        "signing_key": hospital.card().signing_key.thumbprint(),
        "encryption_key": hospital.encryption_key()?.thumbprint(),
        "request_key": hospital.request_key()?.thumbprint(),
    });
    Ok(vec![
        ("thumbprints of the hospital's keys", Example::Json(thumbprints)),
        ("card of the hospital", Example::Jws(hospital.jwt().to_owned())),
        ("subkeys", Example::Jws(hospital.card().subkeys.clone())),
        ("network", Example::Json(value(documents)?)),
        ("doormen", Example::Jws(documents.doormen.clone())),
        ("network parameters", Example::Jws(documents.parameters.clone())),
        ("network map", Example::Jws(documents.map.clone())),
        ("revocation list", Example::Jws(documents.revocations.clone())),
        ("manifest", Example::Jws(documents.manifest.clone())),
    ])
}

async fn doorman(world: &World) -> Result<Vec<Named>, Error> {
    let (platform, hospital) = (world.hospital.platform(), world.hospital.card());
    let card = hospital.card();
    let request = AdmissionRequest {
        iss: card.sub.clone(),
        iat: BEGIN.seconds(),
        jti: MessageId::new(&platform.clock, &platform.randomness)?,
        role: card.role,
        name: card.name.clone(),
        endpoint: card.endpoint.clone(),
        about: Some(About {
            registry_number: "Hospital register 4711".into(),
            address: "1 Harbour Road, Example".into(),
            contact: "Kim Minji, +00 1 2345".into(),
        }),
        signing_key: card.signing_key.clone(),
        subkeys: card.subkeys.clone(),
        changes: Vec::new(),
        log: None,
        card: None,
    };
    let primitives = Software::new(platform.randomness.clone());
    let jwt = request.sign(&platform.keys).await?;
    let (to, expires) = ((&card.sub, hospital.encryption_key()?), BEGIN.seconds() + PATIENCE);
    let challenge =
        Challenge::seal(&digest("secret"), to, expires, &primitives, &platform.randomness).await?;
    let answer = challenge.answer(&request, jwt.clone(), &platform.keys, &primitives).await?;
    let sealed = jwe::CompactJwe::parse(&challenge.challenge)?;
    let plaintext = sealed.decrypt(&platform.keys, &primitives).await?;
    let plaintext = String::from_utf8(plaintext).map_err(|_| Error::ChallengeForged)?;
    Ok(vec![
        ("admission request", Example::Jws(jwt)),
        ("challenge", Example::Json(value(&challenge)?)),
        ("protected header of the challenge", Example::Jwe(challenge.challenge)),
        ("plaintext of the challenge", Example::Text(plaintext)),
        ("challenge answer", Example::Json(value(&answer)?)),
        ("admitted", Example::Json(json!({"card": hospital.jwt()}))),
    ])
}

async fn messages(run: &Run) -> Result<Vec<Named>, Error> {
    let mut all = Vec::new();
    let request = sent(run, MessageType::TreatmentRequest)?;
    let signed = opened(&run.world, request).await?;
    all.push(("envelope", Example::Jwe(request.envelope.clone())));
    all.push(("signed JWT in the envelope", Example::Jws(signed)));
    for (name, kind) in [
        ("body of treatment/request", MessageType::TreatmentRequest),
        ("body of treatment/approval", MessageType::TreatmentApproval),
        ("body of treatment/data-request", MessageType::DataRequest),
        ("body of treatment/data", MessageType::Data),
        ("body of treatment/result", MessageType::MedicalResult),
        ("body of treatment/confirmation", MessageType::Confirmation),
    ] {
        all.push((name, Example::Part(body(run, kind).await?)));
    }
    all.extend(other_answers(run).await?);
    let record = |body: Value| text(&body["record"]);
    let endorsement = |body: Value| text(&body["endorsement"]);
    let first = endorsement(body(run, MessageType::TreatmentRequest).await?);
    all.push(("entry of a request", Example::Json(part(&first, 1)?["entries"][0].clone())));
    let request = record(body(run, MessageType::TreatmentRequest).await?);
    let result = body(run, MessageType::MedicalResult).await?;
    let shared = opened(&run.world, run.messages.last().ok_or(Error::NotFound)?).await?;
    let shared = record(part(&shared, 1)?["body"]["records"][0].clone());
    all.extend([
        ("record of a treatment request", Example::SdJwt(request)),
        ("record of a result", Example::SdJwt(record(result["results"][0].clone()))),
        ("content of the result", Example::Json(json::parse(transcript::RESULT.as_bytes())?)),
        ("presentation of the result", Example::Presentation(shared)),
        ("endorsement", Example::Jws(endorsement(result))),
    ]);
    Ok(all)
}

/// The bodies of answers that the transcript's patient and hospital did not give.
async fn other_answers(run: &Run) -> Result<Vec<Named>, Error> {
    let entries = run.result_ids().await?;
    let request: MessageId = transcript::DATA_REQUESTS[0].parse()?;
    let refusal = RefusalBody { entry: run.request()?, reason: "No ward for this".into() };
    let data_refusal = DataRefusalBody { request, reason: "Not needed for this".into() };
    let dispute = DisputeBody { entries, reason: "Not my value".into() };
    Ok(vec![
        ("body of treatment/refusal", Example::Json(value(&refusal)?)),
        ("body of treatment/data-refusal", Example::Json(value(&data_refusal)?)),
        ("body of treatment/dispute", Example::Json(value(&dispute)?)),
    ])
}

async fn notary(run: &Run) -> Result<Vec<Named>, Error> {
    let (envelope, answers) = run.world.notary.answered().first().ok_or(Error::NotFound)?;
    let sealed = jwe::CompactJwe::parse(envelope)?;
    let primitives = Software::new(run.world.providers.randomness.clone());
    let signed = sealed.decrypt(run.world.notary.keys(), &primitives).await?;
    let signed = String::from_utf8(signed).map_err(|_| Error::EnvelopeMalformed)?;
    let receipt = match answers.answers.first() {
        Some(DepositAnswer::Receipt(receipt)) => receipt.clone(),
        _ => return Err(Error::NotFound),
    };
    let refused = DepositAnswer::Refused(Error::EntryConflict.code().into());
    let both = DepositAnswers { answers: vec![DepositAnswer::Receipt(receipt.clone()), refused] };
    Ok(vec![
        ("envelope of a deposit", Example::Jwe(envelope.clone())),
        ("body of notary/deposit", Example::Part(part(&signed, 1)?["body"].clone())),
        ("deposit answers", Example::Part(value(&both)?)),
        ("receipt", Example::Receipt(receipt)),
    ])
}

/// A conflict, and what others than the participants learn of the first entry.
async fn proofs_of_the_notary(run: &Run) -> Result<Vec<Named>, Error> {
    let notary = &run.world.notary;
    let logged = notary.log().first().ok_or(Error::NotFound)?;
    let receipt = logged.receipt.as_deref().ok_or(Error::NotFound)?;
    let conflict = Conflict {
        iss: notary.card().id().clone(),
        iat: run.world.providers.clock.now().seconds(),
        entry: logged.entry.clone(),
        receipt: receipt.to_owned(),
    };
    let receipt = logged.opening.clone().for_others().receipt(TlogProof::parse(receipt)?)?;
    let asked = Queried { entry: logged.entry.id.clone(), salt: logged.opening.salt };
    let query = QueryBody { entries: vec![asked] };
    let answer = AnswerBody { receipts: vec![Some(receipt)] };
    Ok(vec![
        ("conflict", Example::Jws(conflict.sign(notary.keys()).await?)),
        ("body of notary/query", Example::Json(value(&query)?)),
        ("body of notary/answer", Example::Part(value(&answer)?)),
    ])
}

/// The hospital's statement that it signs with the stranger's key from now on.
async fn key_change(world: &World) -> Result<String, Error> {
    let (platform, card) = (world.hospital.platform(), world.hospital.card());
    let new = keys("stranger", platform.randomness.clone())?;
    let change = KeyChange {
        iss: card.id().clone(),
        iat: platform.clock.now().seconds(),
        former_signing_key: card.card().signing_key.clone(),
        signing_key: new.public().0.clone(),
    };
    change.sign(&platform.keys).await
}

async fn mailbox(run: &Run) -> Result<Vec<Named>, Error> {
    let approval = sent(run, MessageType::TreatmentApproval)?.envelope.clone();
    let (hospital, patient) = (&run.world.hospital, &run.world.patient);
    let platform = hospital.platform();
    let id = MessageId::new(&platform.clock, &platform.randomness)?;
    let delivery = Delivery { to: patient.id().clone(), id, envelope: approval.clone() };
    let deliveries = Deliveries { deliveries: vec![delivery] };
    let from = hospital.id().clone();
    let page = MailboxPage {
        messages: vec![MailboxMessage { seq: 1, from, envelope: approval }],
        more: false,
        subscriptions: vec![subscription().id()],
        kid: patient.card().encryption_key()?.thumbprint(),
    };
    let accepted = DeliveryAnswers { answers: vec![DeliveryAnswer::Accepted(1)] };
    let refused = Refused { seq: 3, code: Error::CardForged.code().into() };
    let acknowledgement = Acknowledgement { upto: 3, refused: vec![refused] };
    let report = |number, seq, outcome| Report { number, to: patient.id().clone(), seq, outcome };
    let reports = vec![
        report(7, 3, Fate::Refused(Error::CardForged.code().into())),
        report(8, 3, Fate::Fetched),
        report(12, 4, Fate::Expired),
    ];
    let problem = problem(Error::RequestProofInvalid);
    let signed = proof(hospital, "/mailbox/deliveries", &json::write(&deliveries)?).await?;
    Ok(vec![
        ("deliveries", Example::Json(value(&deliveries)?)),
        ("request proof", Example::Jws(signed)),
        ("delivery answers", Example::Json(value(&accepted)?)),
        ("mailbox page", Example::Part(value(&page)?)),
        ("acknowledgement", Example::Json(value(&acknowledgement)?)),
        ("reports", Example::Json(value(&ReportPage { reports, more: false })?)),
        ("reports read", Example::Json(value(&ReportsRead { upto: 12 })?)),
        ("bell", Example::Json(value(&Bell { seq: 1 })?)),
        ("problem", Example::Json(problem)),
    ])
}

fn push(run: &Run) -> Result<Vec<Named>, Error> {
    let subscription = subscription();
    let asked = sent(run, MessageType::DataRequest)?.envelope.clone();
    let fits = PushMessage::payload(2, Some(asked))?;
    let result = sent(run, MessageType::MedicalResult)?.envelope.clone();
    let too_large = PushMessage::payload(3, Some(result))?;
    let removal = SubscriptionRemoval { id: subscription.id() };
    Ok(vec![
        ("subscription", Example::Json(value(&subscription)?)),
        ("subscription removal", Example::Json(value(&removal)?)),
        ("push with a message", Example::Part(json::parse(&fits)?)),
        ("push without the message", Example::Json(json::parse(&too_large)?)),
    ])
}

/// With the keys of the example in RFC 8291 section 5.
fn subscription() -> Subscription {
    Subscription::WebPush {
        endpoint: "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV".into(),
        p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
            .into(),
        auth: "BTBZMqHH6r4Tts7J_aSIgg".into(),
        expires: None,
    }
}

/// The proof with which `node` posts `body` to the server.
async fn proof(node: &Node<Simulated>, path: &str, body: &[u8]) -> Result<String, Error> {
    let platform = node.platform();
    let id = MessageId::new(&platform.clock, &platform.randomness)?;
    let now = platform.clock.now();
    let url = format!("{SERVER}{path}");
    RequestProof::new(node.id(), id, "POST", &url, body, now).sign(&platform.keys).await
}

/// As the native nodes answer.
fn problem(error: Error) -> Value {
    json!({
        "type": format!("urn:hdms:{}", error.code()),
        "title": "Unauthorized",
        "status": error.status(),
        "detail": error.sentence(),
        "code": error.code(),
    })
}

/// The first message of this type.
fn sent(run: &Run, kind: MessageType) -> Result<&Mail, Error> {
    run.messages.iter().find(|mail| mail.kind == kind.name()).ok_or(Error::NotFound)
}

async fn body(run: &Run, kind: MessageType) -> Result<Value, Error> {
    Ok(part(&opened(&run.world, sent(run, kind)?).await?, 1)?["body"].clone())
}

/// The signed JWT in a message.
async fn opened(world: &World, mail: &Mail) -> Result<String, Error> {
    let recipient = if mail.to_patient { &world.patient } else { &world.hospital };
    let platform = recipient.platform();
    let sealed = jwe::CompactJwe::parse(&mail.envelope)?;
    let signed = sealed.decrypt(&platform.keys, &platform.primitives).await?;
    String::from_utf8(signed).map_err(|_| Error::EnvelopeMalformed)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn value<T: Serialize>(value: &T) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|_| Error::StoreCorrupt)
}
