//! Being a native member of the network: an institution, a notary or a native personal node. A [`Member`] owns the node's
//! key file, gets and renews its card at the Doorman, and keeps what the node trusts up to date,
//! in the node's own database, so that it also starts while the server is away.
//!
//! ```text
//! let member = Member::join(config, store, clock, stop.clone()).await?;   // waits for the operator
//! let Standing { card, trust } = &*member.standing();                     // now
//! let mut changes = member.changes();                                     // watch::Receiver<Arc<Standing>>
//! Opening { me: card, trust, received };                                  // to open envelopes with
//! member.keys(); member.client(); member.signer(); member.server();       // to ask others
//! member.refresh().await?;                                                // at once, not in its turn
//! ```

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hdms::Error;
use hdms::card::{Card, LIFETIME, Role, VerifiedCard};
use hdms::doorman::{About, AdmissionRequest};
use hdms::ids::{MessageId, NodeId};
use hdms::jose::jwk::RsaJwk;
use hdms::json;
use hdms::network::{LogKeys, NetworkDocuments, Trust};
use hdms::provider::{Clock, Store, Table, Write};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::client::{Client, Signer};
use crate::keys::{self, AwsKeys, AwsPrimitives};
use crate::store::SqliteStore;
use crate::system::{NodeClock, SystemRandomness};

/// Keys of [`Table::Meta`].
const ROOT: &str = "member/root";
const CARD: &str = "member/card";
const NETWORK: &str = "member/network";

/// How long to wait before asking again: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What a member is and where it asks.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// The node's folder, with its key file.
    pub data: PathBuf,
    /// Opens the key file.
    pub passphrase: Zeroizing<String>,
    /// Base URL of the HDMS server.
    pub server: String,
    /// The network's root key; without it, what the server says at the first start is pinned.
    pub root: Option<RsaJwk>,
    /// What it is.
    pub role: Role,
    /// How people call it.
    pub name: String,
    /// Base URL at which others reach it; none for a personal node.
    pub endpoint: Option<String>,
    /// What its operator tells the network's; none of a personal node.
    pub about: Option<About>,
    /// A notary's log, which it sets itself.
    pub log: Option<LogKeys>,
    /// How often to ask the server for newer network documents.
    pub refresh: Duration,
}

/// What a member is to others and what it trusts.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its own card.
    pub card: VerifiedCard,
    /// From the newest network documents.
    pub trust: Arc<Trust>,
}

/// A member of the network. Clones are the same member.
#[derive(Clone, Debug)]
pub struct Member(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: MemberConfig,
    id: NodeId,
    keys: AwsKeys,
    root: RsaJwk,
    store: SqliteStore,
    client: Client,
    clock: NodeClock,
    standing: watch::Sender<Arc<Standing>>,
    etag: tokio::sync::Mutex<Option<String>>,
}

impl Member {
    /// Opens or makes the key file, and takes the card and the network documents from `store` or
    /// else from the server: then it asks again until the server is there and its operator has
    /// admitted the node. From then on it keeps itself up to date until `stop` is cancelled.
    ///
    /// Errors: those of [`keys::open_or_make`] and of the store; [`Error::NetworkForged`],
    /// [`Error::CardRevoked`] and other refusals that asking again would not change;
    /// [`Error::NodeStopped`] when stopped while waiting.
    pub async fn join(
        config: MemberConfig,
        store: SqliteStore,
        clock: NodeClock,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let applicant = Applicant::new(config, store, clock)?;
        let member = tokio::select! {
            member = applicant.join() => member?,
            () = stop.cancelled() => return Err(Error::NodeStopped),
        };
        // It does not hold the member, and with it the database, while it waits.
        let kept = Arc::downgrade(&member.0);
        tokio::spawn(async move {
            tokio::select! {
                () = keep_up_to_date(kept) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(member)
    }

    /// The node's id.
    pub fn id(&self) -> &NodeId {
        &self.0.id
    }

    /// The node's keys.
    pub fn keys(&self) -> &AwsKeys {
        &self.0.keys
    }

    /// Asks other nodes.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Signs requests to the server.
    pub fn signer(&self) -> Signer<'_, AwsKeys> {
        Signer { node: &self.0.id, keys: &self.0.keys }
    }

    /// Base URL of the HDMS server.
    pub fn server(&self) -> &str {
        &self.0.config.server
    }

    /// Card and trust as they are now.
    pub fn standing(&self) -> Arc<Standing> {
        self.0.standing.borrow().clone()
    }

    /// Every change of card or trust.
    pub fn changes(&self) -> watch::Receiver<Arc<Standing>> {
        self.0.standing.subscribe()
    }

    /// Takes newer network documents from the server, if it has any, and renews the card when it
    /// is due. What was good before stays in use when this fails.
    pub async fn refresh(&self) -> Result<(), Error> {
        let inner = &*self.0;
        let mut etag = inner.etag.lock().await;
        let before = self.standing();
        let mut trust = before.trust.clone();
        if let Some(fetched) = inner.client.network(self.server(), etag.as_deref()).await? {
            let now = inner.clock.now();
            let verified =
                Trust::verify(&fetched.documents, &inner.root, Some(&trust), now, &AwsPrimitives);
            trust = Arc::new(verified.await?);
            keep(&inner.store, NETWORK, json::write(&fetched.documents)?).await?;
            *etag = fetched.etag;
        }
        self.warn_if_revoked(&trust);
        let card = if self.card_is_due(before.card.card(), &trust) {
            self.renew(&before, &trust).await
        } else {
            before.card.clone()
        };
        let changed = !Arc::ptr_eq(&trust, &before.trust) || card != before.card;
        if changed {
            inner.standing.send_replace(Arc::new(Standing { card, trust }));
        }
        Ok(())
    }

    async fn renew(&self, before: &Standing, trust: &Trust) -> VerifiedCard {
        let inner = &*self.0;
        let asked =
            ask_for_card(&inner.config, &inner.id, &inner.keys, &inner.client, &inner.clock);
        let renewed = async {
            let jwt = asked.await?;
            let card = VerifiedCard::verify_chain(&jwt, trust, &AwsPrimitives).await?;
            keep(&inner.store, CARD, jwt.into_bytes()).await?;
            Ok(card)
        };
        renewed.await.unwrap_or_else(|error: Error| {
            tracing::warn!(%error, "the card was not renewed yet");
            before.card.clone()
        })
    }

    /// From two thirds of its life on, when the node was given another name or address, or when the
    /// Doorman's key that signed it was dropped.
    fn card_is_due(&self, card: &Card, trust: &Trust) -> bool {
        let config = &self.0.config;
        let young = self.0.clock.now().seconds() < card.iat + LIFETIME * 2 / 3;
        let counts = trust.doorman(card.iss.as_ref(), card.iat).is_some();
        !(young && counts && card.name == config.name && card.endpoint == config.endpoint)
    }

    fn warn_if_revoked(&self, trust: &Trust) {
        if trust.check_revocation(&self.0.id, self.0.clock.now()) == Err(Error::CardRevoked) {
            tracing::error!("this node's card was revoked by the network's operator");
        }
    }
}

/// As long as the member is there.
async fn keep_up_to_date(kept: Weak<Inner>) {
    while let Some(pause) = kept.upgrade().map(|inner| inner.config.refresh) {
        tokio::time::sleep(pause).await;
        let Some(member) = kept.upgrade().map(Member) else { return };
        match member.refresh().await {
            Ok(()) => {}
            Err(error @ (Error::NetworkUnreachable | Error::TimedOut)) => {
                tracing::warn!(code = error.code(), "the server is away");
            }
            Err(error) => tracing::error!(%error, "network documents were not taken"),
        }
    }
}

/// A node that has its keys and wants the rest.
struct Applicant {
    config: MemberConfig,
    id: NodeId,
    keys: AwsKeys,
    store: SqliteStore,
    client: Client,
    clock: NodeClock,
}

impl Applicant {
    fn new(config: MemberConfig, store: SqliteStore, clock: NodeClock) -> Result<Self, Error> {
        let keys = keys::open_or_make(&config.data, &config.passphrase)?;
        let id = keys.public().0.thumbprint().parse()?;
        let client = Client::new(clock.clone())?;
        Ok(Self { config, id, keys, store, client, clock })
    }

    async fn join(self) -> Result<Member, Error> {
        let root = self.persistently("the root key", || self.pinned_root()).await?;
        let (trust, etag) = self.persistently("documents", || self.network(&root)).await?;
        let card = self.persistently("a card", || self.card(&trust)).await?;
        let (standing, _) = watch::channel(Arc::new(Standing { card, trust: Arc::new(trust) }));
        let etag = tokio::sync::Mutex::new(etag);
        let Self { config, id, keys, store, client, clock } = self;
        let member = Member(Arc::new(Inner {
            config,
            id,
            keys,
            root,
            store,
            client,
            clock,
            standing,
            etag,
        }));
        // What was kept may be old: take what the server has now, if it is there.
        if let Err(error) = member.refresh().await {
            tracing::warn!(%error, "starting with the documents kept from before");
        }
        Ok(member)
    }

    /// Asks again, ever more slowly, as long as only time is needed.
    async fn persistently<T>(
        &self,
        what: &str,
        ask: impl AsyncFn() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (mut pause, longest) = AGAIN;
        let mut said = None;
        loop {
            let error = match ask().await {
                Err(
                    error @ (Error::NetworkUnreachable
                    | Error::TimedOut
                    | Error::AdmissionPending
                    | Error::TooManyRequests),
                ) => error,
                outcome => return outcome,
            };
            if said.replace(error) != Some(error) {
                let (node, code) = (self.id.as_ref(), error.code());
                match error {
                    Error::AdmissionPending => {
                        tracing::info!(
                            node,
                            "waiting until the operator runs: hdms server admit {node}"
                        );
                    }
                    _ => tracing::warn!(node, code, "waiting for {what}: {}", error.sentence()),
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn pinned_root(&self) -> Result<RsaJwk, Error> {
        let kept = self.store.read(Table::Meta, ROOT).await?;
        let kept = kept.map(|bytes| json::stored::<RsaJwk>(&bytes)).transpose()?;
        match (kept, self.config.root.clone()) {
            (Some(kept), Some(given)) if kept != given => Err(Error::NetworkForged),
            (Some(root), _) => Ok(root),
            (None, Some(root)) => self.pin(root).await,
            (None, None) => {
                let root = self.client.root(&self.config.server).await?;
                let thumbprint = root.thumbprint();
                tracing::warn!(%thumbprint, "pinning the root key that the server names");
                self.pin(root).await
            }
        }
    }

    async fn pin(&self, root: RsaJwk) -> Result<RsaJwk, Error> {
        keep(&self.store, ROOT, json::write(&root)?).await?;
        Ok(root)
    }

    async fn network(&self, root: &RsaJwk) -> Result<(Trust, Option<String>), Error> {
        let now = self.clock.now();
        if let Some(kept) = self.store.read(Table::Meta, NETWORK).await? {
            let documents: NetworkDocuments = json::stored(&kept)?;
            let trust = Trust::verify(&documents, root, None, now, &AwsPrimitives).await?;
            return Ok((trust, None));
        }
        let fetched = self.client.network(&self.config.server, None).await?;
        let fetched = fetched.ok_or(Error::NetworkUnreachable)?;
        let trust = Trust::verify(&fetched.documents, root, None, now, &AwsPrimitives).await?;
        keep(&self.store, NETWORK, json::write(&fetched.documents)?).await?;
        Ok((trust, fetched.etag))
    }

    async fn card(&self, trust: &Trust) -> Result<VerifiedCard, Error> {
        let now = self.clock.now();
        if let Some(kept) = self.store.read(Table::Meta, CARD).await? {
            let jwt = String::from_utf8(kept).map_err(|_| Error::StoreCorrupt)?;
            match VerifiedCard::verify_chain(&jwt, trust, &AwsPrimitives).await {
                Ok(card) if now.seconds() < card.card().exp => return Ok(card),
                // The Doorman's key that signed it was dropped.
                Ok(_) | Err(Error::CardForged) => {}
                Err(error) => return Err(error),
            }
        }
        let jwt =
            ask_for_card(&self.config, &self.id, &self.keys, &self.client, &self.clock).await?;
        let card = VerifiedCard::verify_chain(&jwt, trust, &AwsPrimitives).await?;
        keep(&self.store, CARD, jwt.into_bytes()).await?;
        Ok(card)
    }
}

/// Both calls of an admission. Answers the card's JWT.
async fn ask_for_card(
    config: &MemberConfig,
    id: &NodeId,
    keys: &AwsKeys,
    client: &Client,
    clock: &NodeClock,
) -> Result<String, Error> {
    let (signing_key, encryption_key) = keys.public();
    let request = AdmissionRequest {
        iss: id.clone(),
        iat: clock.now().seconds(),
        jti: MessageId::new(clock, &SystemRandomness)?,
        role: config.role,
        name: config.name.clone(),
        endpoint: config.endpoint.clone(),
        about: config.about.clone(),
        signing_key: signing_key.clone(),
        encryption_key: encryption_key.clone(),
        changes: Vec::new(),
        log: config.log,
    };
    let jwt = request.sign(keys).await?;
    let challenge = client.ask_admission(&config.server, jwt).await?;
    let answer = challenge.answer(id, keys, &AwsPrimitives).await?;
    Ok(client.answer_challenge(&config.server, &answer).await?.card)
}

async fn keep(store: &SqliteStore, key: &str, value: Vec<u8>) -> Result<(), Error> {
    store.commit(vec![Write::Put { table: Table::Meta, key: key.into(), value }]).await
}
