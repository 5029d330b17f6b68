//! A network whose manifests three notaries co-sign.

use hdms_nodes::base::keys::open_or_make;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::notary::Notary;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{JsonBody, Net, passphrase};

pub const NAMES: [&str; 3] = ["notary-a", "notary-b", "notary-c"];

/// The network, its notaries, and what stops each of them.
pub async fn network() -> (Net, Vec<Notary>) {
    let net = Net::start().await;
    let mut notaries = Vec::new();
    for name in NAMES {
        open_or_make(&net.dir.path().join(name), &passphrase()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (notary, ()) = tokio::join!(start(&net, name, listener), net.admit_next());
        notaries.push(notary);
    }
    // The server asks for what it lacks every few seconds.
    for _ in 0..400 {
        if net.trust().await.manifest().witnesses.len() == NAMES.len() {
            return (net, notaries);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the notaries were never named as witnesses");
}

pub async fn start(net: &Net, name: &str, listener: TcpListener) -> Notary {
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let config = net.member_config(name, endpoint);
    let clock = NodeClock::new(net.clock.clone());
    Notary::start(config, listener, clock, CancellationToken::new()).await.unwrap()
}

/// Waits until every notary keeps the manifest with this number.
pub async fn all_keep(notaries: &[Notary], number: u64) {
    for notary in notaries {
        let url = format!("http://{}/manifests/{number}", notary.address());
        for _ in 0..600 {
            if reqwest::get(&url).await.unwrap().status().is_success() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// The alarms of a witness about the network's manifests.
pub async fn alarms(witness: &Notary) -> Vec<Value> {
    let url = format!("http://{}/witness/alarms", witness.address());
    let answer: Value = reqwest::get(url).await.unwrap().json_body().await;
    let alarms = answer["alarms"].as_array().unwrap().iter();
    let of_manifests = |alarm: &&Value| {
        alarm["log"].as_str().is_some_and(|log| log.starts_with("hdms-manifests/"))
    };
    alarms.filter(of_manifests).cloned().collect()
}
