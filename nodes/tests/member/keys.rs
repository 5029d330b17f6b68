//! A hospital gets new keys in the middle of a treatment.

use std::process::Command;
use std::time::Duration;

use hdms::Error;
use hdms::ids::CaseId;

use crate::common::PASSPHRASE;
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
    assert_ne!(after.card().encryption_key, before.card().encryption_key);
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
