//! The notary's decisions (the papers' steps 9, 13, 20 and 21 of the treatment, 13 to 15 of trading):
//! what a deposit must be, where an entry may stand in its case, and what a query asks. Keeping the
//! log is the notary node's part.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::card::{self, Role, VerifiedCard};
use crate::envelope::{MessageType, Opened};
use crate::error::Error;
use crate::ids::{EntryId, NodeId};
use crate::ledger::{
    CaseSecret, Commitment, Drawn, Endorsed, Entry, EntryKind, MAX_ENTRIES, Place, Salt,
    UnverifiedEndorsement, VerifiedDraw, VerifiedEndorsement,
};
use crate::network::{Manifest, Trust};
use crate::provider::{Primitives, Timestamp};

/// Most deposits in one envelope, as far as they fit into it.
pub const MAX_DEPOSITS: usize = MAX_ENTRIES;

/// Most entries in one query.
pub const MAX_QUERIED: usize = 100;

/// One entry to be logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Deposit {
    /// Which; the endorsements that came along say what it is.
    pub entry: EntryId,
    /// The case's secret, with its first entry alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub case_secret: Option<CaseSecret>,
    /// How the case's notary was drawn, with its first entry alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub draw: Option<Drawn>,
}

/// Body of `notary/deposit`: 1 to [`MAX_DEPOSITS`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct DepositBody {
    /// The card of everyone who endorsed, each once: personal nodes are listed nowhere.
    pub cards: Vec<String>,
    /// What both participants have signed of the entries, each statement once.
    pub endorsements: Vec<String>,
    /// In the order in which they are to be logged.
    pub deposits: Vec<Deposit>,
}

/// The notary's answer to one deposit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DepositAnswer {
    /// Logged, now or before: the receipt.
    Receipt(String),
    /// Another entry was logged under its id first: a signed [`crate::ledger::Conflict`].
    Conflict(String),
    /// Refused: the code.
    Refused(String),
}

/// The notary's answer to `notary/deposit`, one for each deposit, in their order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DepositAnswers {
    /// See [`DepositAnswer`].
    pub answers: Vec<DepositAnswer>,
}

/// The deposits in an opened envelope, and who sent it. [`Error::UnknownType`] for another type,
/// [`Error::BodyMalformed`] for none or too many.
pub fn deposits(opened: Opened) -> Result<(VerifiedCard, DepositBody), Error> {
    if opened.kind() != MessageType::Deposit {
        return Err(Error::UnknownType);
    }
    let (sender, body): (_, DepositBody) = opened.into_body()?;
    let (count, most) = (body.deposits.len(), 2 * body.deposits.len());
    let fits = (1..=MAX_DEPOSITS).contains(&count)
        && body.cards.len() <= most
        && body.endorsements.len() <= most;
    if fits { Ok((sender, body)) } else { Err(Error::BodyMalformed) }
}

/// The cards that came with deposits, each checked once.
#[derive(Debug)]
pub struct DepositCards(HashMap<NodeId, Result<VerifiedCard, Error>>);

impl DepositCards {
    /// Checks them; what is wrong with a card concerns only the deposits that need it. A younger
    /// card that the Network Map lists goes before one that came along.
    pub async fn verify(
        cards: &[String],
        trust: &Trust,
        now: Timestamp,
        primitives: &impl Primitives,
    ) -> Self {
        let mut checked = HashMap::with_capacity(cards.len());
        for jwt in cards {
            let Ok((id, _)) = card::claimed(jwt) else { continue };
            let carried = VerifiedCard::verify(jwt, trust, now, primitives).await;
            let listed = trust.node(&id).ok().filter(|listed| match &carried {
                Ok(carried) => carried.card().iat < listed.card().iat,
                Err(error) => *error == Error::CardSuperseded,
            });
            checked.insert(id, listed.map_or(carried, |listed| Ok(listed.clone())));
        }
        Self(checked)
    }

    /// The cards that are good.
    pub fn good(&self) -> impl Iterator<Item = &VerifiedCard> {
        self.0.values().filter_map(|card| card.as_ref().ok())
    }

    /// Takes the cards of these nodes for superseded: the notary has seen newer ones, with other keys.
    pub fn supersede(&mut self, nodes: &[NodeId]) {
        for node in nodes {
            self.0.insert(node.clone(), Err(Error::CardSuperseded));
        }
    }

    fn of(&self, id: &NodeId) -> Result<&VerifiedCard, Error> {
        self.0.get(id).ok_or(Error::CardUnknown)?.as_ref().map_err(|error| *error)
    }
}

/// The endorsements that came with deposits, each checked once.
#[derive(Debug, Default)]
pub struct Statements {
    checked: Vec<Result<VerifiedEndorsement, Error>>,
    by_entry: HashMap<EntryId, Vec<usize>>,
    malformed: Option<Error>,
}

impl Statements {
    /// Checks one more under the card of who signed it; what is wrong with it concerns only the entries of
    /// which it speaks.
    pub async fn add(&mut self, jwt: &str, cards: &DepositCards, primitives: &impl Primitives) {
        let statement = match UnverifiedEndorsement::parse(jwt) {
            Ok(statement) => statement,
            Err(error) => return self.malformed = Some(error),
        };
        for id in statement.ids() {
            self.by_entry.entry(id.clone()).or_default().push(self.checked.len());
        }
        let checked = match cards.of(statement.claimed_by()) {
            Ok(card) => statement.verify(card, primitives).await,
            Err(error) => Err(error),
        };
        self.checked.push(checked);
    }

    /// What both participants have endorsed under this id; of each the first statement counts. Errors:
    /// why one is missing, those of [`Endorsed::join`].
    fn endorsed(&self, id: &EntryId) -> Result<Endorsed, Error> {
        let mut why = self.malformed.unwrap_or(Error::EndorsementMissing);
        let mut said: Vec<&VerifiedEndorsement> = Vec::new();
        for place in self.by_entry.get(id).into_iter().flatten() {
            match &self.checked[*place] {
                Ok(more) if said.iter().all(|before| before.by() != more.by()) => said.push(more),
                Ok(_) => {}
                Err(error) => why = *error,
            }
        }
        match said[..] {
            [one, other] => Endorsed::join(id, one, other),
            [] | [_] => Err(why),
            _ => Err(Error::EntryMismatch),
        }
    }
}

/// A deposit whose every signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The entry, endorsed by both participants.
    pub endorsed: Endorsed,
    /// The secret of the case that it begins.
    pub secret: Option<CaseSecret>,
    /// How the notary of the case that it begins was drawn.
    pub draw: Option<VerifiedDraw>,
}

/// A manifest of the network's, as who keeps it has checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    /// As it was signed.
    pub jwt: String,
    /// What it says.
    pub claims: Manifest,
}

/// Checks one deposit: that both have endorsed it, that the depositor is a participant, and
/// that entries of this kind are for nodes of these roles, that a case's secret is the one that both
/// have endorsed, and that the hospital has signed its part of the draw. Whose turn it is by that is
/// for [`Checked::expect_drawn`].
///
/// Errors: those of [`VerifiedCard::verify`] and [`VerifiedEndorsement::verify`],
/// [`Error::CardUnknown`], [`Error::EntryMismatch`], [`Error::EndorsementMissing`],
/// [`Error::NotParticipant`], [`Error::EntryNotForRole`], [`Error::NotDrawn`].
pub async fn check(
    deposit: &Deposit,
    depositor: &NodeId,
    (cards, statements): (&DepositCards, &Statements),
    primitives: &impl Primitives,
) -> Result<Checked, Error> {
    let endorsed = statements.endorsed(&deposit.entry)?;
    endorsed.entry().other(depositor)?;
    expect_roles(endorsed.entry(), cards)?;
    let Entry { case_secret: endorsed_secret, draw, counterparty, .. } = endorsed.entry();
    let secret = deposit.case_secret;
    if *endorsed_secret != secret.map(Commitment::to_secret) {
        return Err(Error::EntryMismatch);
    }
    let draw = match (&deposit.draw, draw.is_some() || secret.is_some()) {
        (Some(drawn), true) => {
            let hospital = cards.of(counterparty)?.keys();
            let entry = endorsed.entry();
            Some(VerifiedDraw::verify(entry, drawn.clone(), hospital, primitives).await?)
        }
        (None, false) => None,
        _ => return Err(Error::NotDrawn),
    };
    Ok(Checked { endorsed, secret, draw })
}

impl Checked {
    /// Numbers of the manifests that [`Checked::expect_drawn`] looks at.
    pub fn manifests(&self) -> Vec<u64> {
        let numbers = |draw: &VerifiedDraw| {
            let delisted = draw.delisted().map(|(number, _)| number);
            [draw.draw().number].into_iter().chain(delisted).collect()
        };
        self.draw.as_ref().map_or_else(Vec::new, numbers)
    }

    /// That a case which the entry begins was drawn for the notary `me`, at `now`, with those of
    /// [`Checked::manifests`] that the network has said. [`Error::NotDrawn`].
    pub fn expect_drawn(
        &self,
        me: &NodeId,
        manifests: &HashMap<u64, SignedManifest>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(draw) = &self.draw else { return Ok(()) };
        let manifest = |number| manifests.get(&number).ok_or(Error::NotDrawn);
        let SignedManifest { jwt, claims: named } = manifest(draw.draw().number)?;
        if !draw.draw().goes_by(jwt) {
            return Err(Error::NotDrawn);
        }
        // No notary was silent before it could be asked.
        let begun = named.iat.max(self.endorsed.authored());
        draw.expect(me, &named.notaries, (begun, now.seconds()))?;
        for (number, notary) in draw.delisted() {
            manifest(number)?.claims.expect_delisted(notary, draw.draw())?;
        }
        Ok(())
    }
}

/// A request is by a personal node to an institution, a result by an institution: whoever wants to
/// fill a log for nothing needs a member that the operator has looked at.
fn expect_roles(entry: &Entry, cards: &DepositCards) -> Result<(), Error> {
    let role = |node| Ok::<_, Error>(cards.of(node)?.card().role);
    let (author, counterparty) = (role(&entry.author)?, role(&entry.counterparty)?);
    let fits = match entry.kind {
        EntryKind::Request => author == Role::Personal && counterparty == Role::Institution,
        EntryKind::Result => author == Role::Institution && counterparty != Role::Notary,
    };
    if fits { Ok(()) } else { Err(Error::EntryNotForRole) }
}

/// What the notary's log already holds around an entry.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The entry logged under the same id.
    pub same: Option<Entry>,
    /// The entry of the same case that was logged last, and its place.
    pub last: Option<(Entry, Place)>,
}

/// What is to be done with a checked entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Log it in this place and make a receipt.
    Log(Place),
    /// It is logged: answer with the same receipt.
    Repeat,
    /// Another entry was logged under its id before: answer with a signed conflict.
    Conflict,
}

/// Numbers, uniqueness and idempotence: the same entry again gets the same receipt, an id names one
/// entry, and a case's entries are numbered as they come: its request, which brings the case's `secret`,
/// is 1, and all have the same participants. What is logged is told only to its participants. A case
/// without a secret, of before version 2, takes no new entries.
///
/// Errors: [`Error::CaseUnlogged`], [`Error::CaseLogged`], [`Error::NotParticipant`],
/// [`Error::FormerCase`].
pub fn decide(entry: &Entry, secret: Option<CaseSecret>, known: &Known) -> Result<Decision, Error> {
    if let Some(same) = &known.same {
        if same == entry {
            return Ok(Decision::Repeat);
        }
        expect_same_participants(same, entry)?;
        return Ok(Decision::Conflict);
    }
    if let Some((last, _)) = &known.last {
        expect_same_participants(last, entry)?;
    }
    let last = known.last.as_ref().map(|(_, place)| *place);
    let place = match (last, secret) {
        _ if entry.is_former() => return Err(Error::FormerCase),
        (Some(Place::Former), _) => return Err(Error::FormerCase),
        (None, Some(secret)) => Place::Numbered(secret, 1),
        (None, None) => return Err(Error::CaseUnlogged),
        (Some(Place::Numbered(..)), Some(_)) => return Err(Error::CaseLogged),
        (Some(Place::Numbered(secret, number)), None) => Place::Numbered(secret, number + 1),
    };
    Ok(Decision::Log(place))
}

fn expect_same_participants(logged: &Entry, entry: &Entry) -> Result<(), Error> {
    logged.other(&entry.author)?;
    logged.other(&entry.counterparty).map(drop)
}

/// One entry that is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Queried {
    /// The entry.
    pub entry: EntryId,
    /// Salt of its document's commitment: only those have it to whom a participant gave the entry
    /// with its receipt.
    pub salt: Salt,
}

/// Body of `notary/query`: 1 to [`MAX_QUERIED`] (the papers' step 13 of trading).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct QueryBody {
    /// The entries.
    pub entries: Vec<Queried>,
}

/// Body of `notary/answer` (the papers' step 15 of trading).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct AnswerBody {
    /// For each entry, in their order, its receipt without the parties' salt; `null` for one that is
    /// not logged and for one whose salt is another, which nobody can tell apart.
    pub receipts: Vec<Option<String>>,
}

/// What an opened envelope asks. [`Error::UnknownType`] for another type, [`Error::BodyMalformed`]
/// for none or too many.
pub fn queried(opened: &Opened) -> Result<Vec<Queried>, Error> {
    if opened.kind() != MessageType::Query {
        return Err(Error::UnknownType);
    }
    let QueryBody { entries } = opened.body()?;
    let fits = (1..=MAX_QUERIED).contains(&entries.len());
    if fits { Ok(entries) } else { Err(Error::BodyMalformed) }
}
