//! What a notary does for the nodes of its network: it takes deposits and answers queries, both in
//! sealed envelopes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use hdms::Error;
use hdms::envelope::{self, Letter, MessageType, Opened, Opening, Sealed};
use hdms::notary::{
    AnswerBody, DepositAnswers, DepositBody, DepositCards, check, deposits, queried,
};
use hdms::provider::{Clock, Timestamp};

use super::log::Log;
use super::sequencer::Checked;
use crate::keys::AwsPrimitives;
use crate::member::{Member, Standing};
use crate::problem::{Problem, read_body};
use crate::system::{NodeClock, SystemRandomness};

#[derive(Debug)]
struct Services {
    member: Member,
    log: Log,
    clock: NodeClock,
}

/// The routes `/deposits` and `/queries`.
pub fn routes(member: Member, log: Log, clock: NodeClock) -> Router {
    let services = Arc::new(Services { member, log, clock });
    Router::new()
        .route("/deposits", post(deposit))
        .route("/queries", post(query))
        .with_state(services)
}

async fn deposit(
    State(services): State<Arc<Services>>,
    body: Body,
) -> Result<Json<DepositAnswers>, Problem> {
    let (opened, standing, received) = services.open(body).await?;
    let DepositBody { cards, deposits } = deposits(&opened)?;
    let cards = DepositCards::verify(&cards, &standing.trust, received, &AwsPrimitives).await;
    let mut checked: Vec<Checked> = Vec::with_capacity(deposits.len());
    for deposit in &deposits {
        checked.push(check(deposit, opened.sender().id(), &cards, &AwsPrimitives).await);
    }
    let answers = services.log.append(checked).await?;
    Ok(Json(DepositAnswers { answers }))
}

async fn query(State(services): State<Arc<Services>>, body: Body) -> Result<Response, Problem> {
    let (opened, standing, _) = services.open(body).await?;
    let mut receipts = Vec::new();
    for asked in queried(&opened)? {
        let proven = services.log.reader().opened(&asked.entry, asked.salt).await?;
        receipts.push(proven.map(|proven| proven.receipt_for_others()).transpose()?);
    }
    let letter = Letter {
        from: &standing.card,
        to: opened.sender(),
        case: opened.case(),
        kind: MessageType::Answer,
        body: serde_json::to_value(AnswerBody { receipts }).map_err(|_| Error::BodyMalformed)?,
    };
    let keys = services.member.keys();
    let (_, envelope) =
        envelope::seal(letter, keys, &AwsPrimitives, &services.clock, &SystemRandomness).await?;
    Ok(([(CONTENT_TYPE, "application/jose")], envelope).into_response())
}

impl Services {
    /// The envelope in a request, all of DESIGN section 5's checks passed but the one for replays:
    /// what is repeated is answered again.
    async fn open(&self, body: Body) -> Result<(Opened, Arc<Standing>, Timestamp), Error> {
        let envelope = read_body(body, envelope::MAX_BYTES, Error::EnvelopeTooLarge).await?;
        let (standing, received) = (self.member.standing(), self.clock.now());
        let opening = Opening { me: &standing.card, trust: &standing.trust, received };
        let sealed = Sealed::parse(&envelope, &standing.card)?;
        let decrypted = sealed.decrypt(self.member.keys(), &AwsPrimitives).await?;
        let opened = decrypted.verify(None, opening, &AwsPrimitives).await?;
        Ok((opened, standing, received))
    }
}
