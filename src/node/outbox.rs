//! What goes out: queued in the transaction of the step that caused it, grouped into parcels for
//! the transport, and taken off once the other side has answered.

use super::outbox_item::OutboxItem;
use super::{Node, Platform, put};
use crate::card::Role;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::ids::NodeId;
use crate::json;
use crate::provider::{Store, Table, Write};

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
            self.deposit_parcels(&notary, items, &mut parcels, &mut stuck).await;
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

    pub(super) fn endpoint(&self, node: &NodeId) -> Result<Endpoint, Error> {
        let trust = self.trust();
        let endpoint = trust.node(node)?.card().endpoint.clone();
        endpoint.ok_or(Error::NodeUnknown)
    }
}

pub(super) fn taken_off(item: &OutboxItem) -> Write {
    Write::Delete { table: Table::Outbox, key: item.id.clone() }
}
