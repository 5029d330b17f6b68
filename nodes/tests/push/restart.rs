//! What a restart changes, and what it does not.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hdms_push_services::{Google, StatusCode, google};

use crate::common::{Net, PASSPHRASE, prepare_server};
use crate::stage::{QUIET, Stage, config, until, vapid};
use crate::{enclosed, word};

#[tokio::test]
async fn the_key_stays_and_what_was_pushed_is_not_pushed_again() {
    let mut stage = Stage::new().await;
    let (key, browser) = (vapid(&stage.net).await, stage.browser().await);
    stage.deliver(&["before"]).await;
    let google = stage.google.service();
    until("the push", async || browser.read(google).len() == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await; // until that is on the disk
    let push = config(&stage.google);
    stage.net.restart_with(|config| config.push = push).await;
    assert_eq!(vapid(&stage.net).await, key);
    stage.deliver(&["after"]).await;
    until("the next push", async || browser.read(google).len() == 2).await;
    assert_eq!(browser.read(google), [enclosed(1, "before"), enclosed(2, "after")]);
}

#[tokio::test]
async fn with_a_new_key_the_parameters_are_new_and_browsers_have_to_subscribe_anew() {
    let mut stage = Stage::new().await;
    let before = stage.net.trust().await.parameters().clone();
    let browser = stage.browser().await;
    assert_eq!(stage.standing().await, [browser.id()]);
    std::fs::remove_file(stage.net.data().join("vapid/keys.pem")).unwrap();
    let push = config(&stage.google);
    stage.net.restart_with(|config| config.push = push).await;
    let after = stage.net.trust().await.parameters().clone();
    assert!(after.number > before.number);
    assert_ne!(after.vapid, before.vapid);
    assert!(stage.standing().await.is_empty());
}

/// Killed at the latest with the test.
struct Killed(Child);

impl Killed {
    fn start(net: &std::path::Path, address: &str, google: &Google) -> Self {
        let mut server = Command::new(env!("CARGO_BIN_EXE_hdms"));
        server.args(["server", "--listen", address, "--data"]).arg(net);
        for origin in google::ORIGINS {
            server.args(["--push-via", &format!("{origin}={}", google.url())]);
        }
        server.env("HDMS_PASSPHRASE", PASSPHRASE).env("HDMS_LOG", "warn").stdout(Stdio::null());
        Self(server.spawn().unwrap())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_before_the_server_was_killed_is_pushed_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("server");
    prepare_server(dir.path());
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let url = format!("http://{address}");
    let google = Google::start().await.unwrap();
    let answers = async || reqwest::get(&url).await.is_ok();

    let server = Killed::start(&data, &address, &google);
    until("the server answers", answers).await;
    let net = Net::attached(dir, url.clone()).await;
    let (hospital, patient) = (net.hospital(0).await, net.person(1).await);
    let stage = Stage { net, google, hospital, patient };
    let browsers = [stage.browser().await, stage.browser().await];
    let service = stage.google.service();
    service.fail_next(2, StatusCode::SERVICE_UNAVAILABLE, Some(3600));
    stage.deliver(&["accepted"]).await;
    until("tried in vain", async || service.requests().len() == 2).await;
    drop(server);

    let server = Killed::start(&data, &address, &stage.google);
    for browser in &browsers {
        until("the push", async || browser.read(service) == [enclosed(1, "accepted")]).await;
    }
    service.fail_next(2, StatusCode::SERVICE_UNAVAILABLE, Some(3600));
    stage.deliver(&["another"]).await;
    until("tried in vain again", async || service.requests().len() == 6).await;
    stage.deliver(&["and another"]).await;
    drop(server);

    let _server = Killed::start(&data, &address, &stage.google);
    for browser in &browsers {
        until("the word", async || browser.read(service).last() == Some(&word(3))).await;
    }
    tokio::time::sleep(QUIET).await;
    assert_eq!(service.requests().len(), 8, "nothing was pushed twice");
}
