//! What the network's parameters say beside what is fixed, and since when: receipts of before a
//! change are checked by the rule of then. Kept in the database, and changed there alone, so that a
//! start without an option weakens nothing.

use hdms::Error;
use hdms::json;
use hdms::network::{PROTOCOL_VERSION, Parameters, WitnessRule};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::nodes;
use super::trail::{self, Act};
use crate::base::sqlite::Failure;

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
    /// Until when documents of a longer age may be relied on, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relied_until: Option<u64>,
}

impl History {
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
        let relied_until = relied_until(kept.as_ref(), rules.revocation_age, now);
        let last = relied_until.unwrap_or(0).max(now + age.max(rules.revocation_age));
        let since = if begun { last } else { now };
        let Rules { name, revocation_age, minimum_version, witnesses: needed } = rules;
        let witnesses = kept.map_or_else(Vec::new, |kept| kept.witnesses);
        let witnesses = match witnesses.last().map_or(0, |rule| rule.needed) == needed {
            true => witnesses,
            false if begun => changed(witnesses, needed, (now, since)),
            // By those of before nothing was logged.
            false => changed(Vec::new(), needed, (now, since)),
        };
        let new = Self { name, revocation_age, minimum_version, witnesses, relied_until };
        new.keep(tx, now)?;
        Ok(new)
    }

    /// Those that these parameters have told. The last of the manifests that were told since what is kept was
    /// `ends` then, seconds: by a longer age of between, that may be later than the end of any of now.
    pub fn take_back(
        tx: &Connection,
        (told, ends): (&Parameters, u64),
        now: u64,
    ) -> Result<(), Failure> {
        let Parameters { name, revocation_age, minimum_version, witnesses, .. } = told.clone();
        let longer = (ends > now + revocation_age).then_some(ends);
        let relied_until = relied_until(Self::kept(tx)?.as_ref(), revocation_age, now).max(longer);
        Self { name, revocation_age, minimum_version, witnesses, relied_until }.keep(tx, now)
    }

    fn keep(&self, tx: &Connection, now: u64) -> Result<(), Failure> {
        if Self::kept(tx)?.as_ref() == Some(self) {
            return Ok(());
        }
        let text = serde_json::to_string(self).map_err(|_| Error::StoreCorrupt)?;
        nodes::set_setting(tx, RULES, &text)?;
        trail::append(tx, now, Act::Rules, None, self)
    }

    /// How many witnesses a receipt needs at `now`, seconds.
    pub fn witnessing(&self, now: u64) -> Witnessing {
        Witnessing::at(&self.witnesses, now)
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

/// Until when documents of before may be relied on longer than those of this age, from `now` on.
fn relied_until(kept: Option<&History>, age: u64, now: u64) -> Option<u64> {
    let kept = kept?;
    let shortened = (age < kept.revocation_age).then_some(now + kept.revocation_age);
    kept.relied_until.max(shortened)
}

/// How many witnesses a receipt needs: at a time, and from a later one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witnessing {
    /// By the rule in force.
    pub needed: u64,
    /// The rule that follows it, where one is set already.
    pub next: Option<WitnessRule>,
}

impl Witnessing {
    /// At `now`, seconds, by these rules. Before the first one it counts already.
    fn at(rules: &[WitnessRule], now: u64) -> Self {
        let next = rules.iter().skip(1).find(|rule| rule.since > now).copied();
        Self { needed: WitnessRule::at(rules, now).map_or(0, |rule| rule.needed), next }
    }
}

/// The rules with one that is in force `since` then. It takes the place of what is not in force `now`.
fn changed(mut rules: Vec<WitnessRule>, needed: u64, (now, since): (u64, u64)) -> Vec<WitnessRule> {
    let begun = rules.iter().skip(1).take_while(|rule| rule.since <= now).count();
    rules.truncate(begun + 1);
    let last = rules.last().copied().unwrap_or(WitnessRule { since: 0, needed: 0 });
    if last.needed != needed {
        rules.push(WitnessRule { since: since.max(last.since), needed });
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::{Witnessing, changed};
    use hdms::network::WitnessRule;

    fn rule(since: u64, needed: u64) -> WitnessRule {
        WitnessRule { since, needed }
    }

    #[test]
    fn rules_follow_each_other_in_time_and_only_changes_are_kept() {
        assert_eq!(changed(vec![], 0, (10, 10)), []);
        assert_eq!(changed(vec![], 1, (10, 10)), [rule(10, 1)]);
        assert_eq!(changed(vec![rule(10, 1)], 1, (15, 20)), [rule(10, 1)]);
        assert_eq!(changed(vec![rule(50, 1)], 0, (15, 20)), [rule(50, 1), rule(50, 0)]);
    }

    #[test]
    fn one_that_is_not_in_force_yet_is_replaced() {
        let rules = vec![rule(10, 1), rule(100, 2)];
        assert_eq!(changed(rules.clone(), 0, (50, 150)), [rule(10, 1), rule(150, 0)]);
        assert_eq!(changed(rules.clone(), 1, (50, 150)), [rule(10, 1)], "taken back");
        assert_eq!(changed(rules.clone(), 0, (100, 200)).len(), 3, "it is in force");
        let at = |now| Witnessing::at(&rules, now);
        assert_eq!(at(5), Witnessing { needed: 1, next: Some(rule(100, 2)) });
        assert_eq!(at(99), at(5));
        assert_eq!(at(100), Witnessing { needed: 2, next: None });
        assert_eq!(Witnessing::at(&[], 1), Witnessing { needed: 0, next: None });
    }
}
