//! What the fuzz targets share: a network in which every signature holds and every envelope opens,
//! so that mutations get past the cryptography to the decisions behind it; and a spelling of signed
//! documents that a fuzzer can mutate.

pub mod spelling;
mod trusting;

pub use trusting::Trusting;

use std::sync::LazyLock;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::{self, Card, Role, VerifiedCard};
use hdms::ids::NodeId;
use hdms::jose::jwk::RsaJwk;
use hdms::network::{
    self, DoormanCertificate, NetworkDocuments, NetworkMap, Parameters, Revocations, Trust,
};
use hdms::provider::Timestamp;

/// When everything here happens.
pub const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// A network with one hospital on its map, and a patient.
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

async fn make_world() -> Result<World, Error> {
    let (root, doorman) = (key(2)?, key(4)?);
    let hospital = issue(6, Role::Institution, "Hospital", Some("http://hospital.example")).await?;
    let patient = issue(10, Role::Personal, "", None).await?;
    let documents = documents(&root, &doorman, vec![hospital.clone()]).await?;
    let trust = Trust::verify(&documents, &root, None, NOW, &Trusting).await?;
    let verify = async |jwt: &str| VerifiedCard::verify(jwt, &trust, NOW, &Trusting).await;
    let (hospital, patient) = (verify(&hospital).await?, verify(&patient).await?);
    Ok(World { trust, hospital, patient })
}

async fn issue(
    number: u8,
    role: Role,
    name: &str,
    endpoint: Option<&str>,
) -> Result<String, Error> {
    let signing_key = key(number)?;
    let claims = Card {
        iss: NodeId::try_from(key(4)?.thumbprint())?,
        sub: NodeId::try_from(signing_key.thumbprint())?,
        role,
        name: name.into(),
        endpoint: endpoint.map(Into::into),
        signing_key,
        encryption_key: key(number + 1)?,
        iat: NOW.seconds(),
        exp: NOW.seconds() + card::LIFETIME,
    };
    card::issue(&claims, &Trusting).await
}

async fn documents(
    root: &RsaJwk,
    doorman: &RsaJwk,
    nodes: Vec<String>,
) -> Result<NetworkDocuments, Error> {
    let (iss, root) =
        (NodeId::try_from(doorman.thumbprint())?, NodeId::try_from(root.thumbprint())?);
    let (iat, number) = (NOW.seconds(), 1);
    let certificate = DoormanCertificate {
        iss: root.clone(),
        sub: iss.clone(),
        key: doorman.clone(),
        iat,
        exp: iat + card::LIFETIME,
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
    };
    let map = NetworkMap { iss: iss.clone(), iat, number, nodes };
    let revocations = Revocations { iss, iat, number, revoked: Default::default() };
    Ok(NetworkDocuments {
        doormen: vec![network::sign(&certificate, &Trusting).await?],
        parameters: network::sign(&parameters, &Trusting).await?,
        map: network::sign(&map, &Trusting).await?,
        revocations: network::sign(&revocations, &Trusting).await?,
    })
}
