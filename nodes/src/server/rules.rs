//! What the network's parameters say beside what is fixed, and since when: receipts of before a
//! change are checked by the rule of then. Kept in the database, and changed there alone, so that a
//! start without an option weakens nothing.

use hdms::Error;
use hdms::json;
use hdms::network::{PROTOCOL_VERSION, Parameters, WitnessRule};
use hdms::provider::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::nodes;
use super::trail::{self, Act};
use crate::sqlite::{Database, Failure};

/// The server's own value that keeps them.
const RULES: &str = "rules";

/// What the network is called and how strict it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The network's name.
    pub name: String,
    /// How old a revocation list may be, seconds.
    pub revocation_age: u64,
    /// How many witnesses a receipt needs.
    pub witnesses: u64,
    /// Lowest protocol version that may take part.
    pub minimum_version: u64,
}

impl Rules {
    /// The usual ones, without witnesses.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            revocation_age: 24 * 3600,
            witnesses: 0,
            minimum_version: PROTOCOL_VERSION,
        }
    }
}

/// The rules in force and those of before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The network's name.
    pub name: String,
    /// How old a revocation list may be, seconds.
    pub revocation_age: u64,
    /// Lowest protocol version that may take part.
    pub minimum_version: u64,
    /// How many witnesses a receipt needs, oldest rule first.
    pub witnesses: Vec<WitnessRule>,
}

impl History {
    /// What is kept; `rules` begin it where nothing is.
    pub async fn begin(database: &Database, rules: Rules, now: Timestamp) -> Result<Self, Error> {
        database
            .write(move |tx| match Self::kept(tx)? {
                Some(kept) => Ok(kept),
                None => Self::set(tx, rules, now.seconds()),
            })
            .await
    }

    /// What is kept, if the network has begun.
    pub fn kept(connection: &Connection) -> Result<Option<Self>, Failure> {
        let kept = nodes::setting(connection, RULES)?;
        Ok(kept.map(|text| json::stored(text.as_bytes())).transpose()?)
    }

    /// Brings what is kept up to `rules`, and answers it. A network without notaries begins with its
    /// number of witnesses; a later change of it is in force once no node can rely on documents of
    /// before it any more, so that no notary breaks a rule that it does not know yet.
    pub fn set(tx: &Connection, rules: Rules, now: u64) -> Result<Self, Failure> {
        let kept = Self::kept(tx)?;
        let begun = nodes::listed(tx)?.iter().any(|node| node.log().is_some());
        let age = kept.as_ref().map_or(0, |kept| kept.revocation_age);
        let since = if begun { now + age.max(rules.revocation_age) } else { now };
        let Rules { name, revocation_age, minimum_version, witnesses: needed } = rules;
        let witnesses = kept.as_ref().map_or_else(Vec::new, |kept| kept.witnesses.clone());
        let witnesses = extended(witnesses, needed, since);
        let new = Self { name, revocation_age, minimum_version, witnesses };
        new.keep(tx, now)?;
        Ok(new)
    }

    /// Those that these parameters have told.
    pub fn take_back(tx: &Connection, told: &Parameters, now: u64) -> Result<(), Failure> {
        let Parameters { name, revocation_age, minimum_version, witnesses, .. } = told.clone();
        Self { name, revocation_age, minimum_version, witnesses }.keep(tx, now)
    }

    fn keep(&self, tx: &Connection, now: u64) -> Result<(), Failure> {
        if Self::kept(tx)?.as_ref() == Some(self) {
            return Ok(());
        }
        let text = serde_json::to_string(self).map_err(|_| Error::StoreCorrupt)?;
        nodes::set_setting(tx, RULES, &text)?;
        trail::append(tx, now, Act::Rules, None, self)
    }

    /// The rules that were set last.
    pub fn newest(&self) -> Rules {
        Rules {
            name: self.name.clone(),
            revocation_age: self.revocation_age,
            witnesses: self.witnesses.last().map_or(0, |rule| rule.needed),
            minimum_version: self.minimum_version,
        }
    }
}

fn extended(mut witnesses: Vec<WitnessRule>, needed: u64, since: u64) -> Vec<WitnessRule> {
    let last = witnesses.last().copied().unwrap_or(WitnessRule { since: 0, needed: 0 });
    if last.needed != needed {
        witnesses.push(WitnessRule { since: since.max(last.since), needed });
    }
    witnesses
}

#[cfg(test)]
mod tests {
    use super::extended;
    use hdms::network::WitnessRule;

    #[test]
    fn rules_follow_each_other_in_time_and_only_changes_are_kept() {
        let rule = |since, needed| WitnessRule { since, needed };
        assert_eq!(extended(vec![], 0, 10), []);
        assert_eq!(extended(vec![], 1, 10), [rule(10, 1)]);
        assert_eq!(extended(vec![rule(10, 1)], 1, 20), [rule(10, 1)]);
        assert_eq!(extended(vec![rule(50, 1)], 0, 20), [rule(50, 1), rule(50, 0)]);
    }
}
