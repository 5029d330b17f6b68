//! The case's notary is the one that was drawn; one that is down for a day, or gone, keeps nobody from
//! being treated.

use std::time::Duration;

use hdms::card::Role;
use hdms::ids::{CaseId, NodeId};
use hdms::ledger::{Passed, SILENCE};
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::Ranking;
use hdms::treatment::patient::{PatientCase, Phase};
use hdms::treatment::request::TreatmentRequest;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::{self, Institution};
use hdms_nodes::local::personal::Personal;
use hdms_nodes::member::MemberConfig;
use hdms_nodes::notary::Notary;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{Net, case_id, prepare_keys};
use crate::scene::network;

/// A network of three notaries, and somebody on each side of a treatment.
struct Stage {
    net: Net,
    notaries: Vec<Notary>,
    hospital: Institution,
    patient: Personal,
    stop: CancellationToken,
}

impl Stage {
    async fn set() -> Self {
        let (net, notaries) = network(1, 3).await;
        let stop = CancellationToken::new();
        let clock = || NodeClock::new(net.clock.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        prepare_keys(net.dir.path(), &["hospital"]);
        let member = net.member_config("hospital", endpoint);
        let config = institution::Config {
            member: MemberConfig { role: Role::Institution, ..member },
            api_key: None,
            console: None,
            origins: Vec::new(),
            pages: None,
            samples: None,
        };
        let starting = Institution::start(config, clock(), listener, stop.clone());
        let (hospital, ()) = tokio::join!(starting, net.admit_next());
        let hospital = hospital.unwrap();
        let config = net.member_config("patient", String::new());
        let patient = Personal::start(config, clock(), stop.clone()).await.unwrap();
        let stage = Self { net, notaries, hospital, patient, stop };
        stage.knows_all().await;
        stage
    }

    /// Waits until the patient's documents name all notaries and the hospital.
    async fn knows_all(&self) {
        let mut changes = self.patient.node().platform().member().changes();
        let hospital = self.hospital.node().id();
        let wanted = changes.wait_for(|standing| {
            let trust = &standing.trust;
            trust.manifest().notaries.len() == 3 && trust.node(hospital).is_ok()
        });
        let trust = wanted.await.unwrap().trust.clone();
        self.patient.node().set_trust(trust.as_ref().clone());
    }

    /// A new case in which the patient has asked for treatment, and its notaries in rank.
    async fn ask(&self) -> (CaseId, Vec<NodeId>) {
        let (case, hospital) = (case_id(), self.hospital.node().id().clone());
        let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: vec![] };
        self.patient.node().ask(&case, &hospital, request).await.unwrap();
        let ranking = loop {
            if let Ok(HospitalCase { ranking: Some(ranking), .. }) =
                self.hospital.node().case(&case).await
            {
                break ranking;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        (case, ranking.notaries)
    }

    async fn approved(&self, case: &CaseId) -> NodeId {
        loop {
            let state: PatientCase = self.patient.node().case(case).await.unwrap();
            if let (Phase::Approved, Some(notary)) = (state.phase, state.notary) {
                return notary;
            }
            // What a notary has refused that had older documents is tried again.
            self.net.clock.advance(500);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A case whose notary has stopped before the hospital approves.
    async fn with_stopped_notary(&mut self) -> (CaseId, Vec<NodeId>) {
        let (case, ranked) = self.ask().await;
        let is_first = |notary: &Notary| *notary.member().id() == ranked[0];
        let place = self.notaries.iter().position(is_first).unwrap();
        self.notaries.remove(place).serving().stop().await;
        self.hospital.node().approve(&case).await.unwrap();
        (case, ranked)
    }

    async fn passed(&self, case: &CaseId) -> Vec<Passed> {
        let state: HospitalCase = self.hospital.node().case(case).await.unwrap();
        let Ranking { drawn, .. } = state.ranking.unwrap();
        drawn.passed
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn cases_go_to_the_notaries_that_were_drawn_for_them() {
    let stage = Stage::set().await;
    let mut met = Vec::new();
    for _ in 0..10 {
        let (case, ranked) = stage.ask().await;
        assert_eq!(ranked.len(), 3);
        stage.hospital.node().approve(&case).await.unwrap();
        assert_eq!(stage.approved(&case).await, ranked[0]);
        assert_eq!(stage.passed(&case).await, []);
        met.extend(Some(ranked[0].clone()).filter(|notary| !met.contains(notary)));
    }
    assert!(met.len() > 1, "{met:?}");
}

#[tokio::test]
async fn after_a_day_of_silence_the_next_in_rank_has_the_case() {
    let mut stage = Stage::set().await;
    let (case, ranked) = stage.with_stopped_notary().await;
    stage.net.clock.advance((SILENCE - 60) * 1000);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let state: HospitalCase = stage.hospital.node().case(&case).await.unwrap();
    assert_eq!(state.notary.as_ref(), Some(&ranked[0]), "it may still come back");
    stage.net.clock.advance(24 * 3600 * 1000);
    stage.net.have_it_look();
    assert_eq!(stage.approved(&case).await, ranked[1]);
    let [passed] = &stage.passed(&case).await[..] else { panic!("one") };
    assert_eq!((&passed.notary, passed.delisted), (&ranked[0], None));
    assert!(passed.silent.is_some());
}

#[tokio::test]
async fn where_the_drawn_notary_was_revoked_the_next_in_rank_has_the_case() {
    let mut stage = Stage::set().await;
    let (case, ranked) = stage.with_stopped_notary().await;
    stage.net.operator().revoke(ranked[0].clone(), "It is a test.").await.unwrap();
    assert_eq!(stage.approved(&case).await, ranked[1]);
    let [passed] = &stage.passed(&case).await[..] else { panic!("one") };
    assert_eq!((&passed.notary, passed.silent), (&ranked[0], None));
    let named = passed.delisted.unwrap();
    assert!(named <= stage.net.trust().await.manifest().number);
}
