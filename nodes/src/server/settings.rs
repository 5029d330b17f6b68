//! Everything that the operator sets for the network and its server: kept in the server's database,
//! changed by `hdms server set` alone, each change on the trail.

use std::fmt;
use std::path::Path;

use hdms::Error;
use hdms::network::PROTOCOL_VERSION;
use hdms::provider::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::known::Status;
use super::nodes;
use super::quota::{Quota, Quotas};
use super::rates::Rates;
use super::rules::{History, Rules};
use super::schema;
use super::trail::{self, Act};
use crate::base::http::connections::Limits;
use crate::base::sqlite::Failure;

/// The server's own value that keeps the allowances.
const ALLOWANCES: &str = "allowances";

/// Shortest age of a revocation list, seconds: the server signs a new one after a quarter of it and
/// looks once a minute, nodes fetch it every half a minute and may have to try again.
pub const LEAST_AGE: u64 = 300;

/// Longest, seconds: a year, so that everything ends.
pub const MOST_AGE: u64 = 366 * 24 * 3600;

/// Longest name of a network, bytes.
const MAX_NAME: usize = 200;

/// What the operator sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What all nodes go by, from their next look on.
    pub rules: Rules,
    /// What the server goes by, from its next start on.
    pub allowances: Allowances,
}

/// How much the server allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allowances {
    /// What may wait in mailboxes.
    pub quotas: Quotas,
    /// How often may be asked.
    pub rates: Rates,
    /// Connections at a time.
    pub connections: usize,
}

impl Default for Allowances {
    fn default() -> Self {
        let connections = Limits::default().connections;
        Self { quotas: Quotas::default(), rates: Rates::default(), connections }
    }
}

/// Why settings were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// They were given otherwise at a start, and are in the database already.
    Kept {
        /// As they are kept.
        kept: Box<Settings>,
        /// As they were given.
        given: Box<Settings>,
    },
    /// The name is empty or longer than 200 bytes.
    Name,
    /// The age of a revocation list is below [`LEAST_AGE`] or above [`MOST_AGE`].
    Age,
    /// A notary can't get as many witnesses: there are so many other notaries.
    Witnesses(u64),
    /// No node speaks this version of the protocol yet, this one neither.
    Version,
    /// Nothing could come through: an allowance is zero.
    Nothing,
    /// The database failed.
    Store(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept { .. } => f.write_str(
                "the network's rules and limits are in the server's database, and an option says \
                 otherwise: leave it out, or change them with hdms server set",
            ),
            Self::Name => write!(f, "a network's name has 1 to {MAX_NAME} bytes"),
            Self::Age => write!(
                f,
                "the revocation age must be {LEAST_AGE} to {MOST_AGE} seconds: with less, nodes would \
                 stop to rely on the list before they could have fetched a new one; with more, they \
                 would rely on what has long ended"
            ),
            Self::Witnesses(others) => write!(
                f,
                "every notary has {others} others: with more witnesses than that no receipt would \
                 ever count; admit notaries first"
            ),
            Self::Version => write!(
                f,
                "this server speaks version {PROTOCOL_VERSION} of the protocol: with a higher \
                 minimum no node could take part; update the server first"
            ),
            Self::Nothing => f.write_str("with an allowance of nothing nobody could be served"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl Settings {
    /// Those of the server with the folder `data`: where none are kept, the usual ones that `given` has
    /// changed; else those that are kept, of which `given` must change nothing: [`Refused::Kept`].
    /// Nothing is kept yet. Errors also: those of the store.
    pub async fn given(
        data: &Path,
        given: impl FnOnce(&mut Self) + Send + 'static,
    ) -> Result<Self, Refused> {
        schema::open(data)?.read(move |connection| Self::given_within(connection, given)).await?
    }

    fn given_within(
        connection: &Connection,
        given: impl FnOnce(&mut Self),
    ) -> Result<Result<Self, Refused>, Failure> {
        let kept = (History::kept(connection)?, Allowances::kept(connection)?);
        let mut settings = Self::of(kept.clone());
        let usual = settings.clone();
        given(&mut settings);
        let contradicted = (kept.0.is_some() && settings.rules != usual.rules)
            || (kept.1.is_some() && settings.allowances != usual.allowances);
        if contradicted {
            return Ok(Err(Refused::Kept { kept: usual.into(), given: settings.into() }));
        }
        let before = kept.0.as_ref().map(History::newest);
        let checked = settings.check(before.as_ref(), notaries(connection)?);
        Ok(checked.map(|()| settings))
    }

    /// Begins the network with them, once nothing but that is left for its server to come up: what a
    /// start that failed was given binds nobody. What is kept already stays.
    pub(super) fn begin(self, tx: &Connection, now: Timestamp) -> Result<(), Failure> {
        if History::kept(tx)?.is_none() {
            History::set(tx, self.rules, now.seconds())?;
        }
        match Allowances::kept(tx)? {
            Some(_) => Ok(()),
            None => self.allowances.keep(tx, now),
        }
    }

    /// Changes those that are kept, and tells the running server.
    pub(super) fn change(
        tx: &Connection,
        change: impl FnOnce(&mut Self),
        now: Timestamp,
    ) -> Result<Result<Self, Refused>, Failure> {
        let kept = (History::kept(tx)?, Allowances::kept(tx)?);
        let mut settings = Self::of(kept.clone());
        change(&mut settings);
        let changed = settings.keep(tx, (kept.0.as_ref(), kept.1.as_ref()), now)?;
        nodes::tell_server(tx)?;
        Ok(changed)
    }

    /// Those that are kept, the usual ones where none are.
    pub(super) fn kept(connection: &Connection) -> Result<Self, Failure> {
        Ok(Self::of((History::kept(connection)?, Allowances::kept(connection)?)))
    }

    fn of((rules, allowances): (Option<History>, Option<Allowances>)) -> Self {
        // Somebody is to watch the notaries, unless the operator wants it otherwise.
        let usual = || Rules { witnesses: 1, ..Rules::named("HDMS") };
        let rules = rules.map_or_else(usual, |history| history.newest());
        Self { rules, allowances: allowances.unwrap_or_default() }
    }

    fn keep(
        self,
        tx: &Connection,
        (rules, allowances): (Option<&History>, Option<&Allowances>),
        now: Timestamp,
    ) -> Result<Result<Self, Refused>, Failure> {
        let before = rules.map(History::newest);
        if let Err(refused) = self.check(before.as_ref(), notaries(tx)?) {
            return Ok(Err(refused));
        }
        if before.as_ref() != Some(&self.rules) {
            History::set(tx, self.rules.clone(), now.seconds())?;
        }
        if allowances != Some(&self.allowances) {
            self.allowances.keep(tx, now)?;
        }
        Ok(Ok(self))
    }

    /// Whether a network can be run by them; what they have been `before` stays good.
    fn check(&self, before: Option<&Rules>, notaries: u64) -> Result<(), Refused> {
        let is_new = |of: fn(&Rules) -> u64| before.is_none_or(|it| of(it) != of(&self.rules));
        let Rules { name, revocation_age, witnesses, minimum_version } = &self.rules;
        if name.trim().is_empty() || name.len() > MAX_NAME {
            return Err(Refused::Name);
        }
        let ages = LEAST_AGE..=MOST_AGE;
        if !ages.contains(revocation_age) && is_new(|rules| rules.revocation_age) {
            return Err(Refused::Age);
        }
        if lacking(*witnesses, notaries) && is_new(|rules| rules.witnesses) {
            return Err(Refused::Witnesses(notaries - 1));
        }
        // No server of this version serves those that speak less.
        if *minimum_version != PROTOCOL_VERSION && is_new(|rules| rules.minimum_version) {
            return Err(Refused::Version);
        }
        if self.allowances.is_something() { Ok(()) } else { Err(Refused::Nothing) }
    }
}

impl Allowances {
    fn kept(connection: &Connection) -> Result<Option<Self>, Failure> {
        let kept = nodes::setting(connection, ALLOWANCES)?;
        let kept = kept.map(|text| serde_json::from_str(&text)).transpose();
        Ok(kept.map_err(|_| Error::StoreCorrupt)?)
    }

    fn keep(&self, tx: &Connection, now: Timestamp) -> Result<(), Failure> {
        let text = serde_json::to_string(self).map_err(|_| Error::StoreCorrupt)?;
        nodes::set_setting(tx, ALLOWANCES, &text)?;
        trail::append(tx, now.seconds(), Act::Allowances, None, self)
    }

    fn is_something(&self) -> bool {
        let Quotas { mailbox, sender, sender_in_mailbox } = self.quotas;
        let room = |quota: Quota| quota.messages > 0 && quota.bytes > 0;
        let Rates { admissions, admissions_of_key, requests, streams, manifests, .. } = self.rates;
        [mailbox, sender, sender_in_mailbox].into_iter().all(room)
            && [admissions, admissions_of_key, requests, manifests].iter().all(|rate| *rate > 0)
            && streams > 0
            && self.connections > 0
    }
}

/// Whether so many witnesses can't be had among the notaries of a network that has some.
pub(super) fn lacking(witnesses: u64, notaries: u64) -> bool {
    notaries > 0 && witnesses >= notaries
}

/// How many notaries are members.
pub(super) fn notaries(connection: &Connection) -> Result<u64, Failure> {
    let listed = nodes::listed(connection)?;
    let members = listed.iter().filter(|it| it.status != Status::Revoked && it.log().is_some());
    Ok(members.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::{Allowances, Refused, Settings};
    use crate::server::Rules;
    use hdms::network::PROTOCOL_VERSION;

    fn check(notaries: u64, change: impl FnOnce(&mut Settings)) -> Result<(), Refused> {
        let mut settings =
            Settings { rules: Rules::named("HDMS"), allowances: Allowances::default() };
        change(&mut settings);
        settings.check(None, notaries)
    }

    #[test]
    fn what_no_network_could_be_run_by_is_refused() {
        assert_eq!(check(0, |_| ()), Ok(()));
        assert_eq!(check(0, |it| it.rules.name = " ".into()), Err(Refused::Name));
        assert_eq!(check(0, |it| it.rules.revocation_age = u64::MAX), Err(Refused::Age));
        assert_eq!(check(0, |it| it.rules.revocation_age = 299), Err(Refused::Age));
        assert_eq!(check(0, |it| it.rules.witnesses = 2), Ok(()), "they are still to come");
        assert_eq!(check(3, |it| it.rules.witnesses = 2), Ok(()));
        assert_eq!(check(3, |it| it.rules.witnesses = 3), Err(Refused::Witnesses(2)));
        assert_eq!(check(1, |it| it.rules.witnesses = 1), Err(Refused::Witnesses(0)));
        let newer = |it: &mut Settings| it.rules.minimum_version = PROTOCOL_VERSION + 1;
        assert_eq!(check(0, newer), Err(Refused::Version));
        let older = |it: &mut Settings| it.rules.minimum_version = PROTOCOL_VERSION - 1;
        assert_eq!(check(0, older), Err(Refused::Version));
        let shut = |it: &mut Settings| it.allowances.quotas.mailbox.messages = 0;
        assert_eq!(check(0, shut), Err(Refused::Nothing));
    }

    #[test]
    fn what_was_kept_before_there_was_a_check_does_not_keep_others_from_changing() {
        let short = Rules { revocation_age: 60, ..Rules::named("HDMS") };
        let named = Rules { name: "Another".into(), ..short.clone() };
        let settings = Settings { rules: named, allowances: Allowances::default() };
        assert_eq!(settings.check(Some(&short), 1), Ok(()));
    }
}
