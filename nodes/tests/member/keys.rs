//! A hospital gets new keys in the middle of a treatment, and encryption keys change with the cards.

use std::process::Command;
use std::time::Duration;

use hdms::Error;
use hdms::ids::CaseId;

use hdms::base64url::encode;
use hdms::card::{LIFETIME, VerifiedCard};
use hdms::envelope::expect_present_key;
use hdms::node::Platform;
use hdms_nodes::base::keys::{open_or_make, renew_encryption_key};
use hdms_nodes::institution::platform::NativeNode;
use serde_json::json;

use crate::common::{PASSPHRASE, passphrase};
use crate::scene::Scene;
use crate::stage::ask;

/// `hdms keys change` on the folder of a node.
fn change_keys(scene: &Scene) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
    command.args(["keys", "change", "--data"]).arg(scene.net.dir.path().join("hospital"));
    let output = command.env("HDMS_PASSPHRASE", PASSPHRASE).output().unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Whether what the patient's node has sent in `case` was refused for this reason.
async fn is_refused(scene: &Scene, case: &CaseId, why: Error) -> bool {
    let sent = scene.node().waiting("", 10).await.unwrap();
    sent.iter().any(|item| item.case == *case && item.refused.as_deref() == Some(why.code()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hospitals_cases_go_on_with_its_new_keys() {
    let mut scene = Scene::set().await;
    let case = scene.approved().await;
    let before = scene.hospital().node().card();
    let (changed, said) = change_keys(&scene);
    assert!(!changed && said.contains("store/busy"), "{said}");
    scene.stop_hospital().await;
    // The patient's node seals it to the key that it knows, and knows no other until the end.
    let waiting = ask(scene.node(), before.id()).await;
    let (changed, said) = change_keys(&scene);
    assert!(changed && said.starts_with(before.id().as_ref()), "{said}");

    scene.net.clock.advance(60_000);
    scene.start_hospital().await.unwrap();
    let after = scene.hospital().node().card();
    assert_eq!((after.id(), after.card().changes.len()), (before.id(), 1));
    assert_ne!(after.encryption_key(), before.encryption_key());
    scene.treat(&case).await;
    assert_eq!(scene.node().trust().node(before.id()).unwrap().jwt(), before.jwt());
    // Its notary can't be drawn any more with the key that the request asks for.
    while !is_refused(&scene, &waiting, Error::RequestOutdated).await {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    scene.node().platform().member().refresh().await.unwrap();
    while scene.node().trust().node(before.id()).unwrap().jwt() == before.jwt() {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let again = scene.approved().await;
    scene.treat(&again).await;
    let warnings = scene.node().platform().member().warnings().await.unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
}

const DAY: u64 = 24 * 3600;

fn kid(card: &VerifiedCard) -> String {
    card.encryption_key().unwrap().thumbprint()
}

async fn renewed(scene: &Scene, node: &NativeNode, before: &VerifiedCard) {
    let named = |_: &serde_json::Value| kid(&node.card()) != kid(before);
    scene.hospital_until(named).await;
}

/// Time goes on, and the network's documents with it.
async fn days(scene: &Scene, days: u64) {
    scene.net.clock.advance(days * DAY * 1000);
    scene.net.have_it_look();
    let (node, now) = (scene.node(), scene.net.now());
    scene.net.until(|trust| trust.check_revocation(node.id(), now).is_ok()).await;
    node.platform().member().refresh().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_keys_change_while_messages_are_under_way_and_former_ones_are_deleted() {
    let mut scene = Scene::set().await;
    let case = scene.approved().await;
    days(&scene, LIFETIME / DAY * 2 / 3 - 1).await;
    let (hospital, patient) = (scene.hospital().node().card(), scene.node().card());
    scene.stop_hospital().await;
    let waiting = ask(scene.node(), hospital.id()).await;
    scene.net.clock.advance(2 * DAY * 1000);
    scene.start_hospital().await.unwrap();
    renewed(&scene, scene.hospital().node(), &hospital).await;
    // The request was sealed to the hospital's former key, and has the patient's former card in it.
    days(&scene, 0).await;
    renewed(&scene, scene.node(), &patient).await;
    scene.net.clock.advance(60_000);
    let requested = |view: &serde_json::Value| view["summary"]["phase"]["kind"] == "requested";
    scene.as_time_goes_on(scene.his.until(&waiting, requested)).await;
    scene.his.approve(&waiting).await;
    scene.until(&waiting, |case| case.notary.is_some()).await;
    scene.treat(&waiting).await;
    scene.treat(&case).await;
    let opens = |node: &NativeNode, card| node.platform().keys().opens(&kid(card));
    let opened =
        |scene: &Scene| [opens(scene.hospital().node(), &hospital), opens(scene.node(), &patient)];
    assert_eq!(opened(&scene), [true; 2]);
    scene.net.clock.advance(31 * DAY * 1000);
    scene.hospital().refresh().await.ok();
    scene.node().platform().member().refresh().await.ok();
    assert_eq!(opened(&scene), [false; 2]);
    // Whoever takes the device now has nothing that opens what was recorded.
    for (folder, card) in [("hospital", &hospital), ("patient", &patient)] {
        let stolen = open_or_make(&scene.net.dir.path().join(folder), &passphrase()).unwrap();
        assert!(!stolen.opens(&kid(card)), "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_made_before_the_node_was_killed_is_the_next_cards() {
    let mut scene = Scene::set().await;
    let case = scene.approved().await;
    let before = scene.hospital().node().card();
    scene.stop_hospital().await;
    let dir = scene.net.dir.path().join("hospital");
    let keys = open_or_make(&dir, &passphrase()).unwrap();
    renew_encryption_key(&keys, &dir, &passphrase()).unwrap();
    // Others may have a card that the Doorman has issued, and whose answer was lost.
    let addressed = |kid: &str| {
        let header = json!({"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT", "kid": kid});
        let envelope = format!("{}....", encode(header.to_string()));
        expect_present_key(envelope.as_bytes(), &before, &keys)
    };
    for kid in [keys.public().1.thumbprint(), kid(&before)] {
        assert_eq!(addressed(&kid), Ok(()));
    }
    assert_eq!(addressed("another"), Err(Error::FormerKey));
    scene.net.clock.advance(60_000);
    scene.start_hospital().await.unwrap();
    renewed(&scene, scene.hospital().node(), &before).await;
    assert!(
        scene.hospital().node().card().is_present_encryption_key(&keys.public().1.thumbprint())
    );
    scene.treat(&case).await;
    let kept = open_or_make(&dir, &passphrase()).unwrap();
    assert_eq!(kept.public().1, keys.public().1, "no further key was made");
    assert!(kept.opens(&kid(&before)), "and none was lost");
}
