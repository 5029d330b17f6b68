//! Deposits: one outbox item for each decision, as many as fit in an envelope, and what comes of each
//! entry.

use litemap::LiteMap;

use super::outbox::{Parcel, Stuck, taken_off};
use super::outbox_item::{Attempts, OutboxItem, Payload};
use super::{Node, Platform, put};
use crate::card::Role;
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::{EntryId, MessageId, NodeId};
use crate::json;
use crate::ledger::{CaseSecret, Conflict, Drawn, Endorsed, Entry, Final, UnverifiedEndorsement};
use crate::notary::{Deposit, DepositAnswer, DepositBody, MAX_DEPOSITS};
use crate::provider::{Table, Write};
use crate::treatment::message::divide;
use crate::treatment::{Answered, Flow};

/// What a notary's answer comes to: the entry with its receipt, or the code of a permanent refusal.
type DepositOutcome = Result<Final, String>;

impl OutboxItem {
    /// The entries of a deposit that are not answered yet. [`Error::BodyMalformed`] of anything else.
    pub fn entries(&self) -> Result<Vec<EntryId>, Error> {
        match &self.payload {
            Payload::Deposit { entries, .. } if entries.is_empty() => Ok(vec![self.id.parse()?]),
            Payload::Deposit { entries, .. } => Ok(entries.clone()),
            Payload::Envelope { .. } => Err(Error::BodyMalformed),
        }
    }

    /// The same item with some of its entries, and with what is endorsed of those.
    fn with_entries(&self, kept: &[EntryId]) -> Result<Self, Error> {
        let mut item = self.clone();
        let Payload::Deposit { entries, endorsements, .. } = &mut item.payload else {
            return Err(Error::BodyMalformed);
        };
        *entries = kept.to_vec();
        let mut about = Vec::with_capacity(endorsements.len());
        for jwt in endorsements.drain(..) {
            let is_about = UnverifiedEndorsement::parse(&jwt)?.ids().any(|id| kept.contains(id));
            about.extend(is_about.then_some(jwt));
        }
        *endorsements = about;
        Ok(item)
    }
}

/// Which of a notary's answers are to which item: both are in the order in which the entries were sent.
/// [`Error::BodyMalformed`] where there are more or fewer than entries.
pub fn answers_to(
    items: &[OutboxItem],
    answers: Vec<DepositAnswer>,
) -> Result<Vec<Vec<DepositAnswer>>, Error> {
    let (mut answers, mut dealt) = (answers.into_iter(), Vec::with_capacity(items.len()));
    for item in items {
        let count = item.entries()?.len();
        let own: Vec<_> = answers.by_ref().take(count).collect();
        if own.len() < count {
            return Err(Error::BodyMalformed);
        }
        dealt.push(own);
    }
    if answers.next().is_none() { Ok(dealt) } else { Err(Error::BodyMalformed) }
}

impl<P: Platform> Node<P> {
    /// What is to be deposited of a decision. A case's first entry waits under its case's id, as long as it
    /// has no receipt.
    pub(super) fn deposit(
        &self,
        notary: NodeId,
        endorsed: &[Endorsed],
        first: Option<(CaseSecret, Drawn)>,
    ) -> Result<OutboxItem, Error> {
        let head = endorsed.first().ok_or(Error::EndorsementMissing)?.entry();
        let id = match first {
            Some(_) => head.case.to_string(),
            None => MessageId::new(self.platform.clock(), self.platform.randomness())?.to_string(),
        };
        let mut endorsements: Vec<String> = Vec::new();
        for jwt in endorsed.iter().flat_map(Endorsed::jwts) {
            if endorsements.iter().all(|known| **known != **jwt) {
                endorsements.push(jwt.to_string());
            }
        }
        let (case_secret, draw) = first.unzip();
        let payload = Payload::Deposit {
            entries: endorsed.iter().map(|one| one.entry().id.clone()).collect(),
            endorsements,
            participants: [head.author.clone(), head.counterparty.clone()],
            case_secret,
            draw,
        };
        let (case, role, attempts) = (head.case.clone(), Role::Notary, Attempts::default());
        let since = self.now();
        Ok(OutboxItem { id, case, to: notary, role, payload, since, refused: None, attempts })
    }

    /// The notary has answered for each entry of a deposit, in their order: the case goes on with the
    /// receipts and refusals. What was answered before is left out.
    ///
    /// Errors: those of a receipt, and a refusal itself unless it
    /// [is permanent](Error::is_permanent_for_deposits): that entry stays queued then, and the others go on.
    pub async fn deposit_answered<F: Flow>(
        &self,
        item: &OutboxItem,
        answers: &[DepositAnswer],
    ) -> Result<(), Error> {
        let secret = self.case::<F>(&item.case).await?.secret();
        let (entries, mut done) = (item.entries()?, Vec::new());
        let mut outcomes = Vec::with_capacity(entries.len());
        let mut endorsed = self.endorsed_if_needed(item, &entries, answers).await?.into_iter();
        for (id, answer) in entries.into_iter().zip(answers) {
            let outcome = match (answer, endorsed.next()) {
                (DepositAnswer::Refused(code), _) => refused(code),
                (_, None) => Err(Error::EndorsementMissing),
                (answer, Some(endorsed)) => {
                    self.outcome(item, endorsed, secret, answer, &mut done).await
                }
            };
            outcomes.push((id, outcome));
        }
        self.go_on_with::<F>(item, outcomes, done).await
    }

    async fn go_on_with<F: Flow>(
        &self,
        item: &OutboxItem,
        outcomes: Vec<(EntryId, Result<DepositOutcome, Error>)>,
        mut done: Vec<Write>,
    ) -> Result<(), Error> {
        let _guard = self.platform.lock_case(&item.case).await;
        let Some(waiting) = self.waiting_item(&item.id).await?.filter(|one| one.to == item.to)
        else {
            // It was answered before, or this notary was passed over while it was asked.
            return Ok(());
        };
        let (state, mut left): (F, _) = (self.case(&item.case).await?, waiting.entries()?);
        let (mut answered, mut problem) = (Answered::default(), None);
        for (id, outcome) in outcomes.into_iter() {
            if !left.contains(&id) {
                continue;
            }
            match self.awaited(&state, outcome, &answered.committed).await {
                Ok(Ok(committed)) => answered.committed.push(committed),
                Ok(Err(code)) => answered.refused.push((id.clone(), code)),
                Err(error) => {
                    problem = Some(error);
                    continue;
                }
            }
            left.retain(|waiting| *waiting != id);
        }
        if answered.committed.is_empty() && answered.refused.is_empty() {
            return problem.map_or(Ok(()), Err);
        }
        done.push(match &left[..] {
            [] => taken_off(&waiting),
            left => {
                put(Table::Outbox, waiting.id.clone(), json::write(&waiting.with_entries(left)?)?)
            }
        });
        let step = state.deposited(&answered, self.room(), self.now())?;
        self.carry_out(&item.case, step, done).await?;
        if left.is_empty() {
            self.settled(&waiting);
        }
        problem.map_or(Ok(()), Err)
    }

    /// Whether the case awaits what was logged, and under a number that is free.
    async fn awaited<F: Flow>(
        &self,
        state: &F,
        outcome: Result<DepositOutcome, Error>,
        before: &[Final],
    ) -> Result<DepositOutcome, Error> {
        let committed = match outcome? {
            Ok(committed) => committed,
            refused => return Ok(refused),
        };
        state.awaits(&committed)?;
        let case = &committed.entry().case;
        let others = before.iter().map(Final::receipt);
        match self.expect_free_number(case, committed.receipt(), others).await {
            Err(Error::NumberTaken) => Ok(Err(Error::NumberTaken.code().to_owned())),
            free => free.map(|()| Ok(committed)),
        }
    }

    /// What was endorsed, if anything but a refusal was answered.
    async fn endorsed_if_needed(
        &self,
        item: &OutboxItem,
        entries: &[EntryId],
        answers: &[DepositAnswer],
    ) -> Result<Vec<Endorsed>, Error> {
        let Payload::Deposit { endorsements, .. } = &item.payload else {
            return Err(Error::BodyMalformed);
        };
        let are_refused = |answer: &DepositAnswer| matches!(answer, DepositAnswer::Refused(_));
        match answers.iter().all(are_refused) {
            true => Ok(Vec::new()),
            false => self.endorsed(entries, endorsements).await,
        }
    }

    /// What is to be kept of the answer is added to `done`.
    async fn outcome(
        &self,
        item: &OutboxItem,
        endorsed: Endorsed,
        secret: Option<CaseSecret>,
        answer: &DepositAnswer,
        done: &mut Vec<Write>,
    ) -> Result<DepositOutcome, Error> {
        match answer {
            DepositAnswer::Receipt(text) => {
                let receipt = self.verify_receipt(text).await?;
                receipt.expect_past(self.now())?;
                Ok(Ok(Final::new(endorsed, receipt, secret)?))
            }
            DepositAnswer::Conflict(jwt) => {
                self.verify_conflict(&item.to, endorsed.entry(), jwt).await?;
                // The notary's word for what was first is kept with the entry that it refused.
                let key = format!("{}/{}/conflict", item.case, endorsed.entry().id);
                done.push(put(Table::Receipts, key, jwt.clone().into()));
                Ok(Err(Error::EntryConflict.code().to_owned()))
            }
            DepositAnswer::Refused(code) => refused(code),
        }
    }

    /// That the notary has logged another entry under the id of the deposited one.
    async fn verify_conflict(
        &self,
        notary: &NodeId,
        entry: &Entry,
        jwt: &str,
    ) -> Result<(), Error> {
        let (notary, trust) = (self.known_card(notary).await?, self.trust());
        let primitives = self.platform.primitives();
        Conflict::verify(jwt, entry, &notary, &trust, primitives).await.map(drop)
    }

    /// Envelopes to one notary: one, or more where so many deposits do not fit. A deposit that lacks
    /// a card holds up no other.
    pub(super) async fn deposit_parcels(
        &self,
        notary: &NodeId,
        items: Vec<OutboxItem>,
        parcels: &mut Vec<Parcel>,
        stuck: &mut Vec<Stuck>,
    ) {
        let (mut ready, mut cards) = (Vec::with_capacity(items.len()), Vec::new());
        for item in items {
            match self.add_cards(&item, &mut cards).await {
                Ok(()) => ready.push(item),
                Err(why) => stuck.push((item, why)),
            }
        }
        let count = |item: &OutboxItem| item.entries().map_or(1, |entries| entries.len());
        let mut waiting = divide(ready, count, MAX_DEPOSITS);
        waiting.reverse();
        while let Some(items) = waiting.pop() {
            match self.deposit_parcel(notary, &items, &cards).await {
                Ok(parcel) => parcels.push(parcel),
                Err(Error::EnvelopeTooLarge) => match halves(&items) {
                    Some([first, second]) => waiting.extend([second, first]),
                    None => {
                        let too_large = |item| (item, Error::EnvelopeTooLarge);
                        stuck.extend(items.into_iter().map(too_large));
                    }
                },
                Err(why) => stuck.extend(items.into_iter().map(|item| (item, why))),
            }
        }
    }

    async fn deposit_parcel(
        &self,
        notary: &NodeId,
        items: &[OutboxItem],
        cards: &[(NodeId, String)],
    ) -> Result<Parcel, Error> {
        let (mut statements, mut deposits) = (Vec::new(), Vec::new());
        let mut known: LiteMap<&NodeId, ()> = LiteMap::new();
        for item in items {
            let Payload::Deposit { endorsements, participants, case_secret, draw, .. } =
                &item.payload
            else {
                return Err(Error::BodyMalformed);
            };
            for participant in participants {
                known.insert(participant, ());
            }
            for jwt in endorsements {
                if !statements.contains(jwt) {
                    statements.push(jwt.clone());
                }
            }
            let (case_secret, draw) = (*case_secret, draw.clone());
            let deposit = |entry| Deposit { entry, case_secret, draw: draw.clone() };
            deposits.extend(item.entries()?.into_iter().map(deposit));
        }
        let first = items.first().ok_or(Error::BodyMalformed)?;
        let cards = cards.iter().filter(|(node, _)| known.contains_key(node));
        let cards = cards.map(|(_, card)| card.clone()).collect();
        let body = json::value(&DepositBody { cards, endorsements: statements, deposits })?;
        let to = self.card_of(notary).await?;
        let sealed = self.seal_message(&first.case, &to, MessageType::Deposit, body).await?;
        let (endpoint, items) = (self.endpoint(notary)?, items.to_vec());
        Ok(Parcel::Deposits { endpoint, items, envelope: sealed.compact })
    }

    /// Adds the cards of a deposit's participants to those at hand, which are in the order of their
    /// nodes.
    async fn add_cards(
        &self,
        item: &OutboxItem,
        cards: &mut Vec<(NodeId, String)>,
    ) -> Result<(), Error> {
        let Payload::Deposit { participants, .. } = &item.payload else {
            return Err(Error::BodyMalformed);
        };
        for node in participants {
            if let Err(place) = cards.binary_search_by(|(known, _)| known.cmp(node)) {
                cards.insert(place, (node.clone(), self.card_jwt(node).await?));
            }
        }
        Ok(())
    }

    async fn card_jwt(&self, node: &NodeId) -> Result<String, Error> {
        if node == self.id() {
            return Ok(self.card().jwt().to_owned());
        }
        Ok(self.card_of(node).await?.jwt().to_owned())
    }
}

fn refused(code: &str) -> Result<DepositOutcome, Error> {
    match Error::from_code(code) {
        Some(error) if !error.is_permanent_for_deposits() => Err(error),
        _ => Ok(Err(code.to_owned())),
    }
}

/// What did not fit an envelope, for two: items, or one item's entries. `None` for a single entry.
fn halves(items: &[OutboxItem]) -> Option<[Vec<OutboxItem>; 2]> {
    if let [item] = items {
        let entries = item.entries().ok().filter(|entries| entries.len() > 1)?;
        let (first, second) = entries.split_at(entries.len() / 2);
        let with = |entries| item.with_entries(entries).ok().map(|item| vec![item]);
        return Some([with(first)?, with(second)?]);
    }
    let (first, second) = items.split_at(items.len() / 2);
    Some([first.to_vec(), second.to_vec()])
}
