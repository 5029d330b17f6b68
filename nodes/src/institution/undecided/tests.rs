//! Who makes room for whom.

use std::net::IpAddr;

use hdms::Error;
use hdms::ids::{CaseId, NodeId};
use hdms::provider::Timestamp;

use super::{KEPT, Undecided};
use crate::member::costs::Costs;

fn undecided(all: usize, of_address: usize) -> Undecided {
    let costs = Costs {
        undecided: all,
        undecided_of_address: of_address,
        undecided_of_patient: 3,
        ..Costs::default()
    };
    Undecided::new(&costs)
}

fn case(number: u64) -> CaseId {
    format!("019b7985-7400-7000-8000-{number:012}").parse().unwrap()
}

fn patient(number: u64) -> NodeId {
    format!("{number:A>42}A").parse().unwrap()
}

/// Begins the case with this number from this address, of a patient of its own.
fn begin(undecided: &Undecided, number: u64, from: &str) -> Result<(), Error> {
    begin_of(undecided, number, number, from)
}

fn begin_of(undecided: &Undecided, of: u64, number: u64, from: &str) -> Result<(), Error> {
    let from: Option<IpAddr> = from.parse().ok();
    undecided.take((&case(number), &patient(of)), from, Timestamp(number))?;
    undecided.begun(&case(number), true);
    Ok(())
}

/// The numbers of what has made room up to now.
fn displaced(undecided: &Undecided) -> Vec<u64> {
    let number = |case: CaseId| case.as_ref()[24..].parse().unwrap();
    let mut gone: Vec<_> =
        undecided.lapsing(Timestamp(0)).into_iter().map(|(case, _)| number(case)).collect();
    gone.sort_unstable();
    gone
}

#[test]
fn one_network_takes_nothing_from_another() {
    let undecided = undecided(100, 2);
    for (number, from) in
        ["192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8:0:1::1"].into_iter().enumerate()
    {
        assert_eq!(begin(&undecided, number as u64, from), Ok(()));
    }
    assert_eq!(begin(&undecided, 5, "192.0.2.1"), Ok(()), "one by lot");
    assert_eq!(begin(&undecided, 6, "192.0.2.1"), Err(Error::CaseQuota));
    assert_eq!(begin(&undecided, 6, "2001:db8:0:2::1"), Ok(()), "one customer, one lot");
    assert_eq!(begin(&undecided, 7, "2001:db8:0:3::1"), Err(Error::CaseQuota));
    assert_eq!(begin(&undecided, 7, "2001:db8:1::1"), Ok(()));
    let gone = displaced(&undecided);
    assert_eq!((gone.len(), gone[0] < 2, (2..4).contains(&gone[1])), (2, true, true));
}

#[test]
fn the_patient_who_has_most_makes_room_behind_an_address_that_is_full() {
    let undecided = undecided(100, 4);
    for number in 0..3 {
        begin_of(&undecided, 9, number, "192.0.2.1").unwrap();
    }
    begin(&undecided, 3, "192.0.2.1").unwrap();
    assert_eq!(begin_of(&undecided, 9, 4, "192.0.2.1"), Err(Error::CaseQuota), "of one patient");
    assert_eq!(begin(&undecided, 4, "192.0.2.1"), Ok(()));
    assert_eq!(displaced(&undecided), [2], "the youngest");
    assert_eq!(begin(&undecided, 5, "192.0.2.1"), Ok(()));
    assert_eq!(displaced(&undecided), [1, 2]);
    assert_eq!(begin_of(&undecided, 5, 6, "192.0.2.1"), Err(Error::CaseQuota), "has one, as all");
    assert_eq!(begin(&undecided, 6, "192.0.2.1"), Ok(()), "any");
    assert_eq!(displaced(&undecided).len(), 3);
    assert_eq!(begin(&undecided, 7, "192.0.2.1"), Err(Error::CaseQuota), "not all day");
}

#[test]
fn when_all_is_full_the_largest_network_makes_room_whoever_attacks() {
    let undecided = undecided(4, 3);
    for number in 0..3 {
        begin(&undecided, number, "192.0.2.1").unwrap();
    }
    begin(&undecided, 3, "192.0.2.2").unwrap();
    begin(&undecided, 4, "192.0.2.3").unwrap();
    let gone = displaced(&undecided)[0];
    assert!(gone < 3 && undecided.is_stranger(&patient(gone), Some(&case(gone))));
    // Two, one and one: nobody has more than he would have who comes.
    assert_eq!(begin_of(&undecided, 3, 5, "192.0.2.2"), Err(Error::CaseQuota));
}

#[test]
fn what_does_not_begin_displaces_nobody() {
    let undecided = undecided(100, 2);
    begin_of(&undecided, 9, 0, "192.0.2.1").unwrap();
    begin_of(&undecided, 9, 1, "192.0.2.1").unwrap();
    for _ in 0..3 {
        let from = "192.0.2.1".parse().ok();
        undecided.take((&case(2), &patient(2)), from, Timestamp(2)).unwrap();
        undecided.begun(&case(2), false);
    }
    assert!(displaced(&undecided).is_empty());
    assert_eq!(undecided.cases().len(), 2);
    // Nor does it use up what goes by lot.
    begin(&undecided, 3, "192.0.2.1").unwrap();
    let from = "192.0.2.1".parse().ok();
    undecided.take((&case(4), &patient(4)), from, Timestamp(4)).unwrap();
    undecided.begun(&case(4), false);
    assert_eq!(begin(&undecided, 4, "192.0.2.1"), Ok(()));
    assert_eq!(begin(&undecided, 5, "192.0.2.1"), Err(Error::CaseQuota));
}

#[test]
fn what_came_from_nobody_knows_where_makes_no_room() {
    let undecided = undecided(3, 2);
    for number in 0..3 {
        begin(&undecided, number, "").unwrap();
    }
    assert_eq!(begin(&undecided, 3, "192.0.2.1"), Err(Error::CaseQuota));
}

#[test]
fn what_nobody_decides_is_let_go() {
    let undecided = undecided(100, 2);
    begin(&undecided, 1, "192.0.2.1").unwrap();
    assert!(undecided.lapsing(Timestamp(KEPT)).is_empty());
    assert_eq!(undecided.lapsing(Timestamp(KEPT + 2)).len(), 1);
    assert!(!undecided.is_stranger(&patient(1), None), "not yet");
    undecided.ended(&case(1));
    assert!(undecided.lapsing(Timestamp(KEPT + 2)).is_empty());
    assert!(undecided.is_stranger(&patient(1), None));
}

#[test]
fn who_comes_together_with_others_gets_no_lot_for_nothing() {
    let undecided = undecided(100, 3);
    for (of, number) in [(9, 0), (9, 1), (8, 2)] {
        begin_of(&undecided, of, number, "192.0.2.1").unwrap();
    }
    // All see that somebody has two: the first takes that place, the second one by lot, the third none.
    let from: Option<IpAddr> = "192.0.2.1".parse().ok();
    for number in 3..6 {
        undecided.take((&case(number), &patient(number)), from, Timestamp(number)).unwrap();
    }
    for number in 3..6 {
        undecided.begun(&case(number), true);
    }
    let gone = displaced(&undecided);
    assert_eq!((gone.len(), gone.contains(&1), gone.contains(&5)), (3, true, true), "{gone:?}");
}

#[test]
fn who_is_known_takes_up_no_place_of_strangers() {
    let undecided = undecided(2, 2);
    begin(&undecided, 1, "192.0.2.1").unwrap();
    begin(&undecided, 2, "192.0.2.2").unwrap();
    assert_eq!(begin(&undecided, 3, "192.0.2.3"), Err(Error::CaseQuota), "each network has one");
    undecided.room().decided(&patient(1), true);
    begin(&undecided, 3, "192.0.2.3").unwrap();
    assert_eq!(begin(&undecided, 4, "192.0.2.4"), Err(Error::CaseQuota));
    // Nor does what was to lapse, and stays since its patient is known now.
    undecided.room().let_go(&case(2), true);
    undecided.room().decided(&patient(2), true);
    begin(&undecided, 4, "192.0.2.4").unwrap();
    assert_eq!(begin(&undecided, 5, "192.0.2.5"), Err(Error::CaseQuota));
    undecided.room().leave(&case(3));
    begin(&undecided, 5, "192.0.2.5").unwrap();
    assert!(displaced(&undecided).is_empty());
    assert_eq!(undecided.cases().len(), 4);
}
