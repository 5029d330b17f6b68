//! How a node becomes a member, and is one again each time it starts.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hdms::Error;
use hdms::card::VerifiedCard;
use hdms::json;
use hdms::jwk::RsaJwk;
use hdms::network::Trust;
use hdms::provider::{Clock, Store, Table};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::card::{self, CARD};
use super::documents::{self, KeptDocuments};
use super::{Inquiries, Member, MemberConfig, MemberInner, Standing, keep_up_to_date, put};
use crate::base::http::client::Client;
use crate::base::http::problem::Problem;
use crate::base::http::serve::Wait;
use crate::base::keys::{self, AwsKeys, AwsPrimitives};
use crate::base::store::SqliteStore;
use crate::base::system::NodeClock;

/// Key of [`Table::Meta`].
const ROOT: &str = "member/root";

/// How long to wait before asking again: at first, and at most where the server asks for no longer pause.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Longest that it waits because the server says so, whose operator may set it free before.
const LONGEST: Duration = Duration::from_secs(3600);

impl Member {
    /// Opens or makes the key file, and takes the card and the network documents from `store` or
    /// else from the server: then it asks again until the server is there and its operator has
    /// admitted the node. From then on it keeps itself up to date until `stop` is cancelled.
    ///
    /// Errors: those of [`crate::base::keys::open_or_make`] and of the store; [`Error::NetworkForged`],
    /// [`Error::CardRevoked`] and other refusals that asking again would not change;
    /// [`Error::NodeStopped`] when stopped while waiting.
    pub async fn join(
        config: MemberConfig,
        store: SqliteStore,
        clock: NodeClock,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        Self::join_telling(config, store, clock, stop, |_| ()).await
    }

    /// [`Member::join`] that tells what it waits for, each time that it is something else.
    pub async fn join_telling(
        config: MemberConfig,
        store: SqliteStore,
        clock: NodeClock,
        stop: CancellationToken,
        tell: impl Fn(&Wait),
    ) -> Result<Self, Error> {
        let applicant = Newcomer::new(config, store, clock)?;
        let member = tokio::select! {
            member = applicant.join(stop.clone(), &tell) => member?,
            () = stop.cancelled() => return Err(Error::NodeStopped),
        };
        // It does not hold the member, and with it the database, while it waits.
        member.spawn(keep_up_to_date(Arc::downgrade(&member.0)));
        Ok(member)
    }
}

/// Whether it may be over by itself: with the server, its operator's decision or the time.
fn needs_time(error: Error) -> bool {
    matches!(
        error,
        Error::NetworkUnreachable
            | Error::TimedOut
            | Error::AdmissionPending
            | Error::NodeBusy
            | Error::TooManyRequests
            | Error::TooManyChanges
            // By the clock, which may be set; or somebody else with the same key was later.
            | Error::NotYetValid
            | Error::Expired
            | Error::Replayed
    )
}

/// How long a server wants not to be asked that has had too much of the node. Whoever waits for a decision
/// asks on: it is not to learn of that late.
pub(super) fn asked_pause(&Problem { error, retry_after, .. }: &Problem) -> Duration {
    let is_too_much = matches!(error, Error::TooManyRequests | Error::TooManyChanges);
    let seconds = retry_after.filter(|_| is_too_much).unwrap_or_default();
    Duration::from_secs(seconds).min(LONGEST)
}

/// Whether a node that did not become a member for this would hear the same when it is started again:
/// it is the network's answer, not a failure of the node or of the server.
pub fn is_refusal(error: Error) -> bool {
    !needs_time(error) && !error.is_transient() && !error.code().starts_with("store/")
}

/// A node that has its keys and wants the rest.
struct Newcomer {
    config: MemberConfig,
    keys: AwsKeys,
    store: SqliteStore,
    client: Client,
    clock: NodeClock,
}

impl Newcomer {
    fn new(config: MemberConfig, store: SqliteStore, clock: NodeClock) -> Result<Self, Error> {
        let keys = keys::open_or_make(&config.data, &config.passphrase)?;
        let client = Client::new(clock.clone(), config.reach)?;
        Ok(Self { config, keys, store, client, clock })
    }

    async fn join(self, stop: CancellationToken, tell: &impl Fn(&Wait)) -> Result<Member, Error> {
        let root = async || Ok(self.pinned_root().await?);
        let root = self.persistently("the root key", root, tell).await?;
        let documents = async || Ok(self.network(&root).await?);
        let KeptDocuments { trust, etag } = self.persistently("documents", documents, tell).await?;
        let card = self.persistently("a card", || self.card(&trust), tell).await?;
        let standing = Standing { card, trust: Arc::new(trust), trouble: None };
        let (standing, _) = watch::channel(Arc::new(standing));
        let Self { config, keys, store, client, clock } = self;
        let asking = Mutex::new(Inquiries { etag, ..Inquiries::default() });
        let lacking = AtomicBool::new(false);
        let tasks = TaskTracker::new();
        let member = Member(Arc::new(MemberInner {
            config,
            keys: keys.into(),
            root,
            store,
            client,
            clock,
            standing,
            asking,
            lacking,
            tasks,
            stop,
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
        ask: impl AsyncFn() -> Result<T, Problem>,
        tell: &impl Fn(&Wait),
    ) -> Result<T, Error> {
        let (mut pause, longest) = AGAIN;
        let mut said = None;
        loop {
            let problem = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(problem) => problem,
            };
            let asked = asked_pause(&problem);
            let why = self.passing(what, problem)?;
            if said.replace(why) != Some(why) {
                self.say(what, why);
                tell(&Wait { node: self.keys.node().clone(), why });
            }
            tokio::time::sleep(pause.max(asked)).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// What only time is needed for; all else is logged and ends it.
    fn passing(&self, what: &str, problem: Problem) -> Result<Error, Error> {
        let error = problem.error;
        if needs_time(error) {
            return Ok(error);
        }
        self.say_end(what, problem);
        Err(error)
    }

    fn say_end(&self, what: &str, Problem { error, reason, .. }: Problem) {
        let node = self.keys.node().as_ref();
        let (code, sentence) = (error.code(), error.sentence());
        tracing::error!(node, code, reason, "no way to {what}: {sentence}");
        self.config.tell_odd_character(self.keys.node(), error);
        let refused = matches!(error, Error::CardSuperseded | Error::PossessionUnproven);
        if refused && !self.keys.changes().is_empty() {
            tracing::error!(
                node,
                "the server does not take this node's change of keys: it was made more than seven days \
                 ago, or somebody who has the former key was first. docs/operator.md, \"Changing keys\", \
                 says what to do"
            );
        }
    }

    fn say(&self, what: &str, why: Error) {
        let (node, code) = (self.keys.node().as_ref(), why.code());
        match why {
            Error::AdmissionPending => {
                tracing::info!(node, "waiting until the operator runs: hdms server admit {node}");
            }
            _ => tracing::warn!(node, code, "waiting for {what}: {}", why.sentence()),
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
        self.store.commit(vec![put(ROOT, json::write(&root)?)]).await?;
        Ok(root)
    }

    async fn network(&self, root: &RsaJwk) -> Result<KeptDocuments, Error> {
        let now = self.clock.now();
        if let Some(kept) = documents::kept(&self.store, root, now).await? {
            return Ok(kept);
        }
        let fetched = self.client.network(&self.config.server, None, 0).await?;
        let fetched = fetched.ok_or(Error::NetworkUnreachable)?;
        let trust = documents::take(&fetched, root, None, &self.store, now).await?;
        Ok(KeptDocuments { trust, etag: fetched.etag })
    }

    /// The kept card, however old: with it the node reads what it keeps, and it is renewed as soon
    /// as may be. Only one with other keys than the node's is of no use.
    async fn card(&self, trust: &Trust) -> Result<VerifiedCard, Problem> {
        let mut last = None;
        if let Some(kept) = self.store.read(Table::Meta, CARD).await? {
            let jwt = String::from_utf8(kept).map_err(|_| Error::StoreCorrupt)?;
            let card = VerifiedCard::vouched(&jwt, &AwsPrimitives).await?;
            if card::is_of(&card, &self.keys) {
                return Ok(card);
            }
            last = Some(card);
        }
        let own = (&self.config, &self.keys);
        let jwt = card::ask(own, &self.client, &self.clock, last.as_ref()).await?;
        let card = card::checked(&jwt, &self.keys, trust, self.clock.now()).await?;
        self.store.commit(vec![put(CARD, jwt.into_bytes())]).await?;
        Ok(card)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LONGEST, asked_pause, is_refusal, needs_time};
    use crate::base::http::problem::Problem;
    use hdms::Error;

    #[test]
    fn a_node_that_asked_too_much_waits_as_long_as_it_is_told_and_one_that_is_looked_at_does_not() {
        let told = |error: Error, seconds| {
            asked_pause(&Problem { retry_after: Some(seconds), ..error.into() })
        };
        assert_eq!(told(Error::TooManyRequests, 144), Duration::from_secs(144));
        assert_eq!(told(Error::TooManyChanges, u64::MAX), LONGEST);
        assert_eq!(told(Error::AdmissionPending, 60), Duration::ZERO);
        assert_eq!(asked_pause(&Error::TooManyRequests.into()), Duration::ZERO);
    }

    #[test]
    fn a_node_ends_for_good_with_what_the_network_answers_and_with_no_failure() {
        for error in Error::ALL.iter().copied().filter(|error| needs_time(*error)) {
            assert!(!is_refusal(error), "{error:?}");
        }
        let refusals = [
            Error::AdmissionRefused,
            Error::AdmissionMalformed,
            Error::AdmissionTaken,
            Error::EndpointRefused,
            Error::PossessionUnproven,
            Error::CardRevoked,
            Error::CardSuperseded,
            Error::NetworkForged,
            Error::ChallengeForged,
        ];
        for error in refusals {
            assert!(is_refusal(error), "{error:?}");
        }
        let failures = [
            Error::StoreBusy,
            Error::StoreNewer,
            Error::StoreFailed,
            Error::PassphraseWrong,
            Error::KeyFileMalformed,
            Error::NetworkStale,
            Error::NetworkUnwitnessed,
            Error::NodeStopped,
        ];
        for error in failures {
            assert!(!is_refusal(error), "{error:?}");
        }
    }
}
