//! The log of a network's manifests, as its server serves it.

use hdms_nodes::base::system::NodeClock;
use hdms_nodes::server::root::{Request, Root, Terms, YEARS};
use rusqlite::Connection;

use crate::common::{Net, keyring, keys, passphrase};
use crate::stage::audit_manifests;

/// Puts something else into the place of a manifest's JWT; answers what was there.
fn put(net: &Net, number: u64, jwt: &str) -> String {
    let database = Connection::open(net.data().join("server.sqlite")).unwrap();
    let sql = "SELECT jwt FROM manifests WHERE number = ?1";
    let was = database.query_row(sql, [number], |row| row.get(0)).unwrap();
    let sql = "UPDATE manifests SET jwt = ?2 WHERE number = ?1";
    assert_eq!(database.execute(sql, (number, jwt)), Ok(1));
    was
}

#[tokio::test]
async fn a_server_s_manifests_are_good_until_one_is_put_in_the_place_of_another() {
    let net = Net::start().await;
    net.hospital(0).await;
    net.hospital(1).await;
    let size = net.trust().await.manifest().number;
    let state = net.dir.path().join("state");
    let more = ["--state", state.to_str().unwrap()];
    let audit = async || audit_manifests(&net.root, &net, &net.url, &more).await;
    audit().await.is_good();

    let by = |claim: &str| {
        format!(
            "root: the leaves don't lead to the root that was signed in {claim} ({size} leaves)"
        )
    };
    let [log, kept] = ["the log's checkpoint", "the checkpoint kept from the last audit"].map(by);
    let tile = |first: u64| {
        let what = format!("0/000.p/{size}: 1 of its hashes, first that of the leaf {first}");
        format!("{what}, are not of what is under them")
    };
    let forged =
        |number| format!("manifest {number}: it is not what its number says, or not signed");
    let last = put(&net, size, "a.b.c");
    let faults = [&log, &kept, &tile(size - 1), &forged(size)];
    audit().await.has_faults(&faults.map(String::as_str));
    put(&net, size, &last);

    // What follows is no better than what it follows.
    let first = put(&net, 1, &last);
    let faults = [log, kept, tile(0)].into_iter().chain((1..=size).map(forged));
    let faults: Vec<_> = faults.collect();
    audit().await.has_faults(&faults.iter().map(String::as_str).collect::<Vec<_>>());
    put(&net, 1, &first);
    audit().await.is_good();

    let database = Connection::open(net.data().join("server.sqlite")).unwrap();
    database.execute("DELETE FROM manifests WHERE number = 1", ()).unwrap();
    let entries = format!("entries/000.p/{size}: it has another length than it must have");
    let missing = "manifest 1: it is not there, though the log has it";
    audit().await.has_faults(&[&entries, missing]);
}

/// The root key certifies the Doorman's next key.
async fn rotate(net: &Net) {
    let doorman = keyring(&net.data(), NodeClock::new(net.clock.clone()));
    doorman.make_next().unwrap();
    let request = Request::verify(&doorman.request().await.unwrap().0).await.unwrap();
    let root = Root::open(&net.dir.path().join("root"), &passphrase()).unwrap();
    let terms = Terms { years: YEARS, drop: Vec::new() };
    let list = root.next(&request, &terms, net.now()).await.unwrap();
    doorman.install(&root.sign(&list).await.unwrap(), None).await.unwrap();
    let new = list.doormen[0].key.thumbprint();
    net.until(|trust| trust.manifest().iss.as_ref() == new).await;
}

#[tokio::test]
async fn manifests_under_a_former_list_are_held_against_that() {
    let net = Net::start().await;
    net.hospital(0).await;
    rotate(&net).await;
    let audit = async || audit_manifests(&net.root, &net, &net.url, &[]).await;
    let says_former = async || audit().await.is_good().report.contains("former");
    assert!(!says_former().await, "who had to co-sign is known, and who has signed");
    let database = Connection::open(net.data().join("server.sqlite")).unwrap();
    let change = |sql: &str| assert_eq!(database.execute(sql, ()), Ok(1));
    change("UPDATE settings SET value = 'a.b.c' WHERE key LIKE 'doormen/%'");
    assert!(says_former().await, "what the root has not signed is no list");
    change("DELETE FROM settings WHERE key LIKE 'doormen/%'");
    assert!(says_former().await);
}

#[tokio::test]
async fn what_can_not_be_audited_is_no_fault() {
    let net = Net::start().await;
    let audited = audit_manifests(&net.root, &net, "http://127.0.0.1:1", &[]).await;
    audited.is_unchecked("http://127.0.0.1:1/network", "network/unreachable");
    let other = keys(0).public().0;
    let audited = audit_manifests(other, &net, &net.url, &[]).await;
    audited.is_unchecked("/network", "network/forged");
}
