//! Writes the inputs that fuzzing begins with, made by the code itself so that they can't go stale:
//! `seeds FOLDER` fills a folder for each target.

use std::path::Path;
use std::{env, fs, io};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use futures_lite::future::block_on;
use hdms::envelope::{self, Message, MessageType};
use hdms::fhir::resource;
use hdms::ids::CaseId;
use hdms::log::checkpoint::{cosignature, log_signature};
use hdms::log::{Checkpoint, KeyKind, NoteKey, SignedCheckpoint};
use hdms::record::{self, Content};
use hdms::testing::{FixedClock, SeededRandomness};
use hdms_fuzz::spelling::{spell, spell_record};
use hdms_fuzz::{NOW, Trusting, World, proof_of, world};

const OBSERVATION: &str = r#"{"resourceType":"Observation","id":"hba1c","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}]},"subject":{"reference":"Patient/1","display":"Amy Shaw"},"performer":[{"reference":"Practitioner/2"}],"valueQuantity":{"value":610e-2,"unit":"%"}}"#;
const BUNDLE: &str = r##"{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"contained":[{"resourceType":"Practitioner","id":"p"}],"participant":[{"individual":{"reference":"#p"}}]},"request":{"method":"POST","url":"Encounter"}},{"fullUrl":"urn:uuid:2","resource":{"resourceType":"Condition","encounter":{"reference":"urn:uuid:1"},"subject":{"reference":"urn:uuid:3"},"_onsetDateTime":{"extension":[{"url":"u","valueDecimal":1e5}]}}},{"fullUrl":"urn:uuid:3","resource":{"resourceType":"Patient","name":[{"family":"Shaw","given":["Amy",null],"_given":[null,{"id":"g"}]}],"birthDate":"1987-02-20"}}]}"##;
const OPENING: &str = r#"{"entry":"019b796d-fd10-7fed-95e8-62801888905f","verification_key":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU","time":1790000000,"salt":"BTBZMqHH6r4Tts7J_aSIgg","place":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU","parties":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU","parties_salt":"BTBZMqHH6r4Tts7J_aSIgg"}"#;
const ENDPOINTS: [&str; 5] = [
    "https://hospital.example",
    "https://xn--bcher-kva.example:8443/hdms/node-1",
    "https://192.0.2.1:8443/x",
    "https://[2001:db8::1]/x",
    "http://127.0.0.1:8720",
];
const PUSHES: [&str; 4] = [
    r#"{"seq":7,"envelope":"e30.e30.e30.e30.e30"}"#,
    r#"{"data":{"wake":"019b796d-fd10-7fed-95e8-62801888905f"},"from":"1","priority":"high"}"#,
    r#"{"kind":"webpush","endpoint":"https://push.example.net/1","p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg","expires":1767268800}"#,
    r#"{"kind":"firebase","token":"a token"}"#,
];

fn main() -> io::Result<()> {
    let Some(folder) = env::args().nth(1) else {
        return Err(io::Error::other("say where: seeds FOLDER"));
    };
    let folder = Path::new(&folder);
    let cards = [&world().hospital, &world().patient].map(|card| spell(card.jwt()));
    write(folder, "card", cards.into_iter().flatten())?;
    write(folder, "fhir", [OBSERVATION, BUNDLE].map(|text| text.as_bytes().to_vec()))?;
    write(folder, "endpoint", ENDPOINTS.map(|text| text.as_bytes().to_vec()))?;
    write(folder, "envelope", MessageType::ALL.iter().filter_map(|kind| message(world(), *kind)))?;
    write(folder, "log", logs())?;
    write(folder, "push", PUSHES.map(|text| text.as_bytes().to_vec()))?;
    write(folder, "record", [OBSERVATION, BUNDLE].into_iter().filter_map(issue))
}

fn write(folder: &Path, target: &str, inputs: impl IntoIterator<Item = Vec<u8>>) -> io::Result<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    for (number, input) in inputs.into_iter().enumerate() {
        fs::write(folder.join(number.to_string()), input)?;
    }
    Ok(())
}

/// A checkpoint with a key that the log's target knows, a proof, what opens a leaf, and a tree.
fn logs() -> Vec<Vec<u8>> {
    let key = |kind| NoteKey { name: "log".into(), kind, key: [7; 32] };
    let tree = Checkpoint { origin: "log".into(), size: 7, root: [1; 32] };
    let mut signed = SignedCheckpoint::new(tree, log_signature(&key(KeyKind::Log), [2; 64]));
    signed.add(cosignature(&key(KeyKind::Witness), NOW.seconds(), [3; 64]));
    let mut proof = proof_of(b"leaf");
    (proof.extra, proof.hashes) = (Some(OPENING.into()), vec![[4; 32]; 3]);
    let numbers = [5_u64.to_be_bytes(), 7_u64.to_be_bytes()].concat();
    let numbers = [numbers, vec![6; 4 * 32]].concat();
    vec![signed.to_text().into(), proof.to_text().into(), OPENING.into(), numbers]
}

/// A message to the hospital as the envelope's target spells it.
fn message(world: &World, kind: MessageType) -> Option<Vec<u8>> {
    let (clock, randomness) = (FixedClock::new(NOW), SeededRandomness::new(1));
    let from = match kind.senders().contains(&world.patient.card().role) {
        true => &world.patient,
        false => &world.hospital,
    };
    let message = Message {
        from,
        to: &world.hospital,
        case: &CaseId::new(&clock, &randomness).ok()?,
        kind,
        body: serde_json::json!({ "reason": "check-up", "entry": {} }),
    };
    let sealing = envelope::seal(message, &Trusting, &Trusting, &clock, &randomness);
    let (_, compact) = block_on(sealing).ok()?;
    let signed = BASE64.decode(compact.split('.').nth(3)?).ok()?;
    spell(std::str::from_utf8(&signed).ok()?)
}

/// A record as the record's target spells it: the signed JWT, then a disclosure on each line.
fn issue(text: &str) -> Option<Vec<u8>> {
    let World { hospital, patient, .. } = world();
    let (clock, randomness) = (FixedClock::new(NOW), SeededRandomness::new(1));
    let case = CaseId::new(&clock, &randomness).ok()?;
    let content = Content {
        author: hospital.id().as_ref(),
        patient: patient.id().as_ref(),
        case: case.as_ref(),
        holder: None,
        issued: NOW,
        born: None,
        fhir: &resource::parse(text.as_bytes()).ok()?,
    };
    let record = block_on(record::issue(&content, &Trusting, &randomness)).ok()?;
    spell_record(record.compact())
}
