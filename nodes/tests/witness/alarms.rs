//! What a witness says aloud: that a log has forked, gone back, or can't show that it has only grown.

use hdms::Error;
use hdms::log::{SignedCheckpoint, encode};
use hdms_nodes::base::keys::AwsPrimitives;
use serde_json::Value;

use crate::depositing::{Depositors, refused};
use crate::played::{Leaves, PlayedLog, body};
use crate::scene::{Scene, alarms, network, restart, url};
use crate::spoken;

/// What anybody can make of an alarm: its kind, and both checkpoints, which the log has signed.
async fn proven(alarm: &Value, log: &PlayedLog) -> (String, [SignedCheckpoint; 2]) {
    assert_eq!(alarm["log"], log.key.name);
    let notes = ["cosigned", "refused"].map(|name| alarm[name].as_str().unwrap());
    let checkpoints = notes.map(|note| SignedCheckpoint::parse(note).unwrap());
    for checkpoint in &checkpoints {
        checkpoint.verify_log(&log.key, &AwsPrimitives).await.unwrap();
    }
    (alarm["kind"].as_str().unwrap().to_owned(), checkpoints)
}

#[tokio::test]
async fn a_fork_is_refused_aloud_once_with_evidence_that_anybody_can_check() {
    spoken::listen();
    let scene = Scene::set().await;
    let (leaves, fork) = (Leaves::of("honest", 9), Leaves::of("forked", 9));
    assert_eq!(scene.submit(scene.log.submission(&leaves, 0, 5)).await.status, 200);
    for _ in 0..3 {
        for old in [5, 0, 3] {
            let answer = scene.submit(scene.log.submission(&fork, old, 5)).await;
            assert_eq!((answer.status, &*answer.text), (409, "5\n"));
        }
    }
    let found = scene.alarms().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["time"], scene.net.now().seconds());
    let (kind, [cosigned, refused]) = proven(&found[0], &scene.log).await;
    assert_eq!(kind, "fork");
    assert_eq!(cosigned.checkpoint(), scene.log.checkpoint(&leaves, 5).checkpoint());
    assert_eq!(refused.checkpoint(), scene.log.checkpoint(&fork, 5).checkpoint());
    assert!(scene.cosignature_time(&cosigned).await.is_some());
    assert_eq!(scene.cosignature_time(&refused).await, None);
    let said = spoken::errors_with(&encode(&fork.root(5)));
    assert_eq!(said.len(), 1, "{said:?}");
    for part in ["fork", "refused_size=5", "cosigned_size=5", &encode(&leaves.root(5))] {
        assert!(said[0].contains(part), "{said:?}");
    }
    assert_eq!(scene.submit(scene.log.submission(&leaves, 5, 9)).await.status, 200);
    // Also at a size that is no longer the newest.
    let answer = scene.submit(scene.log.submission(&Leaves::of("third", 5), 0, 5)).await;
    assert_eq!((answer.status, &*answer.text), (409, "9\n"));
    assert_eq!(proven(&scene.alarms().await[1], &scene.log).await.0, "fork");
}

#[tokio::test]
async fn a_rollback_is_refused_aloud() {
    spoken::listen();
    let scene = Scene::set().await;
    let leaves = Leaves::of("rollback", 9);
    assert_eq!(scene.submit(scene.log.submission(&leaves, 0, 9)).await.status, 200);
    for old in [0, 3, 5] {
        let answer = scene.submit(scene.log.submission(&leaves, old, 5)).await;
        assert_eq!((answer.status, &*answer.text), (409, "9\n"));
    }
    let found = scene.alarms().await;
    assert_eq!(found.len(), 1);
    let (kind, [cosigned, refused]) = proven(&found[0], &scene.log).await;
    assert_eq!(kind, "rollback");
    assert_eq!([cosigned.checkpoint().size, refused.checkpoint().size], [9, 5]);
    assert_eq!(spoken::errors_with(&encode(&leaves.root(5))).len(), 1);
}

#[tokio::test]
async fn a_dropped_or_altered_leaf_never_gets_a_cosignature() {
    spoken::listen();
    let scene = Scene::set().await;
    let leaves = Leaves::of("grown", 20);
    assert_eq!(scene.submit(scene.log.submission(&leaves, 0, 9)).await.status, 200);
    let [mut dropped, mut altered] = [Leaves::default(), Leaves::default()];
    for number in 0..20 {
        if number != 3 {
            dropped.push(&format!("grown {number}"));
        }
        altered.push(&if number == 8 { "altered".into() } else { format!("grown {number}") });
    }
    dropped.push("another one");
    for (number, tree) in [&dropped, &altered].into_iter().enumerate() {
        let checkpoint = scene.log.checkpoint(tree, 20);
        for proof in [tree.proof(9, 20), leaves.proof(9, 20), Vec::new(), vec![[1; 32]; 63]] {
            assert_eq!(scene.submit(body(9, &proof, &checkpoint)).await.status, 422);
        }
        let found = scene.alarms().await;
        assert_eq!(found.len(), number + 1);
        let (kind, [cosigned, refused]) = proven(&found[number], &scene.log).await;
        assert_eq!(kind, "unproven");
        assert_eq!(cosigned.checkpoint().root, leaves.root(9));
        assert_eq!(refused.checkpoint().root, tree.root(20));
        assert_eq!(spoken::errors_with(&encode(&tree.root(20))).len(), 1);
    }
}

#[tokio::test]
async fn a_strangers_false_proof_casts_no_lasting_doubt_on_a_log() {
    let scene = Scene::set().await;
    let leaves = Leaves::of("stranger", 9);
    assert_eq!(scene.submit(scene.log.submission(&leaves, 0, 5)).await.status, 200);
    let genuine = scene.log.checkpoint(&leaves, 9);
    for proof in [Vec::new(), vec![[7; 32]; 3]] {
        assert_eq!(scene.submit(body(5, &proof, &genuine)).await.status, 422);
    }
    assert_eq!(scene.alarms().await.len(), 1);
    assert_eq!(scene.submit(scene.log.submission(&leaves, 5, 9)).await.status, 200);
    assert!(scene.alarms().await.is_empty());
    assert_eq!(scene.submit(body(9, &[[7; 32]], &genuine)).await.status, 422);
    assert!(scene.alarms().await.is_empty());
}

#[tokio::test]
async fn a_notary_put_back_to_an_older_copy_of_its_database_logs_nothing_more() {
    spoken::listen();
    let (net, mut notaries) = network(1, 2).await;
    let people = Depositors::of(&net).await;
    let (witness, mut notary) = (notaries.pop().unwrap(), notaries.pop().unwrap());
    people.logged(&notary, 2).await;
    let copy = net.dir.path().join("copy.sqlite");
    let file = "notary.sqlite";
    notary = restart(&net, notary, |folder| {
        std::fs::copy(folder.join(file), &copy).unwrap();
    })
    .await;
    people.logged(&notary, 1).await;
    notary = restart(&net, notary, |folder| {
        std::fs::copy(&copy, folder.join(file)).unwrap();
    })
    .await;
    assert!(alarms(&witness).await.is_empty());
    assert_eq!(people.deposit(&notary).await, refused(Error::WitnessesMissing));
    let found = alarms(&witness).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["kind"], "fork");
    let [cosigned, refused] = ["cosigned", "refused"]
        .map(|name| SignedCheckpoint::parse(found[0][name].as_str().unwrap()).unwrap());
    assert_eq!([cosigned.checkpoint().size, refused.checkpoint().size], [3, 3]);
    let said = spoken::errors_with(&encode(&refused.checkpoint().root));
    assert_eq!(said.len(), 2, "both say so: {said:?}");
    assert!(said.iter().any(|line| line.contains("older copy")));
    let published = reqwest::get(format!("{}/log/checkpoint", url(&notary))).await.unwrap();
    let published = SignedCheckpoint::parse(&published.text().await.unwrap()).unwrap();
    assert_eq!(published.checkpoint().size, 2);
    people.logged(&witness, 1).await;
}
