//! What the fuzz targets share: a network in which every signature holds and every envelope opens,
//! so that mutations get past the cryptography to the decisions behind it; and a spelling of signed
//! documents that a fuzzer can mutate.

pub mod spelling;
mod trusting;

pub use trusting::Trusting;

use std::sync::LazyLock;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::{self, Card, KeyChange, Role, Subkeys, VerifiedCard};
use hdms::ids::NodeId;
use hdms::jwk::{EcJwk, RsaJwk};
use hdms::log::checkpoint::{cosignature, log_signature};
use hdms::log::merkle::leaf_hash;
use hdms::log::{Checkpoint, SignedCheckpoint, TlogProof};
use hdms::network::{
    self, DoormanKey, Doormen, Ed25519Key, LogKeys, Manifest, ManifestsLog, NetworkDocuments,
    NetworkMap, NotaryLog, Parameters, Revocations, Trust, WitnessRule,
};
use hdms::provider::Timestamp;

/// When everything here happens.
pub const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// A network with one hospital on its map, which has changed its keys, the logs of two notaries, and
/// a patient.
pub struct World {
    /// What every node relies on.
    pub trust: Trust,
    /// An institution.
    pub hospital: VerifiedCard,
    /// A personal node.
    pub patient: VerifiedCard,
}

/// The one network, the same in every run.
pub fn world() -> &'static World {
    static WORLD: LazyLock<Result<World, Error>> = LazyLock::new(|| block_on(make_world()));
    match &*WORLD {
        Ok(world) => world,
        Err(error) => unreachable!("{error}"),
    }
}

/// A public key that nobody made: an odd number of 2048 bits.
pub fn key(number: u8) -> Result<RsaJwk, Error> {
    let mut modulus = vec![number; 256];
    modulus[0] = 0x80;
    modulus[255] = 1;
    RsaJwk::from_modulus(modulus)
}

/// Proof of a leaf that is alone in the log of the first notary, co-signed by the second.
pub fn proof_of(leaf: &[u8]) -> TlogProof {
    let [notary, witness] = world().trust.logs() else { unreachable!("two notaries") };
    let (log, witness) = (notary.log_key(), witness.witness_key());
    let tree = Checkpoint { origin: log.name.clone(), size: 1, root: leaf_hash(leaf) };
    let mut checkpoint = SignedCheckpoint::new(tree, log_signature(&log, [0; 64]));
    checkpoint.add(cosignature(&witness, NOW.seconds(), [0; 64]));
    TlogProof { extra: None, index: 0, hashes: Vec::new(), checkpoint }
}

async fn make_world() -> Result<World, Error> {
    let (root, doorman) = (key(2)?, key(4)?);
    let hospital = card(6, Role::Institution, "Hospital", Some("https://hospital.example")).await?;
    let hospital = card::issue(&with_changed_keys(hospital).await?, &Trusting).await?;
    let patient = card::issue(&card(10, Role::Personal, "", None).await?, &Trusting).await?;
    let documents = documents(&root, &doorman, vec![hospital.clone()]).await?;
    let trust = Trust::verify(&documents, &root, None, NOW, &Trusting).await?;
    let verify = async |jwt: &str| VerifiedCard::verify(jwt, &trust, NOW, &Trusting).await;
    let (hospital, patient) = (verify(&hospital).await?, verify(&patient).await?);
    Ok(World { trust, hospital, patient })
}

async fn card(number: u8, role: Role, name: &str, endpoint: Option<&str>) -> Result<Card, Error> {
    let signing_key = key(number)?;
    let sub = NodeId::try_from(signing_key.thumbprint())?;
    let (encryption, request) = (key(number + 1)?, EcJwk::from_coordinates([number; 32], [1; 32]));
    let subkeys = Subkeys { iss: sub.clone(), iat: NOW.seconds(), encryption, request };
    Ok(Card {
        iss: NodeId::try_from(key(4)?.thumbprint())?,
        sub,
        role,
        name: name.into(),
        endpoint: endpoint.map(str::parse).transpose()?,
        signing_key,
        subkeys: subkeys.sign(&Trusting).await?,
        changes: Vec::new(),
        iat: NOW.seconds(),
        exp: NOW.seconds() + card::LIFETIME,
    })
}

async fn with_changed_keys(card: Card) -> Result<Card, Error> {
    let change = KeyChange {
        iss: card.sub.clone(),
        iat: card.iat,
        former_signing_key: card.signing_key,
        signing_key: key(20)?,
    };
    let changes = vec![change.sign(&Trusting).await?];
    Ok(Card { signing_key: change.signing_key, changes, ..card })
}

/// The log of a notary that nobody runs.
fn log(number: u8) -> Result<NotaryLog, Error> {
    let notary = NodeId::try_from(key(number)?.thumbprint())?;
    let [log_key, witness_key] = [number, number + 1].map(|byte| Ed25519Key([byte; 32]));
    Ok(NotaryLog { notary, keys: LogKeys { log_key, witness_key }, until: None })
}

async fn documents(
    root: &RsaJwk,
    doorman: &RsaJwk,
    nodes: Vec<String>,
) -> Result<NetworkDocuments, Error> {
    let (iss, root) =
        (NodeId::try_from(doorman.thumbprint())?, NodeId::try_from(root.thumbprint())?);
    let (iat, number) = (NOW.seconds(), 1);
    let doormen = Doormen {
        iss: root.clone(),
        iat,
        exp: iat + card::LIFETIME,
        number,
        doormen: vec![DoormanKey { key: doorman.clone(), until: None }],
        log: Some(ManifestsLog { log_key: Ed25519Key([50; 32]), witnesses: Vec::new() }),
    };
    let parameters = Parameters {
        iss: iss.clone(),
        iat,
        number,
        name: "fuzz".into(),
        root,
        max_envelope: 1_048_576,
        minimum_version: 1,
        revocation_age: card::LIFETIME,
        vapid: None,
        witnesses: vec![WitnessRule { since: 1, needed: 1 }],
        pinned_logs: Vec::new(),
    };
    let map = NetworkMap { iss: iss.clone(), iat, number, nodes, logs: vec![log(30)?, log(40)?] };
    let (revoked, superseded) = Default::default();
    let revocations = Revocations { iss, iat, number, revoked, superseded };
    let documents = NetworkDocuments {
        doormen: network::sign(&doormen, &Trusting).await?,
        parameters: network::sign(&parameters, &Trusting).await?,
        map: network::sign(&map, &Trusting).await?,
        revocations: network::sign(&revocations, &Trusting).await?,
        manifest: String::new(),
        proof: String::new(),
        consistency: Vec::new(),
        before: Vec::new(),
    };
    let times = (iat, iat + card::LIFETIME);
    let named = (Vec::new(), Vec::new());
    let manifest = Manifest::binding(map.iss.clone(), number, times, &documents, named);
    let manifest = network::sign(&manifest, &Trusting).await?;
    let key = doormen.log.as_ref().ok_or(Error::NetworkForged)?.key(&doormen.iss);
    let root = leaf_hash(&network::leaf(&manifest));
    let tree = Checkpoint { origin: key.name.clone(), size: 1, root };
    let checkpoint = SignedCheckpoint::new(tree, log_signature(&key, [0; 64]));
    let proof = TlogProof { extra: None, index: 0, hashes: Vec::new(), checkpoint }.to_text();
    Ok(NetworkDocuments { manifest, proof, ..documents })
}
