//! A patient wants a hospital to forget what it has to know: it asks again while its first request, which
//! nobody has decided, goes; or it has the hospital keep more than that finds again.

use std::cell::Cell;

use futures_lite::future::{block_on, zip};
use hdms::Error;
use hdms::ids::CaseId;
use hdms::node::{Lapse, Platform};
use hdms::provider::{Store, Table, Timestamp, Write};
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, World};

const UNTIL: Timestamp = Timestamp(BEGIN.0 + 60_000);
const LATE: Lapse<'static> = Lapse { why: "Too late", remembered: UNTIL };

fn case(number: u8) -> CaseId {
    format!("019b7985-7400-7000-8000-00000000000{number}").parse().unwrap()
}

async fn ask(world: &World, case: &CaseId) {
    let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: Vec::new() };
    world.patient.ask(case, world.hospital.id(), request).await.unwrap();
}

/// How many rows there are at the hospital.
async fn rows(world: &World, table: Table, prefix: &str) -> usize {
    world.hospital.platform().store().scan(table, prefix, "", 10_000).await.unwrap().len()
}

#[test]
fn who_asks_again_while_a_request_goes_is_no_stranger() {
    block_on(async {
        for lapses_first in [true, false] {
            let mut world = World::new(3).await.unwrap();
            let (first, second) = (case(1), case(2));
            ask(&world, &first).await;
            world.deliver_all().await.unwrap();
            ask(&world, &second).await;
            world.settle().await.unwrap();
            let envelope = world.mail.remove(0).envelope;
            let (hospital, patient) = (&world.hospital, world.patient.id());
            let asked = Cell::new(false);
            // What the hospital knows is asked when it goes, and not before.
            let is_stranger = || {
                asked.set(true);
                block_on(hospital.case::<HospitalCase>(&second)).is_err()
            };
            let lapse = hospital.let_lapse((&first, patient), LATE, is_stranger);
            let receive = hospital.receive::<HospitalCase>(envelope.as_bytes());
            let (gone, taken) = if lapses_first {
                zip(lapse, receive).await
            } else {
                let (taken, gone) = zip(receive, lapse).await;
                (gone, taken)
            };
            assert_eq!((gone, taken.is_ok(), asked.get()), (Ok(true), true, true));
            assert!(hospital.case::<HospitalCase>(&first).await.is_err());
            assert_eq!(rows(&world, Table::Cards, patient.as_ref()).await, 1);
            assert!(rows(&world, Table::Inbox, &format!("seen/{patient}/")).await > 0);
            hospital.decline(&second, "No").await.unwrap();
        }
    });
}

#[test]
fn of_a_stranger_everything_is_forgotten_however_much_it_is() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        ask(&world, &case(1)).await;
        world.deliver_all().await.unwrap();
        let patient = world.patient.id();
        let seen = |number| Write::Put {
            table: Table::Inbox,
            key: format!("seen/{patient}/{number:05}"),
            value: Vec::new(),
        };
        let store = world.hospital.platform().store();
        store.commit((0..2500).map(seen).collect()).await.unwrap();
        world.hospital.let_lapse((&case(1), patient), LATE, || true).await.unwrap();
        world.providers.clock.set(UNTIL);
        world.hospital.forget_lapsed(|_| true).await.unwrap();
        for (table, prefix) in [(Table::Inbox, "seen/"), (Table::Cards, patient.as_ref())] {
            assert_eq!(rows(&world, table, prefix).await, 0);
        }
    });
}

#[test]
fn what_went_begins_no_more_until_its_envelope_has_expired_and_its_refusal_is_sealed_anew() {
    block_on(async {
        let mut world = World::new(5).await.unwrap();
        ask(&world, &case(1)).await;
        world.settle().await.unwrap();
        let mail = world.mail.remove(0);
        world.deliver(&mail).await.unwrap();
        let (hospital, patient) = (&world.hospital, world.patient.id());
        assert_eq!(hospital.let_lapse((&case(1), patient), LATE, || true).await, Ok(true));
        let again = hospital.receive::<HospitalCase>(mail.envelope.as_bytes()).await;
        assert_eq!(again.map(|taken| taken.outcome), Ok(hdms::node::Outcome::Repeated));
        assert!(hospital.case::<HospitalCase>(&case(1)).await.is_err());
        let seen = format!("seen/{patient}/");
        hospital.forget_lapsed(|_| true).await.unwrap();
        assert_eq!(rows(&world, Table::Inbox, &seen).await, 1);
        // The refusal is to be sealed anew, to a card that is known again by that.
        let refusal = hospital.waiting("", 1).await.unwrap();
        let card = world.patient.card().jwt().to_owned();
        let anew = hospital.former_key(&refusal, Some(&card)).await;
        assert_eq!(anew.err(), Some(Error::FormerKey), "of this card it is");
        assert_eq!(rows(&world, Table::Cards, patient.as_ref()).await, 1);
        world.providers.clock.set(UNTIL);
        hospital.forget_lapsed(|_| true).await.unwrap();
        assert_eq!(rows(&world, Table::Inbox, &seen).await, 0);
        assert_eq!(rows(&world, Table::Meta, "remembered/").await, 0);
        assert_eq!(rows(&world, Table::Cards, patient.as_ref()).await, 0);
    });
}
