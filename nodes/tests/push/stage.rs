//! A server, those who use it, and the push services that it sends to.

use std::time::Duration;

use hdms::mailbox::DeliveryAnswer;
use hdms::proof::RequestProof;
use hdms::push::{Subscription, SubscriptionRemoval};
use hdms_nodes::server::PushConfig;
use hdms_push_services::{Firefox, Google, google};
use reqwest::Response;
use serde::Serialize;

use crate::browser::Browser;
use crate::common::{Net, Person, delivery, message_id};

/// Longer than it may take until something that is due is pushed.
const SOON: Duration = Duration::from_secs(20);

/// Longer than the server waits between two pushes, or for whoever listens.
pub const QUIET: Duration = Duration::from_millis(3600);

pub struct Stage {
    pub net: Net,
    pub google: Google,
    pub hospital: Person,
    pub patient: Person,
}

impl Stage {
    /// A server that may send to the public internet only, and to what stands for Google.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(adjust: impl FnOnce(&mut PushConfig)) -> Self {
        let google = Google::start().await.unwrap();
        let mut push = config(&google);
        adjust(&mut push);
        let net = Net::start_with(|config| config.push = push).await;
        let (hospital, patient) = (net.hospital(0).await, net.person(1).await);
        Self { net, google, hospital, patient }
    }

    /// A browser of the patient that the server knows of.
    pub async fn browser(&self) -> Browser {
        let browser = self.stranger().await;
        self.subscribe(&browser.subscription).await;
        browser
    }

    /// A browser that the server does not know of.
    pub async fn stranger(&self) -> Browser {
        let base = format!("{}/fcm/send", google::ORIGINS[0]);
        Browser::subscribe(self.google.service(), &base, &vapid(&self.net).await)
    }

    /// A browser of another make, on this machine, that the server knows of.
    pub async fn firefox(&self, firefox: &Firefox) -> Browser {
        let url = firefox.preferences()["dom.push.serverURL"].as_str().unwrap().to_owned();
        let base = format!("{}wpush/v2", url.replace("ws:", "http:"));
        let browser = Browser::subscribe(firefox.service(), &base, &vapid(&self.net).await);
        self.subscribe(&browser.subscription).await;
        browser
    }

    pub async fn subscribe(&self, subscription: &Subscription) {
        let answer = post(&self.net, &self.patient, "/mailbox/subscriptions", subscription).await;
        assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());
    }

    pub async fn remove(&self, of: &Person, id: String) {
        let removal = SubscriptionRemoval { id };
        let answer = post(&self.net, of, "/mailbox/subscriptions/removal", &removal).await;
        assert_eq!(answer.status(), 204);
    }

    /// The hospital delivers these to the patient. Answers the last place.
    pub async fn deliver(&self, contents: &[&str]) -> u64 {
        let deliveries = contents.iter().map(|content| delivery(&self.patient.id, content));
        let from = self.hospital.signer();
        let answers = self.net.deliver(from, deliveries.collect()).await.unwrap();
        let Some(DeliveryAnswer::Accepted(seq)) = answers.last() else { panic!("{answers:?}") };
        *seq
    }

    pub async fn acknowledge(&self, upto: u64) {
        self.net
            .client
            .acknowledge(&self.net.url, self.patient.signer(), upto, Vec::new())
            .await
            .unwrap();
    }

    /// Ids of the patient's subscriptions that stand.
    pub async fn standing(&self) -> Vec<String> {
        let page = self.net.client.mailbox(&self.net.url, self.patient.signer(), 0, 1).await;
        page.unwrap().subscriptions
    }
}

/// How a server sends to what stands for Google.
pub fn config(google: &Google) -> PushConfig {
    let via = google::ORIGINS.map(|origin| (origin.to_owned(), google.url()));
    PushConfig { via: via.into(), ..PushConfig::default() }
}

/// The key with which browsers subscribe.
pub async fn vapid(net: &Net) -> String {
    net.trust().await.parameters().vapid.clone().unwrap()
}

/// A request with `from`'s proof.
pub async fn post(net: &Net, from: &Person, path: &str, body: &impl Serialize) -> Response {
    let url = format!("{}{path}", net.url);
    let body = serde_json::to_vec(body).unwrap();
    let proof = RequestProof::new(&from.id, message_id(), "POST", &url, &body, net.now());
    let proof = proof.sign(from.keys).await.unwrap();
    let request = reqwest::Client::new().post(url).header("HDMS-Proof", proof);
    request.body(body).send().await.unwrap()
}

/// Waits until it is so.
pub async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "never: {what}");
}

/// What `delivery` seals as this content.
pub fn envelope(content: &str) -> String {
    format!("h.k.i.{}.t", hdms::base64url::encode(content))
}
