//! Floods of an institution; its information system looks at its cases.

use std::sync::Arc;

use hdms::card::Role;
use hdms::envelope::{Message, MessageType, seal};
use hdms_nodes::base::http::client::JOSE;
use hdms_nodes::base::keys::AwsPrimitives;
use hdms_nodes::base::system::{NodeClock, SystemClock, SystemRandomness};
use hdms_nodes::institution::{Config, Institution};
use hdms_nodes::member::MemberConfig;
use hdms_nodes::member::costs::Costs;
use reqwest::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{Net, Person, case_id};
use crate::{behind_a_proxy, elsewhere, row};

pub async fn running_hospital(net: &Net, costs: Costs, stop: &CancellationToken) -> Institution {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let member = net.member_config("hospital", endpoint);
    let member = MemberConfig { role: Role::Institution, costs, ..member };
    let config = Config::new(member);
    let clock = NodeClock::new(net.clock.clone());
    let starting = Institution::start(config, clock, listener, stop.clone());
    let (started, ()) = tokio::join!(starting, net.admit_next());
    started.unwrap()
}

/// An envelope that is well sealed, and says nothing that the hospital knows.
pub async fn senseless(from: &Person, hospital: &Institution) -> String {
    let to = hospital.node().card();
    let message = Message {
        from: &from.card,
        to: &to,
        case: &case_id(),
        kind: MessageType::TreatmentRequest,
        body: serde_json::json!({"reason": "Cough"}),
    };
    let sealed = seal(message, from.keys, &AwsPrimitives, &SystemClock, &SystemRandomness).await;
    sealed.unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_a_hospital_keep_it_from_nothing() {
    let net = Net::start().await;
    let patient = net.person(0).await;
    let stop = CancellationToken::new();
    let costs = Costs { limits: behind_a_proxy(), ..Costs::unlimited() };
    let hospital = running_hospital(&net, costs, &stop).await;
    let (http, url) = (Client::new(), hospital.url());
    // Over a connection of its own: one that brings wrong keys has to wait.
    let his = Client::new();
    let honest = async || {
        let request = his.get(format!("{url}/api/cases")).bearer_auth(hospital.api_key());
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    let envelope = senseless(&patient, &hospital).await;
    for (name, body) in [("garbage", "a.b.c.d.e".to_owned()), ("one that makes no sense", envelope)]
    {
        let (client, to) = (http.clone(), format!("{url}/inbox"));
        let request = Arc::new(move |_: usize| {
            client.post(&to).header("content-type", JOSE).body(body.clone())
        });
        row(&format!("`POST /inbox`, {name}"), request, &[400, 429], &honest).await;
    }
    let (client, to) = (http.clone(), format!("{url}/inbox"));
    let request = Arc::new(move |number: usize| {
        let (name, address) = elsewhere(number);
        client.post(&to).header(name, address).body("a.b.c.d.e")
    });
    row("`POST /inbox`, garbage from 200 addresses", request, &[400], &honest).await;
    let (client, to) = (http.clone(), format!("{url}/api/cases"));
    let guessed =
        Arc::new(move |number: usize| client.get(&to).bearer_auth(format!("guess {number}")));
    row("`GET /api/cases`, a guessed key", guessed, &[401, 429], &honest).await;
    stop.cancel();
    hospital.ended().await;
}
