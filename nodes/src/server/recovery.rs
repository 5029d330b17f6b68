//! A server whose database was put back to an older state finds itself behind the log of its own
//! manifests, which others have witnessed: it takes back what it has said since, from a notary that
//! keeps it, and goes on above. So no number comes round again, and who was revoked stays so.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use hdms::Error;
use hdms::answers::{DOCUMENTS, MANIFEST, WITNESSED};
use hdms::base64url::digest;
use hdms::card::{LIFETIME, Role, VerifiedCard};
use hdms::doorman::AdmissionRequest;
use hdms::endpoint::Endpoint;
use hdms::ids::{MessageId, NodeId};
use hdms::jwk::RsaJwk;
use hdms::log::{NoteKey, SignedCheckpoint};
use hdms::network::{
    Doormen, Manifest, NetworkDocuments, NetworkMap, NotaryLog, Numbered, Revocations, Trust,
    Witness, majority, verify_by,
};
use hdms::provider::Clock;
use rusqlite::Connection;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::certificate::Certificate;
use super::known::{IssuedCard, Known, Status};
use super::manifests::Manifests;
use super::nodes;
use super::pins;
use super::rules::History;
use super::superseded;
use super::trail::{self, Act};
use crate::base::http::client::Client;
use crate::base::keys::AwsPrimitives;
use crate::base::log::tree::Tree;
use crate::base::log::witnessed::WitnessState;
use crate::base::sqlite::Failure;
use crate::base::system::{NodeClock, SystemRandomness};

/// Why a node that was in the Network Map and is no more is revoked.
const REASON: &str = "it was no longer a member when the server's database was put back";

/// Most bytes of manifests that are taken back of one notary, all in memory: some years of them.
const MOST_TAKEN: usize = 16 * 1024 * 1024;

/// How long a notary has to say what it has witnessed.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many manifests are fetched at a time.
const AT_A_TIME: usize = 16;

/// Asks the notaries.
pub struct Recovery<'a> {
    /// With this.
    pub client: &'a Client,
    /// What the server has said, as far as it knows.
    pub manifests: &'a Manifests,
    /// The Doorman's key and the root key.
    pub certificate: &'a Certificate,
    /// When.
    pub clock: &'a NodeClock,
    /// Until when all is to be done.
    pub until: Instant,
    /// How much longer it may take for each manifest that is to be taken back.
    pub each: Duration,
}

/// What a notary has kept beyond what the server knows.
struct TakenBack {
    trust: Trust,
    map: NetworkMap,
    revocations: Revocations,
    said: Vec<(Numbered, SignedCheckpoint)>,
}

/// Where the server stands, as far as the notaries know.
pub enum ServerStanding {
    /// Nothing was said beyond what is known here.
    Newest,
    /// Too few have answered to tell.
    Unheard,
    /// What was said beyond it was taken back: the tree.
    Taken(Tree),
    /// More was said, and nobody has given it yet.
    Behind,
}

impl Recovery<'_> {
    /// Takes back what `notaries` have witnessed beyond what is published here. Where most of those that
    /// are `required` for the next manifest say that there is nothing, nothing was published: one of them
    /// would have co-signed it. What one alone has seen more can't hold the server up then.
    ///
    /// Errors: those of the store.
    pub async fn run(
        &self,
        notaries: &[(NotaryLog, Endpoint)],
        required: &[Witness],
    ) -> Result<ServerStanding, Error> {
        let own = self.manifests.published().await?;
        let patience = self.until.min(Instant::now() + PATIENCE);
        let asked = notaries.iter().map(async |(log, endpoint)| {
            let size = timeout_at(patience, self.witnessed(log, endpoint)).await;
            Some((size.ok()?.ok()?, log, endpoint))
        });
        let mut heard: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        let is_required = |log: &NotaryLog| required.contains(&log.witness());
        let content =
            heard.iter().filter(|(size, log, _)| *size <= own && is_required(log)).count();
        let is_newest = content >= majority(required.len());
        heard.retain(|(size, ..)| *size > own);
        if heard.is_empty() {
            return Ok(if is_newest { ServerStanding::Newest } else { ServerStanding::Unheard });
        }
        let most = heard.iter().map(|(size, ..)| *size).max().unwrap_or(own);
        tracing::error!(own, most, "the database is older than what was witnessed");
        let count = u32::try_from(most - own).unwrap_or(u32::MAX);
        // Also those that have given what they had: nobody speaks for them.
        let asked = heard.iter().map(|(.., endpoint)| *endpoint);
        let (taken, is_lost) = self.take_first(asked, own, self.until + self.each * count).await;
        if let Some(tree) = taken {
            return Ok(ServerStanding::Taken(tree));
        }
        let is_lost = is_lost && self.has_new_witnesses().await?;
        Ok(if is_lost || is_newest { ServerStanding::Newest } else { ServerStanding::Behind })
    }

    /// Takes back what the first of these gives: all are asked at once, so that one which answers slowly
    /// holds nobody up. Answers the tree, or else whether all have said that what they have witnessed was not
    /// published.
    async fn take_first<'e>(
        &self,
        endpoints: impl Iterator<Item = &'e Endpoint>,
        own: u64,
        until: Instant,
    ) -> (Option<Tree>, bool) {
        let kept = async |endpoint| {
            let kept = timeout_at(until, self.kept_at(endpoint, own)).await;
            (endpoint, kept.unwrap_or(Err(Error::TimedOut)))
        };
        let mut asked = endpoints.map(kept).collect::<FuturesUnordered<_>>();
        let mut is_lost = true;
        while let Some((endpoint, kept)) = asked.next().await {
            let notary = endpoint.as_ref();
            let taken = match kept {
                Ok(Some(kept)) => self.take_back(kept, endpoint, own).await,
                Ok(None) => {
                    tracing::error!(notary, "what was witnessed there was not published");
                    continue;
                }
                Err(error) => Err(error),
            };
            match taken {
                Ok(tree) => {
                    tracing::warn!(notary, "what was said since was taken back");
                    return (Some(tree), false);
                }
                Err(error) => {
                    is_lost = false;
                    tracing::error!(%error, notary, "nothing could be taken back there");
                }
            }
        }
        (None, is_lost)
    }

    /// Whether the root key has said who is to co-sign in place of those that were named.
    async fn has_new_witnesses(&self) -> Result<bool, Error> {
        let newest = self.manifests.newest().await?;
        Ok(newest.is_some_and(|newest| newest.claims.doormen != digest(&self.certificate.jwt)))
    }

    /// How many manifests a notary has co-signed; 0 where that is what is signed here, published or
    /// not. [`Error::NetworkRollback`] where it is less than what it has co-signed here: it has lost what it
    /// knew, and can't say that there is no more.
    async fn witnessed(&self, notary: &NotaryLog, endpoint: &Endpoint) -> Result<u64, Error> {
        let WitnessState { logs } = self.json(endpoint, "/witness/state", WITNESSED).await?;
        let (key, least) = (self.manifests.key(), self.manifests.cosigned_by(notary).await?);
        let own = match logs.iter().find(|state| state.log == key.name) {
            Some(own) => signed(&own.checkpoint, key).await?.checkpoint().clone(),
            None if least == 0 => return Ok(0),
            None => return Err(Error::NetworkRollback),
        };
        if own.size < least {
            let (notary, size) = (endpoint.as_ref(), own.size);
            tracing::error!(notary, size, least, "it answers less than what it has co-signed");
            return Err(Error::NetworkRollback);
        }
        let is_own = self.manifests.has_signed(&own).await?;
        Ok(if is_own { 0 } else { own.size })
    }

    /// Keeps what the notary there has kept beyond `from` manifests. Answers the tree.
    async fn take_back(
        &self,
        taken: TakenBack,
        endpoint: &Endpoint,
        from: u64,
    ) -> Result<Tree, Error> {
        let TakenBack { trust, map, revocations, said } = taken;
        let now = self.clock.now().seconds();
        let documents = NetworkDocuments {
            consistency: Vec::new(),
            before: Vec::new(),
            ..trust.documents().clone()
        };
        let rows = [
            ("parameters", trust.parameters().number, documents.parameters.clone()),
            ("map", map.number, documents.map.clone()),
            ("revocations", revocations.number, documents.revocations.clone()),
        ];
        let members = members(&map, now).await?;
        let told = trust.parameters().clone();
        let ends = said.iter().map(|(it, _)| Ok(Manifest::unverified(&it.manifest)?.exp));
        let ends = ends.collect::<Result<Vec<_>, Error>>()?.into_iter().max().unwrap_or(0);
        let days = self.days_behind(&trust).await?;
        let to = trust.manifest().number;
        let detail = json!({ "from": from, "to": to, "by": endpoint, "days": days });
        let keep = move |tx: &Connection| {
            for (kind, number, jwt) in &rows {
                // No content is the same as this one: the next look signs it anew, with the next number.
                let sql = "INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, '', ?4)";
                tx.execute(sql, (kind, number, now, jwt))?;
            }
            follow(tx, &map, &members, &revocations, now)?;
            History::take_back(tx, (&told, ends), now)?;
            pins::take_back(tx, &told.pinned_logs, now)?;
            trail::append(tx, now, Act::TakenBack, None, &detail)?;
            nodes::tell_server(tx)
        };
        self.manifests.take_back(said, documents, keep).await
    }

    /// How many days older the newest manifest here is. A revocation list does not name for longer than cards
    /// live who was revoked or has given up a key.
    async fn days_behind(&self, trust: &Trust) -> Result<u64, Error> {
        let own = self.manifests.newest().await?.map(|newest| newest.claims.iat);
        let taken = trust.manifest().iat;
        let behind = taken.saturating_sub(own.unwrap_or(taken));
        let days = behind / (24 * 3600);
        if behind >= LIFETIME {
            tracing::error!(
                days,
                "the database is so old that personal nodes which were revoked since are members \
                 again, and keys count which their nodes gave up: put back a newer copy, or revoke them"
            );
        }
        Ok(days)
    }

    /// What the notary there keeps beyond `size` manifests, checked but for the tree.
    async fn kept_at(&self, endpoint: &Endpoint, size: u64) -> Result<Option<TakenBack>, Error> {
        let documents: NetworkDocuments = self.json(endpoint, "/manifests", DOCUMENTS).await?;
        let root = &self.certificate.root;
        let list: Doormen = verify_by(&documents.doormen, &[root], &AwsPrimitives).await?;
        if list.number > self.certificate.list.number {
            tracing::error!("a newer list of Doormen was installed since: install it again first");
            return Err(Error::Uncertified);
        }
        let trust = Trust::reopen(&documents, root, self.clock.now(), &AwsPrimitives).await?;
        let keys: Vec<_> = list.doormen.iter().map(|doorman| &doorman.key).collect();
        let map = verify_by(&documents.map, &keys, &AwsPrimitives).await?;
        let revocations = verify_by(&documents.revocations, &keys, &AwsPrimitives).await?;
        let (mut said, mut room) = (Vec::new(), MOST_TAKEN);
        let numbers = stream::iter(size + 1..=trust.manifest().number);
        let fetched = numbers.map(async |number| {
            let path = format!("/manifests/{number}");
            self.json::<Numbered>(endpoint, &path, MANIFEST).await
        });
        let mut fetched = pin!(fetched.buffered(AT_A_TIME));
        while let Some(numbered) = fetched.next().await {
            let numbered = numbered?;
            let bytes = numbered.manifest.len() + numbered.checkpoint.len();
            room = room.checked_sub(bytes).ok_or(Error::BodyTooLarge)?;
            let checkpoint = signed(&numbered.checkpoint, self.manifests.key()).await?;
            said.push((numbered, checkpoint));
        }
        Ok((!said.is_empty()).then_some(TakenBack { trust, map, revocations, said }))
    }

    async fn json<T: DeserializeOwned>(
        &self,
        base: &Endpoint,
        path: &str,
        limit: usize,
    ) -> Result<T, Error> {
        let bytes = self.client.resource(base.as_ref(), path, limit).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::NetworkUnreachable)
    }
}

async fn signed(note: &str, key: &NoteKey) -> Result<SignedCheckpoint, Error> {
    let checkpoint = SignedCheckpoint::parse(note)?;
    checkpoint.verify_log(key, &AwsPrimitives).await?;
    Ok(checkpoint)
}

/// What the listed nodes were admitted as, by their cards: all but what only the operator knew.
async fn members(map: &NetworkMap, now: u64) -> Result<Vec<(AdmissionRequest, IssuedCard)>, Error> {
    let mut members = Vec::new();
    for jwt in &map.nodes {
        let card = VerifiedCard::vouched(jwt, &AwsPrimitives).await?;
        let kid = card.encryption_key().map(RsaJwk::thumbprint).unwrap_or_default();
        let card = card.card();
        let log = map.logs.iter().find(|log| log.notary == card.sub).map(|log| log.keys);
        let request = AdmissionRequest {
            iss: card.sub.clone(),
            iat: now,
            jti: MessageId::new(&NodeClock::default(), &SystemRandomness)?,
            role: card.role,
            name: card.name.clone(),
            endpoint: card.endpoint.clone(),
            about: None,
            signing_key: card.signing_key.clone(),
            subkeys: card.subkeys.clone(),
            changes: card.changes.clone(),
            log: log.filter(|_| card.role == Role::Notary),
            card: None,
        };
        members.push((
            request,
            IssuedCard { jwt: jwt.clone(), claims: String::new(), expires: card.exp, kid },
        ));
    }
    Ok(members)
}

/// Brings the table of nodes to what the documents say; what the operator has decided since stays.
fn follow(
    tx: &Connection,
    map: &NetworkMap,
    members: &[(AdmissionRequest, IssuedCard)],
    revocations: &Revocations,
    now: u64,
) -> Result<(), Failure> {
    let is_listed = |id: &NodeId| members.iter().any(|(request, _)| request.iss == *id);
    for known in nodes::listed(tx)? {
        let id = &known.request.iss;
        let is_admitted = known.status != Status::Revoked && known.admitted_as().is_some();
        let is_member = is_admitted && known.card.is_some();
        if is_member && !is_listed(id) {
            let ended = map.logs.iter().find(|log| log.notary == *id).and_then(|log| log.until);
            nodes::decide(tx, &known, Status::Revoked, Some(REASON), ended.unwrap_or(now))?;
        }
    }
    take_back_members(tx, members, map.iat)?;
    for ended in &revocations.superseded {
        superseded::take_back(tx, ended)?;
    }
    for id in &revocations.revoked {
        if let Some(known) = nodes::find(tx, id)?
            && known.status != Status::Revoked
        {
            nodes::decide(tx, &known, Status::Revoked, Some(REASON), now)?;
        }
        // It may have a newer card than is known here.
        nodes::bar(tx, id, now)?;
    }
    Ok(())
}

/// Makes those members again, as their cards say, who are others here or none; but for whom the operator
/// has revoked since `listed`, seconds.
fn take_back_members(
    tx: &Connection,
    members: &[(AdmissionRequest, IssuedCard)],
    listed: u64,
) -> Result<(), Failure> {
    for (request, card) in members {
        let known = nodes::find(tx, &request.iss)?;
        if known.as_ref().and_then(|known| known.until).is_some_and(|until| until > listed) {
            continue;
        }
        let known = known.filter(|known| known.status != Status::Revoked);
        let admitted = known.as_ref().and_then(Known::admitted_as);
        let is_the_same = admitted.is_some_and(|admitted| {
            let kid = known.as_ref().and_then(|known| Some(&known.card.as_ref()?.kid));
            admitted.changes == request.changes && kid == Some(&card.kid)
        });
        if !is_the_same {
            // What the operator was told of it stays, where it is called as then.
            let told = admitted.filter(|admitted| admitted.name == request.name);
            let about = told.and_then(|admitted| admitted.about.clone());
            nodes::take_back(tx, &AdmissionRequest { about, ..request.clone() }, card)?;
        }
    }
    Ok(())
}
