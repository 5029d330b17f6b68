//! The personal node at work: takes a page's commands, lets each have its turn, and tells every
//! page what has changed.

mod status;
mod waking;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

use futures_util::future::select;
use futures_util::join;
use gloo_timers::future::TimeoutFuture;
use hdms::Error;
use hdms::fhir::resource;
use hdms::ids::{CaseId, EntryId, NodeId};
use hdms::node::Occasion;
use hdms::node::patient::RecordName;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::{TreatmentRequest, is_date};
use wasm_bindgen::JsValue;

use crate::commands::{AskOptions, Command, DataRequestOptions, MakeOptions, ShareOptions};
use crate::contact::Contact;
use crate::delivery::Delivery;
use crate::member::{Member, Stored};
use crate::push::Push;
use crate::queue::Queue;
use crate::store::IndexedDb;
use crate::viewing::{self, Viewer};
use crate::views::{self, NodeStatus, StreamTicket};
use crate::webcrypto::WebCryptoKeys;
use crate::{js, lock};

/// How long a command may take, milliseconds.
const COMMAND: u32 = 15_000;

/// How long an errand to other nodes may take, milliseconds.
const ERRAND: u32 = 60_000;

/// How long news of hospitals are waited for when some are known, milliseconds.
const GLANCE: u32 = 3_000;

/// The node of this device, if there is one.
#[derive(Debug)]
pub struct Worker {
    store: IndexedDb,
    member: RefCell<Option<Rc<Member>>>,
    /// Whether the node is being made, or was interrupted while it was.
    unfinished: Cell<bool>,
    lost: Cell<bool>,
    commands: Queue,
    errands: Queue,
    subscriptions: Queue,
    delivery: Delivery,
    push: Push,
    viewer: Viewer,
    syncs: Syncs,
    /// The request by which a person last wanted all to be sent.
    wished: RefCell<String>,
    told: RefCell<Option<NodeStatus>>,
}

/// How many synchronisations were asked for, and how many of these the last one that began serves.
#[derive(Debug, Default)]
struct Syncs {
    asked: Cell<u64>,
    served: Cell<u64>,
    /// Whether the next one is to send what is not due, too.
    now: Cell<bool>,
}

impl Worker {
    /// The node that the database of this name keeps, be there one or not.
    ///
    /// Errors: [`Error::StoreBusy`], those of [`IndexedDb::open`] and [`Member::stored`].
    pub async fn open(database: &str) -> Result<Rc<Self>, Error> {
        lock::hold(database).await?;
        let store = IndexedDb::open(database).await?;
        let (stored, contact, push) =
            join!(Member::stored(&store), Contact::kept(store.clone()), Push::stored(&store),);
        let (stored, lost) = match stored {
            Err(Error::StoreLost) => (Stored::Nothing, true),
            stored => (stored?, false),
        };
        let (commands, contact, push) = (Queue::new(COMMAND), contact?, push?);
        let worker = Self {
            unfinished: Cell::new(matches!(stored, Stored::Unfinished)),
            member: RefCell::new(match stored {
                Stored::Member(member) => Some(Rc::from(member)),
                Stored::Nothing | Stored::Unfinished => None,
            }),
            store,
            lost: Cell::new(lost),
            delivery: Delivery::new(commands.clone(), contact),
            push,
            commands,
            errands: Queue::new(ERRAND),
            subscriptions: Queue::new(ERRAND),
            viewer: Viewer::default(),
            syncs: Syncs::default(),
            wished: RefCell::default(),
            told: RefCell::default(),
        };
        Ok(Rc::new(worker))
    }

    /// Carries out a command; `id` names the request, and repeating both does nothing new.
    pub async fn execute(self: &Rc<Self>, id: &str, command: Command) -> Result<JsValue, Error> {
        match command {
            Command::Status | Command::Restart => js::from(&self.status().await?),
            Command::Make(options) => js::from(&self.make(options).await?),
            Command::Rename(options) => js::from(&self.rename(options.name).await?),
            Command::Sync => js::from(&self.sync(false).await?),
            Command::SendNow => js::from(&self.sync(self.is_new_wish(id)).await?),
            Command::StreamTicket => js::from(&self.stream_ticket().await?),
            Command::Hospitals => js::from(&self.hospitals().await?),
            Command::Ask(_)
            | Command::Share(_)
            | Command::RefuseData(_)
            | Command::Confirm(_)
            | Command::Dispute(_) => js::from(&self.decide(command).await?),
            Command::AddRecord(options) => {
                let name = RecordName { case: id.parse()?, entry: id.parse()? };
                js::from(&self.add_record(name, options.fhir).await?)
            }
            Command::SubscribePush(options) => {
                js::from(&self.choose_push(true, options.firebase_token).await?)
            }
            Command::UnsubscribePush => js::from(&self.choose_push(false, None).await?),
            Command::DismissKeyWarning(node) => js::from(&self.dismiss(&node).await?),
            Command::Cases
            | Command::Case(_)
            | Command::Records
            | Command::Record(_)
            | Command::RecordsFor(_)
            | Command::Quarantine
            | Command::Split
            | Command::Outbox => self.look(command).await,
        }
    }

    /// To be called after every command: sends what it has queued, and tells all pages what has
    /// changed.
    pub async fn follow_up(self: &Rc<Self>) {
        self.tell_pages().await;
        let Ok(member) = self.member() else { return };
        self.announce().await;
        if member.node.platform().take_queued() {
            let (worker, member) = (self.clone(), member.clone());
            let posting = async move { worker.delivery.post(&member, Occasion::Time).await };
            // What could not be sent stays in the outbox, with the reason. A recipient that can't be
            // reached may be away, or this node be cut off: the server tells which.
            if self.errands.run(posting).await == Ok(true) && !self.delivery.is_cut_off() {
                let _ = self.sync(false).await;
            }
            self.tell_pages().await;
        }
        if let Some(standing) = self.delivery.take_standing() {
            self.reconcile_push(member, standing).await;
            self.tell_pages().await;
        }
    }

    /// Whether there is a node.
    pub fn has_node(&self) -> bool {
        self.member.borrow().is_some()
    }

    /// A wake-up by the browser: synchronises if that can be of use. Answers whether something still
    /// waits to be sent.
    pub async fn wake_up(self: &Rc<Self>) -> Result<bool, Error> {
        let member = self.member()?;
        if self.delivery.is_cut_off() || self.delivery.is_anything_due(&member).await? {
            self.sync(false).await?;
            self.follow_up().await;
        }
        Ok(member.node.next_due().await?.is_some())
    }

    /// Whether what a person wants to be sent now was not yet tried for this request, which may be
    /// repeated.
    fn is_new_wish(&self, id: &str) -> bool {
        self.wished.replace(id.to_owned()) != id
    }

    /// Makes the next commit fail as a full disk does.
    #[cfg(feature = "test-hooks")]
    pub fn fail_next_commit(&self) {
        self.store.fail_next_commit();
    }

    fn member(&self) -> Result<Rc<Member>, Error> {
        if self.store.is_stopped() {
            return Err(Error::NodeStopped);
        }
        if self.lost.get() {
            return Err(Error::StoreLost);
        }
        self.member.borrow().clone().ok_or(Error::NodeNotReady)
    }

    async fn make(self: &Rc<Self>, options: MakeOptions) -> Result<NodeStatus, Error> {
        if self.lost.get() && !options.replace_lost {
            return Err(Error::StoreLost);
        }
        let worker = self.clone();
        let making = async move {
            if worker.member.borrow().is_some() {
                return Ok(());
            }
            if worker.lost.get() {
                worker.store.clear().await?;
            }
            worker.unfinished.set(true);
            let made = Member::make(&worker.store, options.name).await;
            let kept = WebCryptoKeys::stored(&worker.store).await?.is_some();
            worker.unfinished.set(kept && made.is_err());
            worker.lost.set(worker.lost.get() && !kept);
            *worker.member.borrow_mut() = Some(Rc::new(made?));
            Ok(())
        };
        self.errands.run(making).await?;
        self.status().await
    }

    async fn hospitals(self: &Rc<Self>) -> Result<Vec<views::Hospital>, Error> {
        let member = self.member()?;
        let known = !viewing::hospitals(&member.node.trust()).is_empty();
        if !member.is_fresh() {
            let (worker, asking) = (self.clone(), member.clone());
            let asking = async move { worker.delivery.refresh(&asking).await };
            let refreshing = pin!(self.errands.run(asking));
            if known {
                // A server that is slow, or away, keeps nobody from those known before.
                select(refreshing, TimeoutFuture::new(GLANCE)).await;
            } else {
                refreshing.await?;
            }
        }
        Ok(viewing::hospitals(&member.node.trust()))
    }

    /// Synchronises; a failure is in the status. One that has not begun yet serves all who ask.
    pub(crate) async fn sync(self: &Rc<Self>, now: bool) -> Result<NodeStatus, Error> {
        self.syncs.now.set(self.syncs.now.get() || now);
        let asked = self.syncs.asked.get() + 1;
        self.syncs.asked.set(asked);
        let worker = self.clone();
        let syncing = async move {
            if worker.syncs.served.get() < asked {
                worker.syncs.served.set(worker.syncs.asked.get());
                let now = worker.syncs.now.take();
                worker.delivery.sync(&worker.member()?, now).await?;
            }
            Ok(())
        };
        match self.errands.run(syncing).await {
            Err(error @ (Error::NodeNotReady | Error::NodeStopped | Error::StoreLost)) => {
                Err(error)
            }
            _ => self.status().await,
        }
    }

    /// A person has seen the warning about a node's keys.
    async fn dismiss(self: &Rc<Self>, node: &str) -> Result<NodeStatus, Error> {
        let (member, node) = (self.member()?, node.parse().map_err(|_| Error::NodeUnknown)?);
        self.commands.run(async move { member.dismiss(&node).await }).await?;
        self.status().await
    }

    async fn rename(self: &Rc<Self>, name: String) -> Result<NodeStatus, Error> {
        let member = self.member()?;
        self.commands.run(async move { member.rename(name).await }).await?;
        self.status().await
    }

    async fn stream_ticket(&self) -> Result<StreamTicket, Error> {
        let member = self.member()?;
        let url = format!("{}/mailbox/stream", member.config.server);
        let proof = member.proof("GET", &url, b"").await?;
        Ok(StreamTicket { url, proof })
    }

    /// A decision of the patient's: changes a case and may queue messages.
    async fn decide(self: &Rc<Self>, command: Command) -> Result<views::CaseView, Error> {
        let member = self.member()?;
        let deciding = async move {
            let node = &member.node;
            match command {
                Command::Ask(options) => {
                    let (case, hospital, request) = asked(options)?;
                    node.ask_by_name(&case, &hospital, request, &member.name()).await
                }
                Command::Share(ShareOptions { case, data_request, records }) => {
                    let names = records.iter().map(|id| record_name(id));
                    let names: Vec<_> = names.collect::<Result<_, _>>()?;
                    node.share(&case.parse()?, &data_request.parse()?, &names).await
                }
                Command::RefuseData(options) => {
                    let (case, request) = (options.case.parse()?, options.data_request.parse()?);
                    node.refuse_data(&case, &request, &options.reason).await
                }
                Command::Confirm(options) => {
                    node.confirm(&options.case.parse()?, &ids(&options.entries)?).await
                }
                Command::Dispute(options) => {
                    let (case, entries) = (options.case.parse()?, ids(&options.entries)?);
                    node.dispute(&case, &entries, &options.reason).await
                }
                _ => Err(Error::CommandMalformed),
            }
        };
        let case = self.commands.run(deciding).await?;
        self.delivery.note_change(case.id.as_ref());
        self.view(case).await
    }

    async fn add_record(
        self: &Rc<Self>,
        name: RecordName,
        fhir: String,
    ) -> Result<views::RecordSummary, Error> {
        let (worker, member) = (self.clone(), self.member()?);
        let adding = async move {
            let fhir = resource::parse(fhir.as_bytes())?;
            member.node.add_record_as(&name, fhir).await?;
            let summary = worker.viewer.record_summary(&member.node, &name).await?;
            summary.ok_or(Error::UnknownEntry)
        };
        self.commands.run(adding).await
    }

    async fn view(self: &Rc<Self>, case: PatientCase) -> Result<views::CaseView, Error> {
        let (worker, member) = (self.clone(), self.member()?);
        let viewing = async move { worker.viewer.case(&member.node, &case).await };
        self.commands.run(viewing).await
    }

    /// What decides nothing. A receipt that is looked at and counts no more is asked for again.
    async fn look(self: &Rc<Self>, command: Command) -> Result<JsValue, Error> {
        let (worker, member) = (self.clone(), self.member()?);
        let looking = async move {
            let (node, viewer) = (&member.node, &worker.viewer);
            match command {
                Command::Cases => js::from(&viewer.cases(node).await?),
                Command::Case(id) => {
                    let case = node.case(&id.parse()?).await?;
                    js::from(&viewer.case(node, &case).await?)
                }
                Command::Records => js::from(&viewer.records(node).await?),
                Command::Record(id) => js::from(&viewer.record(node, &record_name(&id)?).await?),
                Command::RecordsFor(DataRequestOptions { case, data_request }) => {
                    let case: PatientCase = node.case(&case.parse()?).await?;
                    let wanted = |asked: &&hdms::treatment::patient::DataRequest| {
                        asked.asked.id.as_ref() == data_request
                    };
                    let asked = case.data_requests.iter().find(wanted);
                    let types = &asked.ok_or(Error::UnknownEntry)?.asked.resources;
                    js::from(&viewer.records_of_types(node, types).await?)
                }
                Command::Quarantine => js::from(&viewing::quarantine(node).await?),
                Command::Split => js::from(&viewing::split(node).await?),
                Command::Outbox => js::from(&viewer.outbox(node).await?),
                _ => Err(Error::CommandMalformed),
            }
        };
        self.commands.run(looking).await
    }
}

fn ids(entries: &[String]) -> Result<Vec<EntryId>, Error> {
    entries.iter().map(|entry| entry.parse()).collect()
}

fn record_name(id: &str) -> Result<RecordName, Error> {
    let (case, entry) = id.split_once('/').ok_or(Error::CommandMalformed)?;
    Ok(RecordName { case: case.parse()?, entry: entry.parse()? })
}

/// Checks what a page asks of a hospital.
fn asked(options: AskOptions) -> Result<(CaseId, NodeId, TreatmentRequest), Error> {
    let views::TreatmentRequest { reason, date, may_read } = options.request;
    if reason.trim().is_empty() || !date.as_deref().is_none_or(is_date) {
        return Err(Error::CommandMalformed);
    }
    if !may_read.iter().all(|kind| resource::is_type(kind)) {
        return Err(Error::NotFhir);
    }
    let hospital = options.hospital.parse().map_err(|_| Error::NodeUnknown)?;
    Ok((options.case.parse()?, hospital, TreatmentRequest { reason, date, may_read }))
}
