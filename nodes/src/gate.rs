//! Work that costs a processor something before it is known who asks: so much of a kind at a time
//! and no more, so that one kind keeps none of the others from its turn, nor one address all others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use hdms::Error;
use tokio::sync::Semaphore;

use crate::connections::subscriber;

/// Requests that may wait or be worked on at a time: of all, and of one address. Each may hold a body.
const PLACES: usize = 1024;
const PLACES_EACH: usize = PLACES / 4;

/// Requests worked on at a time, for each processor: enough to keep it busy while some of them wait
/// for the disk, and few enough for what else has to be done.
const TURNS: usize = 8;

/// One kind of work.
#[derive(Debug)]
pub struct Gate {
    turns: Semaphore,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// A place before the gate, until it is dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    from: IpAddr,
}

impl Gate {
    /// For one kind of work on this machine.
    pub fn new() -> Arc<Self> {
        let processors = available_parallelism().map_or(1, usize::from);
        Arc::new(Self { turns: Semaphore::new(TURNS * processors), taken: Mutex::default() })
    }

    /// A place for a request from this address, before its body is read. [`Error::TooManyRequests`]
    /// when too many of them are under way, [`Error::NodeBusy`] when too many of all are.
    pub fn enter(self: &Arc<Self>, from: IpAddr) -> Result<Place, Error> {
        let from = subscriber(from);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= PLACES {
            return Err(Error::NodeBusy);
        }
        let of_this = taken.of.entry(from).or_default();
        if *of_this >= PLACES_EACH {
            return Err(Error::TooManyRequests);
        }
        *of_this += 1;
        taken.all += 1;
        Ok(Place { gate: self.clone(), from })
    }
}

impl Place {
    /// Does `work` when its turn has come.
    pub async fn work<T>(&self, work: impl Future<Output = T>) -> T {
        // Nobody closes it.
        let _turn = self.gate.turns.acquire().await.ok();
        work.await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.gate.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.of.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                taken.of.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, PLACES, PLACES_EACH};
    use hdms::Error;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn one_address_takes_a_quarter_of_the_places_and_what_is_dropped_is_free_again() {
        let (gate, address) = (Gate::new(), |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
        let mut held = Vec::new();
        for last in 0..4 {
            held.extend((0..PLACES_EACH).map(|_| gate.enter(address(last)).unwrap()));
            let refused = if last < 3 { Error::TooManyRequests } else { Error::NodeBusy };
            assert_eq!(gate.enter(address(last)).err(), Some(refused));
        }
        assert_eq!((held.len(), gate.enter(address(9)).err()), (PLACES, Some(Error::NodeBusy)));
        held.truncate(1);
        assert!(gate.enter(address(0)).is_ok() && gate.enter(address(9)).is_ok());
    }
}
