//! What a witness co-signs, and what it answers to anything else (C2SP tlog-witness).

use futures_util::future::join_all;
use hdms::log::{MAX_TEXT, SignedCheckpoint, encode};

use crate::common::problem;
use crate::played::{Answer, Leaves, PlayedLog, body};
use crate::scene::{Scene, meets, state, url};

fn size(answer: &Answer) -> u64 {
    assert_eq!((answer.status, &*answer.media_type), (409, "text/x.tlog.size"), "{answer:?}");
    answer.text.strip_suffix('\n').unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_log_that_grows_is_co_signed() {
    let scene = Scene::set().await;
    let leaves = Leaves::of("grows", 700);
    let mut old = 0;
    for new in [1, 2, 3, 256, 257, 699, 700] {
        let checkpoint = scene.log.checkpoint(&leaves, new);
        let answer = scene.submit(scene.log.submission(&leaves, old, new)).await;
        let time = scene.cosigned(&answer, &checkpoint).await;
        assert_eq!(time, scene.net.now().seconds());
        scene.net.clock.advance(1000);
        old = new;
    }
    let again = scene.submit(scene.log.submission(&leaves, 700, 700)).await;
    let checkpoint = scene.log.checkpoint(&leaves, 700);
    assert_eq!(scene.cosigned(&again, &checkpoint).await, scene.net.now().seconds());
    let kept = state(&scene.witness, &scene.log.key.name).await.unwrap();
    assert_eq!(kept.checkpoint(), checkpoint.checkpoint());
    assert!(scene.cosignature_time(&kept).await.is_some());
    assert_eq!(scene.alarms().await, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_log_learns_from_where_to_prove_that_it_has_grown() {
    let scene = Scene::set().await;
    let leaves = Leaves::of("learns", 9);
    assert_eq!(size(&scene.submit(scene.log.submission(&leaves, 3, 5)).await), 0);
    assert_eq!(scene.submit(scene.log.submission(&leaves, 0, 5)).await.status, 200);
    for old in [0, 4, 6] {
        assert_eq!(size(&scene.submit(scene.log.submission(&leaves, old, 9)).await), 5);
    }
    assert_eq!(scene.submit(scene.log.submission(&leaves, 5, 9)).await.status, 200);
    // What was co-signed long ago may come late, and says nothing against the log.
    assert_eq!(size(&scene.submit(scene.log.submission(&leaves, 0, 5)).await), 9);
    assert!(scene.alarms().await.is_empty());
}

#[tokio::test]
async fn what_is_no_submission_or_of_no_member_is_refused_by_its_status() {
    let scene = Scene::set().await;
    let leaves = Leaves::of("refused", 8);
    let good = scene.log.submission(&leaves, 0, 8);
    let checkpoint = scene.log.checkpoint(&leaves, 8);
    let [stranger, self_] = [
        PlayedLog::stranger(&scene.net, 1),
        PlayedLog {
            id: scene.witness.member().id().clone(),
            key: scene.net.trust().await.log(scene.witness.member().id()).unwrap().log_key(),
            ..PlayedLog::stranger(&scene.net, 1)
        },
    ];
    let by_another = {
        let key = scene.log.key.clone();
        PlayedLog { key, ..PlayedLog::stranger(&scene.net, 1) }
    };
    let altered = good.replace("\n8\n", "\n7\n");
    for (body, status) in [
        (String::new(), 400),
        (checkpoint.to_text(), 400),
        (good.replace("old 0", "old zero"), 400),
        (good.replace("old 0", "old 9"), 400),
        (stranger.submission(&leaves, 0, 8), 404),
        (self_.submission(&leaves, 0, 8), 404),
        (good.replace("hdms-log/", "other-log/"), 404),
        (by_another.submission(&leaves, 0, 8), 403),
        (altered, 403),
        (body(0, &[[1; 32]], &checkpoint), 422),
    ] {
        assert_eq!(scene.submit(body.clone()).await.status, status, "{body}");
    }
    let witness = url(&scene.witness);
    let large = reqwest::Client::new()
        .post(format!("{witness}/witness/add-checkpoint"))
        .body(format!("{good}{}", "x".repeat(2 * MAX_TEXT)));
    assert_eq!(problem(large.send().await.unwrap()).await, (413, "api/too-large".into()));
    let get = reqwest::get(format!("{witness}/witness/add-checkpoint")).await.unwrap();
    assert_eq!(problem(get).await, (405, "api/method".into()));
    assert!(scene.alarms().await.is_empty(), "none of this speaks against the log");
    assert_eq!(scene.submit(good).await.status, 200);
}

#[tokio::test]
async fn an_address_that_is_refused_too_often_has_to_wait_and_the_log_has_not() {
    let scene = Scene::set().await;
    let leaves = Leaves::of("often", 2);
    let mut statuses = Vec::new();
    for _ in 0..13 {
        let refused = (0..50).map(|_| scene.submit("old"));
        statuses.extend(join_all(refused).await.into_iter().map(|answer| answer.status));
    }
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 600);
    assert!(statuses[600..].iter().all(|status| *status == 429));
    assert_eq!(scene.submit(scene.log.submission(&leaves, 0, 2)).await.status, 200);
}

#[tokio::test]
async fn lines_of_other_keys_are_not_kept() {
    let scene = Scene::set().await;
    let leaves = Leaves::of("lines", 1);
    let other = PlayedLog::stranger(&scene.net, 1).checkpoint(&leaves, 1);
    let mut checkpoint = scene.log.checkpoint(&leaves, 1);
    other.note().signatures.iter().for_each(|line| checkpoint.add(line.clone()));
    assert_eq!(scene.submit(body(0, &[], &checkpoint)).await.status, 200);
    let kept = state(&scene.witness, &scene.log.key.name).await.unwrap();
    let names: Vec<_> = kept.note().signatures.iter().map(|line| line.name.clone()).collect();
    let witness = format!("hdms-witness/{}", scene.witness.member().id());
    assert_eq!(names, [scene.log.key.name.clone(), witness]);
}

#[tokio::test]
async fn of_two_branches_that_race_only_one_is_ever_co_signed() {
    let scene = Scene::set().await;
    let trunk = Leaves::of("race", 10);
    let branches = ["one", "other"].map(|name| {
        let mut branch = trunk.clone();
        (0..40).for_each(|number| branch.push(&format!("{name} {number}")));
        branch
    });
    assert_eq!(scene.submit(scene.log.submission(&trunk, 0, 10)).await.status, 200);
    let (mut newest, mut cosigned) = (10, Vec::<(usize, SignedCheckpoint)>::new());
    while newest < 50 {
        let mut asked = Vec::new();
        for new in newest + 1..=(newest + 8).min(50) {
            for (number, branch) in branches.iter().enumerate() {
                // The wrong branch can only try, with a proof from its own tree.
                let submission = scene.log.submission(branch, newest, new);
                asked.push((number, scene.log.checkpoint(branch, new), submission));
            }
        }
        let answers = join_all(asked.iter().map(|one| scene.submit(one.2.clone()))).await;
        for ((number, checkpoint, _), answer) in asked.into_iter().zip(answers) {
            if answer.status == 200 {
                scene.cosigned(&answer, &checkpoint).await;
                cosigned.push((number, checkpoint));
            }
        }
        let kept = state(&scene.witness, &scene.log.key.name).await.unwrap();
        assert!(kept.checkpoint().size > newest, "one of them wins");
        newest = kept.checkpoint().size;
    }
    let won = cosigned[0].0;
    assert!(cosigned.iter().all(|(number, _)| *number == won));
    let sizes: Vec<_> = cosigned.iter().map(|(_, one)| one.checkpoint().size).collect();
    assert!(sizes.iter().all(|size| sizes.iter().filter(|other| *other == size).count() == 1));
}

#[tokio::test]
async fn a_witness_that_starts_again_knows_what_it_has_co_signed() {
    let scene = Scene::set().await;
    let (leaves, other) = (Leaves::of("restart", 9), Leaves::of("fork", 9));
    assert_eq!(scene.submit(scene.log.submission(&leaves, 0, 5)).await.status, 200);
    assert_eq!(size(&scene.submit(scene.log.submission(&other, 0, 5)).await), 5);
    let alarms = scene.alarms().await;
    let scene = scene.restart().await;
    assert_eq!(scene.alarms().await, alarms);
    assert_eq!(size(&scene.submit(scene.log.submission(&leaves, 0, 9)).await), 5);
    assert_eq!(size(&scene.submit(scene.log.submission(&other, 5, 5)).await), 5);
    assert_eq!(scene.submit(scene.log.submission(&leaves, 5, 9)).await.status, 200);
}

#[tokio::test]
async fn a_former_notary_has_no_log_that_is_co_signed() {
    let scene = Scene::set().await;
    let leaves = Leaves::of("former", 3);
    assert_eq!(scene.submit(scene.log.submission(&leaves, 0, 1)).await.status, 200);
    scene.net.operator().revoke(scene.log.id.clone(), "It is a test.").await.unwrap();
    meets(&scene.witness, 1).await;
    assert_eq!(scene.submit(scene.log.submission(&leaves, 1, 3)).await.status, 404);
    let kept = state(&scene.witness, &scene.log.key.name).await.unwrap();
    assert_eq!(encode(&kept.checkpoint().root), encode(&leaves.root(1)));
}
