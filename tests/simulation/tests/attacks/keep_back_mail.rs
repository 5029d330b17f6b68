//! A member wants nothing to reach a patient any more, by a message that the patient's node never gets
//! through: it runs out of time, or is killed, again and again in the middle of it.

use std::pin::pin;

use futures_lite::future::{block_on, poll_once};
use hdms::Error;
use hdms::mailbox::Refused;
use hdms::node::{Deliverer, MOST_TRIES, Outcome, Platform};
use hdms::provider::{Clock, Store, Table};
use hdms::treatment::patient::PatientCase;
use hdms_simulation::World;

use crate::case;
use crate::lose_mail::{self, approval};

/// The patient takes it in out of the mailbox, delivered by the hospital.
async fn fetch(world: &World, envelope: &str) -> Result<Outcome, Error> {
    let by = Deliverer::Node { id: world.hospital.id().clone(), seq: 7 };
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

async fn begun(world: &World) -> usize {
    world.patient.platform().store().scan(Table::Inbox, "begun/", "", 10).await.unwrap().len()
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
        }
        assert_eq!(fetch(&world, &envelope).await, Ok(Outcome::Applied));
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
        let code = Error::TakesTooLong.code().to_owned();
        assert_eq!(world.patient.given_up().await, Ok(vec![Refused { seq: 7, code }]));
        assert_eq!(begun(&world).await, 0);
    });
}
