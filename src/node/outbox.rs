//! What goes out: queued in the transaction of the step that caused it, grouped into parcels for
//! the transport, and taken off once the other side has answered.

use litemap::LiteMap;

use super::outbox_item::{OutboxItem, Payload};
use super::{Node, Platform, put};
use crate::card::Role;
use crate::endpoint::Endpoint;
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::NodeId;
use crate::json;
use crate::ledger::{CaseSecret, Conflict, Endorsed, Entry, Final, VerifiedEndorsement};
use crate::notary::{Deposit, DepositAnswer, DepositBody, MAX_DEPOSITS};
use crate::provider::{Store, Table, Write};
use crate::treatment::Flow;

/// What can't be sent as things are, and why.
pub type Stuck = (OutboxItem, Error);

/// What one HTTP request carries.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// An envelope to an institution: `POST {endpoint}/inbox`.
    Inbox {
        /// Base URL.
        endpoint: Endpoint,
        /// What it carries.
        item: Box<OutboxItem>,
    },
    /// Deposits to a notary: `POST {endpoint}/deposits`.
    Deposits {
        /// Base URL.
        endpoint: Endpoint,
        /// What it carries, in the order of the answers.
        items: Vec<OutboxItem>,
        /// The sealed envelope.
        envelope: String,
    },
    /// Envelopes to personal nodes: `POST {server}/mailbox/deliveries`.
    Mailbox {
        /// What it carries, in the order of the answers.
        items: Vec<OutboxItem>,
    },
}

impl<P: Platform> Node<P> {
    /// Up to `limit` items that wait, oldest first; those refused for good are among them.
    pub async fn waiting(&self, after: &str, limit: usize) -> Result<Vec<OutboxItem>, Error> {
        let rows = self.platform.store().scan(Table::Outbox, "", after, limit).await?;
        rows.iter().map(|(_, value)| json::stored(value)).collect()
    }

    /// Groups items into parcels, each to one recipient; what was refused for good is left out.
    /// [`Error::NodeUnknown`] and others of a recipient concern only that recipient: its items are
    /// answered back with the reason as the second part and stay queued. Nothing goes to a node of
    /// which the revocation list does not say by now that it is none of the revoked, and nothing at
    /// all while [`Trust::check_standing`](crate::network::Trust::check_standing) fails for this node.
    pub async fn parcels(&self, items: Vec<OutboxItem>) -> (Vec<Parcel>, Vec<Stuck>) {
        let (mut parcels, mut mailbox, mut stuck) = (Vec::new(), Vec::new(), Vec::new());
        let mut deposits: Vec<(NodeId, Vec<OutboxItem>)> = Vec::new();
        let trust = self.trust();
        let items = items.into_iter().filter(|item| item.refused.is_none());
        if let Err(why) = trust.check_standing(&self.card(), self.now()) {
            return (parcels, items.map(|item| (item, why)).collect());
        }
        for item in items {
            if let Err(why) = trust.check_revocation(&item.to, self.now()) {
                stuck.push((item, why));
                continue;
            }
            match item.role {
                Role::Personal => mailbox.push(item),
                Role::Notary => match deposits.iter_mut().find(|(to, _)| *to == item.to) {
                    Some((_, same)) => same.push(item),
                    None => deposits.push((item.to.clone(), vec![item])),
                },
                Role::Institution => match self.endpoint(&item.to) {
                    Ok(endpoint) => {
                        parcels.push(Parcel::Inbox { endpoint, item: Box::new(item) });
                    }
                    Err(why) => stuck.push((item, why)),
                },
            }
        }
        if !mailbox.is_empty() {
            parcels.push(Parcel::Mailbox { items: mailbox });
        }
        for (notary, items) in deposits {
            for items in items.chunks(MAX_DEPOSITS) {
                self.deposit_parcels(&notary, items, &mut parcels, &mut stuck).await;
            }
        }
        (parcels, stuck)
    }

    /// The recipient has taken the item.
    pub async fn delivered(&self, item: &OutboxItem) -> Result<(), Error> {
        self.platform.store().commit(vec![taken_off(item)]).await?;
        self.settled(item);
        Ok(())
    }

    /// The recipient refused the item for good; it stays to be seen and is not sent again.
    pub async fn refused(&self, item: &OutboxItem, code: &str) -> Result<(), Error> {
        let mut item = item.clone();
        item.refused = Some(code.to_owned());
        let write = put(Table::Outbox, item.id.clone(), json::write(&item)?);
        self.platform.store().commit(vec![write]).await?;
        self.settled(&item);
        Ok(())
    }

    /// The notary has answered a deposit: the case goes on with the receipt or the refusal.
    ///
    /// Errors: those of the receipt, and the refusal itself unless it
    /// [is permanent](Error::is_permanent_for_deposits); the item stays queued then.
    pub async fn deposit_answered<F: Flow>(
        &self,
        item: &OutboxItem,
        answer: &DepositAnswer,
    ) -> Result<(), Error> {
        let secret = self.case::<F>(&item.case).await?.secret();
        let mut done = vec![taken_off(item)];
        let committed = self.committed(item, secret, answer, &mut done).await?;
        let _guard = self.platform.lock_case(&item.case).await;
        let waiting = self.waiting_item(&item.id).await?;
        if waiting.is_none_or(|waiting| waiting.to != item.to) {
            // It was answered before, or this notary was passed over while it was asked.
            return Ok(());
        }
        let state: F = self.case(&item.case).await?;
        let step = match committed {
            Ok(committed) => state.deposited(&committed, self.now())?,
            Err(code) => state.deposit_refused(&item.id.parse()?, code, self.now()),
        };
        self.carry_out(&item.case, step, done).await?;
        self.settled(item);
        Ok(())
    }

    /// What a notary's answer comes to: the entry with its receipt, or the code of a refusal that is
    /// final. What is to be kept of it is added to `done`.
    async fn committed<'a>(
        &self,
        item: &OutboxItem,
        secret: Option<CaseSecret>,
        answer: &'a DepositAnswer,
        done: &mut Vec<Write>,
    ) -> Result<Result<Final, &'a str>, Error> {
        let Payload::Deposit { endorsements, participants, .. } = &item.payload else {
            return Err(Error::BodyMalformed);
        };
        match answer {
            DepositAnswer::Receipt(text) => {
                let endorsed = self.endorsed(endorsements, participants).await?;
                let receipt = self.verify_receipt(text).await?;
                receipt.expect_past(self.now())?;
                Ok(Ok(Final::new(endorsed, receipt, secret)?))
            }
            DepositAnswer::Conflict(jwt) => {
                let endorsed = self.endorsed(endorsements, participants).await?;
                self.verify_conflict(item, (endorsed.entry(), secret), jwt).await?;
                // The notary's word for what was first is kept with the entry that it refused.
                let key = format!("{}/{}/conflict", item.case, item.id);
                done.push(put(Table::Receipts, key, jwt.clone().into()));
                Ok(Err(Error::EntryConflict.code()))
            }
            DepositAnswer::Refused(code) => match Error::from_code(code) {
                Some(error) if !error.is_permanent_for_deposits() => Err(error),
                _ => Ok(Err(code)),
            },
        }
    }

    fn endpoint(&self, node: &NodeId) -> Result<Endpoint, Error> {
        let trust = self.trust();
        let endpoint = trust.node(node)?.card().endpoint.clone();
        endpoint.ok_or(Error::NodeUnknown)
    }

    /// Envelopes to one notary: one, or more where so many deposits do not fit. A deposit that lacks
    /// a card holds up no other.
    async fn deposit_parcels(
        &self,
        notary: &NodeId,
        items: &[OutboxItem],
        parcels: &mut Vec<Parcel>,
        stuck: &mut Vec<Stuck>,
    ) {
        let (mut ready, mut cards) = (Vec::with_capacity(items.len()), Vec::new());
        for item in items {
            match self.add_cards(item, &mut cards).await {
                Ok(()) => ready.push(item.clone()),
                Err(why) => stuck.push((item.clone(), why)),
            }
        }
        let mut waiting = vec![&ready[..]];
        while let Some(items) = waiting.pop().filter(|items| !items.is_empty()) {
            match self.deposit_parcel(notary, items, &cards).await {
                Ok(parcel) => parcels.push(parcel),
                Err(Error::EnvelopeTooLarge) if items.len() > 1 => {
                    let (first, second) = items.split_at(items.len() / 2);
                    waiting.extend([second, first]);
                }
                Err(why) => stuck.extend(items.iter().map(|item| (item.clone(), why))),
            }
        }
    }

    async fn deposit_parcel(
        &self,
        notary: &NodeId,
        items: &[OutboxItem],
        cards: &[(NodeId, String)],
    ) -> Result<Parcel, Error> {
        let mut deposits = Vec::with_capacity(items.len());
        let mut known: LiteMap<&NodeId, ()> = LiteMap::new();
        for item in items {
            let Payload::Deposit { endorsements, participants, case_secret, draw } = &item.payload
            else {
                return Err(Error::BodyMalformed);
            };
            for participant in participants {
                known.insert(participant, ());
            }
            let (endorsements, case_secret) = (endorsements.clone(), *case_secret);
            deposits.push(Deposit { endorsements, case_secret, draw: draw.clone() });
        }
        let Some(first) = items.first() else { return Err(Error::BodyMalformed) };
        let cards = cards.iter().filter(|(node, _)| known.contains_key(node));
        let cards = cards.map(|(_, card)| card.clone()).collect();
        let body = json::value(&DepositBody { cards, deposits })?;
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

    /// That the notary has logged another entry in the place of the deposited one.
    async fn verify_conflict(
        &self,
        item: &OutboxItem,
        entry: (&Entry, Option<CaseSecret>),
        jwt: &str,
    ) -> Result<(), Error> {
        let (notary, trust) = (self.known_card(&item.to).await?, self.trust());
        let primitives = self.platform.primitives();
        Conflict::verify(jwt, entry, &notary, &trust, primitives).await.map(drop)
    }

    /// Both endorsements of a deposit that was answered. Whether its participants are members by now
    /// is no matter: the notary has looked.
    pub(super) async fn endorsed(
        &self,
        endorsements: &[String; 2],
        participants: &[NodeId; 2],
    ) -> Result<Endorsed, Error> {
        let mut verified = Vec::with_capacity(2);
        for (jwt, by) in endorsements.iter().zip(participants) {
            let primitives = self.platform.primitives();
            verified.push(if by == self.id() {
                VerifiedEndorsement::verify(jwt, &self.card(), primitives).await?
            } else {
                VerifiedEndorsement::verify(jwt, &self.known_card(by).await?, primitives).await?
            });
        }
        let [a, b]: [VerifiedEndorsement; 2] =
            verified.try_into().map_err(|_| Error::EndorsementMissing)?;
        Endorsed::join(a, b)
    }
}

pub(super) fn taken_off(item: &OutboxItem) -> Write {
    Write::Delete { table: Table::Outbox, key: item.id.clone() }
}
