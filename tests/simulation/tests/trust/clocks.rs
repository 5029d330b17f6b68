//! Clocks that are wrong by minutes, hours and months, at the sender, the receiver and the Doorman.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::node::Outcome;
use hdms::provider::Timestamp;
use hdms::treatment::hospital::HospitalCase;
use hdms_simulation::{BEGIN, World};

use crate::{DAY, HOUR, asked, case, next_mail};

const MINUTE: u64 = 60_000;

/// The middle of the time in which all cards are good.
const NOON: u64 = BEGIN.0 + 44 * DAY;

/// What the hospital makes of a request that the patient seals at one time by its own clock, and
/// that comes in at another by the hospital's.
async fn received(sealed: u64, opened: u64) -> Result<Outcome, Error> {
    let mut world = World::new(1).await.unwrap();
    world.providers.clock.set(Timestamp(sealed));
    world.patient.ask(&case(), world.hospital.id(), crate::request()).await.unwrap();
    world.settle().await.unwrap();
    let envelope = next_mail(&mut world);
    world.providers.clock.set(Timestamp(opened));
    let taken = world.hospital.receive::<HospitalCase>(&envelope).await;
    taken.map(|taken| taken.outcome)
}

#[test]
fn a_clock_may_differ_by_minutes_ahead_and_by_the_time_that_a_message_waits_behind() {
    block_on(async {
        let (fine, early, late) =
            (Ok(Outcome::Applied), Err(Error::NotYetValid), Err(Error::Expired));
        for (ahead, expected) in [(4 * MINUTE, fine), (6 * MINUTE, early), (3 * HOUR, early)] {
            assert_eq!(received(NOON + ahead, NOON).await, expected, "sender {ahead} ahead");
            assert_eq!(received(NOON, NOON - ahead).await, expected, "receiver {ahead} behind");
        }
        for (behind, expected) in [(6 * MINUTE, fine), (3 * HOUR, fine), (29 * DAY, fine)] {
            assert_eq!(received(NOON - behind, NOON).await, expected, "sender {behind} behind");
            assert_eq!(received(NOON, NOON + behind).await, expected, "receiver {behind} ahead");
        }
        assert_eq!(received(NOON + 40 * DAY, NOON).await, early, "sender months ahead");
        assert_eq!(received(NOON, NOON - 40 * DAY).await, early, "receiver months behind");
        assert_eq!(received(NOON - 40 * DAY, NOON).await, late, "sender months behind");
        assert_eq!(received(NOON, NOON + 40 * DAY).await, late, "receiver months ahead");
    });
}

#[test]
fn a_node_whose_clock_is_months_ahead_sends_nothing_and_loses_nothing() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        world.network.parameters.revocation_age = 30 * DAY / 1000;
        world.network.parameters.number += 1;
        world.publish().await.unwrap();
        world.patient.ask(&case(), world.hospital.id(), crate::request()).await.unwrap();
        let waiting = world.patient.waiting("", 10).await.unwrap();
        for ahead in [31 * DAY, 200 * DAY] {
            world.providers.clock.set(Timestamp(BEGIN.0 + ahead));
            let (parcels, left) = world.patient.parcels(waiting.clone()).await;
            assert!(parcels.is_empty() && crate::items(left) == waiting);
        }
        world.providers.clock.set(BEGIN);
        world.deliver_all().await.unwrap();
        assert!(world.hospital.case::<HospitalCase>(&case()).await.is_ok());
    });
}

#[test]
fn a_clock_that_is_behind_takes_no_list_for_too_old() {
    block_on(async {
        let world = asked(3).await;
        let long_ago = Timestamp(BEGIN.0 - 200 * DAY);
        let trust = world.patient.trust();
        assert_eq!(trust.check_revocation(world.hospital.id(), long_ago), Ok(()));
    });
}

#[test]
fn a_doorman_whose_clock_was_ahead_is_believed_again_with_its_next_number() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        world.network.revocations.iat += 200 * DAY / 1000;
        world.network.revocations.number += 1;
        world.publish().await.unwrap();
        world.network.revocations.iat = BEGIN.seconds() + 60;
        world.network.number += 1;
        world.documents = world.operator.publish(&world.network).await.unwrap();
        let taken = world.trust(Some(&world.patient.trust())).await.map(drop);
        assert_eq!(taken, Err(Error::NetworkSplit), "two lists of one number");
        world.network.revocations.number += 1;
        world.publish().await.unwrap();
        let late = Timestamp(BEGIN.0 + 91 * DAY);
        let stale = world.patient.trust().check_revocation(world.hospital.id(), late);
        assert_eq!(stale, Err(Error::NetworkStale));
    });
}
