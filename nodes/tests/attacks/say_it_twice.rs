//! A server wants to sign a second history of the network, from a point that its witnesses have
//! passed: one in which a revoked hospital is a member again.

use std::fs;
use std::time::Duration;

use hdms::Error;

use crate::common::Net;
use crate::watched::{self, alarms};

/// The server's database and what goes with it.
fn files(net: &Net) -> Vec<std::path::PathBuf> {
    ["server.sqlite", "server.sqlite-wal", "server.sqlite-shm"].map(|it| net.data().join(it)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn most_witnesses_have_to_co_sign_and_one_that_is_away_holds_nothing_up() {
    let (net, mut notaries) = watched::network().await;
    let before = net.trust().await.manifest().number;
    notaries.pop().unwrap().serving().stop().await;
    net.hospital(1).await;
    let number = net.trust().await.manifest().number;
    assert!(number > before, "two of three");

    notaries.pop().unwrap().serving().stop().await;
    let hospital = net.request(crate::common::keys(2), hdms::card::Role::Institution, "Other");
    let asked = net.ask(crate::common::keys(2), &hospital).await;
    assert_eq!(asked, Err(Error::AdmissionPending));
    net.operator().admit(hospital.iss.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let trust = net.trust().await;
    assert_eq!(trust.manifest().number, number, "one of three");
    assert!(trust.node(&hospital.iss).is_err(), "what was decided waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_put_back_says_nothing_a_second_time_and_goes_on_above() {
    let (mut net, notaries) = watched::network().await;
    let hospital = net.hospital(1).await;
    let patient = net.person(0).await;
    net.stop_server().await;
    let kept: Vec<_> = files(&net).iter().map(|file| fs::read(file).ok()).collect();
    net.start_again(|_| ()).await;
    net.operator().revoke(hospital.id.clone(), "closed").await.unwrap();
    net.operator().revoke(patient.id.clone(), "gone").await.unwrap();
    let now = net.now();
    let revoked = |trust: &hdms::network::Trust, id| {
        trust.check_revocation(id, now) == Err(Error::CardRevoked)
    };
    net.until(|trust| revoked(trust, &hospital.id) && revoked(trust, &patient.id)).await;
    let later = net.hospital(2).await;
    let held = net.trust().await;
    watched::all_keep(&notaries, held.manifest().number).await;

    net.stop_server().await;
    for (file, bytes) in files(&net).iter().zip(kept) {
        match bytes {
            Some(bytes) => fs::write(file, bytes).unwrap(),
            None => drop(fs::remove_file(file)),
        }
    }
    net.start_again(|_| ()).await;
    let after = net.until(|trust| trust.manifest().number >= held.manifest().number).await;
    assert!(revoked(&after, &hospital.id) && revoked(&after, &patient.id));
    assert!(after.node(&hospital.id).is_err() && after.node(&later.id).is_ok());
    let known = held.manifest().number;
    let trail = net.operator().trail().await.unwrap();
    let taken =
        trail.entries.iter().find(|row| row.act == hdms_nodes::server::trail::Act::TakenBack);
    assert_eq!(taken.unwrap().detail["to"], known);
    // Whoever has seen the others takes the next, and nobody was shown two.
    net.hospital(3).await;
    let next = net.until(|trust| trust.manifest().number > known).await.manifest().number;
    for notary in &notaries {
        notary.member().refresh().await.unwrap();
        assert!(notary.member().standing().trust.manifest().number >= next);
        assert!(alarms(notary).await.is_empty());
    }
}
