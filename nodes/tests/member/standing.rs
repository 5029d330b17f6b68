//! What a node may do in its network changes while it runs.

use hdms::Error;
use hdms::card::LIFETIME;
use hdms::network::PROTOCOL_VERSION;
use hdms::treatment::patient::Phase;
use serde_json::Value;

use crate::scene::Scene;
use crate::stage::{ask, until};

#[tokio::test(flavor = "multi_thread")]
async fn cards_renew_themselves_while_the_nodes_run() {
    let scene = Scene::set().await;
    let case = scene.approved().await;
    let (hospital, notary) = (scene.hospital().node(), scene.notary.member());
    let first = hospital.card();
    // Twice two thirds of a card's life: the first ones have expired.
    for _ in 0..2 {
        scene.net.clock.advance((LIFETIME * 2 / 3 + 1) * 1000);
        let now = scene.net.now().seconds();
        scene
            .net
            .until(|trust| trust.check_revocation(hospital.id(), scene.net.now()).is_ok())
            .await;
        scene.hospital_until(|_| hospital.card().card().iat == now).await;
        scene.hospital_until(|_| notary.standing().card.card().iat == now).await;
        scene.node().platform().member().refresh().await.unwrap();
    }
    assert!(first.card().exp < scene.net.now().seconds());
    let listed = |trust: &hdms::network::Trust| {
        trust.node(hospital.id()).is_ok_and(|card| card.jwt() == hospital.card().jwt())
    };
    scene.net.until(listed).await;
    scene.node().platform().member().refresh().await.unwrap();
    scene.treat(&case).await;
    assert_eq!(scene.hospital_until(|_| true).await["trouble"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_hospital_says_why_sends_nothing_and_goes_on_when_it_is_admitted_again() {
    let scene = Scene::set().await;
    let case = scene.ask().await;
    scene.his.until(&case, |view| view["summary"]["phase"]["kind"] == "requested").await;
    let id = scene.hospital().node().id().clone();
    scene.net.operator().revoke(id.clone(), "The licence was withdrawn").await.unwrap();
    let view = scene.hospital_until(|view| view["trouble"]["reason"].is_string()).await;
    assert_eq!(view["trouble"]["code"], "card/revoked");
    assert_eq!(view["trouble"]["reason"], "The licence was withdrawn");
    scene.his.approve(&case).await;
    scene.node().platform().member().refresh().await.unwrap();
    until_distrusted(&scene).await;
    scene.hospital_until(|view| view["waiting"] == 1).await;
    assert_eq!(scene.his.get(&format!("/api/cases/{case}")).await.status, 200);

    // Everybody learns of it at another moment, and time goes on: what was refused is tried again.
    let looking = async {
        loop {
            scene.net.clock.advance(100);
            scene.node().platform().member().refresh().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let admitted = async {
        scene.net.operator().admit(id).await.unwrap();
        scene.hospital_until(|view| view["trouble"].is_null()).await;
        until(scene.node(), &case, |case| case.phase == Phase::Approved).await;
        scene.hospital_until(|view| view["waiting"] == 0).await;
    };
    tokio::select! {
        () = looking => {}
        () = admitted => {}
    }
}

/// Until the patient's node sends nothing to the hospital any more.
async fn until_distrusted(scene: &Scene) {
    let (node, hospital) = (scene.node(), scene.hospital().node().id());
    let gone = |trust: &hdms::network::Trust| trust.node(hospital).is_err();
    scene.net.until(gone).await;
    node.platform().member().refresh().await.unwrap();
    for _ in 0..1000 {
        let Err(error) = node.card_of(hospital).await else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        return assert!(matches!(error, Error::CardRevoked | Error::CardUnknown), "{error}");
    }
    panic!("the patient's node goes on to trust the hospital");
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_minimum_version_a_hospital_takes_in_and_sends_nothing_until_it_may_again() {
    let scene = Scene::set().await;
    let case = scene.ask().await;
    scene.his.until(&case, |view| view["summary"]["phase"]["kind"] == "requested").await;
    scene.net.demand_version(PROTOCOL_VERSION + 1);
    let view = scene.hospital_until(|view| view["trouble"].is_object()).await;
    assert_eq!(view["trouble"]["code"], "network/version");
    assert!(view["trouble"]["sentence"].as_str().unwrap().contains("update"));
    scene.his.approve(&case).await;
    let later = ask(scene.node(), scene.hospital().node().id()).await;
    scene.his.until(&later, |view| view["summary"]["phase"]["kind"] == "requested").await;
    scene.hospital_until(|view| view["waiting"] == 1).await;

    scene.net.demand_version(PROTOCOL_VERSION);
    scene.hospital_until(|view| view["trouble"].is_null()).await;
    until(scene.node(), &case, |case| case.phase == Phase::Approved).await;
    scene.his.approve(&later).await;
    until(scene.node(), &later, |case| case.phase == Phase::Approved).await;
}
