//! The root key, which is kept offline, and the Doorman's keys that it certifies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::answering::until_it_answers;
use common::{Net, PASSPHRASE, keyring, keys, passphrase, prepare_server};
use hdms::Error;
use hdms::card::{Role, VerifiedCard};
use hdms::jose::jws::sign_ps256;
use hdms::network::{Doormen, Manifest, NetworkMap, Parameters, Revocations, verify_by};
use hdms_nodes::base::keys::{AwsKeys, AwsPrimitives, KEY_FILE, open_or_make};
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::server::certificate::Keyring;
use hdms_nodes::server::root::{Request, Root, Terms, YEARS};
use rusqlite::Connection;

/// The network's root key, at hand as an operator has it for a ceremony.
fn root(net: &Net) -> Root {
    Root::open(&net.dir.path().join("root"), &passphrase()).unwrap()
}

fn doorman(net: &Net) -> Keyring {
    keyring(&net.data(), NodeClock::new(net.clock.clone()))
}

async fn certify(net: &Net, drop: &[String]) -> Result<(Doormen, String), Error> {
    let request = Request::verify(&doorman(net).request().await?.0).await?;
    let terms = Terms { years: YEARS, drop: drop.to_vec() };
    let root = root(net);
    let list = root.next(&request, &terms, net.now()).await?;
    let jwt = root.sign(&list).await?;
    Ok((list, jwt))
}

/// Makes and installs the Doorman's next key. Answers its thumbprint.
async fn rotate(net: &Net, drop: &[String]) -> String {
    doorman(net).make_next().unwrap();
    let (list, jwt) = certify(net, drop).await.unwrap();
    doorman(net).install(&jwt, None).await.unwrap();
    list.doormen[0].key.thumbprint()
}

#[tokio::test]
async fn a_retired_keys_cards_count_on_and_running_nodes_take_the_new_key_by_themselves() {
    let net = Net::start().await;
    let (person, notary) = (net.person(0).await, net.notary("notary").await);
    let former = person.card.card().iss.clone();
    let new = rotate(&net, &[]).await;
    assert_ne!(former.as_ref(), new);

    let id = notary.member().id().clone();
    let reissued = |trust: &hdms::network::Trust| {
        trust.node(&id).is_ok_and(|card| card.card().iss.as_ref() == new)
    };
    let trust = net.until(reissued).await;
    let card = VerifiedCard::verify(person.card.jwt(), &trust, net.now(), &AwsPrimitives).await;
    assert_eq!(card.unwrap(), person.card);
    net.client.mailbox(&net.url, person.signer(), 0, 1).await.unwrap();
    assert_eq!(net.person(0).await.card.card().iss.as_ref(), new, "asked for anew");
    for _ in 0..600 {
        if reissued(&notary.member().standing().trust) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(reissued(&notary.member().standing().trust));
    assert!(!net.data().join("doorman/next").join(KEY_FILE).exists(), "it took the former's place");
}

#[tokio::test]
async fn nothing_counts_that_a_dropped_key_signed_and_members_get_new_cards() {
    let mut net = Net::start().await;
    let (person, notary) = (net.person(0).await, net.notary("notary").await);
    let hospital = net.hospital(1).await;
    let stolen = person.card.card().iss.to_string();
    let new = rotate(&net, std::slice::from_ref(&stolen)).await;
    let trust = net.until(|trust| trust.doorman(&stolen, 0).is_none()).await;
    let verified = VerifiedCard::verify(person.card.jwt(), &trust, net.now(), &AwsPrimitives);
    assert_eq!(verified.await.err(), Some(Error::CardForged));
    assert_eq!(trust.node(&hospital.id).unwrap().card().iss.as_ref(), new);
    assert_eq!(net.person(0).await.card.card().iss.as_ref(), new);
    for _ in 0..600 {
        if notary.member().standing().card.card().iss.as_ref() == new {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(notary.member().standing().card.card().iss.as_ref(), new);
    net.restart().await;
    let again = certify(&net, &[stolen]).await;
    assert_eq!(again.err(), Some(Error::UnknownKey), "it is in no list any more");
}

#[tokio::test]
async fn the_root_never_goes_back_to_a_former_number_or_key() {
    let net = Net::start().await;
    let first = std::fs::read_to_string(net.dir.path().join("root/doormen-1.jwt")).unwrap();
    let retired = doorman(&net).request().await.unwrap().0;
    rotate(&net, &[]).await;
    let retired = Request::verify(&retired).await.unwrap();
    let terms = Terms { years: YEARS, drop: Vec::new() };
    let back = root(&net).next(&retired, &terms, net.now()).await;
    assert_eq!(back.err(), Some(Error::CardRevoked));
    assert_eq!(doorman(&net).install(&first, None).await.err(), Some(Error::NetworkRollback));

    // Its folder comes from a backup of before the second list.
    std::fs::remove_file(net.dir.path().join("root/doormen-2.jwt")).unwrap();
    let (third, jwt) = certify(&net, &[]).await.unwrap();
    assert_eq!(third.number, 3);
    assert_eq!(third.doormen.len(), 2, "the retired one stays in it");
    assert_eq!(root(&net).sign(&third).await.err(), Some(Error::StoreFailed), "signed before");
    doorman(&net).install(&jwt, None).await.unwrap();
}

#[tokio::test]
async fn only_what_the_pinned_root_says_of_this_servers_key_is_installed() {
    let mut net = Net::start().await;
    let (_, jwt) = certify(&net, &[]).await.unwrap();
    let mut altered = jwt.clone();
    altered.replace_range(jwt.len() - 6..jwt.len() - 5, "-");
    assert_eq!(doorman(&net).install(&altered, None).await.err(), Some(Error::NetworkForged));
    let other = Root::open_or_make(&net.dir.path().join("other"), &passphrase()).unwrap();
    let request = Request::verify(&doorman(&net).request().await.unwrap().0).await.unwrap();
    assert_eq!(
        other.next(&request, &Terms { years: 1, drop: Vec::new() }, net.now()).await.err(),
        Some(Error::NetworkForged),
        "the server's list is another root's"
    );
    let request = Request { doormen: None, ..request };
    let terms = Terms { years: 1, drop: Vec::new() };
    let foreign = other.next(&request, &terms, net.now()).await.unwrap();
    let foreign = other.sign(&foreign).await.unwrap();
    for root in [None, Some(other.public())] {
        let refused = doorman(&net).install(&foreign, root).await.err();
        assert_eq!(refused, Some(Error::NetworkForged));
    }
    let request = Request { key: AwsKeys::generate().unwrap().public().0.clone(), ..request };
    let unknown = root(&net).next(&request, &terms, net.now()).await.unwrap();
    let unknown = root(&net).sign(&unknown).await.unwrap();
    assert_eq!(doorman(&net).install(&unknown, None).await.err(), Some(Error::UnknownKey));
    net.clock.advance(YEARS * 365 * 24 * 3600 * 1000);
    assert_eq!(doorman(&net).install(&jwt, None).await.err(), Some(Error::Expired));
    net.stop_server().await;
    assert_eq!(doorman(&net).certificate().await.err(), Some(Error::Uncertified));
}

#[tokio::test]
async fn a_folder_with_the_root_key_inside_keeps_working_and_gives_it_away() {
    let dir = tempfile::tempdir().unwrap();
    prepare_server(dir.path());
    let server = dir.path().join("server");
    // As it was before there were lists.
    std::fs::remove_file(dir.path().join("root/doormen-1.jwt")).unwrap();
    std::fs::rename(dir.path().join("root"), server.join("root")).unwrap();
    let jwk = std::fs::read_to_string(server.join("root/root.jwk")).unwrap();
    let database = Connection::open(server.join("server.sqlite")).unwrap();
    database.execute("DELETE FROM settings WHERE key = 'doormen'", []).unwrap();
    let former = format!(r#"{{"root":{jwk},"certificate":"a.b.c","end":1}}"#);
    database.execute("INSERT INTO settings VALUES ('certified', ?1)", [former]).unwrap();
    drop(database);

    std::fs::rename(server.join("root"), dir.path().join("root")).unwrap();
    let keyring = || keyring(&server, NodeClock::default());
    assert_eq!(keyring().certificate().await.err(), Some(Error::Uncertified), "it was moved away");
    std::fs::rename(dir.path().join("root"), server.join("root")).unwrap();
    let certificate = keyring().certificate().await.unwrap();
    assert_eq!(serde_json::to_string(&certificate.root).unwrap(), jwk);
    std::fs::rename(server.join("root"), dir.path().join("root")).unwrap();
    assert_eq!(keyring().certificate().await.unwrap().jwt, certificate.jwt);
}

fn hdms(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env("HDMS_PASSPHRASE", PASSPHRASE).env("HDMS_LOG", "warn");
    command
}

fn run(arguments: &str, folder: &Path) -> Output {
    hdms(&arguments.split(' ').collect::<Vec<_>>(), folder).output().unwrap()
}

fn said(arguments: &str, folder: &Path) -> String {
    let output = run(arguments, folder);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(arguments: &str, folder: &Path) -> String {
    let output = run(arguments, folder);
    assert!(!output.status.success(), "{arguments}");
    String::from_utf8(output.stderr).unwrap()
}

/// Whoever has broken into the server, or has mixed up two requests, gets no list for another log.
#[tokio::test]
async fn no_list_names_another_log_of_manifests_than_the_last() {
    let net = Net::start().await;
    let mut request = Request::verify(&doorman(&net).request().await.unwrap().0).await.unwrap();
    let (root, terms) = (root(&net), Terms { years: YEARS, drop: Vec::new() });
    let last = root.last(&request).await.unwrap().unwrap();
    assert_eq!(root.next(&request, &terms, net.now()).await.unwrap().number, last.number + 1);
    let mut other = request.log.clone().unwrap();
    other.log_key.0[0] ^= 1;
    for log in [Some(other), None] {
        request.log = log;
        assert_eq!(root.next(&request, &terms, net.now()).await.err(), Some(Error::LogForged));
    }
}

#[tokio::test]
async fn the_command_leads_through_the_ceremony() {
    let dir = tempfile::tempdir().unwrap();
    let (offline, online) = (dir.path().join("offline"), dir.path().join("online"));
    std::fs::create_dir(&offline).unwrap();
    std::fs::create_dir(&online).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let serve = format!("server --data s --listen {address}");
    let how = refused(&format!("{serve} --network Mistyped --witnesses 7"), &online);
    for command in ["hdms server request --data s", "hdms root certify", "hdms server certificate"]
    {
        assert!(how.contains(command), "{how}");
    }
    assert!(!online.join("s/root").exists());

    let thumbprint = said("root init --data r", &offline);
    assert!(refused("root init --data r", &offline).contains("there is a root key"));
    std::fs::write(offline.join("q.jwt"), said("server request --data s", &online)).unwrap();
    assert!(refused("root certify --data r q.jwt", &offline).contains("nothing was signed"));
    let shown = said("root certify --data r --yes q.jwt", &offline);
    assert!(shown.contains("List 1") && shown.contains("signs from now on"), "{shown}");
    for file in ["doormen-1.jwt", "root.jwk"] {
        std::fs::copy(offline.join("r").join(file), online.join(file)).unwrap();
    }
    let install = "server certificate --data s doormen-1.jwt";
    assert!(refused(install, &online).contains("--root"));
    said(&format!("{install} --root root.jwk"), &online);
    assert!(refused(install, &online).contains("newer"));

    let serve = format!("{serve} --network Example --connections 999");
    let mut server = hdms(&serve.split(' ').collect::<Vec<_>>(), &online).spawn().unwrap();
    let url = format!("http://{address}");
    until_it_answers(&url).await;
    let rules = said("server show --data s", &online);
    assert!(
        rules.contains("Example") && rules.contains("--witnesses                    1"),
        "{rules}"
    );
    let pinned = reqwest::get(format!("{url}/network/root")).await.unwrap();
    let pinned = pinned.bytes().await.unwrap();
    assert_eq!(pinned, std::fs::read(online.join("root.jwk")).unwrap());
    let pinned: hdms::jwk::RsaJwk = serde_json::from_slice(&pinned).unwrap();
    assert!(thumbprint.contains(&pinned.thumbprint()));

    std::fs::write(offline.join("q.jwt"), said("server new-key --data s", &online)).unwrap();
    let shown = said("root certify --data r --yes --years 1 q.jwt", &offline);
    assert!(shown.contains("List 2") && shown.contains("retired"), "{shown}");
    std::fs::copy(offline.join("r/doormen-2.jwt"), online.join("2.jwt")).unwrap();
    said("server certificate --data s 2.jwt", &online);
    let trail = said("server trail --data s", &online);
    assert!(trail.contains("certified") && trail.contains("unaltered"), "{trail}");
    server.kill().unwrap();
    server.wait().unwrap();
}

#[tokio::test]
async fn a_request_has_to_be_signed_with_the_key_that_it_names() {
    let net = Net::start().await;
    let (jwt, _) = doorman(&net).request().await.unwrap();
    let parts: Vec<_> = jwt.split('.').collect();
    let card = net.ask(keys(0), &net.request(keys(0), Role::Personal, "").await).await.unwrap();
    for jwt in ["", "a.b.c", &card, &format!("{}.{}.AAAA", parts[0], parts[1])] {
        assert_eq!(Request::verify(jwt).await.err(), Some(Error::PossessionUnproven));
    }
}

#[tokio::test]
async fn nothing_else_that_the_doormans_key_signs_is_a_request_nor_a_request_anything_else() {
    let net = Net::start().await;
    let (jwt, _) = doorman(&net).request().await.unwrap();
    let request = Request::verify(&jwt).await.unwrap();
    let keys = open_or_make(&net.data().join("doorman"), &passphrase()).unwrap();
    assert_eq!(*keys.public().0, request.key);
    let trust = net.trust().await;
    let documents = trust.documents();
    let others = [&documents.parameters, &documents.map, &documents.revocations];
    for other in others.into_iter().chain([&documents.doormen, &documents.manifest]) {
        assert_eq!(Request::verify(other).await.err(), Some(Error::PossessionUnproven));
    }
    let by = [&request.key];
    assert!(verify_by::<Parameters>(&jwt, &by, &AwsPrimitives).await.is_err());
    assert!(verify_by::<NetworkMap>(&jwt, &by, &AwsPrimitives).await.is_err());
    assert!(verify_by::<Revocations>(&jwt, &by, &AwsPrimitives).await.is_err());
    assert!(verify_by::<Manifest>(&jwt, &by, &AwsPrimitives).await.is_err());
    assert!(verify_by::<Doormen>(&jwt, &by, &AwsPrimitives).await.is_err());
    let signed = async |typ| sign_ps256(typ, request.iss.as_ref(), &request, &keys).await.unwrap();
    assert!(Request::verify(&signed("hdms-doorman-request+jwt").await).await.is_ok());
    for typ in ["hdms-doormen+jwt", "hdms-manifest+jwt", "hdms-card+jwt", "hdms-proof+jwt", "JWT"] {
        let refused = Request::verify(&signed(typ).await).await.err();
        assert_eq!(refused, Some(Error::PossessionUnproven), "{typ}");
    }
}
