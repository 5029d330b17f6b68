//! The node of a hospital or a research institute: takes in envelopes from patients, and is ruled
//! by the hospital's information system (HIS) through a REST interface, or by a person through the
//! console page, which is a client of the same interface.

mod access;
mod api;
mod case_view;
mod hand_in;
mod inbox_quotas;
mod lapsing;
mod ledger_view;
mod names;
mod openapi;
mod outcome;
mod pages;
pub mod platform;
mod reading;
mod reports;
pub mod sender;
mod shared_view;
mod undecided;
mod verification;
mod views;
mod warnings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderValue, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::join3;
use hdms::Error;
use hdms::card::Role;
use hdms::envelope;
use hdms::ids::CaseId;
use hdms::node::{Deliverer, Outcome};
use hdms::treatment::hospital::HospitalCase;
use tokio::net::TcpListener;
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use access::Door;
pub use access::{ApiKey, KEY_FILE as API_KEY_FILE};

use crate::base::http::addresses::customer;
use crate::base::http::client::Taken;
use crate::base::http::gate::Gate;
use crate::base::http::problem::{Problem, with_card};
use crate::base::http::serve::{Serving, Starting, Wait, open_to, open_to_all};
use crate::base::store::SqliteStore;
use crate::base::system::NodeClock;
use crate::institution::platform::{NativeNode, NativePlatform, adopt, follow, hope};
use crate::institution::sender::Sender;
use crate::member::{Member, MemberConfig};

/// The database's name within the node's folder.
const DATABASE: &str = "institution.sqlite";

/// Cases looked at together when the node starts.
const PAGE: usize = 500;

/// What an institution is and how it is reached.
#[derive(Debug)]
pub struct Config {
    /// As of every member; its role is set here.
    pub member: MemberConfig,
    /// The file that holds the API key; without it, one is made in the node's folder.
    pub api_key: Option<PathBuf>,
    /// Where the HIS and the console are served, if not where the inbox is.
    pub console: Option<TcpListener>,
    /// Origins whose pages may use the HIS's interface; the console's own always may.
    pub origins: Vec<HeaderValue>,
    /// The built pages; without them there is no console.
    pub pages: Option<PathBuf>,
    /// Sample results that the console offers to hand in.
    pub samples: Option<PathBuf>,
}

impl Config {
    /// Of a member, with everything else left as it is by itself.
    pub fn new(member: MemberConfig) -> Self {
        let origins = Vec::new();
        Self { member, api_key: None, console: None, origins, pages: None, samples: None }
    }

    fn api_key(&self) -> Result<ApiKey, Error> {
        match &self.api_key {
            Some(path) => ApiKey::read(path),
            None => ApiKey::open_or_make(&self.member.data),
        }
    }
}

/// A running institution.
#[derive(Debug)]
pub struct Institution {
    node: Arc<NativeNode>,
    serving: Serving,
    console: Option<Serving>,
    sending: JoinHandle<Result<(), Error>>,
    api_key: String,
}

/// What the handlers share.
#[derive(Clone)]
struct Desk {
    node: Arc<NativeNode>,
    gate: Arc<Gate>,
    stop: CancellationToken,
}

impl Institution {
    /// Joins the network, which may wait for its operator, goes on with what was left undone, and
    /// serves on `listener` until `stop` is cancelled; until it serves it answers what it waits for.
    ///
    /// Errors: those of [`Member::join`], of the store and of [`ApiKey`].
    pub async fn start(
        mut config: Config,
        clock: NodeClock,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        config.member.role = Role::Institution;
        let url = config.member.endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
        let store = SqliteStore::open(&config.member.data.join(DATABASE))?;
        let api_key = config.api_key()?;
        let limits = config.member.costs.limits.clone();
        let listen = |listener| Starting::listen(listener, &url, limits.clone(), &stop);
        let his = |listener| listen(listener).open_to(config.origins.clone());
        let (serving, console) = (listen(listener), config.console.map(his));
        let wait = |wait: &Wait| {
            [Some(&serving), console.as_ref()].into_iter().flatten().for_each(|it| it.wait(wait))
        };
        let member =
            Member::join_telling(config.member, store.clone(), clock.clone(), stop.clone(), wait)
                .await?;
        let door = Arc::new(Door::new(&api_key, clock.clone()));
        let (platform, queue) = NativePlatform::new(member, store, clock);
        let node = follow(platform);
        let sending = Sender::<HospitalCase>::run(node.clone(), queue, stop.clone());
        let sending = tokio::spawn(sending);
        let changes = node.platform().changes();
        lapsing::remember(&node).await?;
        note_undecided(&node).await?;
        run_errands(&node, changes);
        let desk = Desk { node: node.clone(), gate: Gate::new(), stop };
        let (inbox, his) = (inbox_routes(desk.clone()), his_routes(desk, door, config.origins));
        let his = pages::routes(his, config.pages, config.samples, &url);
        let (serving, console) = match console {
            Some(console) => (serving.serve(inbox), Some(console.serve(his))),
            None => (serving.serve(inbox.merge(his)), None),
        };
        Ok(Self { node, serving, console, sending, api_key: api_key.secret().to_owned() })
    }

    /// The node.
    pub fn node(&self) -> &Arc<NativeNode> {
        &self.node
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("http://{}", self.serving.address())
    }

    /// Where the HIS and the console are served.
    pub fn console_url(&self) -> String {
        let serving = self.console.as_ref().unwrap_or(&self.serving);
        format!("http://{}", serving.address())
    }

    /// Asks the server for newer network documents, now.
    pub async fn refresh(&self) -> Result<(), Error> {
        let member = self.node.platform().member();
        member.refresh().await?;
        adopt(&self.node, &member.standing());
        Ok(())
    }

    /// The key with which the HIS comes.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// Returns when it has stopped and everything under way has ended.
    pub async fn ended(self) {
        self.serving.ended().await;
        if let Some(console) = self.console {
            console.ended().await;
        }
        match self.sending.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "sending ended"),
            Err(_) => tracing::error!("sending broke off"),
        }
        self.node.platform().member().ended().await;
    }
}

/// What it does by itself, now and then, and when a case has changed.
fn run_errands(node: &Arc<NativeNode>, changes: Receiver<CaseId>) {
    let errands = join3(
        hope::<HospitalCase>(node.clone()),
        reports::watch(node.clone()),
        lapsing::watch(node.clone(), changes),
    );
    node.platform().member().spawn(async move {
        errands.await;
    });
}

/// Counts the requests that wait to be decided.
async fn note_undecided(node: &NativeNode) -> Result<(), Error> {
    let mut after: Option<CaseId> = None;
    loop {
        let cases: Vec<HospitalCase> = node.cases(after.as_ref(), PAGE).await?;
        for case in &cases {
            node.platform().undecided().note(case);
        }
        match cases.into_iter().last() {
            Some(last) => after = Some(last.id),
            None => return Ok(()),
        }
    }
}

/// For other nodes, patients' browsers among them.
fn inbox_routes(desk: Desk) -> Router {
    open_to_all(Router::new().route("/inbox", post(inbox)).with_state(desk))
}

/// For the HIS.
fn his_routes(desk: Desk, door: Arc<Door>, origins: Vec<HeaderValue>) -> Router {
    let router = Router::new().route("/openapi.json", get(openapi::document));
    open_to(router.merge(api::routes(door)).with_state(desk), origins)
}

/// Takes in an envelope: on stable storage before it is answered.
async fn inbox(
    State(desk): State<Desk>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    body: Body,
) -> Result<(StatusCode, Json<Taken>), Problem> {
    let (limit, too_large) = (envelope::MAX_BYTES, Error::EnvelopeTooLarge);
    let (place, envelope) = desk.gate.read(from.ip(), body, limit, too_large).await?;
    let by = Deliverer::Address(customer(from.ip()).to_string());
    let taken = place.work(desk.node.receive_from::<HospitalCase>(&envelope, &by)).await;
    let taken = taken.map_err(|error| with_card(error, &desk.node.card()))?;
    let outcome = match taken.outcome {
        Outcome::Applied => "applied",
        Outcome::Repeated | Outcome::Renewed => "repeated",
        Outcome::Held => "held",
    };
    Ok((StatusCode::ACCEPTED, Json(Taken { outcome: outcome.into() })))
}
