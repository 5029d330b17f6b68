//! The network's operator: root and Doorman.

use hdms::Error;
use hdms::card::{self, Card, Role};
use hdms::ids::NodeId;
use hdms::jose::digest;
use hdms::jose::jwk::RsaJwk;
use hdms::network::{
    self, DoormanKey, Doormen, NetworkDocuments, NetworkMap, Parameters, Revocations, WitnessRule,
};
use hdms::software::SoftwareKeys;
use hdms::testing::SeededRandomness;

use crate::log::LogSigner;
use crate::{BEGIN, Providers, keys};

/// What the network's documents say.
#[derive(Clone, Debug)]
pub struct Network {
    /// Which keys are the Doorman's.
    pub doormen: Doormen,
    /// The network parameters.
    pub parameters: Parameters,
    /// The Network Map.
    pub map: NetworkMap,
    /// The revocation list.
    pub revocations: Revocations,
}

/// Holds the keys of root and Doorman.
pub struct Operator {
    root: SoftwareKeys<SeededRandomness>,
    doorman: SoftwareKeys<SeededRandomness>,
    notary: NodeId,
}

impl Operator {
    /// With the fixed keys.
    pub fn new(providers: &Providers) -> Result<Self, Error> {
        let keys = |name| keys(name, providers.randomness.clone());
        Ok(Self { root: keys("root")?, doorman: keys("doorman")?, notary: id(&keys("notary")?)? })
    }

    /// The public root key.
    pub fn root(&self) -> &RsaJwk {
        self.root.public().0
    }

    /// Changes the Doorman's keys to those of this owner, which the root's list has yet to name.
    pub fn with_doorman(self, doorman: SoftwareKeys<SeededRandomness>) -> Self {
        Self { doorman, ..self }
    }

    /// Notaries that only co-sign, and that nobody writes to.
    pub fn witnesses(&self) -> Result<Vec<LogSigner>, Error> {
        let names = ["first witness", "second witness"];
        names.iter().map(|name| LogSigner::of(&digest(name).parse()?)).collect()
    }

    /// The claims of a card for the owner of `keys`.
    pub fn claims(
        &self,
        keys: &SoftwareKeys<SeededRandomness>,
        role: Role,
        name: &str,
    ) -> Result<Card, Error> {
        let (signing_key, encryption_key) = keys.public();
        let host = name.to_lowercase();
        Ok(Card {
            iss: id(&self.doorman)?,
            sub: id(keys)?,
            role,
            name: if role == Role::Personal { String::new() } else { name.into() },
            endpoint: (role != Role::Personal)
                .then(|| format!("https://{host}.example").parse())
                .transpose()?,
            signing_key: signing_key.clone(),
            encryption_key: encryption_key.clone(),
            changes: Vec::new(),
            iat: BEGIN.seconds(),
            exp: BEGIN.seconds() + card::LIFETIME,
        })
    }

    /// Signs a card as the Doorman.
    pub async fn sign(&self, card: &Card) -> Result<String, Error> {
        card::issue(card, &self.doorman).await
    }

    /// A card for the owner of `keys`.
    pub async fn card(
        &self,
        keys: &SoftwareKeys<SeededRandomness>,
        role: Role,
        name: &str,
    ) -> Result<String, Error> {
        self.sign(&self.claims(keys, role, name)?).await
    }

    /// A network with these nodes listed and those revoked, in which every receipt needs a witness.
    pub fn network(&self, listed: &[String], revoked: &[NodeId]) -> Result<Network, Error> {
        let (iss, root) = (id(&self.doorman)?, id(&self.root)?);
        let (iat, number) = (BEGIN.seconds(), 1);
        let doorman = DoormanKey { key: self.doorman.public().0.clone(), until: None };
        let mut logs = vec![LogSigner::of(&self.notary)?.listed().clone()];
        logs.extend(self.witnesses()?.iter().map(|witness| witness.listed().clone()));
        Ok(Network {
            doormen: Doormen {
                iss: root.clone(),
                iat,
                exp: iat + 365 * 24 * 3600,
                number,
                doormen: vec![doorman],
            },
            parameters: Parameters {
                iss: iss.clone(),
                iat,
                number,
                name: "Simulation".into(),
                root,
                max_envelope: hdms::envelope::MAX_BYTES as u64,
                minimum_version: 1,
                revocation_age: 90 * 24 * 3600,
                vapid: None,
                witnesses: vec![WitnessRule { since: iat, needed: 1 }],
            },
            map: NetworkMap { iss: iss.clone(), iat, number, nodes: listed.to_vec(), logs },
            revocations: Revocations {
                iss,
                iat,
                number,
                revoked: revoked.iter().cloned().collect(),
            },
        })
    }

    /// The documents of [`Operator::network`].
    pub async fn documents(
        &self,
        listed: &[String],
        revoked: &[NodeId],
    ) -> Result<NetworkDocuments, Error> {
        self.publish(&self.network(listed, revoked)?).await
    }

    /// Signs what the network's documents are to say.
    pub async fn publish(&self, network: &Network) -> Result<NetworkDocuments, Error> {
        Ok(NetworkDocuments {
            doormen: network::sign(&network.doormen, &self.root).await?,
            parameters: network::sign(&network.parameters, &self.doorman).await?,
            map: network::sign(&network.map, &self.doorman).await?,
            revocations: network::sign(&network.revocations, &self.doorman).await?,
        })
    }
}

/// The node id of the owner of `keys`, who has never changed them.
pub fn id(keys: &SoftwareKeys<SeededRandomness>) -> Result<NodeId, Error> {
    keys.public().0.thumbprint().parse()
}
