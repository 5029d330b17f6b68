//! Who makes room for whom.

use super::{Gate, PLACES, Place};
use hdms::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn fill(gate: &Arc<Gate>, addresses: u8) -> Vec<Place> {
    let each = PLACES / usize::from(addresses);
    let held =
        (0..addresses).flat_map(|last| (0..each).map(move |_| gate.enter(address(last)).unwrap()));
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

#[test]
fn among_many_it_is_soon_found_who_makes_room() {
    const MANY: u32 = 16_384;
    let gate = Gate::with(MANY as usize, 1);
    let address = |number| IpAddr::V4(Ipv4Addr::from_bits(number));
    let held: Vec<_> = (0..MANY).map(|number| gate.enter(address(number)).unwrap()).collect();
    let began = Instant::now();
    for place in &held {
        place.hold(10, 10 * MANY as usize / 2);
    }
    let more: Vec<_> = (0..MANY).map(|n| gate.enter(address(MANY + n)).unwrap()).collect();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(held.iter().all(|place| place.out.is_cancelled()));
    assert!(more.iter().all(|place| !place.out.is_cancelled()));
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
