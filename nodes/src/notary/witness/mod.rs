//! Every notary is also a witness of the others and of the network's manifests (C2SP tlog-witness): it
//! co-signs a checkpoint only
//! when its tree continues the one that it has co-signed before, and says aloud when a log can't
//! show that.

mod others;
mod refusal;
mod ruling;
pub mod store;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{self, ConnectInfo};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use hdms::Error;
use hdms::log::checkpoint::{cosignature, cosigned_text};
use hdms::log::{Note, NoteKey, NoteSignature, SignedCheckpoint};
use hdms::network::{NotaryLog, notary_of};
use hdms::provider::Clock;
use rusqlite::Connection;

use crate::base::http::addresses::subscriber;
use crate::base::http::gate::Gate;
use crate::base::http::problem::Problem;
use crate::base::keys::{AwsPrimitives, NotaryKeys};
use crate::base::log::submission::{self, Submission};
use crate::base::log::witnessed::{WitnessAlarms, WitnessState};
use crate::base::rate::RateLimit;
use crate::base::sqlite::{Database, Failure};
use crate::base::system::NodeClock;
use crate::member::Member;
use refusal::WitnessRefusal;
use ruling::{Kind, Ruling, rule};

pub use others::OtherNotaries;
pub use store::TABLES;

/// Checkpoints of one log that are co-signed in any minute.
const COSIGNED_PER_MINUTE: u32 = 60_000;

/// Requests from one address that may be refused in any minute.
const REFUSED_PER_MINUTE: u32 = 600;

/// How long after a manifest was co-signed it is fetched: it is offered once others have as well.
const FETCHES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];

/// See the module.
#[derive(Debug)]
struct Cosigner {
    member: Member,
    keys: Arc<NotaryKeys>,
    key: NoteKey,
    database: Database,
    clock: NodeClock,
    cosigned: RateLimit<String>,
    refused: RateLimit<IpAddr>,
    gate: Arc<Gate>,
    reading: Arc<Gate>,
}

/// The routes below `/witness`, over the tables of [`store`].
pub fn routes(
    member: Member,
    keys: Arc<NotaryKeys>,
    database: Database,
    clock: NodeClock,
) -> Router {
    let own = NotaryLog { notary: member.id().clone(), keys: keys.public(), until: None };
    let witness = Cosigner {
        member,
        keys,
        key: own.witness_key(),
        database,
        clock,
        cosigned: RateLimit::per_minute(COSIGNED_PER_MINUTE),
        refused: RateLimit::per_minute(REFUSED_PER_MINUTE),
        gate: Gate::new(),
        reading: Gate::new(),
    };
    Router::new()
        .route("/witness/add-checkpoint", post(add_checkpoint))
        .route("/witness/state", get(state))
        .route("/witness/alarms", get(alarms))
        .with_state(Arc::new(witness))
}

async fn add_checkpoint(
    extract::State(witness): extract::State<Arc<Cosigner>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    body: Body,
) -> Result<impl IntoResponse, WitnessRefusal> {
    let (limit, too_large) = (submission::MAX_BYTES, Error::BodyTooLarge);
    let (place, body) = witness.gate.read(from.ip(), body, limit, too_large).await?;
    match place.work(witness.add(&body)).await {
        Ok(line) => Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], line.to_line())),
        Err(refusal) => {
            witness.refused.take(&subscriber(from.ip()), witness.clock.now())?;
            Err(refusal)
        }
    }
}

/// What was last co-signed of each log.
async fn state(
    extract::State(witness): extract::State<Arc<Cosigner>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
) -> Result<Json<WitnessState>, Problem> {
    let place = witness.reading.enter(from.ip())?;
    let logs = place.work(witness.database.read(store::states)).await?;
    Ok(Json(WitnessState { logs }))
}

async fn alarms(
    extract::State(witness): extract::State<Arc<Cosigner>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
) -> Result<Json<WitnessAlarms>, Problem> {
    let place = witness.reading.enter(from.ip())?;
    let alarms = place.work(witness.database.read(store::alarms)).await?;
    Ok(Json(WitnessAlarms { alarms }))
}

impl Cosigner {
    /// The cosignature on what is submitted. It is kept before it is answered.
    async fn add(&self, body: &[u8]) -> Result<NoteSignature, WitnessRefusal> {
        let submission = Submission::parse(body).map_err(|_| WitnessRefusal::Malformed)?;
        let key = self.log(&submission.checkpoint)?;
        submission.checkpoint.verify_log(&key, &AwsPrimitives).await.map_err(|error| {
            if error == Error::LogForged { WitnessRefusal::NotSigned } else { error.into() }
        })?;
        let submission =
            Submission { checkpoint: own(&submission.checkpoint, &key)?, ..submission };
        // Strangers can repeat what a log has signed: only what has to be kept gets to the writer.
        let (ruling, size) = self.database.read(|tx| weigh(tx, &submission)).await?;
        match ruling {
            Ruling::Cosign => {
                self.cosigned.take(&key.name, self.clock.now())?;
                let size = submission.checkpoint.checkpoint().size;
                let line = self.decide(submission).await?;
                self.fetch_soon(&key, size);
                Ok(line)
            }
            Ruling::Alarm(_) => self.decide(submission).await,
            Ruling::CosignAgain => {
                let (text, now) = (&submission.checkpoint.note().text, self.clock.now());
                Ok(cosign(&self.keys, &self.key, text, now.seconds())?)
            }
            _ => Err(refusal(ruling, size)),
        }
    }

    /// What this notary has co-signed of the network's manifests it should have as soon as it is offered,
    /// should the server lose it.
    fn fetch_soon(&self, key: &NoteKey, size: u64) {
        let member = self.member.clone();
        let is_manifests = |log: NoteKey| log.name == key.name;
        if !member.standing().trust.manifests_log().is_ok_and(is_manifests) {
            return;
        }
        self.member.spawn(async move {
            for pause in FETCHES {
                tokio::time::sleep(pause).await;
                if member.standing().trust.manifest().number >= size {
                    return;
                }
                if let Err(error) = member.refresh().await {
                    tracing::debug!(%error, "the co-signed manifest could not be fetched yet");
                }
            }
        });
    }

    /// The key of the log that this says to be of. Only the network's manifests have one, and members
    /// other than this notary.
    fn log(&self, checkpoint: &SignedCheckpoint) -> Result<NoteKey, WitnessRefusal> {
        let (standing, now) = (self.member.standing(), self.clock.now());
        let origin = &checkpoint.checkpoint().origin;
        // However old what this notary knows has become: only by newer manifests it learns more.
        let manifests = standing.trust.manifests_log()?;
        if manifests.name == *origin {
            return Ok(manifests);
        }
        let unknown = WitnessRefusal::UnknownLog;
        let notary = notary_of(origin).map_err(|_| unknown)?;
        let log = standing.trust.log(&notary).map_err(|_| unknown)?;
        let listed = standing.trust.notary(&notary).is_ok();
        if notary == *self.member.id() || !listed || !log.counts_at(now.seconds()) {
            return Err(unknown);
        }
        match standing.trust.check_revocation(&notary, now) {
            Ok(()) => Ok(log.log_key()),
            Err(Error::CardRevoked) => Err(unknown),
            Err(error) => Err(error.into()),
        }
    }

    /// Rules, and keeps what follows from it, in one transaction.
    async fn decide(&self, submission: Submission) -> Result<NoteSignature, WitnessRefusal> {
        let (keys, key, time) = (self.keys.clone(), self.key.clone(), self.clock.now().seconds());
        let decided = self.database.write(move |tx| {
            let (ruling, size) = weigh(tx, &submission)?;
            let mut checkpoint = submission.checkpoint;
            match ruling {
                Ruling::Cosign | Ruling::CosignAgain => {
                    let line = cosign(&keys, &key, &checkpoint.note().text, time)?;
                    checkpoint.add(line.clone());
                    store::keep(tx, &checkpoint)?;
                    return Ok(Ok(line));
                }
                Ruling::Alarm(kind) => raise(tx, kind, &checkpoint, time)?,
                _ => {}
            }
            Ok(Err(refusal(ruling, size)))
        });
        decided.await?
    }
}

/// The witness's line under a checkpoint's text.
fn cosign(keys: &NotaryKeys, key: &NoteKey, text: &str, time: u64) -> Result<NoteSignature, Error> {
    let signature = keys.sign_as_witness(cosigned_text(text, time).as_bytes())?;
    Ok(cosignature(key, time, signature))
}

/// The ruling, and the size of what was last co-signed.
fn weigh(connection: &Connection, submission: &Submission) -> Result<(Ruling, u64), Failure> {
    let Submission { old, proof, checkpoint } = submission;
    let new = store::tree(checkpoint);
    let cosigned = store::cosigned(connection, &checkpoint.checkpoint().origin, new.size)?;
    Ok((rule(cosigned, *old, new, proof), cosigned.newest.size))
}

/// Why it is not co-signed; `size` was last.
fn refusal(ruling: Ruling, size: u64) -> WitnessRefusal {
    match ruling {
        Ruling::Malformed => WitnessRefusal::Malformed,
        Ruling::WrongProof | Ruling::Alarm(Kind::Unproven) => WitnessRefusal::Unproven,
        _ => WitnessRefusal::OtherSize(size),
    }
}

fn raise(
    tx: &Connection,
    kind: Kind,
    refused: &SignedCheckpoint,
    time: u64,
) -> Result<(), Failure> {
    if let Some(against) = store::raise(tx, kind, refused, time)? {
        let (refused, cosigned) = (refused.checkpoint(), against.checkpoint());
        tracing::error!(
            log = refused.origin,
            kind = kind.name(),
            refused_size = refused.size,
            refused_root = hdms::log::encode(&refused.root),
            cosigned_size = cosigned.size,
            cosigned_root = hdms::log::encode(&cosigned.root),
            "a notary's log does not continue what was co-signed: not co-signed, kept as an alarm"
        );
    }
    Ok(())
}

/// The checkpoint without the signatures of others.
fn own(checkpoint: &SignedCheckpoint, key: &NoteKey) -> Result<SignedCheckpoint, Error> {
    let Note { text, mut signatures } = checkpoint.note().clone();
    signatures.retain(|line| line.name == key.name && line.key_id == key.id());
    SignedCheckpoint::parse(&Note { text, signatures }.to_text())
}
