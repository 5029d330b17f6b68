//! The network's manifests as a notary keeps them, who may have co-signed them: all of them, and of the
//! newest what it binds. A server that was put back to an older state takes them back from here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hdms::Error;
use hdms::answers::MANIFEST;
use hdms::json;
use hdms::log::merkle::leaf_hash;
use hdms::log::{NoteKey, SignedCheckpoint, decimal};
use hdms::network::{Manifest, Numbered, Trust, leaf};
use hdms::notary::SignedManifest;
use rusqlite::{Connection, OptionalExtension, Row};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::base::http::gate::Gate;
use crate::base::http::problem::Problem;
use crate::base::http::unsent::LiesReady;
use crate::base::keys::AwsPrimitives;
use crate::base::log::tree::{self, Tree};
use crate::base::sqlite::{Database, Failure};
use crate::member::Member;

/// SQL of the table.
pub const TABLE: &str = "
    CREATE TABLE manifests (
        number INTEGER PRIMARY KEY,
        manifest TEXT NOT NULL,
        checkpoint TEXT NOT NULL
    ) STRICT;
";

/// Manifests that are read or kept at a time.
const PAGE: u64 = 100;

/// Keeps the manifests.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// Whose documents they bind.
    pub member: Member,
    /// With the table.
    pub database: Database,
    asked: Arc<Mutex<Option<Instant>>>,
    answer: Arc<Mutex<Option<Answer>>>,
}

/// The documents under this manifest, as they are answered.
#[derive(Debug)]
struct Answer {
    manifest: String,
    json: Bytes,
}

/// So long the server is not asked again for what somebody says that there is.
const ASKED: Duration = Duration::from_secs(5);

/// The routes `/manifests` and `/manifests/{number}`.
pub fn routes(keeper: Keeper) -> Router {
    Router::new()
        .route("/manifests", get(documents))
        .route("/manifests/{number}", get(numbered))
        .with_state(Arc::new(ServedManifests { keeper, gate: Gate::new() }))
}

/// The manifests, and who reads them.
struct ServedManifests {
    keeper: Keeper,
    gate: Arc<Gate>,
}

/// The documents that this notary goes by.
async fn documents(
    State(served): State<Arc<ServedManifests>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
) -> Result<Response, Problem> {
    let place = served.gate.enter(from.ip())?;
    let json = place.work(served.keeper.answer()).await?;
    Ok((Extension(LiesReady), [(CONTENT_TYPE, "application/json")], json).into_response())
}

async fn numbered(
    State(served): State<Arc<ServedManifests>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(number): Path<String>,
) -> Result<Json<Numbered>, Problem> {
    let number = decimal(&number).ok().filter(|number| *number <= i64::MAX as u64);
    let number = number.ok_or(Error::NotFound)?;
    let place = served.gate.enter(from.ip())?;
    let read = served.keeper.database.read(move |connection| one(connection, number));
    Ok(Json(place.work(read).await?.ok_or(Error::NotFound)?))
}

impl Keeper {
    /// See the fields.
    pub fn new(member: Member, database: Database) -> Self {
        Self { member, database, asked: Arc::default(), answer: Arc::default() }
    }

    /// Written once for all who ask.
    async fn answer(&self) -> Result<Bytes, Error> {
        let trust = self.member.standing().trust.clone();
        let (documents, mut answer) = (trust.documents(), self.answer.lock().await);
        if let Some(kept) = answer.as_ref().filter(|kept| kept.manifest == documents.manifest) {
            return Ok(kept.json.clone());
        }
        let json = Bytes::from(json::write(documents)?);
        *answer = Some(Answer { manifest: documents.manifest.clone(), json: json.clone() });
        Ok(json)
    }

    /// The manifests with these numbers. Where this notary has not heard of one, it asks the server.
    ///
    /// Errors: those of the store; [`Error::NetworkStale`] while it still has not.
    pub async fn manifests(
        &self,
        numbers: Vec<u64>,
    ) -> Result<HashMap<u64, SignedManifest>, Error> {
        let Some(last) = numbers.iter().copied().max() else { return Ok(HashMap::new()) };
        let newest = || self.member.standing().trust.manifest().number;
        if last > newest() {
            self.asked().await;
            if last > newest() {
                return Err(Error::NetworkStale);
            }
        }
        let trust = self.member.standing().trust.clone();
        let mut found = HashMap::with_capacity(numbers.len());
        let (newest, jwt) = (trust.manifest(), &trust.documents().manifest);
        let (at_hand, kept) = numbers.into_iter().partition::<Vec<_>, _>(|it| *it == newest.number);
        if !at_hand.is_empty() {
            let newest = SignedManifest { jwt: jwt.clone(), claims: newest.clone() };
            found.insert(newest.claims.number, newest);
        }
        if !kept.is_empty() {
            found.extend(self.database.read(move |tx| some(tx, &kept)).await?);
        }
        Ok(found)
    }

    /// Asks the server for newer documents, unless it was asked just now. One at a time waits for the
    /// answer, which may take long: those who wait keep others from their turn.
    async fn asked(&self) {
        let Ok(mut last) = self.asked.try_lock() else { return };
        if last.is_none_or(|last| last.elapsed() >= ASKED) {
            if let Err(error) = self.member.refresh().await {
                tracing::warn!(code = error.code(), "a manifest that a deposit names is not known");
            }
            *last = Some(Instant::now());
        }
    }

    /// Fetches what is new whenever the notary has newer documents, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let (mut changes, mut followed) = (self.member.changes(), Followed::default());
        loop {
            let trust = changes.borrow_and_update().trust.clone();
            let outcome = tokio::select! {
                outcome = self.follow(&trust, &mut followed) => outcome,
                () = stop.cancelled() => return,
            };
            if let Err(error) = outcome {
                tracing::warn!(
                    code = error.code(),
                    "the network's manifests were not all kept yet"
                );
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }

    /// Keeps what is new, some at a time, so that what was fetched is not fetched again.
    async fn follow(&self, trust: &Trust, followed: &mut Followed) -> Result<(), Error> {
        let (last, log) = (trust.manifest().number, trust.manifests_log()?);
        if followed.tree.size() == 0 {
            self.look_at_kept(followed, &log).await?;
        }
        while followed.tree.size() < last {
            let (size, mut new) = (followed.tree.size(), Vec::new());
            let mut grown = followed.clone();
            for number in size + 1..=last.min(size + PAGE) {
                let numbered = self.fetched(number).await?;
                grown.push(&numbered, &log).await?;
                new.push((number, numbered));
            }
            self.database.write(move |tx| new.iter().try_for_each(|row| keep(tx, row))).await?;
            *followed = grown;
        }
        let signed = trust.checkpoint().checkpoint();
        let is_kept = signed.size == last && tree::root(&followed.tree, last)? == signed.root;
        if is_kept {
            followed.good = last;
            return Ok(());
        }
        // The log has signed what was fetched since and what its witnesses have co-signed.
        let good = followed.good;
        *followed = Followed::default();
        self.database.write(move |tx| forget_after(tx, good)).await?;
        Err(Error::LogForged)
    }

    /// What was kept before is good, as far as it holds together: versions before this kept what they
    /// had not looked at.
    async fn look_at_kept(&self, followed: &mut Followed, log: &NoteKey) -> Result<(), Error> {
        loop {
            let size = followed.tree.size();
            let kept = self.database.read(move |connection| some_after(connection, size)).await?;
            if kept.is_empty() {
                break;
            }
            for numbered in &kept {
                let mut grown = followed.clone();
                if grown.push(numbered, log).await.is_err() {
                    let good = followed.tree.size();
                    tracing::warn!(good, "the manifests after this one are fetched again");
                    self.database.write(move |tx| forget_after(tx, good)).await?;
                    break;
                }
                *followed = grown;
            }
        }
        followed.good = followed.tree.size();
        Ok(())
    }

    async fn fetched(&self, number: u64) -> Result<Numbered, Error> {
        let path = format!("/manifests/{number}");
        let (client, server) = (self.member.client(), self.member.server());
        let bytes = client.resource(server, &path, MANIFEST).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::NetworkUnreachable)
    }
}

/// The tree of the manifests that are kept.
#[derive(Clone, Debug, Default)]
struct Followed {
    tree: Tree,
    /// Up to which number they were seen to be those of the network.
    good: u64,
}

impl Followed {
    /// The next manifest, if its own checkpoint is that of the tree with it and the log has signed that.
    /// [`Error::LogForged`].
    async fn push(&mut self, numbered: &Numbered, log: &NoteKey) -> Result<(), Error> {
        self.tree.push(leaf_hash(&leaf(&numbered.manifest)));
        self.tree.forget_full();
        let signed = SignedCheckpoint::parse(&numbered.checkpoint)?;
        let tree = (self.tree.size(), tree::root(&self.tree, self.tree.size())?);
        let is_same = tree == (signed.checkpoint().size, signed.checkpoint().root);
        if !is_same {
            return Err(Error::LogForged);
        }
        signed.verify_log(log, &AwsPrimitives).await
    }
}

fn keep(tx: &Connection, (number, numbered): &(u64, Numbered)) -> Result<(), Failure> {
    let row = (number, &numbered.manifest, &numbered.checkpoint);
    tx.prepare_cached("INSERT INTO manifests VALUES (?1, ?2, ?3)")?.execute(row)?;
    Ok(())
}

fn one(connection: &Connection, number: u64) -> Result<Option<Numbered>, Failure> {
    let sql = "SELECT manifest, checkpoint FROM manifests WHERE number = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([number], numbered_of).optional()?)
}

fn some(connection: &Connection, numbers: &[u64]) -> Result<HashMap<u64, SignedManifest>, Failure> {
    let mut found = HashMap::with_capacity(numbers.len());
    for number in numbers {
        // All up to the newest come to be kept.
        let jwt = one(connection, *number)?.ok_or(Error::NetworkStale)?.manifest;
        let claims = Manifest::unverified(&jwt)?;
        found.insert(*number, SignedManifest { jwt, claims });
    }
    Ok(found)
}

/// The next after this number.
fn some_after(connection: &Connection, number: u64) -> Result<Vec<Numbered>, Failure> {
    let sql =
        "SELECT manifest, checkpoint FROM manifests WHERE number > ?1 ORDER BY number LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let manifests = statement.query_map([number, PAGE], numbered_of)?;
    Ok(manifests.collect::<Result<_, _>>()?)
}

fn numbered_of(row: &Row<'_>) -> Result<Numbered, rusqlite::Error> {
    Ok(Numbered { manifest: row.get(0)?, checkpoint: row.get(1)?, doormen: None })
}

fn forget_after(tx: &Connection, number: u64) -> Result<(), Failure> {
    tx.execute("DELETE FROM manifests WHERE number > ?1", [number])?;
    Ok(())
}
