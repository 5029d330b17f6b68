//! What a notary does for the nodes of its network: it takes deposits and answers queries, both in
//! sealed envelopes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use hdms::Error;
use hdms::card::VerifiedCard;
use hdms::envelope::{self, Message, MessageType, Opened, Opening, Sealed};
use hdms::notary::{
    AnswerBody, Deposit, DepositAnswer, DepositAnswers, DepositBody, DepositCards, Statements,
    check, deposits, queried,
};
use hdms::provider::{Clock, Timestamp};
use tokio::task::yield_now;

use super::log::Log;
use super::manifests::Keeper;
use super::newest;
use super::quotas::Hearing;
use super::sequencer::{Checked, CheckedDeposit};
use crate::base::http::gate::{Gate, Place};
use crate::base::http::problem::{Problem, pause, with_card};
use crate::base::keys::AwsPrimitives;
use crate::base::system::{NodeClock, SystemRandomness};
use crate::member::{Member, Standing};

#[derive(Debug)]
struct NotaryServices {
    member: Member,
    log: Log,
    keeper: Keeper,
    clock: NodeClock,
    hearing: Hearing,
    deposits: Arc<Gate>,
    queries: Arc<Gate>,
}

/// An envelope that passed all checks but the one for replays: what is repeated is answered again.
struct Received {
    opened: Opened,
    standing: Arc<Standing>,
    at: Timestamp,
}

/// The routes `/deposits` and `/queries`; what is seen of changed keys is kept in `keeper`'s database.
pub fn routes(member: Member, log: Log, keeper: Keeper, clock: NodeClock) -> Router {
    let hearing = Hearing::new(member.costs());
    let (deposits, queries) = (Gate::new(), Gate::new());
    let services =
        Arc::new(NotaryServices { member, log, keeper, clock, hearing, deposits, queries });
    Router::new()
        .route("/deposits", post(deposit))
        .route("/queries", post(query))
        .with_state(services)
}

async fn deposit(
    State(services): State<Arc<NotaryServices>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    body: Body,
) -> Result<Response, Problem> {
    let (place, envelope) = read(&services.deposits, from, body).await?;
    let checked = place.work(services.checked(&envelope, from.ip())).await;
    let checked = checked.map_err(|error| with_card(error, &services.member.standing().card))?;
    // While its turn at the log comes, others are checked.
    let answers = services.log.append(checked).await?;
    let refused = answers.iter().filter_map(|answer| match answer {
        DepositAnswer::Refused(code) => Some(&**code),
        _ => None,
    });
    Ok((pause(refused), Json(DepositAnswers { answers })).into_response())
}

async fn query(
    State(services): State<Arc<NotaryServices>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    body: Body,
) -> Result<Response, Problem> {
    let (place, envelope) = read(&services.queries, from, body).await?;
    let answer = place.work(services.answer(&envelope, from.ip())).await;
    let answer = answer.map_err(|error| with_card(error, &services.member.standing().card))?;
    Ok(([(CONTENT_TYPE, "application/jose")], answer).into_response())
}

async fn read(gate: &Arc<Gate>, from: SocketAddr, body: Body) -> Result<(Place, Bytes), Error> {
    gate.read(from.ip(), body, envelope::MAX_BYTES, Error::EnvelopeTooLarge).await
}

impl NotaryServices {
    /// The deposits in an envelope, each with what was found about it.
    async fn checked(&self, envelope: &[u8], from: IpAddr) -> Result<Vec<Checked>, Error> {
        let Received { opened, standing, at } = self.open(envelope, from).await?;
        let (depositor, DepositBody { cards, endorsements, deposits }) = deposits(opened)?;
        let cards = DepositCards::verify(&cards, &standing.trust, at, &AwsPrimitives).await;
        let cards = self.without_former(cards).await?;
        let mut statements = Statements::default();
        for endorsement in &endorsements {
            statements.add(endorsement, &cards, &AwsPrimitives).await;
            // Other requests have their turn between two of the many that an envelope may hold.
            yield_now().await;
        }
        let mut checked: Vec<Checked> = Vec::with_capacity(deposits.len());
        for deposit in &deposits {
            checked.push(self.found(deposit, &depositor, (&cards, &statements), at).await);
        }
        Ok(checked)
    }

    async fn found(
        &self,
        deposit: &Deposit,
        by: &VerifiedCard,
        along: (&DepositCards, &Statements),
        at: Timestamp,
    ) -> Checked {
        let found = check(deposit, by.id(), along, &AwsPrimitives).await?;
        let manifests = self.keeper.manifests(found.manifests()).await?;
        found.expect_drawn(self.member.id(), &manifests, at)?;
        Ok(CheckedDeposit { checked: found, depositor: (by.id().clone(), by.card().role), at })
    }

    /// The sealed answer to a query.
    async fn answer(&self, envelope: &[u8], from: IpAddr) -> Result<String, Error> {
        let Received { opened, standing, .. } = self.open(envelope, from).await?;
        let mut receipts = Vec::new();
        for asked in queried(&opened)? {
            let proven =
                self.log.reader().opened(&asked.entry, asked.salt, &standing.trust).await?;
            receipts.push(proven.map(|proven| proven.receipt_for_others()).transpose()?);
        }
        let message = Message {
            from: &standing.card,
            to: opened.sender(),
            case: opened.case(),
            kind: MessageType::Answer,
            body: serde_json::to_value(AnswerBody { receipts })
                .map_err(|_| Error::BodyMalformed)?,
        };
        let keys = self.member.keys();
        let sealed = envelope::seal(message, keys, &AwsPrimitives, &self.clock, &SystemRandomness);
        Ok(sealed.await?.1)
    }

    async fn open(&self, envelope: &[u8], from: IpAddr) -> Result<Received, Error> {
        let (standing, at) = (self.member.standing(), self.clock.now());
        let opening = Opening { me: &standing.card, trust: &standing.trust, received: at };
        envelope::expect_present_key(envelope, &standing.card, self.member.keys())?;
        let sealed = Sealed::parse(envelope)?;
        let decrypted = sealed.decrypt(self.member.keys(), &AwsPrimitives).await?;
        let opened = decrypted.verify(None, opening, &AwsPrimitives).await?;
        let sender = opened.sender();
        self.hearing.hear((sender.id(), sender.card().role), opened.id(), from, at)?;
        if !newest::former(&self.keeper.database, &[sender]).await?.is_empty() {
            return Err(Error::CardSuperseded);
        }
        newest::remember(&self.keeper.database, &[sender]).await?;
        Ok(Received { opened, standing, at })
    }

    /// Without the cards of nodes of which newer ones with other keys were seen.
    async fn without_former(&self, mut cards: DepositCards) -> Result<DepositCards, Error> {
        let former =
            newest::former(&self.keeper.database, &cards.good().collect::<Vec<_>>()).await?;
        cards.supersede(&former);
        newest::remember(&self.keeper.database, &cards.good().collect::<Vec<_>>()).await?;
        Ok(cards)
    }
}
