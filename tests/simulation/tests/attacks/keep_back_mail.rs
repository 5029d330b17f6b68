//! A member wants nothing to reach a patient any more, by a message that the patient's node never gets
//! through: it runs out of time, or is killed, again and again in the middle of it.

use std::pin::pin;

use futures_lite::future::{block_on, poll_once};
use hdms::Error;
use hdms::mailbox::Refused;
use hdms::node::{Deliverer, MOST_REFUSALS, MOST_TRIES, Outcome, Platform};
use hdms::provider::{Clock, Store, Table};
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::PatientCase;
use hdms_simulation::World;

use crate::lose_mail::{self, approval};
use crate::{case, id};

const MONTH: u64 = 31 * 24 * 3_600_000;

/// The patient takes it in out of the mailbox, delivered by the hospital.
async fn fetch(world: &World, envelope: &str) -> Result<Outcome, Error> {
    fetch_at(world, 7, envelope).await
}

async fn fetch_at(world: &World, seq: u64, envelope: &str) -> Result<Outcome, Error> {
    let by = Deliverer::Node { id: world.hospital.id().clone(), seq };
    lose_mail::fetch(world, envelope, &by).await
}

/// The patient's node begins this, and is stopped in the middle of it.
async fn stopped<T>(world: &World, work: impl Future<Output = T>) {
    let _never_free = world.patient.platform().lock_case(&case()).await;
    let mut work = pin!(work);
    for _ in 0..3 {
        assert!(poll_once(work.as_mut()).await.is_none(), "it has ended");
    }
}

/// The same, in the middle of what the case holds: whoever works on a case lets others go first.
async fn stopped_at_what_is_held(world: &World, envelope: &str) {
    let mut work = pin!(fetch(world, envelope));
    for _ in 0..2 {
        assert!(poll_once(work.as_mut()).await.is_none(), "it has ended");
    }
}

async fn rows(world: &World, prefix: &str) -> usize {
    world.patient.platform().store().scan(Table::Inbox, prefix, "", 10).await.unwrap().len()
}

async fn begun(world: &World) -> usize {
    rows(world, "begun/").await
}

fn told(seq: u64) -> Refused {
    Refused { seq, code: Error::TakesTooLong.code().to_owned() }
}

#[test]
fn what_a_node_is_stopped_at_each_time_is_set_aside_unopened_and_told() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let envelope = approval(&mut world).await;
        for _ in 0..MOST_TRIES {
            stopped(&world, fetch(&world, &envelope)).await;
        }
        assert_eq!(fetch(&world, &envelope).await, Err(Error::TakesTooLong));
        let told = world.patient.to_report(envelope.as_bytes(), Err(Error::TakesTooLong));
        assert_eq!(told, Ok(Some(Error::TakesTooLong)));
        let kept = world.patient.quarantined("", 10).await.unwrap();
        assert_eq!((kept.len(), &*kept[0].1.code), (1, Error::TakesTooLong.code()));
    });
}

#[test]
fn what_was_set_aside_is_not_begun_again_until_the_server_knows() {
    block_on(async {
        for is_room in [true, false] {
            let mut world = World::new(4).await.unwrap();
            let envelope = approval(&mut world).await;
            for number in 0..if is_room { 0 } else { MOST_REFUSALS } {
                fetch(&world, &format!("junk {number}")).await.unwrap_err();
            }
            for _ in 0..MOST_TRIES {
                stopped(&world, fetch(&world, &envelope)).await;
            }
            for _ in 0..=MOST_TRIES {
                assert_eq!(fetch(&world, &envelope).await, Err(Error::TakesTooLong));
            }
            // The server has acknowledged all that was fetched.
            world.patient.told_given_up(&[]).await.unwrap();
            assert_eq!(begun(&world).await, usize::from(is_room));
            world.providers.clock.advance(MONTH);
            world.patient.next_hopeful().await.unwrap();
            assert_eq!(begun(&world).await, 0);
        }
    });
}

#[test]
fn what_a_case_holds_and_never_ends_costs_no_other_message_its_tries() {
    block_on(async {
        let mut world = World::new(5).await.unwrap();
        let approval = approval(&mut world).await;
        let resources = vec!["Observation".into()];
        let asked = DataRequestBody { id: id(2), resources, purpose: "To see".into() };
        world.hospital.ask_for_data(&case(), asked).await.unwrap();
        world.settle().await.unwrap();
        let held = world.mail.remove(0).envelope;
        assert_eq!(fetch_at(&world, 6, &held).await, Ok(Outcome::Held));
        for _ in 0..MOST_TRIES {
            stopped_at_what_is_held(&world, &approval).await;
        }
        assert_eq!(fetch(&world, &approval).await, Ok(Outcome::Repeated));
        assert_eq!(rows(&world, "held/").await, 0);
        let kept = world.patient.quarantined("", 10).await.unwrap();
        assert_eq!((kept.len(), &*kept[0].1.envelope), (1, &*held));
        assert_eq!(world.patient.given_up().await, Ok(vec![told(6)]));
        assert_eq!(fetch_at(&world, 6, &held).await, Err(Error::TakesTooLong));
        world.providers.clock.advance(MONTH);
        world.patient.next_hopeful().await.unwrap();
        assert_eq!(begun(&world).await, 0);
    });
}

#[test]
fn what_a_node_was_stopped_at_by_chance_is_taken_in() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        let envelope = approval(&mut world).await;
        for _ in 1..MOST_TRIES {
            stopped(&world, fetch(&world, &envelope)).await;
            assert_eq!(world.patient.was_stopped_at(envelope.as_bytes()).await, Ok(true));
        }
        assert_eq!(fetch(&world, &envelope).await, Ok(Outcome::Applied));
        assert_eq!(world.patient.was_stopped_at(envelope.as_bytes()).await, Ok(false));
        for _ in 0..=MOST_TRIES {
            assert_eq!(fetch(&world, &envelope).await, Ok(Outcome::Repeated));
        }
        assert_eq!(begun(&world).await, 0);
    });
}

#[test]
fn what_is_tried_again_and_never_ends_is_given_up_and_told() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        let now = world.providers.clock.now();
        world.providers.clock.advance(3_600_000);
        let envelope = approval(&mut world).await;
        world.providers.clock.set(now);
        assert_eq!(fetch(&world, &envelope).await, Err(Error::NotYetValid));
        world.providers.clock.advance(3_600_000);
        for _ in 0..MOST_TRIES {
            stopped(&world, world.patient.retry_hopeful::<PatientCase>()).await;
        }
        assert_eq!(world.patient.retry_hopeful::<PatientCase>().await, Ok(Vec::new()));
        assert_eq!(world.patient.given_up().await, Ok(vec![told(7)]));
        world.providers.clock.advance(MONTH);
        world.patient.next_hopeful().await.unwrap();
        assert_eq!(begun(&world).await, 0);
    });
}
