//! The network's operator: root and Doorman.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use hdms::Error;
use hdms::base64url::{decode, digest};
use hdms::card::{self, Card, KeyChange, Role, Subkeys};
use hdms::ids::NodeId;
use hdms::json;
use hdms::jwk::RsaJwk;
use hdms::network::{
    self, DoormanKey, Doormen, Manifest, NetworkDocument, NetworkDocuments, NetworkMap, NotaryLog,
    PROTOCOL_VERSION, Parameters, Revocations, Witness, WitnessRule,
};
use hdms::provider::NodeKeys;
use hdms::software::SoftwareKeys;
use hdms::testing::SeededRandomness;

use crate::log::LogSigner;
use crate::manifests::Manifests;
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
    /// Number of the manifest that binds them.
    pub number: u64,
    /// How long that lasts, seconds.
    pub lasts: u64,
    /// Whom it names to co-sign the next.
    pub witnesses: Vec<Witness>,
    /// Who co-signs it.
    pub cosigners: Vec<LogSigner>,
}

impl Network {
    /// Gives the next number to the manifest, and to what is not as it was in `before`.
    pub fn follow(&mut self, before: &Self) {
        fn next<D: PartialEq>(now: &D, before: &D, number: &mut u64, last: u64) {
            if now != before && *number == last {
                *number += 1;
            }
        }
        let Self { parameters, map, revocations, .. } = before;
        let mut numbers = [self.parameters.number, self.map.number, self.revocations.number];
        next(&self.parameters, parameters, &mut numbers[0], parameters.number);
        next(&self.map, map, &mut numbers[1], map.number);
        next(&self.revocations, revocations, &mut numbers[2], revocations.number);
        [self.parameters.number, self.map.number, self.revocations.number] = numbers;
        self.number += 1;
    }
}

/// Holds the keys of root and Doorman.
pub struct Operator {
    root: SoftwareKeys<SeededRandomness>,
    doorman: SoftwareKeys<SeededRandomness>,
    notary: NodeId,
    /// What was signed, by its claims: the same is never signed twice.
    signed: RefCell<HashMap<Vec<u8>, String>>,
    manifests: Rc<RefCell<Manifests>>,
}

impl Operator {
    /// With the fixed keys.
    pub fn new(providers: &Providers) -> Result<Self, Error> {
        let keys = |name| keys(name, providers.randomness.clone());
        let notary = id(&keys("notary")?)?;
        Ok(Self {
            root: keys("root")?,
            doorman: keys("doorman")?,
            notary,
            signed: RefCell::default(),
            manifests: Rc::default(),
        })
    }

    /// The public root key.
    pub fn root(&self) -> &RsaJwk {
        self.root.public().0
    }

    /// Changes the Doorman's keys to those of this owner, which the root's list has yet to name. The
    /// log of manifests goes on.
    pub fn with_doorman(self, doorman: SoftwareKeys<SeededRandomness>, before: &Self) -> Self {
        Self { doorman, manifests: before.manifests.clone(), ..self }
    }

    /// Notaries that only co-sign, and that nobody writes to.
    pub fn witnesses(&self) -> Result<Vec<LogSigner>, Error> {
        let names = ["first witness", "second witness"];
        names.iter().map(|name| LogSigner::of(&digest(name).parse()?)).collect()
    }

    /// The claims of a card for the owner of `keys`.
    pub async fn claims(
        &self,
        keys: &SoftwareKeys<SeededRandomness>,
        role: Role,
        name: &str,
    ) -> Result<Card, Error> {
        let host = name.to_lowercase();
        let sub = id(keys)?;
        Ok(Card {
            iss: id(&self.doorman)?,
            subkeys: stated(&sub, keys, BEGIN.seconds()).await?,
            sub,
            role,
            name: if role == Role::Personal { String::new() } else { name.into() },
            endpoint: (role != Role::Personal)
                .then(|| format!("https://{host}.example").parse())
                .transpose()?,
            signing_key: keys.public().0.clone(),
            changes: Vec::new(),
            iat: BEGIN.seconds(),
            exp: BEGIN.seconds() + card::LIFETIME,
        })
    }

    /// Signs a card as the Doorman.
    pub async fn sign(&self, card: &Card) -> Result<String, Error> {
        card::issue(card, &self.doorman).await
    }

    /// The card of a node that changes its keys to `new` at `iat`, seconds; `card` and `former` are those
    /// of before.
    pub async fn changed_card(
        &self,
        (card, former): (&Card, &impl NodeKeys),
        new: &SoftwareKeys<SeededRandomness>,
        iat: u64,
    ) -> Result<String, Error> {
        let (node, signing_key) = (card.sub.clone(), new.public().0.clone());
        let former_signing_key = card.signing_key.clone();
        let subkeys = stated(&node, new, iat).await?;
        let change =
            KeyChange { iss: node, iat, former_signing_key, signing_key: signing_key.clone() };
        let changes = vec![change.sign(former).await?];
        self.sign(&Card { signing_key, subkeys, changes, iat, ..card.clone() }).await
    }

    /// A card for the owner of `keys`.
    pub async fn card(
        &self,
        keys: &SoftwareKeys<SeededRandomness>,
        role: Role,
        name: &str,
    ) -> Result<String, Error> {
        self.sign(&self.claims(keys, role, name).await?).await
    }

    /// A network with these nodes listed and those revoked, in which every receipt needs a witness.
    pub fn network(&self, listed: &[String], revoked: &[NodeId]) -> Result<Network, Error> {
        let (iss, root) = (id(&self.doorman)?, id(&self.root)?);
        let (iat, number) = (BEGIN.seconds(), 1);
        let doorman = DoormanKey { key: self.doorman.public().0.clone(), until: None };
        let mut cosigners = vec![LogSigner::of(&self.notary)?];
        cosigners.extend(self.witnesses()?);
        let logs: Vec<_> = cosigners.iter().map(|signer| signer.listed().clone()).collect();
        let witnesses: Vec<_> = logs.iter().map(NotaryLog::witness).collect();
        let log = self.manifests.borrow().listed(witnesses.clone());
        Ok(Network {
            doormen: Doormen {
                iss: root.clone(),
                iat,
                exp: iat + 365 * 24 * 3600,
                number,
                doormen: vec![doorman],
                log: Some(log),
            },
            parameters: Parameters {
                iss: iss.clone(),
                iat,
                number,
                name: "Simulation".into(),
                root,
                max_envelope: hdms::envelope::MAX_BYTES as u64,
                minimum_version: PROTOCOL_VERSION,
                revocation_age: 90 * 24 * 3600,
                vapid: None,
                witnesses: vec![WitnessRule { since: iat, needed: 1 }],
                pinned_logs: Vec::new(),
            },
            map: NetworkMap { iss: iss.clone(), iat, number, nodes: listed.to_vec(), logs },
            revocations: Revocations {
                iss,
                iat,
                number,
                revoked: revoked.to_vec(),
                superseded: Vec::new(),
            },
            number,
            lasts: 90 * 24 * 3600,
            witnesses,
            cosigners,
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

    /// Signs what the network's documents are to say, and the manifest over them.
    pub async fn publish(&self, network: &Network) -> Result<NetworkDocuments, Error> {
        let documents = NetworkDocuments {
            doormen: self.signed(&network.doormen, &self.root).await?,
            parameters: self.signed(&network.parameters, &self.doorman).await?,
            map: self.signed(&network.map, &self.doorman).await?,
            revocations: self.signed(&network.revocations, &self.doorman).await?,
            manifest: String::new(),
            proof: String::new(),
            consistency: Vec::new(),
            before: Vec::new(),
        };
        self.bind(documents, network).await
    }

    /// The same documents under a manifest of `network`'s number, which is then the last in the log.
    pub async fn bind(
        &self,
        documents: NetworkDocuments,
        network: &Network,
    ) -> Result<NetworkDocuments, Error> {
        let (iss, iat) = (id(&self.doorman)?, network.revocations.iat);
        let times = (iat, iat + network.lasts);
        let named = (notaries(&network.map)?, network.witnesses.clone());
        let manifest = Manifest::binding(iss, network.number, times, &documents, named);
        let jwt = self.signed(&manifest, &self.doorman).await?;
        let mut manifests = self.manifests.borrow_mut();
        let proof = manifests.log(&id(&self.root)?, network.number, &jwt, &network.cosigners, iat);
        Ok(NetworkDocuments { manifest: jwt, proof, ..documents })
    }

    /// The documents for who has seen the first `size` manifests.
    pub fn offered(&self, documents: &NetworkDocuments, size: u64) -> NetworkDocuments {
        let consistency = self.manifests.borrow().consistency(&documents.proof, size);
        NetworkDocuments { consistency, ..documents.clone() }
    }

    async fn signed<D: NetworkDocument>(
        &self,
        document: &D,
        keys: &SoftwareKeys<SeededRandomness>,
    ) -> Result<String, Error> {
        let claims = json::write(&(D::KIND.typ, document))?;
        let kept = self.signed.borrow().get(&claims).cloned();
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let jwt = network::sign(document, keys).await?;
        self.signed.borrow_mut().insert(claims, jwt.clone());
        Ok(jwt)
    }
}

/// The notaries that a map lists.
fn notaries(map: &NetworkMap) -> Result<Vec<NodeId>, Error> {
    let cards = map.nodes.iter().map(|jwt| {
        let payload = jwt.split('.').nth(1).and_then(decode).ok_or(Error::CardMalformed)?;
        json::stored::<Card>(&payload)
    });
    let cards = cards.collect::<Result<Vec<_>, Error>>()?;
    let notaries = cards.into_iter().filter(|card| card.role == Role::Notary);
    Ok(notaries.map(|card| card.sub).collect())
}

/// The node id of the owner of `keys`, who has never changed them.
pub fn id(keys: &SoftwareKeys<SeededRandomness>) -> Result<NodeId, Error> {
    keys.public().0.thumbprint().parse()
}

/// The statement of `node`, which signs with `keys`, that the others of them are its subkeys.
pub async fn stated(
    node: &NodeId,
    keys: &SoftwareKeys<SeededRandomness>,
    iat: u64,
) -> Result<String, Error> {
    let (encryption, request) = (keys.public().1.clone(), keys.request_key().clone());
    Subkeys { iss: node.clone(), iat, encryption, request }.sign(keys).await
}
