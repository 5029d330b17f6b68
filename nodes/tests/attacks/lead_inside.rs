//! A member wants others to knock at doors inside their own networks: it says that it is there.

use hdms::Error;
use hdms::card::Role;
use hdms::doorman::AdmissionRequest;
use hdms::jose::jws;
use hdms_nodes::base::http::client::Client;
use hdms_nodes::base::http::reach::Reach;
use hdms_nodes::base::keys::AwsKeys;
use hdms_nodes::base::system::NodeClock;
use serde_json::Value;

use crate::common::{Net, keys, message_id};
use crate::trap::{Trap, say, serve};

/// An institution that asks to be listed at this address, whatever it is.
async fn ask_to_be_at(net: &Net, keys: &AwsKeys, endpoint: &str) -> Result<(), Error> {
    let request = AdmissionRequest {
        jti: message_id(),
        ..net.request(keys, Role::Institution, "St. Elsewhere 0").await
    };
    let mut claims = serde_json::to_value(&request).unwrap();
    claims["endpoint"] = Value::from(endpoint);
    let kid = request.iss.as_ref();
    let jwt = jws::sign_ps256("hdms-admission+jwt", kid, &claims, keys).await.unwrap();
    net.client.ask_admission(&net.url, jwt).await.map(drop).map_err(Error::from)
}

#[tokio::test]
async fn nobody_is_listed_at_an_address_that_is_none() {
    let net = Net::start().await;
    let hospital = net.hospital(0).await;
    let before = hospital.card.card().endpoint.clone();
    for endpoint in [
        "http://127.0.0.1:8720/admin?x=",
        "http://127.0.0.1:8720/admin#",
        "http://127.0.0.1:8720/",
        "http://user:secret@127.0.0.1:8720",
        "https://hospital.example@127.0.0.1",
        "http://hospital.example",
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:169.254.169.254]",
        "https://[fd00:ec2::254]",
        "https://0.0.0.0",
        "https://2130706433",
        "https://0x7f.1",
        "file:///etc/passwd",
        "gopher://127.0.0.1:25",
        "",
    ] {
        let asked = ask_to_be_at(&net, keys(0), endpoint).await;
        assert_eq!(asked, Err(Error::EndpointRefused), "{endpoint}");
    }
    let listed = net.trust().await.node(&hospital.id).unwrap().card().endpoint.clone();
    assert_eq!(listed, before);
}

#[tokio::test]
async fn nobody_is_listed_inside_a_network_that_is_not_there() {
    let net = Net::start_with(|config| config.public_url = "https://hdms.example".into()).await;
    for endpoint in [
        "http://127.0.0.1:8720",
        "https://127.0.0.1:8720",
        "https://localhost",
        "https://[::1]",
        "https://[::ffff:10.0.0.1]",
        "https://10.0.0.1",
        "https://192.168.1.1/hdms",
    ] {
        let asked = ask_to_be_at(&net, keys(0), endpoint).await;
        assert_eq!(asked, Err(Error::EndpointRefused), "{endpoint}");
    }
    assert_eq!(ask_to_be_at(&net, keys(0), "https://hospital.example/hdms").await, Ok(()));
}

#[tokio::test]
async fn nobody_posts_inside_whatever_the_name() {
    let trap = Trap::set().await;
    let client = Client::new(NodeClock::default(), Reach::Public).unwrap();
    for host in [
        "http://127.0.0.1",
        "https://127.0.0.1",
        "https://localhost",
        "https://localhost.",
        "https://a.localhost",
        "https://[::ffff:127.0.0.1]",
        "https://0x7f.0.0.1",
        "https://2130706433",
        "https://user@127.0.0.1",
    ] {
        let endpoint = format!("{host}:{}", trap.port);
        let posted = client.send_envelope(&endpoint, "e.n.v.e.lope".into()).await;
        assert_eq!(posted.map_err(Error::from), Err(Error::NetworkUnreachable), "{endpoint}");
    }
    assert_eq!(trap.visits(), 0);
}

#[tokio::test]
async fn nobody_follows_where_an_answer_points() {
    let trap = Trap::set().await;
    let inside = format!("http://127.0.0.1:{}/admin", trap.port);
    let redirecting = serve(move |mut stream| {
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: {inside}\r\ncontent-length: 0\r\n\r\n"
        );
        async move { say(&mut stream, &answer).await }
    });
    let endpoint = format!("http://127.0.0.1:{}", redirecting.await);
    let client = Client::new(NodeClock::default(), Reach::Local).unwrap();
    let posted = client.send_envelope(&endpoint, "e.n.v.e.lope".into()).await;
    assert_eq!(posted.map_err(Error::from), Err(Error::NetworkUnreachable));
    let asked = client.network(&endpoint, None, 0).await;
    assert_eq!(asked.err(), Some(Error::NetworkUnreachable));
    assert_eq!(trap.visits(), 0);
}
