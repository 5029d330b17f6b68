//! A personal node outside of a browser, for scenarios and measurements: the same core as the one
//! in the service worker, with a native member's keys and store. The keys of its cases live in
//! memory only, so it is not for anybody's real records.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use hdms::Error;
use hdms::card::Role;
use hdms::mailbox::{MAX_PAGE, MailboxMessage, Refused};
use hdms::node::Deliverer;
use hdms::treatment::patient::PatientCase;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::store::SqliteStore;
use crate::base::system::NodeClock;
use crate::institution::platform::{NativeNode, NativePlatform, Side, follow, hope};
use crate::institution::sender::Sender;
use crate::member::{Member, MemberConfig};

/// The database's name within the node's folder.
const DATABASE: &str = "personal.sqlite";

/// Pause after the mailbox could not be reached.
const AGAIN: Duration = Duration::from_millis(500);

/// Longest time without looking into the mailbox, bell or not.
const QUIET: Duration = Duration::from_secs(30);

/// A running personal node.
#[derive(Debug)]
pub struct Personal {
    node: Arc<NativeNode>,
    name: String,
    tasks: TaskTracker,
}

impl Personal {
    /// Joins the network and takes in and sends until `stop` is cancelled. What it is is set here;
    /// the name stays with the node.
    ///
    /// Errors: those of [`Member::join`] and of the store.
    pub async fn start(
        mut config: MemberConfig,
        clock: NodeClock,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let name = mem::take(&mut config.name);
        let config =
            MemberConfig { role: Role::Personal, endpoint: None, about: None, log: None, ..config };
        let store = SqliteStore::open(&config.data.join(DATABASE))?;
        let member = Member::join(config, store.clone(), clock.clone(), stop.clone()).await?;
        let (platform, queue) = NativePlatform::new(member, store, clock);
        let node = follow(platform);
        let tasks = TaskTracker::new();
        let sending = Sender::<PatientCase>::run(node.clone(), queue, stop.clone());
        tasks.spawn(async move {
            if let Err(error) = sending.await {
                tracing::error!(%error, "sending ended");
            }
        });
        let mailbox = Mailbox { node: node.clone(), last: 0 };
        let member = node.platform().member();
        member.spawn(hope::<PatientCase>(node.clone()));
        member.spawn(mailbox.watch());
        tasks.close();
        Ok(Self { node, name, tasks })
    }

    /// The node.
    pub fn node(&self) -> &Arc<NativeNode> {
        &self.node
    }

    /// How the patient wants to be called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns when it has stopped and everything under way has ended.
    pub async fn ended(self) {
        self.tasks.wait().await;
        self.node.platform().member().ended().await;
    }
}

impl Side for PatientCase {
    /// Nothing: the patient decides.
    async fn go_on_in_time(_: &NativeNode) -> Result<(), Error> {
        Ok(())
    }
}

/// The node's mailbox at the server.
struct Mailbox {
    node: Arc<NativeNode>,
    /// Everything up to here is dealt with.
    last: u64,
}

impl Mailbox {
    async fn watch(mut self) {
        loop {
            if let Err(error) = self.listen().await {
                tracing::debug!(%error, "the mailbox is away");
                if error.asks_for_card() {
                    self.join_again().await;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn join_again(&self) {
        let member = self.node.platform().member();
        member.lacks_card();
        if let Err(error) = member.refresh().await {
            tracing::debug!(%error, "not taken in again yet");
        }
    }

    /// Looks into the mailbox now and at every bell, until the connection breaks.
    async fn listen(&mut self) -> Result<(), Error> {
        let node = self.node.clone();
        let member = node.platform().member();
        let bells = member.client().listen(member.server(), member.signer(), self.last).await?;
        let mut bells = pin!(bells);
        loop {
            self.empty().await?;
            loop {
                match tokio::time::timeout(QUIET, bells.next()).await {
                    Ok(Some(bell)) if bell?.seq <= self.last => {}
                    Ok(Some(_)) | Err(_) => break,
                    Ok(None) => return Err(Error::NetworkUnreachable),
                }
            }
        }
    }

    /// Takes in everything that is there, page by page; acknowledges what is dealt with.
    async fn empty(&mut self) -> Result<(), Error> {
        let node = self.node.clone();
        let member = node.platform().member();
        let (client, server) = (member.client(), member.server());
        loop {
            let page = client.mailbox(server, member.signer(), self.last, MAX_PAGE).await?;
            if !page.knows(&member.standing().card) {
                self.join_again().await;
            }
            let (before, mut refused) = (self.last, Vec::new());
            let taken = self.take_in(&page.messages, &mut refused).await;
            if self.last > before {
                client.acknowledge(server, member.signer(), self.last, refused).await?;
            }
            taken?;
            if !page.more {
                break;
            }
        }
        let given_up = node.given_up().await?;
        if !given_up.is_empty() {
            client.acknowledge(server, member.signer(), self.last, given_up.clone()).await?;
        }
        node.told_given_up(&given_up).await
    }

    /// Takes in a page; stops before the first message that must come again. All at once, but where the
    /// node was stopped at one: that is not to cost the others their tries.
    async fn take_in(
        &mut self,
        messages: &[MailboxMessage],
        refused: &mut Vec<Refused>,
    ) -> Result<(), Error> {
        let mut at_once = messages.len().max(1);
        for MailboxMessage { envelope, .. } in messages {
            if self.node.was_stopped_at(envelope.as_bytes()).await? {
                at_once = 1;
            }
        }
        for messages in messages.chunks(at_once) {
            self.take_in_at_once(messages, refused).await?;
        }
        Ok(())
    }

    async fn take_in_at_once(
        &mut self,
        messages: &[MailboxMessage],
        refused: &mut Vec<Refused>,
    ) -> Result<(), Error> {
        let outcomes = messages.iter().map(|MailboxMessage { seq, from, envelope }| {
            let (node, envelope) = (self.node.clone(), envelope.clone());
            let by = Deliverer::Node { id: from.clone(), seq: *seq };
            tokio::spawn(async move {
                let taken = node.receive_from::<PatientCase>(envelope.as_bytes(), &by).await;
                node.to_report(envelope.as_bytes(), taken.as_ref().map_err(|error| *error))
            })
        });
        for (MailboxMessage { seq, .. }, outcome) in messages.iter().zip(join_all(outcomes).await) {
            if let Some(error) = outcome.map_err(|_| Error::NodeRestarted)?? {
                tracing::warn!(%error, "an envelope was refused");
                refused.push(Refused { seq: *seq, code: error.code().to_owned() });
            }
            self.last = *seq;
        }
        Ok(())
    }
}
