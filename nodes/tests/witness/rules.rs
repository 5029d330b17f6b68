//! The rules of a network, how many witnesses a receipt needs among them: from when on they are in force.

use std::path::Path;
use std::process::{Command, Stdio};

use hdms::Error;
use hdms::card::Role;
use hdms::doorman::AdmissionRequest;
use hdms::network::{PROTOCOL_VERSION, Trust, WitnessRule};
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::server::settings::{Refused, Settings};
use hdms_nodes::server::trail::Act;
use hdms_nodes::server::{Rules, Server, ServerConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{Net, keys, log_keys, passphrase};

#[tokio::test]
async fn rules_are_kept_from_when_on_they_are_in_force() {
    let mut net = Net::start_with(|config| config.rules.witnesses = 1).await;
    let rules = |trust: &Trust| trust.parameters().witnesses.clone();
    let begin = net.now().seconds();
    let first = net.trust().await;
    assert_eq!(rules(&first), [WitnessRule { since: begin, needed: 1 }]);
    let request = net.request(keys(0), Role::Notary, "Notary").await;
    net.ask(keys(0), &request).await.unwrap_err();
    net.operator().admit(request.iss.clone()).await.unwrap();
    net.clock.advance(5_000);
    // Also where the age was made shorter just before.
    net.operator().set(|settings| settings.rules.revocation_age = 3600).await.unwrap();
    net.clock.advance(7_000);
    let fewer = |settings: &mut Settings| settings.rules.witnesses = 0;
    net.operator().set(fewer).await.unwrap();
    let trust = net.until(|trust| rules(trust).len() == 2).await;
    let since = begin + 5 + 24 * 3600;
    let later = WitnessRule { since, needed: 0 };
    assert_eq!(rules(&trust)[1..], [later], "once nobody relies on the documents of before");
    assert!(trust.parameters().number > first.parameters().number);
    net.operator().set(fewer).await.unwrap();
    net.restart_with(|config| config.rules = Rules::named("Another")).await;
    let after = net.trust().await;
    assert_eq!(after.parameters(), trust.parameters(), "a start changes nothing");
    let trail = net.operator().trail().await.unwrap().entries;
    assert_eq!(trail.iter().filter(|entry| entry.act == Act::Rules).count(), 3);
    net.demand_version(PROTOCOL_VERSION + 1);
    let newer = net.until(|trust| trust.check_version().is_err()).await;
    assert_eq!(newer.check_version(), Err(Error::VersionTooOld));
}

#[tokio::test]
async fn rules_by_which_no_receipt_would_count_or_no_node_take_part_are_refused() {
    let net = Net::start().await;
    let request = net.request(keys(0), Role::Notary, "Notary").await;
    net.ask(keys(0), &request).await.unwrap_err();
    net.operator().admit(request.iss.clone()).await.unwrap();
    let before = net.operator().settings().await.unwrap();
    let set = async |change: fn(&mut Settings)| net.operator().set(change).await.unwrap_err();
    assert_eq!(set(|it| it.rules.witnesses = 1).await, Refused::Witnesses(0));
    assert_eq!(set(|it| it.rules.revocation_age = 30).await, Refused::Age);
    let newer = |it: &mut Settings| it.rules.minimum_version = PROTOCOL_VERSION + 1;
    assert_eq!(set(newer).await, Refused::Version);
    assert_eq!(net.operator().settings().await.unwrap(), before);
    let notaries = net.operator().notaries().await.unwrap();
    assert!(notaries.count == 1 && !notaries.lack(notaries.witnessing.needed));
}

fn hdms(net: &Net, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
    command.args(["server", arguments[0], "--data"]).arg(net.data()).args(&arguments[1..]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_changed_number_of_witnesses_says_from_when_it_counts_and_a_revocation_warns_before() {
    let net = Net::start_with(|config| config.rules.witnesses = 2).await;
    let mut notary = None;
    for number in 0..3 {
        let name = format!("Notary {number}");
        let request = net.request(keys(number), Role::Notary, &name).await;
        let request = AdmissionRequest { log: Some(log_keys(number as u8)), ..request };
        net.ask(keys(number), &request).await.unwrap_err();
        net.operator().admit(request.iss.clone()).await.unwrap();
        notary = Some(request.iss.to_string());
    }
    let notary = notary.unwrap();
    let witnesses = |shown: String| {
        shown.lines().find(|line| line.starts_with("--witnesses")).unwrap().to_owned()
    };
    let (_, shown, _) = hdms(&net, &["show"]);
    assert!(witnesses(shown).ends_with(" 2"));
    for number in ["0", "1"] {
        let (_, shown, _) = hdms(&net, &["set", "--witnesses", number]);
        let (line, from) = (witnesses(shown), format!(" {number} from "));
        assert!(line.contains(&from) && line.ends_with("GMT on; 2 until then"), "{line}");
    }
    let rules = net.until(|trust| trust.parameters().witnesses.len() == 2).await;
    assert_eq!(rules.parameters().witnesses[1].needed, 1, "the one in between is gone");

    let revoke = ["revoke", "--reason", "closed", "--yes", "--", &notary];
    let (done, warned, refused) = hdms(&net, &[&revoke[..3], &revoke[4..]].concat());
    assert!(!done && refused.contains("--yes"), "{refused}");
    assert!(warned.contains("witnesses as it needs, 2 until "), "by the rule in force: {warned}");
    assert!(warned.contains("When a notary is revoked"), "{warned}");
    assert!(net.operator().applicant(&notary.parse().unwrap()).await.unwrap().is_member);
    assert!(hdms(&net, &revoke).0);
    assert!(!net.operator().applicant(&notary.parse().unwrap()).await.unwrap().is_member);
}

/// What the command line does at each start.
#[tokio::test]
async fn options_count_at_the_first_start_and_later_ones_that_say_otherwise_are_refused() {
    let net = Net::start_with(|config| {
        (config.rules.witnesses, config.quotas.mailbox.messages) = (2, 7);
    });
    let (net, dir) = (net.await, tempfile::tempdir().unwrap());
    let (data, nobodys) = (net.data(), dir.path().to_owned());
    let given = async |data: &Path, change: fn(&mut Settings)| Settings::given(data, change).await;
    let first = given(&data, |_| ()).await.unwrap();
    assert_eq!((first.rules.witnesses, first.allowances.quotas.mailbox.messages), (2, 7));
    assert_eq!(given(&data, |it| it.rules.witnesses = 2).await, Ok(first));
    let changes: [fn(&mut Settings); 2] =
        [|it| it.rules.witnesses = 0, |it| it.allowances.connections = 1];
    for contradicted in changes {
        let refused = given(&data, contradicted).await;
        assert!(matches!(refused, Err(Refused::Kept { .. })));
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = ServerConfig::new(nobodys.clone(), passphrase(), "http://127.0.0.1".into());
    config.rules.witnesses = 5;
    let stop = CancellationToken::new();
    let failed = Server::start(config, listener, NodeClock::default(), stop).await.err();
    assert_eq!(failed, Some(Error::Uncertified));
    let usual = given(&nobodys, |_| ()).await.unwrap();
    assert_eq!(usual.rules.witnesses, 1, "that start fixed nothing");
}
