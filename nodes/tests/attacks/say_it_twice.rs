//! A server wants to sign a second history of the network, from a point that its witnesses have
//! passed: one in which a revoked hospital is a member again.

mod members;

use std::cmp::Reverse;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use hdms::Error;
use hdms::card::{Role, Subkeys};
use hdms::doorman::AdmissionRequest;
use hdms_nodes::base::http::client::Signer;
use hdms_nodes::base::keys::{AwsKeys, AwsPrimitives, KEY_FILE};
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::notary::Notary;
use hdms_nodes::server::root::{Request, Root, Terms, YEARS};
use rusqlite::Connection;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::common::{Net, Person, keyring, keys, message_id, passphrase};
use crate::stolen_key::change_keys;
use crate::watched::{self, alarms};

/// The server's database and what goes with it.
fn files(net: &Net) -> Vec<std::path::PathBuf> {
    ["server.sqlite", "server.sqlite-wal", "server.sqlite-shm"].map(|it| net.data().join(it)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn most_witnesses_have_to_co_sign_and_one_that_is_away_holds_nothing_up() {
    let (mut net, mut notaries) = watched::network().await;
    let before = net.trust().await.manifest().number;
    notaries.pop().unwrap().serving().stop().await;
    let earlier = state(&notaries[1]).await;
    net.hospital(1).await;
    let number = net.trust().await.manifest().number;
    assert!(number > before, "two of three");

    let away = notaries.pop().unwrap();
    let (address, name) = (away.address(), away.member().standing().card.card().name.clone());
    away.serving().stop().await;
    let hospital = net.request(keys(2), Role::Institution, "Other").await;
    let asked = net.ask(keys(2), &hospital).await;
    assert_eq!(asked, Err(Error::AdmissionPending));
    net.operator().admit(hospital.iss.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let trust = net.trust().await;
    assert_eq!(trust.manifest().number, number, "one of three");
    assert!(trust.node(&hospital.iss).is_err(), "what was decided waits");

    // Nor does a server know after a start that it has said no more, before it has heard from two.
    // One that says less than what it has co-signed has lost what it knew.
    let lost = stand_in(address, earlier).await;
    net.restart().await;
    let person = net.request(keys(0), Role::Personal, "").await;
    assert_eq!(net.ask(keys(0), &person).await, Err(Error::NodeBusy));
    lost.abort();
    assert!(lost.await.is_err());
    watched::start(&net, &name, TcpListener::bind(address).await.unwrap()).await;
    for _ in 0..200 {
        if net.trust().await.node(&hospital.iss).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    net.until(|trust| trust.node(&hospital.iss).is_ok()).await;
    net.ask(keys(0), &AdmissionRequest { jti: message_id(), ..person }).await.unwrap();
}

/// The server as it was when its files were `kept`.
async fn put_back(net: &mut Net, kept: Vec<Option<Vec<u8>>>) {
    net.stop_server().await;
    for (file, bytes) in files(net).iter().zip(kept) {
        match bytes {
            Some(bytes) => fs::write(file, bytes).unwrap(),
            None => drop(fs::remove_file(file)),
        }
    }
    net.start_again(|_| ()).await;
}

/// Stops the server, and starts it again. Answers what its files were in between.
async fn backed_up(net: &mut Net) -> Vec<Option<Vec<u8>>> {
    net.stop_server().await;
    let kept = files(net).iter().map(|file| fs::read(file).ok()).collect();
    net.start_again(|_| ()).await;
    kept
}

/// What it has seen was never published: most of those that would have had to co-sign it have not.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_witness_alone_has_seen_holds_no_restored_server_up() {
    let (mut net, mut notaries) = watched::network().await;
    let kept = backed_up(&mut net).await;
    let number = net.trust().await.manifest().number;
    let mut away = Vec::new();
    for one in notaries.drain(1..) {
        away.push((one.address(), one.member().standing().card.card().name.clone()));
        one.serving().stop().await;
    }
    let hospital = net.request(keys(2), Role::Institution, "Other").await;
    assert_eq!(net.ask(keys(2), &hospital).await, Err(Error::AdmissionPending));
    net.operator().admit(hospital.iss.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(net.trust().await.manifest().number, number, "one of three");
    put_back(&mut net, kept).await;
    let person = net.request(keys(0), Role::Personal, "").await;
    let ask = async || {
        let anew = AdmissionRequest { jti: message_id(), ..person.clone() };
        net.ask(keys(0), &anew).await.map(drop)
    };
    // Against one that has seen more, the word of one of three is not enough.
    for ((address, name), enough) in away.into_iter().zip([false, true]) {
        watched::start(&net, &name, TcpListener::bind(address).await.unwrap()).await;
        let mut asked = Err(Error::NodeBusy);
        for _ in 0..if enough { 200 } else { 10 } {
            asked = ask().await;
            if asked.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(asked, if enough { Ok(()) } else { Err(Error::NodeBusy) });
    }
}

/// Two persons who changed their keys when the server's database was at hand that was lost since: one who
/// had joined before the backup, and one who joined after it.
struct Changed {
    former: [AdmissionRequest; 2],
    newer: [(AdmissionRequest, String); 2],
}

/// With which keys they were admitted, and have now.
const FORMER: [usize; 2] = [5, 6];
const NEWER: [usize; 2] = [7, 8];

impl Changed {
    async fn since_the_backup(net: &Net, former: AdmissionRequest) -> Self {
        let second = net.request(keys(FORMER[1]), Role::Personal, "").await;
        net.ask(keys(FORMER[1]), &second).await.unwrap();
        net.clock.advance(1000);
        let former = [former, second];
        let mut newer = Vec::new();
        for (number, former) in former.iter().enumerate() {
            let (old, new) = (keys(FORMER[number]), keys(NEWER[number]));
            let request = change_keys(net, former, old, new).await;
            let card = net.ask(new, &request).await.unwrap();
            newer.push((request, card));
        }
        Self { former, newer: newer.try_into().unwrap() }
    }

    /// Whoever has the former key gets no card, by no way from it, and the owner goes on.
    async fn go_on(&self, net: &Net) {
        let refused = Err(Error::CardSuperseded);
        for number in [0, 1] {
            let (former, (newer, card)) = (&self.former[number], &self.newer[number]);
            let (old, new) = (keys(FORMER[number]), keys(NEWER[number]));
            let anew = |request: &AdmissionRequest, card: Option<&String>| {
                let (iat, jti) = (net.now().seconds(), message_id());
                AdmissionRequest { iat, jti, card: card.cloned(), ..request.clone() }
            };
            let fork = change_keys(net, former, old, keys(4)).await;
            assert_eq!(net.ask(old, &anew(former, None)).await, refused);
            assert_eq!(net.ask(keys(4), &anew(&fork, None)).await, refused, "another way from it");
            let stolen = net.ask(keys(4), &anew(&fork, Some(card))).await;
            assert_eq!(stolen, Err(Error::PossessionUnproven), "with the owner's card");
            let member = Signer { node: &former.iss, keys: old };
            let mailbox = net.client.mailbox(&net.url, member, 0, 1).await;
            assert_eq!(mailbox.err(), Some(Error::RequestProofInvalid));
            assert_eq!(
                net.ask(new, &anew(newer, None)).await,
                refused,
                "nor does it tell them apart"
            );
            net.ask(new, &anew(newer, Some(card))).await.unwrap();
            let member = Signer { node: &former.iss, keys: new };
            net.client.mailbox(&net.url, member, 0, 1).await.unwrap();
            assert_eq!(net.ask(old, &anew(former, None)).await, Err(Error::PossessionUnproven));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_put_back_says_nothing_a_second_time_and_goes_on_above() {
    let (mut net, mut notaries) = watched::network().await;
    let hospital = net.hospital(1).await;
    let patient = net.person(0).await;
    let renewing = net.hospital(4).await;
    let changing = net.request(keys(FORMER[0]), Role::Personal, "").await;
    net.ask(keys(FORMER[0]), &changing).await.unwrap();
    let kept = backed_up(&mut net).await;
    net.operator().revoke(hospital.id.clone(), "closed").await.unwrap();
    net.operator().revoke(patient.id.clone(), "gone").await.unwrap();
    net.operator().set(|settings| settings.rules.name = "Renamed".into()).await.unwrap();
    let now = net.now();
    let revoked = |trust: &hdms::network::Trust, id| {
        trust.check_revocation(id, now) == Err(Error::CardRevoked)
    };
    net.until(|trust| revoked(trust, &hospital.id) && revoked(trust, &patient.id)).await;
    let changed = Changed::since_the_backup(&net, changing).await;
    let later = net.hospital(2).await;
    renew(&net, &renewing, keys(5)).await.unwrap();
    let held = net.trust().await;
    watched::all_keep(&notaries, held.manifest().number).await;

    notaries.sort_by_key(|notary| Reverse(notary.member().id().clone()));
    let slow = slow_down(notaries.pop().unwrap()).await;
    let begun = Instant::now();
    put_back(&mut net, kept).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "one that it asks never answers");
    slow.abort();
    let after = net.until(|trust| trust.manifest().number >= held.manifest().number).await;
    let kid = after.node(&renewing.id).unwrap().encryption_key().unwrap().thumbprint();
    assert_eq!(kid, keys(5).public().1.thumbprint(), "and not what it was before");
    assert!(revoked(&after, &hospital.id) && revoked(&after, &patient.id));
    assert!(after.node(&hospital.id).is_err() && after.node(&later.id).is_ok());
    assert_eq!(after.parameters().name, "Renamed");
    let known = held.manifest().number;
    let trail = net.operator().trail().await.unwrap();
    let taken =
        trail.entries.iter().find(|row| row.act == hdms_nodes::server::trail::Act::TakenBack);
    assert_eq!(taken.unwrap().detail["to"], known);
    changed.go_on(&net).await;
    // Whoever has seen the others takes the next, and nobody was shown two.
    net.hospital(3).await;
    let next = net.until(|trust| trust.manifest().number > known).await.manifest().number;
    for notary in &notaries {
        notary.member().refresh().await.unwrap();
        assert!(notary.member().standing().trust.manifest().number >= next);
        assert!(alarms(notary).await.is_empty());
    }
}

/// All that a folder holds, over what the other has.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => assert!(fs::copy(from, to).is_ok()),
        }
    }
}

/// Makes and installs the Doorman's next key. Answers the list.
async fn rotate(net: &Net) -> String {
    let keyring = keyring(&net.data(), NodeClock::new(net.clock.clone()));
    keyring.make_next().unwrap();
    let request = Request::verify(&keyring.request().await.unwrap().0).await.unwrap();
    let root = Root::open(&net.dir.path().join("root"), &passphrase()).unwrap();
    let terms = Terms { years: YEARS, drop: Vec::new() };
    let list = root.sign(&root.next(&request, &terms, net.now()).await.unwrap()).await.unwrap();
    keyring.install(&list, None).await.unwrap();
    list
}

/// A folder of before a change of the Doorman's key: what was said since is under a list that it lacks.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_not_take_back_what_it_said_signs_nothing_until_it_can() {
    let (mut net, notaries) = watched::network().await;
    let [kept, newest] = ["kept", "newest"].map(|folder| net.dir.path().join(folder));
    net.stop_server().await;
    copy(&net.data(), &kept);
    net.start_again(|_| ()).await;
    let before = net.trust().await.manifest().clone();
    let list = rotate(&net).await;
    let held = net.until(|trust| trust.manifest().iss != before.iss).await.manifest().clone();
    watched::all_keep(&notaries, held.number).await;

    net.stop_server().await;
    copy(&net.data(), &newest);
    fs::remove_dir_all(net.data()).unwrap();
    copy(&kept, &net.data());
    net.clock.advance(1000);
    net.start_again(|_| ()).await;
    let person = net.request(keys(0), Role::Personal, "").await;
    assert_eq!(net.ask(keys(0), &person).await, Err(Error::NodeBusy));
    let revoked = notaries[0].member().id();
    net.operator().revoke(revoked.clone(), "closed").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(net.trust().await.manifest().number, before.number);
    let database = Connection::open(net.data().join("server.sqlite")).unwrap();
    let signed = "SELECT max(number) FROM manifests";
    assert_eq!(database.query_row(signed, [], |row| row.get(0)), Ok(before.number));

    // As the operator's page says.
    let key = Path::new("doorman").join(KEY_FILE);
    fs::copy(newest.join(&key), net.data().join(&key)).unwrap();
    let keyring = keyring(&net.data(), NodeClock::new(net.clock.clone()));
    keyring.install(&list, None).await.unwrap();
    let number = |trust: &hdms::network::Trust| trust.manifest().number;
    net.until(|trust| number(trust) > held.number && trust.node(revoked).is_err()).await;
    net.ask(keys(0), &AdmissionRequest { jti: message_id(), ..person }).await.unwrap();
    for notary in &notaries {
        assert!(alarms(notary).await.is_empty());
    }
}

/// The hospital asks for a new card, for this encryption key.
pub async fn renew(net: &Net, hospital: &Person, with: &AwsKeys) -> Result<(), Error> {
    net.clock.advance(1000);
    let card = hospital.card.card();
    let (iss, iat) = (hospital.id.clone(), net.now().seconds());
    let (encryption, own) = (with.public().1, hospital.keys.request_key().clone());
    let stated = Subkeys { iss, iat, encryption, request: own };
    let subkeys = stated.sign(hospital.keys).await.unwrap();
    let request = net.request(hospital.keys, Role::Institution, &card.name).await;
    let request = AdmissionRequest { subkeys, ..request };
    let jwt = request.sign(hospital.keys).await.unwrap();
    let challenge = net.client.ask_admission(&net.url, jwt.clone()).await.unwrap();
    let answer = challenge.answer(&request, jwt, with, &AwsPrimitives).await.unwrap();
    net.client.answer_challenge(&net.url, &answer).await?;
    Ok(())
}

/// What the notary says that it has witnessed.
async fn state(notary: &Notary) -> String {
    let state = format!("http://{}/witness/state", notary.address());
    reqwest::get(state).await.unwrap().text().await.unwrap()
}

/// In place of the notary something that says what it has witnessed, and never gives it.
async fn slow_down(notary: Notary) -> JoinHandle<()> {
    let (address, state) = (notary.address(), state(&notary).await);
    notary.serving().stop().await;
    stand_in(address, state).await
}

/// What says at this address that it has witnessed this, and gives nothing.
async fn stand_in(address: SocketAddr, state: String) -> JoinHandle<()> {
    let router = Router::new()
        .route("/witness/state", get(async move || state))
        .fallback(std::future::pending::<()>);
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
}
