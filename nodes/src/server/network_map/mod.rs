//! The Network Map and the other signed documents (docs/architecture.md), and the keys that sign them.
//! Follows the table of nodes: whatever changes there, by a node or by the operator, is signed and
//! offered anew.

mod beginning;
mod refreshes;
mod signing;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Bytes;
use hdms::Error;
use hdms::base64url::digest;
use hdms::card::{self, VerifiedCard};
use hdms::doorman::AdmissionRequest;
use hdms::ids::NodeId;
use hdms::json;
use hdms::jwk::RsaJwk;
use hdms::network::{Manifest, NetworkDocuments};
use hdms::provider::{Clock, Timestamp};
use rusqlite::Connection;
use tokio::sync::OnceCell;

use super::certificate::{Certificate, Keyring};
use super::known::{IssuedCard, Known, Status};
use super::manifests::{self, Manifests, Newest};
use super::nodes;
use super::pins;
use super::rules::History;
use super::superseded;
use crate::base::http::client::Client;
use crate::base::keys::AwsPrimitives;
use crate::base::log::tree::Tree;
use crate::base::rate::RateLimit;
use crate::base::sqlite::Database;
use crate::base::system::NodeClock;
use refreshes::Refreshes;

/// How long before the end of the list of Doormen the operator is told: 90 days, so that every card
/// issued under it lives as long as it says.
const MARGIN: u64 = card::LIFETIME;

/// How often it is said: each day.
const SAID: u64 = 24 * 3600;

/// How often more is signed at once because of what was signed: a manifest that names who has
/// co-signed the one before it, say.
const ROUNDS: usize = 3;

/// Answers are kept for who has seen nothing, or one of so many newest manifests: most nodes have seen
/// the same. Others are made when they are asked for.
const ANSWERS: u64 = 64;

/// Signs and offers the network's documents.
#[derive(Debug)]
pub struct Network {
    keyring: Keyring,
    client: Client,
    manifests: Manifests,
    certificate: RwLock<Arc<Certificate>>,
    vapid: String,
    database: Database,
    clock: NodeClock,
    /// With the tree of the manifests' log.
    refreshes: Refreshes<Tree>,
    behind: AtomicBool,
    /// Whether what is known here is all that was said, as far as the notaries know: else nothing is signed.
    is_newest: AtomicBool,
    offered: RwLock<Arc<Offered>>,
    warned: AtomicU64,
    /// How often a manifest is signed: what changes meanwhile is gathered in the next.
    pace: RateLimit<()>,
}

/// Made once each, however many ask for it at a time.
type Answers = std::sync::Mutex<HashMap<u64, Arc<OnceCell<Bytes>>>>;

/// The documents as they are offered.
#[derive(Debug, Default)]
pub struct Offered {
    documents: Option<NetworkDocuments>,
    /// The number of the manifest.
    number: u64,
    answers: Answers,
    /// Changes with the documents.
    pub etag: String,
}

impl Network {
    /// Opens the Doorman's key. `client` asks notaries to co-sign, `vapid` is the key with which browsers
    /// subscribe to web push, base64url. Errors as [`Keyring::certificate`].
    pub async fn open(
        keyring: Keyring,
        vapid: String,
        database: Database,
        (client, pace): (Client, RateLimit<()>),
        clock: NodeClock,
    ) -> Result<Self, Error> {
        let certificate = keyring.certificate().await?;
        let log = certificate.list.log.as_ref().ok_or(Error::Uncertified)?;
        let (keys, key) = (keyring.log_keys()?, log.key(&certificate.list.iss));
        let (manifests, tree) =
            Manifests::open(keys, key, client.clone(), database.clone()).await?;
        let certificate = RwLock::new(Arc::new(certificate));
        Ok(Self {
            keyring,
            client,
            manifests,
            certificate,
            vapid,
            database,
            clock,
            refreshes: Refreshes::new(tree),
            behind: AtomicBool::new(false),
            is_newest: AtomicBool::new(false),
            offered: RwLock::default(),
            warned: AtomicU64::new(0),
            pace,
        })
    }

    /// The root key's public half.
    pub fn root(&self) -> RsaJwk {
        self.certificate().root.clone()
    }

    fn certificate(&self) -> Arc<Certificate> {
        self.certificate.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the Doorman's key that the newest list names, if another one was installed.
    pub async fn take_certificate(&self) -> Result<(), Error> {
        if !self.keyring.is_newest(&self.certificate()).await? {
            let newest = Arc::new(self.keyring.certificate().await?);
            let (number, doorman) = (newest.list.number, newest.id.as_ref());
            tracing::info!(number, doorman, "a list of Doormen was installed");
            *self.certificate.write().unwrap_or_else(PoisonError::into_inner) = newest;
        }
        Ok(())
    }

    fn warn_of_the_end(&self, certificate: &Certificate, now: u64) {
        let days = certificate.list.exp.saturating_sub(now) / SAID;
        let due = now + MARGIN >= certificate.list.exp
            && now >= self.warned.load(Ordering::Relaxed) + SAID;
        if due {
            self.warned.store(now, Ordering::Relaxed);
            tracing::error!(
                days,
                "the list of Doormen is about to end, and the network with it: hdms server request, \
                 hdms root certify, hdms server certificate"
            );
        }
    }

    /// The documents as they are offered now.
    pub fn offered(&self) -> Arc<Offered> {
        self.offered.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// JSON of the [`NetworkDocuments`] that are `offered`, for who has seen the first `size`
    /// manifests.
    pub async fn answer(&self, offered: &Offered, size: u64) -> Result<Bytes, Error> {
        // Who has seen more than there is gets no proof, however much it says.
        let size = size.min(offered.number + 1);
        if size > 0 && size + ANSWERS <= offered.number {
            return self.make_answer(offered, size).await;
        }
        let kept = {
            let mut answers = offered.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.entry(size).or_default().clone()
        };
        Ok(kept.get_or_try_init(|| self.make_answer(offered, size)).await?.clone())
    }

    async fn make_answer(&self, offered: &Offered, size: u64) -> Result<Bytes, Error> {
        let documents = offered.documents.clone().ok_or(Error::NetworkUnwitnessed)?;
        let documents = self.manifests.offered_after(documents, size).await?;
        Ok(Bytes::from(json::write(&documents)?))
    }

    /// The log of manifests.
    pub fn manifests(&self) -> &Manifests {
        &self.manifests
    }

    /// Whether cosignatures are lacking: then [`Network::refresh`] asks for them again.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Signs a card for what a node asked to be, dated `since`, seconds, if that is later than now.
    /// [`Error::NodeBusy`] while it is not known whether more was said than is known here.
    pub async fn issue(
        &self,
        request: &AdmissionRequest,
        since: Option<u64>,
    ) -> Result<IssuedCard, Error> {
        if !self.is_newest.load(Ordering::Relaxed) {
            return Err(Error::NodeBusy);
        }
        let certificate = self.certificate();
        let since = Timestamp::from_seconds(since.unwrap_or(0));
        let card = request.card(&certificate.id, self.clock.now().max(since));
        let jwt = card::issue(&card, &certificate.keys).await?;
        let claims = claims(request, &certificate.id)?;
        let kid = request.stated_subkeys()?.encryption.thumbprint();
        Ok(IssuedCard { jwt, claims, expires: card.exp, kid })
    }

    /// A card that a Doorman of this network has issued, when it was; that it may be used still is not
    /// checked. Errors: those of [`VerifiedCard::issued_by`].
    pub async fn issued(&self, jwt: &str) -> Result<VerifiedCard, Error> {
        let certificate = self.certificate();
        VerifiedCard::issued_by(jwt, &certificate.list, &AwsPrimitives).await
    }

    /// Whether a card says what a node asks to be, under this Doorman's key.
    pub fn is_for(&self, card: &IssuedCard, request: &AdmissionRequest) -> Result<bool, Error> {
        Ok(card.claims == claims(request, &self.certificate().id)?)
    }

    /// Issues the cards that admitted nodes lack, and signs what has changed, or what has reached
    /// a quarter of the age at which nodes stop to rely on it. It is offered once most witnesses have
    /// co-signed; until then what was offered before is, and nothing else is signed.
    pub async fn refresh(&self) -> Result<(), Error> {
        let refresh = async |tree: &mut Tree| {
            if self.recover(tree, beginning::LATER).await? {
                self.sign_what_is_new(tree).await?;
            }
            self.offer().await
        };
        self.refreshes.take(refresh).await
    }

    async fn sign_what_is_new(&self, tree: &mut Tree) -> Result<(), Error> {
        self.publish().await?;
        for _ in 0..ROUNDS {
            let is_its_time = self.pace.has(&(), self.clock.now());
            if !is_its_time {
                self.behind.store(true, Ordering::Relaxed);
            }
            if !is_its_time || !self.sign_next(tree).await? {
                break;
            }
            self.publish().await?;
        }
        Ok(())
    }

    /// Offers what is published.
    async fn offer(&self) -> Result<(), Error> {
        if let Some(documents) = self.manifests.offered().await? {
            let etag = format!("\"{}\"", digest(json::write(&documents)?));
            if etag != self.offered().etag {
                let number = Manifest::unverified(&documents.manifest)?.number;
                let (documents, answers) = (Some(documents), Answers::default());
                let offered = Offered { documents, number, answers, etag };
                let mut now = self.offered.write().unwrap_or_else(PoisonError::into_inner);
                *now = Arc::new(offered);
            }
        }
        Ok(())
    }

    async fn publish(&self) -> Result<(), Error> {
        let listed = self.database.read(nodes::listed).await?;
        let behind = self.manifests.publish(&listed).await?;
        self.behind.store(behind, Ordering::Relaxed);
        Ok(())
    }

    /// Signs the next manifest with what has changed. Answers whether there was anything to sign, and
    /// it may be: not while another waits for its witnesses, unless the root key has named others.
    async fn sign_next(&self, tree: &mut Tree) -> Result<bool, Error> {
        let now = self.clock.now().seconds();
        let (listed, ended, rules, pinned) = self
            .database
            .read(move |connection| {
                let rules = History::kept(connection)?.ok_or(Error::StoreCorrupt)?;
                let listed = nodes::listed(connection)?;
                let ended =
                    (nodes::revoked(connection, now)?, superseded::listed(connection, now)?);
                Ok((listed, ended, rules, pins::pinned(connection)?))
            })
            .await?;
        let certificate = self.certificate();
        self.warn_of_the_end(&certificate, now);
        let newest = self.manifests.newest().await?;
        let same_list = |newest: &Newest| newest.claims.doormen == digest(&certificate.jwt);
        if newest.as_ref().is_some_and(|newest| !newest.is_published && same_list(newest)) {
            return Ok(false);
        }
        let logs: Vec<_> = listed.iter().filter_map(Known::log).collect();
        let members = manifests::members(&listed).into_iter().map(|(log, _)| log).collect();
        let (mut cards, mut notaries) = (Vec::new(), Vec::new());
        for node in listed {
            let notary = Some(node.request.iss.clone()).filter(|_| node.is_notary());
            if let Some(card) = self.current_card(node, now).await? {
                cards.push(card);
                notaries.extend(notary);
            }
        }
        let drafts = self.drafts((&certificate, &rules, pinned), (cards, logs), ended, now).await?;
        let by = (&*certificate, &rules);
        let Some(next) = self.next(by, newest, &drafts, (notaries, members), now).await? else {
            return Ok(false);
        };
        self.pace.take(&(), self.clock.now())?;
        let keep = move |tx: &Connection| drafts.iter().try_for_each(|draft| draft.keep(tx));
        *tree = self.manifests.append(next, tree, keep).await?;
        Ok(true)
    }

    /// The card under which the map lists a node, newly issued where it lacks one for what it
    /// was admitted as.
    async fn current_card(&self, mut node: Known, now: u64) -> Result<Option<String>, Error> {
        loop {
            let card = node.card.as_ref().filter(|card| card.expires > now);
            let kept = card.map(|card| card.jwt.clone());
            let admitted = match (node.status, node.admitted_as()) {
                (Status::Revoked, _) => return Ok(None),
                // It states no subkeys: it is listed again once it has applied again.
                (_, None) => return Ok(None),
                (_, Some(admitted)) if admitted.subkeys.is_empty() => return Ok(None),
                (_, Some(admitted)) => admitted,
            };
            if let Some(card) = card
                && self.is_for(card, admitted)?
            {
                return Ok(kept);
            }
            let card = self.issue(admitted, node.next_card_from()).await?;
            let (jwt, id) = (card.jwt.clone(), admitted.iss.clone());
            let keep = move |tx: &Connection| {
                let found = nodes::find(tx, &id)?;
                let is_same = found.as_ref() == Some(&node);
                if is_same { nodes::keep_card(tx, &id, &card).map(|()| None) } else { Ok(found) }
            };
            match self.database.write(keep).await? {
                None => return Ok(Some(jwt)),
                // It has changed meanwhile.
                Some(changed) => node = changed,
            }
        }
    }
}

/// Digest of what a card says, its times left out, and that of the statement about its subkeys.
fn claims(request: &AdmissionRequest, doorman: &NodeId) -> Result<String, Error> {
    let mut card = request.card(doorman, Timestamp(0));
    card.exp = 0;
    let stated = request.stated_subkeys()?;
    card.subkeys = format!("{} {}", stated.encryption.thumbprint(), stated.request.thumbprint());
    Ok(digest(json::write(&card)?))
}
