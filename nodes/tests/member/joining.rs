//! Becoming a member: what a node says meanwhile, and what it is told.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use hdms::Error;
use hdms::card::Role;
use hdms::doorman::AdmissionRequest;
use hdms::provider::Timestamp;
use hdms::testing::FixedClock;
use hdms_nodes::base::http::problem::ProblemDocument;
use hdms_nodes::base::keys::open_or_make;
use hdms_nodes::base::store::SqliteStore;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::{self, Institution};
use hdms_nodes::local::personal::Personal;
use hdms_nodes::member::{Member, MemberConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{JsonBody, Net, PASSPHRASE, passphrase, prepare_keys};

/// Of two requests of a node the later one counts: what is dated ahead is refused, and asked again.
#[tokio::test]
async fn a_node_whose_clock_is_ahead_waits_until_it_is_set() {
    let net = Net::start().await;
    prepare_keys(&net.dir.path().join("patient"), &[""]);
    let config = net.personal_config("patient");
    let clock = FixedClock::new(Timestamp(net.now().0 + 150_000));
    let (clock, stop) = (NodeClock::new(clock), CancellationToken::new());
    let mut starting = std::pin::pin!(Personal::start(config, clock, stop));
    let early = tokio::time::timeout(Duration::from_millis(700), starting.as_mut()).await;
    assert!(early.is_err(), "{early:?}");
    net.clock.advance(150_000);
    starting.await.unwrap();
}

#[tokio::test]
async fn a_native_node_refuses_older_documents_and_keeps_the_last_good_ones() {
    let mut net = Net::start().await;
    let (database, backup) = (net.data().join("server.sqlite"), net.dir.path().join("backup"));
    net.stop_server().await;
    std::fs::copy(&database, &backup).unwrap();
    net.start_again(|_| ()).await;
    let stop = CancellationToken::new();
    prepare_keys(&net.dir.path().join("patient"), &[""]);
    let config = net.personal_config("patient");
    let store = SqliteStore::open(&net.dir.path().join("patient/node.sqlite")).unwrap();
    let clock = NodeClock::new(net.clock.clone());
    let hospital = net.hospital(1).await;
    let member = Member::join(config, store, clock, stop.clone()).await.unwrap();
    let before = member.standing();
    assert!(before.trust.node(&hospital.id).is_ok());

    net.stop_server().await;
    std::fs::copy(&backup, &database).unwrap();
    net.start_again(|_| ()).await;
    assert_eq!(member.refresh().await, Err(Error::NetworkRollback));
    assert!(member.standing().trust.node(&hospital.id).is_ok());
    stop.cancel();
}

#[tokio::test]
async fn a_node_that_waits_for_the_operator_says_so_to_whoever_asks() {
    let (net, stop) = (Net::start().await, CancellationToken::new());
    let [inbox, console] = [listener().await, listener().await];
    let urls = [&inbox, &console].map(|it| format!("http://{}", it.local_addr().unwrap()));
    prepare_keys(&net.dir.path().join("hospital"), &[""]);
    let mut config = institution::Config::new(net.member_config("hospital", urls[0].clone()));
    config.console = Some(console);
    config.origins = vec!["https://his.example".parse().unwrap()];
    let clock = NodeClock::new(net.clock.clone());
    let starting = Institution::start(config, clock, inbox, stop.clone());
    let (hospital, ()) = tokio::join!(starting, answered_while_it_waits(&net, &urls));
    for (url, status) in urls.iter().zip([404, 401]) {
        assert_eq!(ask(&format!("{url}/api/node"), "*/*").await.status().as_u16(), status);
    }
    stop.cancel();
    hospital.unwrap().ended().await;
    assert!(reqwest::get(&urls[0]).await.is_err());
}

/// What the inbox and the console answer; then it is admitted.
async fn answered_while_it_waits(net: &Net, [inbox, console]: &[String; 2]) {
    let hers = "https://his.example";
    for (url, origin) in [(format!("{inbox}/inbox"), "*"), (format!("{console}/api/node"), hers)] {
        let answer = ask(&url, "*/*").await;
        let header = |name| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((answer.status().as_u16(), header("retry-after")), (503, "30".into()));
        assert_eq!(header("content-type"), "application/problem+json");
        assert_eq!(header("access-control-allow-origin"), origin);
        let problem: ProblemDocument = answer.json_body().await;
        assert_eq!((problem.status, problem.code.as_str()), (503, "doorman/pending"));
    }
    let sent = net.client.send_envelope(inbox, "a.b.c.d.e".into()).await.err().unwrap();
    assert!(!sent.error.is_permanent() && sent.retry_after == Some(30), "its senders try again");
    let page = ask(console, "text/html,*/*").await;
    assert_eq!(page.status(), 503);
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let node = net.operator().pending(None).await.unwrap().remove(0).id;
    let page = page.text().await.unwrap();
    assert!(page.contains("operator") && page.contains(node.as_ref()), "{page}");
    net.operator().admit(node).await.unwrap();
}

async fn ask(url: &str, accept: &str) -> reqwest::Response {
    reqwest::Client::new()
        .get(url)
        .header("accept", accept)
        .header("origin", "https://his.example")
        .send()
        .await
        .unwrap()
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Before anything is made or asked.
#[test]
fn who_is_called_what_no_operator_can_judge_is_told_which_character_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("hospital");
    for (name, contact, odd) in [("A\u{200b}B", "C", "U+200B"), ("A", "C\u{2122}", "U+2122")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
        command.args(["institution", "--server", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"]);
        command.args(["--registry-number", "1", "--address", "2", "--contact", contact]);
        command.args(["--name", name, "--data"]).arg(&data).env("HDMS_PASSPHRASE", "p");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(odd), "{said}");
        assert!(!data.exists());
    }
}

/// It has its card, and is told only what the Doorman says when that is to be another.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_called_so_later_is_told_as_well() {
    let (net, stop) = (Net::start().await, CancellationToken::new());
    let data = net.dir.path().join("hospital");
    prepare_keys(&data, &[""]);
    let inbox = listener().await;
    let url = format!("http://{}", inbox.local_addr().unwrap());
    let config = institution::Config::new(net.member_config("hospital", url));
    let clock = NodeClock::new(net.clock.clone());
    let starting = Institution::start(config, clock, inbox, stop.clone());
    let hospital = tokio::join!(starting, net.admit_next()).0.unwrap();
    stop.cancel();
    hospital.ended().await;

    let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
    command.args(["institution", "--server", &net.url, "--listen", "127.0.0.1:0"]);
    command.args(["--registry-number", "1", "--address", "2", "--contact", "3"]);
    command.args(["--name", "St Mary\u{2122}", "--data"]).arg(&data);
    command.env("HDMS_PASSPHRASE", PASSPHRASE).stdin(Stdio::null()).stdout(Stdio::null());
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    let told = tokio::task::spawn_blocking(|| log.into_iter().any(|it| it.contains("U+2122")));
    let told = tokio::time::timeout(Duration::from_secs(30), told).await;
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(told.is_ok_and(Result::unwrap));
}

/// After it has asked for as much as its key may.
#[tokio::test]
async fn a_member_asks_for_a_card_no_sooner_than_the_server_says() {
    let net = Net::start_with(|config| config.rates.admissions_of_key = 10).await;
    let folder = net.dir.path().join("hospital");
    prepare_keys(&folder, &[""]);
    let join = |port: u16, stop: &CancellationToken| {
        let config = net.member_config("hospital", format!("http://127.0.0.1:{port}"));
        let config = MemberConfig { role: Role::Institution, ..config };
        let store = SqliteStore::open(&folder.join("node.sqlite")).unwrap();
        Member::join(config, store, NodeClock::new(net.clock.clone()), stop.clone())
    };
    let stop = CancellationToken::new();
    let member = tokio::join!(join(1, &stop), net.admit_next()).0.unwrap();
    let endpoint = |member: &Member| member.standing().card.card().endpoint.clone();
    let before = endpoint(&member);
    stop.cancel();
    member.ended().await;
    drop(member);
    let keys = open_or_make(&folder, &passphrase()).unwrap();
    let ask = async || {
        let request = net.request(&keys, Role::Institution, "hospital").await;
        let request = AdmissionRequest { endpoint: before.clone(), ..request };
        net.ask(&keys, &request).await.err()
    };
    while ask().await != Some(Error::TooManyRequests) {}
    let stop = CancellationToken::new();
    let member = join(2, &stop).await.unwrap();
    net.clock.advance(60_000);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(endpoint(&member), before);
    assert_eq!(ask().await, None, "it could have another by now");
    stop.cancel();
}
