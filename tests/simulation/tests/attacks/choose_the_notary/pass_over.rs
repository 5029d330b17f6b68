//! Who wants a notary to be passed over that was drawn: it has to have been silent, or to be none.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::ledger::{Passed, SILENCE};
use hdms::notary::DepositAnswer;
use hdms::provider::Clock;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::patient::{PatientCase, Phase};
use hdms_simulation::BEGIN;

use super::scene::{delisted, drawn, refused, remove, silent};
use crate::case;

#[test]
fn the_next_in_rank_waits_until_the_first_was_silent_for_a_day() {
    block_on(async {
        let mut scene = drawn(1).await;
        let since = BEGIN.seconds() + 60;
        let waited = scene.with_passed(scene.passed(silent(since)));
        assert_eq!(scene.deposit(waited.clone()).await, refused(Error::NotDrawn), "too early");
        scene.world.providers.clock.advance((SILENCE - 600) * 1000);
        assert_eq!(scene.deposit(waited.clone()).await, refused(Error::NotDrawn), "still");
        let before = scene.with_passed(scene.passed(silent(since - SILENCE)));
        assert_eq!(scene.deposit(before).await, refused(Error::NotDrawn), "before it was asked");
        let neither = |notary| Passed { notary, delisted: None, silent: None };
        let neither = scene.with_passed(scene.passed(neither));
        assert_eq!(scene.deposit(neither).await, refused(Error::NotDrawn), "no reason");
        scene.world.providers.clock.advance(700 * 1000);
        let stranger = scene.me().clone();
        let another = scene.with_passed(vec![silent(since)(stranger)]);
        assert_eq!(scene.deposit(another).await, refused(Error::NotDrawn), "another was first");
        assert_eq!(scene.approve(waited).await, Ok(()));
    });
}

/// The manifest that the patient names may be old: of the time before it asked nobody was silent.
#[test]
fn no_notary_was_silent_before_the_patient_asked() {
    block_on(async {
        let mut scene = drawn(1).await;
        scene.world.providers.clock.advance(SILENCE * 1000);
        scene.asked = scene.world.providers.clock.now();
        let waited = scene.with_passed(scene.passed(silent(BEGIN.seconds() + 60)));
        assert_eq!(scene.deposit(waited).await, refused(Error::NotDrawn));
        scene.world.providers.clock.advance(SILENCE * 1000);
        let waited = scene.with_passed(scene.passed(silent(scene.asked.seconds())));
        assert_eq!(scene.approve(waited).await, Ok(()));
    });
}

#[test]
fn the_third_in_rank_waits_for_a_day_of_each_before_it() {
    block_on(async {
        let mut scene = drawn(2).await;
        let since = BEGIN.seconds() + 60;
        scene.world.providers.clock.advance(SILENCE * 1000);
        let at_once = scene.with_passed(scene.passed(silent(since)));
        assert_eq!(scene.deposit(at_once.clone()).await, refused(Error::NotDrawn));
        scene.world.providers.clock.advance(SILENCE * 1000);
        assert_eq!(scene.deposit(at_once).await, refused(Error::NotDrawn), "not one by one");
        let mut passed = scene.passed(silent(since));
        passed[1].silent = Some(since + SILENCE);
        let one_by_one = scene.with_passed(passed);
        assert_eq!(scene.approve(one_by_one).await, Ok(()));
    });
}

#[test]
fn a_notary_is_passed_over_as_delisted_only_by_a_manifest_without_it() {
    block_on(async {
        let mut scene = drawn(1).await;
        let named = scene.entry.draw.clone().unwrap().number;
        for number in [1, named] {
            let said = scene.with_passed(scene.passed(delisted(number)));
            assert_eq!(scene.deposit(said).await, refused(Error::NotDrawn), "{number}");
        }
        let unknown = scene.with_passed(scene.passed(delisted(named + 1)));
        assert_eq!(scene.deposit(unknown.clone()).await, refused(Error::NotDrawn));
        let first = scene.ranking.notaries[0].clone();
        remove(&mut scene.world, &first).await;
        assert_eq!(scene.approve(unknown).await, Ok(()));
    });
}

#[test]
fn a_patient_that_does_not_know_the_manifest_yet_waits_for_it() {
    block_on(async {
        let mut scene = drawn(1).await;
        let before = scene.world.patient.trust();
        let first = scene.ranking.notaries[0].clone();
        remove(&mut scene.world, &first).await;
        let after = scene.world.patient.trust();
        scene.world.patient.set_trust(before.as_ref().clone());
        let number = after.manifest().number;
        let said = scene.with_passed(scene.passed(delisted(number)));
        assert_eq!(scene.approve(said).await, Err(Error::ManifestUnknown));
        scene.world.patient.set_trust(after.as_ref().clone());
        let taken = scene.world.patient.retry_hopeful::<PatientCase>().await.unwrap();
        assert_eq!(taken.len(), 1);
    });
}

/// Not an attack: a notary that is down, or gone, keeps nobody from being treated.
#[test]
fn a_notary_that_refuses_a_card_for_a_day_has_not_been_silent() {
    block_on(async {
        let mut scene = drawn(1).await;
        let world = &mut scene.world;
        world.hospital.approve(&case()).await.unwrap();
        let deposit = world.unanswered();
        for (why, goes_on) in [(Error::CardSuperseded, false), (Error::NodeBusy, true)] {
            let (failed, kept) = world.hospital.postpone(&deposit, why.into()).await;
            assert_eq!((failed.len(), kept), (1, Ok(())));
            world.providers.clock.advance(SILENCE * 1000);
            world.hospital.pass_over().await.unwrap();
            assert_eq!(!world.unanswered().is_empty(), goes_on, "{why}");
        }
    });
}

#[test]
fn a_hospital_goes_on_to_the_next_in_rank_when_the_first_is_silent_or_delisted() {
    block_on(async {
        for is_delisted in [false, true] {
            let mut scene = drawn(1).await;
            let world = &mut scene.world;
            world.hospital.approve(&case()).await.unwrap();
            let stale = world.unanswered();
            assert_eq!(stale[0].to, scene.ranking.notaries[0]);
            world.hospital.pass_over().await.unwrap();
            assert!(world.unanswered().is_empty(), "not yet");
            if is_delisted {
                remove(world, &scene.ranking.notaries[0]).await;
            } else {
                world.providers.clock.advance(SILENCE * 1000);
            }
            world.hospital.pass_over().await.unwrap();
            world.hospital.pass_over().await.unwrap();
            let late = [DepositAnswer::Refused(Error::NotDrawn.code().into())];
            let answered = world.hospital.deposit_answered::<HospitalCase>(&stale[0], &late).await;
            assert_eq!(answered, Ok(()), "what the first says now is no matter");
            world.deliver_all().await.unwrap();
            let state: PatientCase = world.patient.case(&case()).await.unwrap();
            assert_eq!((state.phase, state.notary.as_ref()), (Phase::Approved, Some(scene.me())));
            let HospitalCase { ranking, .. } = scene.world.hospital.case(&case()).await.unwrap();
            let [passed] = &ranking.unwrap().drawn.passed[..] else { panic!("one") };
            assert_eq!(passed.delisted.is_some(), is_delisted);
            assert_eq!(state.passed, std::slice::from_ref(passed), "the patient is told");
        }
    });
}

#[test]
fn a_request_is_approved_at_the_next_in_rank_when_those_before_were_delisted_since_it_came() {
    block_on(async {
        let mut scene = drawn(2).await;
        let world = &mut scene.world;
        for notary in &scene.ranking.notaries[..2] {
            remove(world, notary).await;
        }
        let case = world.hospital.approve(&case()).await.unwrap();
        assert_eq!(case.notary.as_ref(), Some(scene.me()));
    });
}
