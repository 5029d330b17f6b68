//! A server that was put back has members of its network for strangers: they become members again.

use std::time::Duration;

use hdms::Error;
use hdms::card::LIFETIME;
use hdms_nodes::base::keys as key_files;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::platform::NativeNode;
use hdms_nodes::institution::{self, Institution};
use hdms_nodes::local::personal::Personal;
use hdms_nodes::member::{Member, MemberConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{backed_up, put_back};
use crate::common::{Net, passphrase};
use crate::watched;

const DAY: u64 = 24 * 3600;

/// Fetches what waits for a node and what became of what it has sent, as only members may.
async fn is_known(net: &Net, member: &Member) -> Result<(), Error> {
    net.client.mailbox(&net.url, member.signer(), 0, 1).await.map(drop)
}

/// The key that comes with the card when most of the last one's life is over.
async fn renewed(net: &Net, patient: &Personal) -> String {
    let member = patient.node().platform().member();
    let key = || member.standing().card.encryption_key().unwrap().thumbprint();
    let former = key();
    net.clock.advance((LIFETIME * 2 / 3 + 1) * 1000);
    net.have_it_look();
    for _ in 0..400 {
        if key() != former {
            return key();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the card was not renewed");
}

/// Until the server has everything for this patient be sealed to that key.
async fn until_mail_is_for(net: &Net, patient: &Personal, key: &str) {
    let member = patient.node().platform().member();
    for _ in 0..800 {
        let page = net.client.mailbox(&net.url, member.signer(), 0, 1).await.unwrap();
        if page.kid == key {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server goes by the key that the patient has given up");
}

async fn personal(net: &Net, folder: &str, stop: &CancellationToken) -> Personal {
    let (config, clock) = (net.personal_config(folder), NodeClock::new(net.clock.clone()));
    Personal::start(config, clock, stop.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_became_a_member_since_the_backup_or_renewed_is_taken_in_again_whatever_they_are() {
    let (mut net, mut notaries) = watched::network().await;
    let leaving = CancellationToken::new();
    let renewing = personal(&net, "renewing", &leaving).await;
    let changing = personal(&net, "changing", &leaving).await;
    let kept = backed_up(&mut net).await;
    notaries.push(net.notary("notary-d").await);
    let (stop, clock) = (CancellationToken::new(), NodeClock::new(net.clock.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let config =
        MemberConfig { name: "Hospital".into(), ..net.member_config("hospital", endpoint) };
    let config = institution::Config::new(config);
    let starting = Institution::start(config, clock.clone(), listener, stop.clone());
    let hospital = tokio::join!(starting, net.admit_next()).0.unwrap();
    let patient = personal(&net, "patient", &stop).await;
    let renewed = renewed(&net, &renewing).await;
    leaving.cancel();
    tokio::join!(renewing.ended(), changing.ended());
    key_files::change(&net.dir.path().join("changing"), &passphrase(), net.now()).await.unwrap();
    let renewing = personal(&net, "renewing", &stop).await;
    let changing = personal(&net, "changing", &stop).await;
    let newest = net.trust().await.manifest().number;
    watched::all_keep(&notaries, newest).await;

    put_back(&mut net, kept).await;
    let member = |node: &NativeNode| node.platform().member().clone();
    let members = [
        notaries.last().unwrap().member().clone(),
        member(hospital.node()),
        member(patient.node()),
        member(changing.node()),
    ];
    let listed = |trust: &hdms::network::Trust| {
        members[..2].iter().all(|member| trust.node(member.id()).is_ok())
    };
    net.until(listed).await;
    for member in &members {
        let mut known = Err(Error::CardUnknown);
        // Who asked in vain while the server was away asks after as long a pause.
        for _ in 0..800 {
            known = is_known(&net, member).await;
            if known.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(known, Ok(()), "{:?}", member.standing().card.card().role);
    }
    until_mail_is_for(&net, &renewing, &renewed).await;
    let trust = net.trust().await;
    for member in &members {
        assert_eq!(member.standing().card.check_validity(&trust, net.now()), Ok(()));
    }
    stop.cancel();
}

/// Until then notaries may rely on parameters that don't name the rule, and break it.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_witnesses_counts_once_nobody_relies_on_what_was_said_since_the_backup() {
    let (mut net, notaries) = watched::network().await;
    net.operator().set(|settings| settings.rules.witnesses = 1).await.unwrap();
    let kept = backed_up(&mut net).await;
    let begun = net.now().seconds();
    for days in [30, 1] {
        let age = days * DAY;
        net.operator().set(move |settings| settings.rules.revocation_age = age).await.unwrap();
        net.until(|trust| trust.parameters().revocation_age == age).await;
    }
    watched::all_keep(&notaries, net.trust().await.manifest().number).await;
    put_back(&mut net, kept).await;
    net.operator().set(|settings| settings.rules.witnesses = 2).await.unwrap();
    let next = net.operator().notaries().await.unwrap().witnessing.next.unwrap();
    assert_eq!((next.needed, next.since), (2, begun + 30 * DAY));
}
