//! Work that costs something before it is known who asks: so much of a kind at a time and no more, so
//! that one kind keeps none of the others from its turn, nor one address all others. Who asks holds a
//! place while its body comes and its turn is awaited; where all are taken, or their bodies are more
//! than may lie in memory, who holds most of them makes room, and turns go round among addresses. So
//! neither slow bodies nor many of them, nor large ones, shut out who comes with one.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use axum::body::{Body, Bytes};
use futures_util::TryStreamExt;
use hdms::Error;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connections::subscriber;
use crate::problem::read_body;

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
    shares: HashMap<IpAddr, Share>,
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
    /// Of its body, so far.
    bytes: usize,
    /// Its round, once it waits for its turn.
    round: Option<u64>,
    is_let_in: bool,
    _out: DropGuard,
}

/// What one address has of the gate.
#[derive(Debug, Default)]
struct Share {
    places: usize,
    bytes: usize,
    next_round: u64,
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
            shares: HashMap::new(),
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
    /// Errors: those of [`Gate::enter`] and [`read_body`]; [`Error::NodeBusy`] when the place is needed
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
        let held = crowd.held_by(from);
        if held >= self.places / 4 {
            return Err(Error::TooManyRequests);
        }
        if crowd.guests.len() >= self.places {
            let (number, most) = crowd.dispensable(|share| share.places).ok_or(Error::NodeBusy)?;
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
    fn held_by(&self, from: IpAddr) -> usize {
        self.shares.get(&from).map_or(0, |share| share.places)
    }

    fn add(&mut self, from: IpAddr, out: DropGuard) -> u64 {
        self.came += 1;
        self.shares.entry(from).or_default().places += 1;
        let guest = Guest { from, bytes: 0, round: None, is_let_in: false, _out: out };
        self.guests.insert(self.came, guest);
        self.came
    }

    /// More of its body has come. Where all are more than `most` bytes, addresses that hold most of
    /// them make room.
    fn grow(&mut self, number: u64, bytes: usize, most: usize) {
        let Some(guest) = self.guests.get_mut(&number) else { return };
        guest.bytes += bytes;
        self.shares.entry(guest.from).or_default().bytes += bytes;
        self.bytes += bytes;
        while self.bytes > most
            && let Some((number, _)) = self.dispensable(|share| share.bytes)
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
        if let Some(share) = self.shares.get_mut(&guest.from) {
            share.places -= 1;
            share.bytes -= guest.bytes;
            if share.places == 0 {
                self.shares.remove(&guest.from);
            }
        }
    }

    /// Of those that were not let in yet, who came first of an address that holds most, and how much
    /// that is.
    fn dispensable(&self, held: impl Fn(&Share) -> usize) -> Option<(u64, usize)> {
        let waiting = self.guests.iter().filter(|(_, guest)| !guest.is_let_in);
        let held_by = |from| self.shares.get(from).map_or(0, &held);
        let held = waiting.map(|(number, guest)| (*number, held_by(&guest.from)));
        held.reduce(|most, next| if next.1 > most.1 { next } else { most })
    }

    /// Answers whether a turn was free; none when the place is not held any more.
    fn let_in(&mut self, number: u64) -> Option<bool> {
        let guest = self.guests.get_mut(&number)?;
        let is_free = self.free_turns > 0;
        if is_free {
            self.free_turns -= 1;
            guest.is_let_in = true;
        }
        Some(is_free)
    }

    fn line_up(&mut self, number: u64) -> Option<oneshot::Receiver<Turn>> {
        let guest = self.guests.get_mut(&number)?;
        let share = self.shares.get_mut(&guest.from)?;
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
        if let Some(guest) = self.guests.get_mut(&number) {
            guest.is_let_in = true;
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, PLACES, Place};
    use hdms::Error;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::{Arc, Mutex};

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    fn fill(gate: &Arc<Gate>, addresses: u8) -> Vec<Place> {
        let each = PLACES / usize::from(addresses);
        let held = (0..addresses)
            .flat_map(|last| (0..each).map(move |_| gate.enter(address(last)).unwrap()));
        held.collect()
    }

    #[test]
    fn where_all_places_are_taken_who_holds_most_makes_room() {
        let gate = Gate::new();
        let held = fill(&gate, 4);
        assert_eq!(gate.enter(address(0)).err(), Some(Error::TooManyRequests), "a quarter");
        let honest: Vec<_> = (10..20).map(|last| gate.enter(address(last)).unwrap()).collect();
        assert!(honest.iter().all(|place| !place.out.is_cancelled()));
        let lost: Vec<_> = held.iter().map(|place| place.out.is_cancelled()).collect();
        assert_eq!(lost.iter().filter(|lost| **lost).count(), 10);
        assert!(lost[0] && !lost[PLACES / 4 - 1], "the oldest of an address");
        drop((held, honest));
        assert_eq!(fill(&gate, 4).len(), PLACES, "what is dropped is free again");
    }

    #[test]
    fn where_everybody_has_one_place_the_oldest_makes_room() {
        let gate = Gate::with(8, 1);
        let held: Vec<_> = (0..8).map(|last| gate.enter(address(last)).unwrap()).collect();
        assert_eq!(gate.enter(address(3)).err(), Some(Error::TooManyRequests), "it has as many");
        let newest = gate.enter(address(8)).unwrap();
        assert!(held[0].out.is_cancelled() && !held[1].out.is_cancelled());
        assert!(!newest.out.is_cancelled());
    }

    #[test]
    fn where_bodies_are_too_much_who_holds_most_of_them_makes_room() {
        let gate = Gate::with(100, 1);
        let held: Vec<_> = (0..8).map(|number| gate.enter(address(number / 4)).unwrap()).collect();
        let honest = gate.enter(address(9)).unwrap();
        let mut crowd = gate.crowd();
        held.iter().for_each(|place| crowd.grow(place.number, 10, 100));
        crowd.grow(honest.number, 35, 100);
        assert_eq!(crowd.bytes, 95);
        drop(crowd);
        let lost: Vec<_> = held.iter().map(|place| place.out.is_cancelled()).collect();
        assert_eq!(lost, [true, false, false, false, true, false, false, false]);
        assert!(!honest.out.is_cancelled());
        drop((held, honest));
        assert_eq!(gate.crowd().bytes, 0);
    }

    #[tokio::test]
    async fn a_turn_for_who_has_just_gone_is_the_next_ones() {
        let gate = Gate::with(8, 1);
        let first = gate.enter(address(0)).unwrap();
        let turn = first.turn().await.unwrap();
        let gone = gate.enter(address(1)).unwrap();
        // Its place is given up a moment later.
        drop(gate.crowd().line_up(gone.number));
        drop(turn);
        let next = gate.enter(address(2)).unwrap();
        assert!(next.turn().await.is_some());
    }

    #[tokio::test]
    async fn turns_go_round_among_addresses_and_who_is_let_in_stays() {
        let gate = Gate::with(8, 1);
        let first = gate.enter(address(0)).unwrap();
        let turn = first.turn().await.unwrap();
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for last in [1, 1, 2, 2, 3] {
            let (place, done) = (gate.enter(address(last)).unwrap(), done.clone());
            let work = async move {
                done.lock().unwrap().push(last);
                Ok::<_, Error>(())
            };
            tasks.push(tokio::spawn(async move { place.work(work).await }));
            // Until it waits.
            tokio::task::yield_now().await;
        }
        let late: Vec<_> = (4..8).filter_map(|last| gate.enter(address(last)).ok()).collect();
        assert_eq!(late.len(), 4);
        drop(turn);
        let mut ended = Vec::new();
        for task in tasks {
            ended.push(task.await.unwrap());
        }
        assert_eq!(*done.lock().unwrap(), [3, 1, 2], "whose second ones are a round later");
        let refused = ended.iter().filter(|ended| **ended == Err(Error::NodeBusy)).count();
        assert_eq!(refused, 2, "the first ones of those with two made room");
        assert!(!first.out.is_cancelled());
    }
}
