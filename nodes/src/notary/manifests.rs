//! The network's manifests as a notary keeps them, who may have co-signed them: all of them, and of the
//! newest what it binds. A server that was put back to an older state takes them back from here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hdms::Error;
use hdms::answers::MANIFEST;
use hdms::json;
use hdms::log::decimal;
use hdms::log::merkle::leaf_hash;
use hdms::network::{Numbered, Trust, leaf};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::log::tree::{self, Tree};
use crate::member::Member;
use crate::problem::Problem;
use crate::sqlite::{Database, Failure};

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
        .with_state(Arc::new(keeper))
}

/// The documents that this notary goes by.
async fn documents(State(keeper): State<Arc<Keeper>>) -> Result<Response, Problem> {
    let json = keeper.answer().await?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

async fn numbered(
    State(keeper): State<Arc<Keeper>>,
    Path(number): Path<String>,
) -> Result<Json<Numbered>, Problem> {
    let number = decimal(&number).ok().filter(|number| *number <= i64::MAX as u64);
    let number = number.ok_or(Error::NotFound)?;
    let found = keeper.database.read(move |connection| one(connection, number)).await?;
    Ok(Json(found.ok_or(Error::NotFound)?))
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
    pub async fn manifests(&self, numbers: Vec<u64>) -> Result<HashMap<u64, String>, Error> {
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
        let newest = (trust.manifest().number, &trust.documents().manifest);
        let (at_hand, kept) = numbers.into_iter().partition::<Vec<_>, _>(|it| *it == newest.0);
        found.extend(at_hand.into_iter().map(|number| (number, newest.1.clone())));
        if !kept.is_empty() {
            found.extend(self.database.read(move |tx| some(tx, &kept)).await?);
        }
        Ok(found)
    }

    /// Asks the server for newer documents, unless it was asked just now.
    async fn asked(&self) {
        let mut last = self.asked.lock().await;
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
        let last = trust.manifest().number;
        loop {
            let size = followed.tree.size();
            let kept = self.database.read(move |connection| some_after(connection, size)).await?;
            if kept.is_empty() {
                break;
            }
            kept.iter().for_each(|manifest| followed.push(manifest));
        }
        while followed.tree.size() < last {
            let (size, mut new) = (followed.tree.size(), Vec::new());
            let mut grown = followed.clone();
            for number in size + 1..=last.min(size + PAGE) {
                let numbered = self.fetched(number).await?;
                grown.push(&numbered.manifest);
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
        // What was fetched since is of another log.
        let good = followed.good;
        *followed = Followed::default();
        self.database.write(move |tx| forget_after(tx, good)).await?;
        Err(Error::LogForged)
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
    fn push(&mut self, manifest: &str) {
        self.tree.push(leaf_hash(&leaf(manifest)));
        self.tree.forget_full();
    }
}

fn keep(tx: &Connection, (number, numbered): &(u64, Numbered)) -> Result<(), Failure> {
    let row = (number, &numbered.manifest, &numbered.checkpoint);
    tx.prepare_cached("INSERT INTO manifests VALUES (?1, ?2, ?3)")?.execute(row)?;
    Ok(())
}

fn one(connection: &Connection, number: u64) -> Result<Option<Numbered>, Failure> {
    let sql = "SELECT manifest, checkpoint FROM manifests WHERE number = ?1";
    let row = connection
        .prepare_cached(sql)?
        .query_row([number], |row| Ok(Numbered { manifest: row.get(0)?, checkpoint: row.get(1)? }));
    Ok(row.optional()?)
}

fn some(connection: &Connection, numbers: &[u64]) -> Result<HashMap<u64, String>, Failure> {
    let mut found = HashMap::with_capacity(numbers.len());
    for number in numbers {
        // All up to the newest come to be kept.
        let numbered = one(connection, *number)?.ok_or(Error::NetworkStale)?;
        found.insert(*number, numbered.manifest);
    }
    Ok(found)
}

/// The next after this number.
fn some_after(connection: &Connection, number: u64) -> Result<Vec<String>, Failure> {
    let sql = "SELECT manifest FROM manifests WHERE number > ?1 ORDER BY number LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let manifests = statement.query_map([number, PAGE], |row| row.get(0))?;
    Ok(manifests.collect::<Result<_, _>>()?)
}

fn forget_after(tx: &Connection, number: u64) -> Result<(), Failure> {
    tx.execute("DELETE FROM manifests WHERE number > ?1", [number])?;
    Ok(())
}
