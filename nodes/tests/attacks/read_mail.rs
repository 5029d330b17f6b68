//! A server, or whoever stands before it, wants to read what patients have written to a hospital.

use hdms::Error;
use hdms::card::{LIFETIME, Role};
use hdms::envelope::{Message, MessageType, seal};
use hdms::jose::jwe;
use hdms_nodes::base::keys::AwsPrimitives;
use hdms_nodes::base::store::SqliteStore;
use hdms_nodes::base::system::{NodeClock, SystemClock, SystemRandomness};
use hdms_nodes::member::{Member, MemberConfig};
use tokio_util::sync::CancellationToken;

use crate::common::{Net, case_id, prepare_keys};
use crate::lying_server::LyingServer;

const REASON: &str = "A cough that nobody else is to know of";

/// A patient's request for treatment, as it went over the wire.
async fn captured(net: &Net, hospital: &Member) -> String {
    let (patient, to) = (net.person(0).await, hospital.standing().card.clone());
    let body = serde_json::json!({"record": REASON, "endorsement": "e"});
    let (case, kind) = (&case_id(), MessageType::TreatmentRequest);
    let message = Message { from: &patient.card, to: &to, case, kind, body };
    let sealing = seal(message, patient.keys, &AwsPrimitives, &SystemClock, &SystemRandomness);
    sealing.await.unwrap().1
}

async fn hospital(net: &Net, server: &LyingServer, stop: &CancellationToken) -> Member {
    prepare_keys(&net.dir.path().join("hospital"), &[""]);
    let config = MemberConfig {
        role: Role::Institution,
        server: server.url.clone(),
        ..net.member_config("hospital", "http://127.0.0.1:9".into())
    };
    let store = SqliteStore::open(&net.dir.path().join("hospital/node.sqlite")).unwrap();
    let joining = Member::join(config, store, NodeClock::new(net.clock.clone()), stop.clone());
    tokio::join!(joining, net.admit_next()).0.unwrap()
}

#[tokio::test]
async fn a_server_that_gives_an_envelope_as_challenge_learns_nothing_and_is_told_of() {
    let (net, stop) = (Net::start().await, CancellationToken::new());
    let server = LyingServer::before(&net.url).await;
    let hospital = hospital(&net, &server, &stop).await;
    let (envelope, before) = (captured(&net, &hospital).await, hospital.standing());
    // Before its card is due: the hospital also asks by itself.
    server.challenge_with(&envelope);
    let answered = server.answers().len();
    net.clock.advance(LIFETIME * 1000 * 3 / 4);
    // The server signs its documents anew for whoever is admitted.
    net.hospital(1).await;
    net.until(|trust| trust.check_revocation(hospital.id(), net.now()).is_ok()).await;
    hospital.refresh().await.unwrap();

    assert_eq!(server.answers().len(), answered, "nothing was answered");
    let standing = hospital.standing();
    let trouble = standing.trouble.as_ref().map(|problem| problem.error);
    assert_eq!(trouble, Some(Error::ChallengeForged));
    assert_eq!(standing.card, before.card);
    // What it was after is there: the hospital itself opens it.
    let opened = jwe::CompactJwe::parse(&envelope).unwrap();
    let opened = opened.decrypt(hospital.keys(), &AwsPrimitives).await.unwrap();
    let signature = String::from_utf8_lossy(&opened[opened.len() - 40..]).into_owned();
    for answer in server.answers() {
        assert!(!String::from_utf8(answer.to_vec()).unwrap().contains(&signature));
    }
    stop.cancel();
}
