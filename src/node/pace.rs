//! When what waits may be sent: decided here alone. Timers, pushes, pages and people only ask. All
//! that is needed is kept with what waits, so that it outlives the node.

use std::sync::PoisonError;

use litemap::LiteMap;

use super::outbox_item::{Attempts, OutboxItem, Payload};
use super::{Node, Platform, put};
use crate::card::Role;
use crate::error::Error;
use crate::ids::NodeId;
use crate::json;
use crate::provider::{Randomness, Store, Table, Timestamp};

/// Longest time between two attempts, milliseconds, also when the recipient asks for more.
pub const LONGEST_PAUSE: u64 = 15 * 60_000;

/// Items read at a time.
const PAGE: usize = 100;

/// What gives rise to the question whether something may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Time has passed: a timer, a push, a page, a wake-up.
    Time,
    /// The way to the recipient was broken, and something has passed it again.
    Reached,
    /// The network's documents or the node's card have changed.
    Documents,
    /// A person wants it, now. Counts once: what is tried in vain then waits again.
    Person,
}

/// Why something could not be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setback {
    /// What went wrong.
    pub why: Error,
    /// How long the recipient asks to be left alone, seconds (RFC 9110 section 10.2.3).
    pub retry_after: Option<u64>,
}

impl From<Error> for Setback {
    fn from(why: Error) -> Self {
        Self { why, retry_after: None }
    }
}

impl OutboxItem {
    /// Whether it may be tried on this occasion.
    pub fn may_go(&self, occasion: Occasion, now: Timestamp) -> bool {
        let is_asked = ahead(self.attempts.asked, now) > 0;
        let is_due = ahead(self.attempts.next, now) == 0 && !is_asked;
        let may = match occasion {
            Occasion::Time => is_due,
            Occasion::Reached => is_due || (self.was_unreachable() && !is_asked),
            Occasion::Documents => !is_asked,
            Occasion::Person => true,
        };
        self.refused.is_none() && may
    }

    /// How long it waits by itself from now on, milliseconds.
    pub fn pause(&self, now: Timestamp) -> u64 {
        ahead(self.attempts.next, now).max(ahead(self.attempts.asked, now))
    }

    /// Whether it is a case's first entry, which goes to the next notary in rank when the one that
    /// was drawn is silent.
    fn is_drawn(&self) -> bool {
        matches!(self.payload, Payload::Deposit { draw: Some(_), .. })
    }

    fn was_unreachable(&self) -> bool {
        let away = [Error::NetworkUnreachable, Error::TimedOut];
        away.iter().any(|error| self.attempts.problem.as_deref() == Some(error.code()))
    }

    fn set_back(&mut self, Setback { why, retry_after }: Setback, pause: u64, now: Timestamp) {
        let asked = retry_after.map(|seconds| seconds.saturating_mul(1000).min(LONGEST_PAUSE));
        let after = |pause: u64| Timestamp(now.0.saturating_add(pause));
        self.attempts = Attempts {
            count: self.attempts.count.saturating_add(1),
            problem: Some(why.code().to_owned()),
            next: Some(after(pause.max(asked.unwrap_or_default()))),
            asked: asked.map(after),
        };
    }
}

/// Milliseconds until then. A time further ahead than any pause was written when the clock was
/// wrong, and holds nothing up.
fn ahead(then: Option<Timestamp>, now: Timestamp) -> u64 {
    let ahead = then.map_or(0, |then| then.0.saturating_sub(now.0));
    if ahead > LONGEST_PAUSE { 0 } else { ahead }
}

/// Notes that its recipient has asked to be left alone, and until when.
fn note_rest(item: &OutboxItem, now: Timestamp, resting: &mut LiteMap<NodeId, Timestamp>) {
    let asked = ahead(item.attempts.asked, now);
    if asked > 0 {
        let until = resting.entry(item.to.clone()).or_insert(now);
        *until = (*until).max(Timestamp(now.0 + asked));
    }
}

/// The first pause, and the longest that a node takes by itself, milliseconds. Between them it
/// doubles with every failure.
fn pauses(role: Role) -> (u64, u64) {
    match role {
        Role::Personal => (4_000, LONGEST_PAUSE),
        Role::Institution | Role::Notary => (250, 60_000),
    }
}

/// What was sent on an occasion, and is not to be sent on it again.
#[derive(Debug, Default)]
pub struct Tried(LiteMap<String, ()>);

impl Tried {
    /// Notes that these are sent.
    pub fn note(&mut self, items: &[OutboxItem]) {
        for item in items {
            self.0.insert(item.id.clone(), ());
        }
    }

    /// The item with this id may be sent once more.
    pub fn forget(&mut self, id: &str) {
        self.0.remove(id);
    }
}

impl<P: Platform> Node<P> {
    /// Some of what may go on this occasion and is not among those `tried` for it before; none when
    /// that was all. A recipient that has asked to be left alone is, also by what was not tried yet,
    /// unless a person wants it otherwise.
    pub async fn due(&self, occasion: Occasion, tried: &Tried) -> Result<Vec<OutboxItem>, Error> {
        let (now, mut resting) = (self.now(), LiteMap::new());
        let may_go =
            |item: &OutboxItem| item.may_go(occasion, now) && !tried.0.contains_key(&item.id);
        let rests = |item: &OutboxItem, resting: &LiteMap<NodeId, Timestamp>| {
            occasion != Occasion::Person && resting.contains_key(&item.to)
        };
        loop {
            let (mut due, mut after, mut are_all) = (Vec::new(), String::new(), true);
            while let Some(page) = self.page_after(&mut after).await? {
                for item in page {
                    note_rest(&item, now, &mut resting);
                    if may_go(&item) && !rests(&item, &resting) {
                        are_all = due.len() < PAGE;
                        due.extend(Some(item).filter(|_| are_all));
                    }
                }
            }
            // Who rests may be known by what comes later.
            due.retain(|item| !rests(item, &resting));
            if are_all || !due.is_empty() {
                return Ok(due);
            }
        }
    }

    /// When something is due next, which may be past; `None` when nothing waits.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        let (now, mut resting, mut after) = (self.now(), LiteMap::new(), String::new());
        let mut next = Vec::new();
        while let Some(page) = self.page_after(&mut after).await? {
            for item in page {
                note_rest(&item, now, &mut resting);
                let own = Timestamp(now.0 + item.pause(now));
                next.push((item.to, own));
            }
        }
        let with_rest = |(to, own): (NodeId, Timestamp)| {
            resting.get(&to).map_or(own, |until: &Timestamp| own.max(*until))
        };
        Ok(next.into_iter().map(with_rest).min())
    }

    /// Sending these failed for now: each is tried again after a pause that doubles with every
    /// failure and is partly left to chance, so that nodes which failed together don't come back
    /// together, and no sooner than the recipient asks for. What was taken off meanwhile stays off.
    /// Answers how they wait now, and whether that could be kept; where it could not, it is
    /// remembered as long as the node runs.
    pub async fn postpone(
        &self,
        items: &[OutboxItem],
        setback: Setback,
    ) -> (Vec<OutboxItem>, Result<(), Error>) {
        let (drawn, others): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.is_drawn());
        let (mut waiting, mut known) = self.postpone_all(&others, setback).await;
        for item in drawn {
            // The next notary in rank may get it meanwhile.
            let _guard = self.platform.lock_case(&item.case).await;
            let (one, kept) = self.postpone_all(&[item], setback).await;
            waiting.extend(one);
            known = known.and(kept);
        }
        (waiting, known)
    }

    async fn postpone_all(
        &self,
        items: &[&OutboxItem],
        setback: Setback,
    ) -> (Vec<OutboxItem>, Result<(), Error>) {
        let (mut waiting, mut known) = (Vec::with_capacity(items.len()), Ok(()));
        for item in items {
            let mut kept = match self.waiting_item(&item.id).await {
                Ok(Some(kept)) if kept.to == item.to => kept,
                Ok(_) => continue,
                Err(error) => {
                    known = Err(error);
                    (*item).clone()
                }
            };
            let pause = self.draw_pause(kept.attempts.count.saturating_add(1));
            kept.set_back(setback, pause, self.now());
            waiting.push(kept);
        }
        let kept = match known {
            Ok(()) => self.keep_waiting(&waiting).await,
            failed => failed,
        };
        let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        for item in &waiting {
            match kept {
                Ok(()) => unkept.remove(&item.id),
                Err(_) => unkept.insert(item.id.clone(), item.attempts.clone()),
            };
        }
        (waiting, kept)
    }

    pub(super) async fn waiting_item(&self, id: &str) -> Result<Option<OutboxItem>, Error> {
        let row = self.platform.store().read(Table::Outbox, id).await?;
        let item = row.map(|row| json::stored(&row)).transpose()?;
        Ok(item.map(|item| self.remembering(item)))
    }

    async fn keep_waiting(&self, items: &[OutboxItem]) -> Result<(), Error> {
        let row = |item: &OutboxItem| Ok(put(Table::Outbox, item.id.clone(), json::write(item)?));
        let rows: Vec<_> = items.iter().map(row).collect::<Result<_, Error>>()?;
        self.platform.store().commit(rows).await
    }

    /// What waits after this id, which moves on; none when that was all. What was refused for good is
    /// left out.
    async fn page_after(&self, after: &mut String) -> Result<Option<Vec<OutboxItem>>, Error> {
        let page = self.waiting(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        after.clone_from(&last.id);
        let waiting = page.into_iter().filter(|item| item.refused.is_none());
        Ok(Some(waiting.map(|item| self.remembering(item)).collect()))
    }

    /// Nothing more is to be remembered of it.
    pub(super) fn settled(&self, item: &OutboxItem) {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner).remove(&item.id);
    }

    /// With what could not be kept of it.
    fn remembering(&self, mut item: OutboxItem) -> OutboxItem {
        let unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempts) = unkept.get(&item.id) {
            item.attempts = attempts.clone();
        }
        item
    }

    /// Half of the doubled pause, and a random part of the other half, milliseconds.
    fn draw_pause(&self, count: u32) -> u64 {
        let (first, longest) = pauses(self.card().card().role);
        let whole = first.saturating_mul(1 << (count - 1).min(16)).min(longest);
        let mut random = [0; 4];
        // Without randomness they come back together.
        let drawn = self.platform.randomness().fill(&mut random);
        let drawn = drawn.map_or(0, |()| u64::from(u32::from_le_bytes(random)));
        whole / 2 + drawn % (whole / 2)
    }
}
