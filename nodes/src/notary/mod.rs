//! The notary (DESIGN section 5, the papers' steps 9, 13, 20 and 21): opens sealed deposits, checks
//! them, logs one successor for each entry, and answers with signed receipts.

mod log;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use hdms::Error;
use hdms::envelope::{self, Opening, Sealed};
use hdms::ids::NodeId;
use hdms::notary::{Deposit, DepositAnswers, check, deposits};
use hdms::provider::{Clock, Timestamp};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::connections::Limits;
use crate::keys::AwsPrimitives;
use crate::member::{Member, MemberConfig, Standing};
use crate::problem::{Problem, read_body};
use crate::serve::{Serving, with_common_answers};
use crate::sqlite::{Database, Schema};
use crate::store::{META, SqliteStore};
use crate::system::NodeClock;
use log::{Checked, Log};

/// File name of the database within the notary's folder.
const FILE: &str = "notary.sqlite";

const SCHEMA: Schema = Schema { application: 0x4844_4d03, migrations: &[META, log::TABLES] };

/// A running notary.
#[derive(Debug)]
pub struct Notary {
    serving: Serving,
    member: Member,
}

#[derive(Debug)]
struct Services {
    member: Member,
    log: Log,
    clock: NodeClock,
}

impl Notary {
    /// Joins the network, waiting for its operator if need be, and then serves on `listener` until
    /// `stop` is cancelled.
    ///
    /// Errors: those of [`Database::open`] and [`Member::join`].
    pub async fn start(
        config: MemberConfig,
        listener: TcpListener,
        clock: NodeClock,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let database = Database::open(&config.data.join(FILE), &SCHEMA)?;
        let store = SqliteStore::over(database.clone());
        let member = Member::join(config, store, clock.clone(), stop.clone()).await?;
        let (log, sequencer) = Log::start(member.clone(), database, clock.clone());
        let services = Arc::new(Services { member: member.clone(), log, clock });
        let router = Router::new().route("/deposits", post(deposit)).with_state(services);
        let serving =
            Serving::start(listener, with_common_answers(router), Limits::default(), stop);
        let serving = serving.alongside(sequencer);
        Ok(Self { serving, member })
    }

    /// The notary as a member of the network.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// What serves it, to stop it with.
    pub fn serving(self) -> Serving {
        self.serving
    }
}

async fn deposit(
    State(services): State<Arc<Services>>,
    body: Body,
) -> Result<Json<DepositAnswers>, Problem> {
    let envelope = read_body(body, envelope::MAX_BYTES, Error::EnvelopeTooLarge).await?;
    let standing = services.member.standing();
    let received = services.clock.now();
    let (depositor, deposits) = services.open(&envelope, &standing, received).await?;
    let mut checked: Vec<Checked> = Vec::with_capacity(deposits.len());
    for deposit in &deposits {
        let trust = &standing.trust;
        checked.push(check(deposit, &depositor, trust, received, &AwsPrimitives).await);
    }
    let answers = services.log.append(checked).await?;
    Ok(Json(DepositAnswers { answers }))
}

impl Services {
    /// The depositor and the deposits of an envelope, all of DESIGN section 5's checks passed but
    /// the one for replays: a deposit that is repeated is answered again.
    async fn open(
        &self,
        envelope: &[u8],
        standing: &Standing,
        received: Timestamp,
    ) -> Result<(NodeId, Vec<Deposit>), Error> {
        let opening = Opening { me: &standing.card, trust: &standing.trust, received };
        let sealed = Sealed::parse(envelope, &standing.card)?;
        let decrypted = sealed.decrypt(self.member.keys(), &AwsPrimitives).await?;
        let opened = decrypted.verify(None, opening, &AwsPrimitives).await?;
        Ok((opened.sender().id().clone(), deposits(&opened)?))
    }
}
