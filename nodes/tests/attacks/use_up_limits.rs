//! A stranger wants others to be refused: it uses up the limits that they share with it.

use hdms_nodes::proxies::{Block, Proxies};
use reqwest::{Client, StatusCode};

use crate::common::Net;

/// A server that takes two admission requests a minute of an address, behind this proxy.
async fn behind(proxy: &str) -> Net {
    let block: Block = proxy.parse().unwrap();
    Net::start_with(|config| {
        config.rates.admissions = 2;
        config.limits.proxies = Proxies::from(vec![block]);
    })
    .await
}

/// The status of garbage that came by way of the proxy.
async fn garbage(net: &Net, forwarded: &str) -> StatusCode {
    let url = format!("{}/doorman/admissions", net.url);
    let request = Client::new().post(url).header("x-forwarded-for", forwarded).body("a.b.c");
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn behind_a_trusted_proxy_everybody_has_limits_of_their_own() {
    let net = behind("127.0.0.1").await;
    let refused = StatusCode::TOO_MANY_REQUESTS;
    for _ in 0..2 {
        assert_eq!(garbage(&net, "192.0.2.1").await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(garbage(&net, "192.0.2.1").await, refused);
    assert_eq!(garbage(&net, "198.51.100.7, 192.0.2.1").await, refused, "what it says itself");
    assert_eq!(garbage(&net, "192.0.2.2").await, StatusCode::BAD_REQUEST);

    assert_eq!(garbage(&net, "2001:db8::1").await, StatusCode::BAD_REQUEST);
    assert_eq!(garbage(&net, "2001:db8::2").await, StatusCode::BAD_REQUEST);
    assert_eq!(garbage(&net, "2001:db8::3").await, refused, "one subscriber");
    assert_eq!(garbage(&net, "2001:db8:0:1::1").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nobody_is_believed_who_is_no_trusted_proxy() {
    let net = behind("10.0.0.0/8").await;
    for (number, expected) in [400, 400, 429, 429].into_iter().enumerate() {
        let status = garbage(&net, &format!("192.0.2.{number}")).await;
        assert_eq!(status.as_u16(), expected, "{number}");
    }
}
