//! Everything that keys sign, each where it belongs.

use hdms::Error;
use hdms::base64url::{decode, encode};
use hdms::card::{Card, KeyChange, VerifiedCard};
use hdms::doorman::AdmissionRequest;
use hdms::envelope::{Message, MessageType, Opening, Sealed, seal};
use hdms::ids::MessageId;
use hdms::jose::jwe;
use hdms::jwk::EcJwk;
use hdms::ledger::{Conflict, Entry, EntryKind, VerificationKey, VerifiedEndorsement};
use hdms::network::{
    Doormen, Manifest, NetworkDocument, NetworkMap, Parameters, Revocations, verify_by,
};
use hdms::node::Platform;
use hdms::proof::{ClaimedProof, RequestProof};
use hdms::provider::{Clock, HolderKeys, NodeKeys};
use hdms::record;
use hdms::software::{SoftwareHolders, SoftwareKeys};
use hdms::testing::SeededRandomness;
use hdms_simulation::{World, keys, stated};
use serde_json::{Value, json};

use crate::logbook::Logbook;
use crate::{case, id, request_of};

type Keys = SoftwareKeys<SeededRandomness>;

/// Every signed form but a Doorman's request to the root key, which is in `nodes/tests/root.rs`; its
/// name is tried here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Doormen,
    Parameters,
    Map,
    Revocations,
    Manifest,
    Card,
    Admission,
    Proof,
    Message,
    Record,
    KeyBinding,
    Endorsement,
    KeyChange,
    Conflict,
    Subkeys,
}

pub const FORMS: [(Form, &str); 15] = [
    (Form::Doormen, "hdms-doormen+jwt"),
    (Form::Parameters, "hdms-parameters+jwt"),
    (Form::Map, "hdms-map+jwt"),
    (Form::Revocations, "hdms-revocations+jwt"),
    (Form::Manifest, "hdms-manifest+jwt"),
    (Form::Card, "hdms-card+jwt"),
    (Form::Admission, "hdms-admission+jwt"),
    (Form::Proof, "hdms-proof+jwt"),
    (Form::Message, "hdms+jwt"),
    (Form::Record, "hdms-record-2+sd-jwt"),
    (Form::KeyBinding, "kb+jwt"),
    (Form::Endorsement, "hdms-endorsement+jwt"),
    (Form::KeyChange, "hdms-key-change+jwt"),
    (Form::Conflict, "hdms-conflict+jwt"),
    (Form::Subkeys, "hdms-subkeys+jwt"),
];

/// Names of forms besides [`FORMS`], and what is no name of any.
pub const OTHERS: [&str; 6] = [
    "hdms-doorman-request+jwt",
    "JWT",
    "",
    "HDMS+JWT",
    "application/hdms-card+jwt",
    "hdms-card+jwt ",
];

/// A hospital under whose keys everything is signed, and what it has signed.
pub struct Scene {
    world: World,
    book: Logbook,
    holders: SoftwareHolders<SeededRandomness>,
    holder: EcJwk,
    /// The record whose presentation is bound.
    record: String,
}

impl Scene {
    pub async fn set() -> Self {
        let world = World::new(1).await.unwrap();
        let holders = SoftwareHolders::new(world.providers.randomness.clone());
        let holder = holders.make_holder_key().await.unwrap();
        let content = record::Content {
            author: world.hospital.id().as_ref(),
            patient: world.patient.id().as_ref(),
            case: "a case",
            holder: Some(&holder),
            issued: world.providers.clock.now(),
            born: None,
            fhir: &json!({"resourceType": "Observation"}),
        };
        let keys = named(&world, "hospital");
        let record = record::issue(&content, &keys, &world.providers.randomness).await.unwrap();
        let record = String::from(record);
        Self { world, book: Logbook::new().await, holders, holder, record }
    }

    fn signer(&self, form: Form) -> Keys {
        named(
            &self.world,
            match form {
                Form::Doormen => "root",
                Form::Parameters | Form::Map | Form::Revocations | Form::Manifest | Form::Card => {
                    "doorman"
                }
                Form::Conflict => "notary",
                _ => "hospital",
            },
        )
    }

    /// What the form's owner has signed.
    pub async fn genuine(&self, form: Form) -> String {
        let (world, keys) = (&self.world, self.signer(form));
        let (hospital, now) = (world.hospital.card(), world.providers.clock.now());
        match form {
            Form::Doormen => world.documents.doormen.clone(),
            Form::Parameters => world.documents.parameters.clone(),
            Form::Map => world.documents.map.clone(),
            Form::Revocations => world.documents.revocations.clone(),
            Form::Manifest => world.documents.manifest.clone(),
            Form::Card => hospital.jwt().to_owned(),
            Form::Admission => self.admission().sign(&keys).await.unwrap(),
            Form::Proof => {
                let node = hospital.id();
                let proof = RequestProof::new(node, self.id(), "GET", "https://s", b"", now);
                proof.sign(&keys).await.unwrap()
            }
            Form::Message => self.message().await,
            Form::Record => self.record.split_once('~').unwrap().0.to_owned(),
            Form::KeyBinding => {
                let record = record::Record::try_from(self.record.clone()).unwrap();
                let all = record::Selection::All;
                let (holders, clock) = (&self.holders, &world.providers.clock);
                let shown = record::present(&record, all, "n", "a", holders, clock).await;
                shown.unwrap().rsplit_once('~').unwrap().1.to_owned()
            }
            Form::Endorsement => {
                let by = hospital.id();
                let signed = VerifiedEndorsement::sign(&[self.entry()], by, now, &keys).await;
                signed.unwrap().jwt().to_owned()
            }
            Form::KeyChange => self.change().sign(&keys).await.unwrap(),
            Form::Conflict => self.conflict().sign(&keys).await.unwrap(),
            Form::Subkeys => hospital.card().subkeys.clone(),
        }
    }

    /// Whether it is taken for what `form` is.
    pub async fn takes(&self, form: Form, jwt: &str) -> Result<(), Error> {
        let (world, software) = (&self.world, self.world.software());
        let (hospital, trust) = (world.hospital.card(), world.patient.trust());
        let now = world.providers.clock.now();
        match form {
            Form::Doormen => self.document::<Doormen>(form, jwt).await,
            Form::Parameters => self.document::<Parameters>(form, jwt).await,
            Form::Map => self.document::<NetworkMap>(form, jwt).await,
            Form::Revocations => self.document::<Revocations>(form, jwt).await,
            Form::Manifest => self.document::<Manifest>(form, jwt).await,
            Form::Card => VerifiedCard::verify(jwt, &trust, now, &software).await.map(drop),
            Form::Admission => AdmissionRequest::verify(jwt, now, &software).await.map(drop),
            Form::Proof => {
                let (key, asked) = (hospital.request_key()?, ("GET", "https://s"));
                ClaimedProof::parse(jwt)?.verify(key, asked, now, &software).await.map(drop)
            }
            Form::Message => self.receive(jwt).await,
            Form::Record => {
                let compact = format!("{jwt}~{}", self.record.split_once('~').unwrap().1);
                record::verify(&compact, hospital.keys(), &software).await.map(drop)
            }
            Form::KeyBinding => {
                let compact = format!("{}{jwt}", self.record);
                let author = hospital.keys();
                let shown = record::verify_presentation(&compact, author, "a", "n", now, &software);
                shown.await.map(drop)
            }
            Form::Endorsement => {
                VerifiedEndorsement::verify(jwt, &hospital, &software).await.map(drop)
            }
            Form::KeyChange => {
                let signing_key = self.change().signing_key;
                let changes = vec![jwt.to_owned()];
                let subkeys = stated(hospital.id(), &named(world, "stranger"), 0).await?;
                let card = Card { signing_key, subkeys, changes, ..hospital.card().clone() };
                let card = world.operator.sign(&card).await.unwrap();
                VerifiedCard::verify(&card, &trust, now, &software).await.map(drop)
            }
            Form::Subkeys => {
                let card = Card { subkeys: jwt.to_owned(), ..hospital.card().clone() };
                let card = world.operator.sign(&card).await.unwrap();
                VerifiedCard::verify(&card, &trust, now, &software).await.map(drop)
            }
            Form::Conflict => {
                let (entry, notary) = (self.second(), self.book.world.notary.card());
                let trust = self.book.trust();
                Conflict::verify(jwt, &entry, notary, &trust, &software).await.map(drop)
            }
        }
    }

    async fn document<D: NetworkDocument>(&self, form: Form, jwt: &str) -> Result<(), Error> {
        let keys = self.signer(form);
        verify_by::<D>(jwt, &[keys.public().0], &self.world.software()).await.map(drop)
    }

    /// The same content under another form's name, signed by the same key.
    pub async fn renamed(&self, form: Form, jwt: &str, typ: &str) -> String {
        let input = signing_input(jwt, &[("typ", typ)]);
        let (signer, message) = (self.signer(form), input.as_bytes());
        let signature = match form {
            Form::KeyBinding => self.holders.sign_es256(&self.holder, message).await,
            Form::Proof => signer.sign_request(message).await,
            _ => signer.sign_ps256(message).await,
        };
        format!("{input}.{}", encode(signature.unwrap()))
    }

    /// The same content under a form's name, signed by the request key of whoever signs the form.
    pub async fn signed_as_request(&self, form: Form, jwt: &str, typ: &str) -> String {
        let input = signing_input(jwt, &[("typ", typ), ("alg", "ES256")]);
        let signature = self.signer(form).sign_request(input.as_bytes()).await;
        format!("{input}.{}", encode(signature.unwrap()))
    }

    /// A request proof that its node's signing key has signed.
    pub async fn proof_by_signing_key(&self) -> String {
        let proof = self.genuine(Form::Proof).await;
        let input = signing_input(&proof, &[("alg", "PS256")]);
        let signature = self.signer(Form::Proof).sign_ps256(input.as_bytes()).await;
        format!("{input}.{}", encode(signature.unwrap()))
    }

    fn admission(&self) -> AdmissionRequest {
        let iat = self.world.providers.clock.now().seconds();
        let jti = self.id();
        AdmissionRequest { iat, jti, ..request_of(self.world.hospital.card().card()) }
    }

    fn change(&self) -> KeyChange {
        let card = self.world.hospital.card().card().clone();
        let new = named(&self.world, "stranger");
        KeyChange {
            iss: card.sub,
            iat: card.iat,
            former_signing_key: card.signing_key,
            signing_key: new.public().0.clone(),
        }
    }

    fn entry(&self) -> Entry {
        Entry {
            id: id(2),
            kind: EntryKind::Result,
            case: case(),
            author: self.world.hospital.id().clone(),
            counterparty: self.world.patient.id().clone(),
            verification_key: VerificationKey::of("a document"),
            previous: None,
            case_secret: None,
            draw: None,
        }
    }

    /// Wants the id of the logbook's first entry.
    fn second(&self) -> Entry {
        let verification_key = VerificationKey::of("second");
        Entry { verification_key, ..self.book.entries[0].clone() }
    }

    fn conflict(&self) -> Conflict {
        let (book, now) = (&self.book, self.world.providers.clock.now().seconds());
        let (log, checkpoint) = book.log(now, &[(&book.witnesses[0], now)]);
        let opening = book.opening(0, now);
        Conflict {
            iss: book.notary_id().clone(),
            iat: now,
            entry: book.entries[0].clone(),
            receipt: opening.receipt(log.prove(0, checkpoint)).unwrap(),
        }
    }

    /// What the hospital has signed and sealed for the patient, without its seal.
    async fn message(&self) -> String {
        let (from, to) = (self.world.hospital.card(), self.world.patient.card());
        let (p, case) = (self.world.hospital.platform(), case());
        let (kind, body) = (MessageType::TreatmentRefusal, json!({}));
        let message = Message { from: &from, to: &to, case: &case, kind, body };
        let sealing = seal(message, p.keys(), p.primitives(), p.clock(), p.randomness());
        let sealed = jwe::CompactJwe::parse(&sealing.await.unwrap().1).unwrap();
        let p = self.world.patient.platform();
        let plaintext = sealed.decrypt(p.keys(), p.primitives()).await.unwrap();
        String::from_utf8(plaintext).unwrap()
    }

    /// Whether the patient takes it for a message of the hospital's.
    async fn receive(&self, jwt: &str) -> Result<(), Error> {
        let (me, p) = (self.world.patient.card(), self.world.patient.platform());
        let (primitives, plaintext) = (p.primitives(), jwt.as_bytes().to_vec());
        let key = me.encryption_key()?;
        let sealed = jwe::encrypt(plaintext, Some("JWT"), key, primitives, p.randomness()).await?;
        let sealed = Sealed::parse(sealed.as_bytes())?;
        let (trust, received) = (self.world.patient.trust(), p.clock().now());
        let opening = Opening { me: &me, trust: &trust, received };
        let decrypted = sealed.decrypt(p.keys(), primitives).await?;
        decrypted.verify(None, opening, primitives).await.map(drop)
    }

    fn id(&self) -> MessageId {
        MessageId::new(&self.world.providers.clock, &self.world.providers.randomness).unwrap()
    }
}

/// What is signed of a JWT, with these members of its header.
fn signing_input(jwt: &str, members: &[(&str, &str)]) -> String {
    let (header, rest) = jwt.split_once('.').unwrap();
    let payload = rest.split_once('.').unwrap().0;
    let mut header: Value = serde_json::from_slice(&decode(header).unwrap()).unwrap();
    for (name, value) in members {
        header[*name] = (*value).into();
    }
    format!("{}.{payload}", encode(header.to_string()))
}

fn named(world: &World, name: &str) -> Keys {
    keys(name, world.providers.randomness.clone()).unwrap()
}
