//! What participants of a case send to its notary.

use std::sync::Arc;

use hdms::card::VerifiedCard;
use hdms::envelope::{self, Message, MessageType};
use hdms::ids::{CaseId, EntryId, NodeId};
use hdms::ledger::{
    CaseSecret, Commitment, Draw, Drawn, Entry, EntryKind, VerificationKey, VerifiedEndorsement,
};
use hdms::network::Trust;
use hdms::notary::{Deposit, DepositBody};
use hdms::provider::Clock;
use hdms_nodes::base::keys::AwsPrimitives;
use hdms_nodes::base::system::{SystemClock, SystemRandomness};
use hdms_nodes::notary::Notary;

use super::{Person, case_id};

/// Of every case that the tests make.
pub const SECRET: CaseSecret = CaseSecret([7; 32]);

/// What a notary trusts, once that names itself.
pub async fn trust_of(notary: &Notary) -> Arc<Trust> {
    loop {
        let trust = notary.member().standing().trust.clone();
        if trust.manifest().notaries.contains(notary.member().id()) {
            return trust;
        }
        notary.member().refresh().await.unwrap();
    }
}

/// An entry with draws that go by `trust`, of which the last leads to `notary`, with the hospital's
/// part.
pub async fn drawn(
    entry: Entry,
    hospital: &Person,
    notary: &NodeId,
    trust: &Trust,
) -> (Entry, Drawn) {
    let (claims, manifest) = (trust.manifest(), &trust.documents().manifest);
    assert!(claims.notaries.contains(notary));
    loop {
        let key = hospital.card.card().signing_key.thumbprint();
        let draw = Draw::new(claims.number, manifest, key, &SystemRandomness).unwrap();
        let entry = Entry { draw: Some(draw.clone()), ..entry.clone() };
        let drawn = Drawn::sign(&entry, hospital.keys).await.unwrap();
        if draw.ranked(&claims.notaries, &drawn.signature)[0] == *notary {
            return (entry, drawn);
        }
    }
}

/// The request of a new case of that time, which no notary was drawn for.
pub fn first_entry(author: &NodeId, counterparty: &NodeId, clock: &impl Clock) -> Entry {
    Entry {
        id: EntryId::new(&SystemRandomness).unwrap(),
        kind: EntryKind::Request,
        case: CaseId::new(clock, &SystemRandomness).unwrap(),
        author: author.clone(),
        counterparty: counterparty.clone(),
        verification_key: VerificationKey::of("request"),
        previous: None,
        case_secret: Some(Commitment::to_secret(SECRET)),
        draw: None,
    }
}

/// A deposit, and what both have signed of it.
#[derive(Clone, Debug)]
pub struct Signed {
    pub endorsements: Vec<String>,
    pub deposit: Deposit,
}

/// The body of an envelope with these.
pub fn body(cards: Vec<String>, signed: Vec<Signed>) -> serde_json::Value {
    let (mut endorsements, mut deposits): (Vec<String>, Vec<_>) = (Vec::new(), Vec::new());
    for Signed { endorsements: more, deposit } in signed {
        endorsements.extend(more);
        deposits.push(deposit);
    }
    let mut known = std::collections::HashSet::new();
    endorsements.retain(|jwt| known.insert(jwt.clone()));
    serde_json::to_value(DepositBody { cards, endorsements, deposits }).unwrap()
}

/// The request of a new case between a patient and a hospital, endorsed by both and drawn for this
/// notary.
pub async fn deposit(author: &Person, other: &Person, notary: &Notary) -> Signed {
    let trust = trust_of(notary).await;
    deposit_for(author, other, notary.member().id(), &trust).await
}

/// The same, by what somebody else trusts.
pub async fn deposit_for(
    author: &Person,
    other: &Person,
    notary: &NodeId,
    trust: &Trust,
) -> Signed {
    let entry = first_entry(&author.id, &other.id, &SystemClock);
    let (entry, draw) = drawn(entry, other, notary, trust).await;
    let endorse = async |by: &Person| {
        let now = SystemClock.now();
        let entry = std::slice::from_ref(&entry);
        let signed = VerifiedEndorsement::sign(entry, &by.id, now, by.keys).await.unwrap();
        signed.jwt().to_owned()
    };
    let endorsements = vec![endorse(author).await, endorse(other).await];
    let deposit = Deposit { entry: entry.id, case_secret: Some(SECRET), draw: Some(draw) };
    Signed { endorsements, deposit }
}

/// An envelope for the notary with deposits of both participants, of which the first sends it.
pub async fn sealed(
    [from, other]: [&Person; 2],
    notary: &VerifiedCard,
    deposits: Vec<Signed>,
) -> String {
    let body = body(vec![from.card.jwt().into(), other.card.jwt().into()], deposits);
    let (case, kind) = (&case_id(), MessageType::Deposit);
    let message = Message { from: &from.card, to: notary, case, kind, body };
    let sealed =
        envelope::seal(message, from.keys, &AwsPrimitives, &SystemClock, &SystemRandomness).await;
    sealed.unwrap().1
}
