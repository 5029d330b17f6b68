//! How the node is, for pages to see.

use hdms::Error;
use hdms::provider::Table;

use super::Worker;
use crate::views::{NodeEvent, NodeState, NodeStatus, Storage};
use crate::{clients, storage};

impl Worker {
    /// How the node is.
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        let member = self.member.borrow().clone();
        let problem = self.problem();
        let broken = self.store.is_stopped();
        let count = async |table| if broken { Ok(0) } else { self.store.count(table).await };
        let state = match &member {
            _ if broken || self.lost.get() => NodeState::Stopped,
            Some(_) => NodeState::Ready,
            None if self.unfinished.get() => NodeState::Making,
            None => NodeState::Absent,
        };
        Ok(NodeStatus {
            state,
            node: member.as_ref().map(|member| member.node.id().to_string()),
            name: member.as_ref().map(|member| member.name()),
            network: member.as_ref().map(|member| member.node.trust().parameters().name.clone()),
            server: member.as_ref().map(|member| member.config.server.clone()),
            persistent: None,
            waiting: count(Table::Outbox).await?,
            quarantined: count(Table::Quarantine).await?,
            storage: storage::estimate(self.store.is_full()).await,
            next_attempt: self.delivery.next_attempt().map(|time| time.0),
            last_reached: self.delivery.last_reached().map(|time| time.0),
            push: self.push.state(),
            vapid: member
                .as_ref()
                .and_then(|member| member.node.trust().parameters().vapid.clone()),
            key_warnings: member.as_ref().map_or_else(Vec::new, |member| {
                member.warnings().into_iter().map(Into::into).collect()
            }),
            problem: problem.map(Into::into),
        })
    }

    fn problem(&self) -> Option<Error> {
        if self.store.is_stopped() {
            return Some(Error::StoreFailed);
        }
        if self.lost.get() {
            return Some(Error::StoreLost);
        }
        if self.store.is_full() {
            return Some(Error::StoreFull);
        }
        let trouble = self.member.borrow().as_ref().and_then(|member| member.trouble());
        trouble.or(self.delivery.problem())
    }

    /// Tells every page what has changed since this was called last.
    pub(super) async fn tell_pages(&self) {
        let cases = self.delivery.take_changes();
        if !cases.is_empty() {
            clients::tell(&NodeEvent::Changed { cases }).await;
        }
        let Ok(status) = self.status().await else { return };
        // Every write changes how much is used: no news by itself.
        let figureless = Storage { used: 0, quota: 0, low: false };
        let storage = status.storage.as_ref().map(|left| Storage { low: left.low, ..figureless });
        let news = NodeStatus { storage, ..status.clone() };
        if self.told.borrow().as_ref() != Some(&news) {
            *self.told.borrow_mut() = Some(news);
            clients::tell(&NodeEvent::Status { status }).await;
        }
    }
}
