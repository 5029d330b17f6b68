//! Work that costs something before it is known who asks: so much of a kind at a time and no more, so
//! that one kind keeps none of the others from its turn, nor one address all others. Who asks holds a
//! place while its body comes and its turn is awaited, or while an answer is not read; where all are
//! taken, or what they hold is more than may lie in memory, who holds most makes room, and turns go round
//! among addresses. So neither slow bodies nor many of them, nor large ones, shut out who comes with one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use axum::body::{Body, Bytes};
use futures_util::TryStreamExt;
use hdms::Error;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::base::http::addresses::subscriber;
use crate::base::http::bodies::read_body;

/// Requests of a kind that may be under way at a time. Of one address a quarter.
const PLACES: usize = 1024;

/// Bytes of their bodies.
const BYTES: usize = 128 * 1024 * 1024;

/// Requests worked on at a time, for each processor: enough to keep it busy while some of them wait
/// for the disk, and few enough for what else has to be done.
const TURNS: usize = 8;

/// One kind of work.
#[derive(Debug)]
pub struct Gate {
    places: usize,
    crowd: Mutex<Crowd>,
}

/// Who is before the gate, and who was let in.
#[derive(Debug)]
struct Crowd {
    guests: BTreeMap<u64, Guest>,
    shares: Shares,
    line: BTreeMap<Rank, oneshot::Sender<Turn>>,
    free_turns: usize,
    bytes: usize,
    came: u64,
    /// The round that turns have come to.
    round: u64,
}

/// A request's round (start-time fair queueing: the requests of one address are in one round after the
/// other), and its number.
type Rank = (u64, u64);

#[derive(Debug)]
struct Guest {
    from: IpAddr,
    /// Of its body or answer, so far.
    bytes: usize,
    /// Its round, once it waits for its turn.
    round: Option<u64>,
    _out: DropGuard,
}

/// What the addresses have of the gate.
#[derive(Debug, Default)]
struct Shares {
    of: HashMap<IpAddr, Share>,
    by_places: BTreeSet<Size>,
    by_bytes: BTreeSet<Size>,
}

/// How much an address has of which some can make room, and who comes first to do so; of equal ones who
/// came first is greatest.
type Size = (usize, Reverse<u64>);

/// What one address has.
#[derive(Debug, Default)]
struct Share {
    places: usize,
    bytes: usize,
    next_round: u64,
    /// Who was not let in yet.
    dispensable: BTreeSet<u64>,
}

/// A place before the gate, until it is dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    number: u64,
    out: CancellationToken,
}

/// Leave to work, until it is dropped.
#[derive(Debug)]
struct Turn(Arc<Gate>);

impl Gate {
    /// For one kind of work on this machine.
    pub fn new() -> Arc<Self> {
        Self::with_places(PLACES)
    }

    /// The same with other places, for what holds larger bodies.
    pub fn with_places(places: usize) -> Arc<Self> {
        let processors = available_parallelism().map_or(1, usize::from);
        Self::with(places, TURNS * processors)
    }

    /// With these places and turns.
    pub fn with(places: usize, turns: usize) -> Arc<Self> {
        let crowd = Crowd {
            guests: BTreeMap::new(),
            shares: Shares::default(),
            line: BTreeMap::new(),
            free_turns: turns,
            bytes: 0,
            came: 0,
            round: 0,
        };
        Arc::new(Self { places, crowd: Mutex::new(crowd) })
    }

    /// A place for a request from this address, and the body of the request, which holds it from the
    /// first byte on.
    ///
    /// Errors: those of [`Gate::enter`] and of reading a body; [`Error::NodeBusy`] when the place is needed
    /// for others meanwhile.
    pub async fn read(
        self: &Arc<Self>,
        from: IpAddr,
        body: Body,
        limit: usize,
        too_large: Error,
    ) -> Result<(Place, Bytes), Error> {
        let place = self.enter(from)?;
        let (gate, number) = (self.clone(), place.number);
        let counted = body.into_data_stream().inspect_ok(move |bytes| {
            gate.crowd().grow(number, bytes.len(), BYTES);
        });
        let body = tokio::select! {
            body = read_body(Body::from_stream(counted), limit, too_large) => body?,
            () = place.out.cancelled() => return Err(Error::NodeBusy),
        };
        Ok((place, body))
    }

    /// A place for a request from this address. [`Error::TooManyRequests`] when it has a quarter of
    /// all, or all are taken and none has more of them; [`Error::NodeBusy`] when all are worked on.
    pub fn enter(self: &Arc<Self>, from: IpAddr) -> Result<Place, Error> {
        let from = subscriber(from);
        let mut crowd = self.crowd();
        let held = crowd.shares.of.get(&from).map_or(0, |share| share.places);
        if held >= self.places / 4 {
            return Err(Error::TooManyRequests);
        }
        if crowd.guests.len() >= self.places {
            let most = crowd.shares.by_places.last().copied();
            let (most, Reverse(number)) = most.ok_or(Error::NodeBusy)?;
            if held >= most {
                return Err(Error::TooManyRequests);
            }
            crowd.remove(number);
        }
        let out = CancellationToken::new();
        let number = crowd.add(from, out.clone().drop_guard());
        Ok(Place { gate: self.clone(), number, out })
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Counts so many bytes more as what this place holds. Where all hold more than `most`, addresses that
    /// hold most of them make room.
    pub fn hold(&self, bytes: usize, most: usize) {
        self.gate.crowd().grow(self.number, bytes, most);
    }

    /// Returns when the place is needed for others, or not held any more.
    pub fn needed(&self) -> impl Future<Output = ()> + use<> {
        self.out.clone().cancelled_owned()
    }

    /// Does `work` when its turn has come. [`Error::NodeBusy`] when the place was needed for others.
    pub async fn work<T, E: From<Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let _turn = self.turn().await.ok_or(Error::NodeBusy)?;
        work.await
    }

    async fn turn(&self) -> Option<Turn> {
        let turn = {
            let mut crowd = self.gate.crowd();
            if crowd.let_in(self.number)? {
                return Some(Turn(self.gate.clone()));
            }
            crowd.line_up(self.number)?
        };
        turn.await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.crowd().remove(self.number);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.crowd().next();
        // Whoever does not wait any more drops the turn once again: the crowd is not looked at meanwhile.
        if let Some(next) = next {
            drop(next.send(Turn(self.0.clone())));
        }
    }
}

impl Crowd {
    fn add(&mut self, from: IpAddr, out: DropGuard) -> u64 {
        self.came += 1;
        let number = self.came;
        self.shares.change(from, |share| {
            share.places += 1;
            share.dispensable.insert(number);
        });
        self.guests.insert(number, Guest { from, bytes: 0, round: None, _out: out });
        number
    }

    /// More has come of its body, or of the answer to it. Where all are more than `most` bytes, addresses
    /// that hold most of them make room.
    fn grow(&mut self, number: u64, bytes: usize, most: usize) {
        let Some(guest) = self.guests.get_mut(&number) else { return };
        guest.bytes += bytes;
        self.shares.change(guest.from, |share| share.bytes += bytes);
        self.bytes += bytes;
        while self.bytes > most
            && let Some((_, Reverse(number))) = self.shares.by_bytes.last().copied()
        {
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(guest) = self.guests.remove(&number) else { return };
        self.bytes -= guest.bytes;
        if let Some(round) = guest.round {
            self.line.remove(&(round, number));
        }
        self.shares.change(guest.from, |share| {
            share.places -= 1;
            share.bytes -= guest.bytes;
            share.dispensable.remove(&number);
        });
    }

    /// Answers whether a turn was free; none when the place is not held any more.
    fn let_in(&mut self, number: u64) -> Option<bool> {
        let from = self.guests.get(&number)?.from;
        let is_free = self.free_turns > 0;
        if is_free {
            self.free_turns -= 1;
            self.shares.keep(from, number);
        }
        Some(is_free)
    }

    fn line_up(&mut self, number: u64) -> Option<oneshot::Receiver<Turn>> {
        let guest = self.guests.get_mut(&number)?;
        let share = self.shares.of.get_mut(&guest.from)?;
        let round = share.next_round.max(self.round);
        share.next_round = round + 1;
        guest.round = Some(round);
        let (turn, waiting) = oneshot::channel();
        self.line.insert((round, number), turn);
        Some(waiting)
    }

    /// Whose turn it is now, if anybody waits.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let Some(((round, number), next)) = self.line.pop_first() else {
            self.free_turns += 1;
            return None;
        };
        self.round = round;
        if let Some(guest) = self.guests.get(&number) {
            self.shares.keep(guest.from, number);
        }
        Some(next)
    }
}

impl Shares {
    /// Changes what this address has, and with it who has most.
    fn change(&mut self, from: IpAddr, change: impl FnOnce(&mut Share)) {
        let share = self.of.entry(from).or_default();
        if let Some((places, bytes)) = share.sizes() {
            self.by_places.remove(&places);
            self.by_bytes.remove(&bytes);
        }
        change(share);
        if let Some((places, bytes)) = share.sizes() {
            self.by_places.insert(places);
            self.by_bytes.insert(bytes);
        }
        if share.places == 0 {
            self.of.remove(&from);
        }
    }

    /// Who was let in stays.
    fn keep(&mut self, from: IpAddr, number: u64) {
        self.change(from, |share| {
            share.dispensable.remove(&number);
        });
    }
}

impl Share {
    /// In places and in bytes; none where nobody can make room.
    fn sizes(&self) -> Option<(Size, Size)> {
        let first = Reverse(*self.dispensable.first()?);
        Some(((self.places, first), (self.bytes, first)))
    }
}

#[cfg(test)]
mod tests;
