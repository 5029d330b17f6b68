//! The real `hdms` command: killed without warning, stopped politely, told what the operator
//! decides. What was answered before a crash is there after it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::answering::until_it_answers;
use common::{
    Net, PASSPHRASE, Person, Signed, delivery, deposit_for, keys, prepare_keys, prepare_server,
    sealed,
};
use futures_util::future::join_all;
use hdms::card::Role;
use hdms::ids::NodeId;
use hdms::ledger::VerifiedReceipt;
use hdms::mailbox::{Delivery, DeliveryAnswer};
use hdms::notary::DepositAnswer;
use hdms_nodes::base::keys::AwsPrimitives;

/// A node in a process of its own; killed at the latest with the test.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Self {
        Self(hdms(arguments).stdout(Stdio::null()).spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM; answers whether it ended well.
    fn terminate(mut self) -> bool {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.0.wait().unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Has ended already when the test itself ended it.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn hdms(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
    command.args(arguments).env("HDMS_PASSPHRASE", PASSPHRASE).env("HDMS_LOG", "warn");
    command
}

fn run(arguments: &[&str]) -> Output {
    hdms(arguments).output().unwrap()
}

/// An address that nobody listens on.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn start_server(data: &Path, address: &str) -> Process {
    let data = data.to_str().unwrap();
    Process::start(&["server", "--data", data, "--listen", address, "--witnesses", "0"])
}

/// A server process and its network.
async fn network() -> (Net, Process, String) {
    let dir = tempfile::tempdir().unwrap();
    prepare_server(dir.path());
    let address = free_address();
    let server = start_server(&dir.path().join("server"), &address);
    let url = format!("http://{address}");
    until_it_answers(&url).await;
    (Net::attached(dir, url).await, server, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_message_is_lost_when_the_server_is_killed() {
    let (net, server, address) = network().await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    let killed = AtomicBool::new(false);
    let lane = async |lane: usize| {
        let mut sent: Vec<(Delivery, Option<u64>)> = Vec::new();
        while !killed.load(Ordering::Relaxed) {
            let delivery = delivery(&recipient.id, &format!("{lane}/{}", sent.len()));
            let answer = net.deliver(sender.signer(), vec![delivery.clone()]).await;
            let place = match answer.as_deref() {
                Ok([DeliveryAnswer::Accepted(place)]) => Some(*place),
                Ok(other) => panic!("{other:?}"),
                Err(_) => None,
            };
            sent.push((delivery, place));
        }
        sent
    };
    let kill = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.kill();
        killed.store(true, Ordering::Relaxed);
    };
    let (lanes, ()) = tokio::join!(join_all((0..8).map(lane)), kill);
    let sent: Vec<_> = lanes.into_iter().flatten().collect();
    let accepted: HashMap<u64, &Delivery> =
        sent.iter().filter_map(|(delivery, place)| Some((((*place)?), delivery))).collect();
    assert!(accepted.len() > 20, "only {} were accepted", accepted.len());

    let server = start_server(&net.data(), &address);
    until_it_answers(&net.url).await;
    for (delivery, place) in &sent {
        let again = net.deliver(sender.signer(), vec![delivery.clone()]).await;
        let DeliveryAnswer::Accepted(now) = again.unwrap()[0] else { panic!("refused") };
        assert!(place.is_none_or(|place| place == now), "{place:?} became {now}");
    }
    let messages = all_messages(&net, &recipient).await;
    assert_eq!(messages.len(), sent.len(), "each message once");
    for (place, delivery) in accepted {
        assert_eq!(messages[&place], delivery.envelope);
    }
    assert!(server.terminate());
}

async fn all_messages(net: &Net, of: &Person) -> HashMap<u64, String> {
    let mut messages = HashMap::new();
    let mut after = 0;
    loop {
        let page = net.client.mailbox(&net.url, of.signer(), after, 100).await.unwrap();
        after = page.messages.last().map_or(after, |message| message.seq);
        messages.extend(page.messages.into_iter().map(|message| (message.seq, message.envelope)));
        if !page.more {
            return messages;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_receipt_is_forgotten_when_the_notary_is_killed() {
    let (net, server, _) = network().await;
    let (author, other) = (net.person(0).await, net.hospital(1).await);
    let (notary, start) = notary(&net).await;
    let trust = net.until(|trust| trust.with_role(Role::Notary).next().is_some()).await;
    let id = trust.with_role(Role::Notary).next().unwrap().id().clone();
    let killed = AtomicBool::new(false);
    let lane = async |_: usize| {
        let mut sent = Vec::new();
        while !killed.load(Ordering::Relaxed) {
            let deposit = deposit_for(&author, &other, &id, &trust).await;
            let answer = send(&net, &id, [&author, &other], &deposit).await;
            sent.push((deposit, answer.ok()));
        }
        sent
    };
    let kill = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        notary.kill();
        killed.store(true, Ordering::Relaxed);
    };
    let (lanes, ()) = tokio::join!(join_all((0..6).map(lane)), kill);
    let sent: Vec<_> = lanes.into_iter().flatten().collect();
    assert!(sent.iter().filter(|(_, receipt)| receipt.is_some()).count() > 10);

    let notary = start();
    until_it_answers(&endpoint(&net, &id).await).await;
    let mut places = Vec::new();
    for (deposit, before) in &sent {
        let now = send(&net, &id, [&author, &other], deposit).await.unwrap();
        assert!(before.as_ref().is_none_or(|before| *before == now), "the same receipt");
        let trust = net.trust().await;
        let receipt = VerifiedReceipt::verify(&now, &trust, &AwsPrimitives).await.unwrap();
        places.push(receipt.receipt().index);
    }
    places.sort_unstable();
    let without_gaps: Vec<_> = (0..sent.len() as u64).collect();
    assert_eq!(places, without_gaps, "each entry once");
    assert!(notary.terminate());
    assert!(server.terminate());
}

/// A notary process that the operator's command has admitted, and how to start it again.
async fn notary(net: &Net) -> (Process, impl Fn() -> Process + use<>) {
    let home = net.dir.path().join("notary");
    prepare_keys(&home, &[""]);
    let (address, server) = (free_address(), net.url.clone());
    let start = move || {
        let data = home.to_str().unwrap();
        let arguments = ["notary", "--data", data, "--listen", &address, "--server", &server];
        let about = ["--registry-number", "1", "--address", "1 Main Street", "--contact", "Doe"];
        let more = ["--name", "Notary", "--refresh", "1"];
        Process::start(&[&arguments[..], &more, &about].concat())
    };
    let process = start();
    let data = net.data();
    let data = data.to_str().unwrap();
    for _ in 0..400 {
        let pending =
            String::from_utf8(run(&["server", "pending", "--data", data]).stdout).unwrap();
        if let Some(id) = pending.lines().next() {
            for claim in ["notary", "Notary", "1 Main Street", "http://127.0.0.1:", id] {
                assert!(pending.contains(&format!(" {claim}")) || claim == id, "{pending}");
            }
            let unseen = run(&["server", "admit", id, "--data", data]);
            assert!(!unseen.status.success(), "nobody has said what was looked into");
            let shown = String::from_utf8(unseen.stdout).unwrap();
            assert_eq!(shown, pending, "what to look into");
            let other = run(&["server", "admit", id, "other", "--data", data]);
            assert!(!other.status.success(), "it asks for something else");
            let seen = pending.lines().find_map(|line| line.trim().strip_prefix("application"));
            let admit = ["server", "admit", id, seen.unwrap().trim(), "--data", data];
            assert!(run(&admit).status.success());
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let trust = net.until(|trust| trust.with_role(Role::Notary).next().is_some()).await;
    let id = trust.with_role(Role::Notary).next().unwrap().id().clone();
    until_it_answers(&endpoint(net, &id).await).await;
    (process, start)
}

async fn endpoint(net: &Net, notary: &NodeId) -> String {
    net.trust().await.notary(notary).unwrap().card().endpoint.clone().unwrap().into()
}

/// Answers the receipt.
async fn send(
    net: &Net,
    notary: &NodeId,
    from: [&Person; 2],
    deposit: &Signed,
) -> Result<String, hdms::Error> {
    let trust = net.trust().await;
    let to = trust.notary(notary).unwrap();
    let envelope = sealed(from, to, vec![deposit.clone()]).await;
    let endpoint = to.card().endpoint.clone().unwrap();
    let answers =
        net.client.deposit(endpoint.as_ref(), envelope).await.map_err(hdms::Error::from)?.answers;
    match &answers[..] {
        [DepositAnswer::Receipt(receipt)] => Ok(receipt.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_is_wrong_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let said = |output: Output| {
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let absent = said(run(&["server", "pending", "--data", data]));
    assert!(absent.contains(data) && !absent.contains("store/failed"), "{absent}");
    let nowhere = dir.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for command in [&["server", "set"][..], &["backup", "--to", data]] {
        let absent = said(run(&[command, &["--data", nowhere]].concat()));
        assert!(absent.contains(nowhere), "{absent}");
    }
    let nonsense = said(run(&["server", "admit", "nonsense", "--data", data]));
    assert!(nonsense.contains("43 letters") && !nonsense.contains("JWK"), "{nonsense}");
    let none = hdms(&["server", "--data", data]).env_remove("HDMS_PASSPHRASE").output().unwrap();
    assert!(said(none).contains("HDMS_PASSPHRASE"));
    assert!(said(run(&["server"])).contains("--data"));

    let (net, server, _) = network().await;
    let data = net.data();
    let data = data.to_str().unwrap();
    let listen = free_address();
    let busy = said(run(&["server", "--data", data, "--listen", &listen]));
    assert!(busy.contains("store/busy"), "{busy}");
    let taken = net.url.trim_start_matches("http://");
    let taken = said(run(&["server", "--data", data, "--listen", taken]));
    assert!(taken.contains("can't listen on"), "{taken}");
    let other = ["server", "--data", data, "--listen", &listen, "--streams-per-node", "3"];
    let other = said(run(&other));
    assert!(other.contains("--streams-per-node: ") && !other.contains("--witnesses:"), "{other}");
    let mut shown = hdms(&["server", "show", "--data", data]);
    let mut shown = shown.stdout(Stdio::piped()).spawn().unwrap();
    drop(shown.stdout.take());
    assert!(shown.wait().unwrap().success(), "as `| head` reads it");
    let id = common::id(keys(3)).to_string();
    let unknown = said(run(&["server", "admit", "--data", data, "--", &id]));
    assert!(unknown.contains("network/unknown-node"), "{unknown}");
    let proxy = ["server", "--data", data, "--trusted-proxy", "localhost"];
    assert!(said(run(&proxy)).contains("names such as localhost are not looked up"));
    a_node_that_is_refused_ends_with_the_reason_and_an_exit_code_of_its_own(&net).await;
    assert!(server.terminate());
}

async fn a_node_that_is_refused_ends_with_the_reason_and_an_exit_code_of_its_own(net: &Net) {
    let (data, folder) = (net.data(), net.dir.path().join("notary"));
    prepare_keys(&folder, &[""]);
    let (data, folder) = (data.to_str().unwrap(), folder.to_str().unwrap());
    let listen = ["--listen", "127.0.0.1:0", "--server", &net.url, "--name", "Notary"];
    let about = ["--registry-number", "1", "--address", "a", "--contact", "c"];
    let mut notary = hdms(&[&["notary", "--data", folder][..], &listen, &about].concat());
    let notary = notary.env("HDMS_LOG", "info").stderr(Stdio::piped()).spawn().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..2400 {
        waiting = net.operator().pending(None).await.unwrap();
        if !waiting.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let id = waiting[0].id.to_string();
    let refuse = ["server", "refuse", "--data", data, "--reason", "not in the register", "--", &id];
    assert!(run(&refuse).status.success());
    let again = String::from_utf8(run(&refuse).stderr).unwrap();
    assert!(again.contains("it was refused already: not in the register"), "{again}");
    let ended = notary.wait_with_output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(77), "{log}");
    assert!(log.contains("listening") && log.contains("address=127.0.0.1:"), "{log}");
    assert!(log.contains("not in the register"), "{log}");

    let member = net.hospital(2).await.id.to_string();
    let refuse = ["server", "refuse", "--data", data, "--reason", "closed", "--", &member];
    let refused = String::from_utf8(run(&refuse).stderr).unwrap();
    assert!(refused.contains("hdms server revoke"), "{refused}");
    admit_says_what_it_forgets_and_what_a_revoked_node_asked_for(net, &member).await;
}

async fn admit_says_what_it_forgets_and_what_a_revoked_node_asked_for(net: &Net, member: &str) {
    let data = net.data();
    let on = ["--data", data.to_str().unwrap(), "--", member];
    let named = async |name: &str| {
        let request = net.request(keys(2), Role::Institution, name).await;
        net.ask(keys(2), &request).await.map(drop)
    };
    assert_eq!(named("Royal Hospital").await, Err(hdms::Error::AdmissionPending));
    let refuse = ["server", "refuse", "--reason", "not royal"];
    assert!(run(&[&refuse[..], &on].concat()).status.success());
    named("St. Elsewhere 2").await.unwrap();
    let admit = |more: &[&str]| run(&[&["server", "admit"], &on[..], more].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    for expected in [true, false] {
        let said = text(admit(&[]).stdout);
        assert!(said.contains("it is a member"), "{said}");
        assert_eq!(said.contains("not royal"), expected, "{said}");
    }
    let revoke = ["server", "revoke", "--reason", "closed"];
    let revoke = [&revoke[..], &on].concat();
    assert!(run(&revoke).status.success());
    let again = run(&revoke);
    let said = text(again.stderr);
    assert!(!again.status.success() && said.contains("it was revoked already: closed"), "{said}");
    let shown = admit(&[]);
    assert!(!shown.status.success(), "nobody has said what was looked into");
    let shown = text(shown.stdout);
    assert!(shown.contains("it was revoked: closed"), "{shown}");
    let seen = shown.lines().find_map(|line| line.trim().strip_prefix("application"));
    assert!(admit(&[seen.unwrap().trim()]).status.success());
}
