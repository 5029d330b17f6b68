//! Every message of a treatment delivered twice: it takes effect once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use hdms::envelope::MessageType;
use hdms::ids::{CaseId, MessageId};
use hdms::node::{OutboxItem, Outcome, Parcel, Payload, answers_to};
use hdms::treatment::Flow;
use hdms::treatment::patient::{DataAnswer, PatientCase, Phase, ResultStatus};
use hdms_nodes::base::store::SqliteStore;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::platform::{NativeNode, NativePlatform, follow};
use hdms_nodes::member::Member;
use stage::{His, RESULT, ask, network};
use tokio::sync::mpsc::UnboundedReceiver;

/// A patient whose post is carried by hand, every piece of it twice.
struct Carrier {
    node: Arc<NativeNode>,
    queue: UnboundedReceiver<OutboxItem>,
    last: u64,
    /// How often each kind was carried.
    carried: HashMap<String, usize>,
}

impl Carrier {
    /// Sends what is queued and takes in what has come, until the case is as `wanted`.
    async fn until(&mut self, case: &CaseId, wanted: impl Fn(&PatientCase) -> bool) -> PatientCase {
        for _ in 0..400 {
            while let Ok(item) = self.queue.try_recv() {
                self.send(item).await;
            }
            self.fetch().await;
            let state: PatientCase = self.node.case(case).await.unwrap();
            if wanted(&state) && self.queue.is_empty() {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the patient's case never became as wanted");
    }

    async fn send(&mut self, item: OutboxItem) {
        let client = self.node.platform().member().client().clone();
        let (parcels, stuck) = self.node.parcels(vec![item]).await;
        assert!(stuck.is_empty());
        for parcel in parcels {
            match parcel {
                Parcel::Inbox { endpoint, item } => {
                    let Payload::Envelope { kind, compact, .. } = &item.payload else { panic!() };
                    for outcome in ["applied", "repeated"] {
                        let taken =
                            client.send_envelope(endpoint.as_ref(), compact.clone()).await.unwrap();
                        assert_eq!(taken.outcome, outcome, "{kind}");
                    }
                    self.node.delivered(&item).await.unwrap();
                    *self.carried.entry(kind.clone()).or_default() += 1;
                }
                Parcel::Deposits { endpoint, items, envelope } => {
                    let once =
                        client.deposit(endpoint.as_ref(), envelope.clone()).await.unwrap().answers;
                    let twice = client.deposit(endpoint.as_ref(), envelope).await.unwrap().answers;
                    assert_eq!(once, twice);
                    for (item, answers) in items.iter().zip(answers_to(&items, once).unwrap()) {
                        self.node.deposit_answered::<PatientCase>(item, &answers).await.unwrap();
                        self.node.deposit_answered::<PatientCase>(item, &answers).await.unwrap();
                    }
                    *self.carried.entry("deposit".into()).or_default() += 1;
                }
                Parcel::Mailbox { .. } => panic!("a patient writes to no other patient"),
            }
        }
    }

    async fn fetch(&mut self) {
        let member = self.node.platform().member();
        let page = member.client().mailbox(member.server(), member.signer(), self.last, 10).await;
        for message in page.unwrap().messages {
            let envelope = message.envelope.as_bytes();
            let once = self.node.receive::<PatientCase>(envelope).await.unwrap();
            assert_eq!(once.outcome, Outcome::Applied);
            let twice = self.node.receive::<PatientCase>(envelope).await.unwrap();
            assert_eq!(twice.outcome, Outcome::Repeated);
            *self.carried.entry("mailbox".into()).or_default() += 1;
            self.last = message.seq;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_treatment_in_which_everything_is_delivered_twice_happens_once() {
    let dir = tempfile::tempdir().unwrap();
    let (network, stop) = network(dir.path(), &["hospital"]).await;
    let hospital = &network.institutions()[0];
    let his = His::new(&hospital.url(), hospital.api_key());
    let config = stage::personal(dir.path(), network.url());
    let store = SqliteStore::open(&config.data.join("patient.sqlite")).unwrap();
    let clock = NodeClock::default();
    let member = Member::join(config, store.clone(), clock.clone(), stop.clone()).await.unwrap();
    let (platform, queue) = NativePlatform::new(member, store, clock);
    let node = follow(platform);
    let mut patient = Carrier { node, queue, last: 0, carried: HashMap::new() };

    let case = ask(&patient.node, hospital.node().id()).await;
    patient.until(&case, |_| true).await;
    his.approve(&case).await;
    patient.until(&case, |case| case.phase == Phase::Approved).await;
    let path = format!("/api/cases/{case}/data-requests");
    let body = r#"{"resources":["Observation"],"purpose":"To compare"}"#;
    let asked = his.post(&path, body).await.body["id"].clone();
    let asked: MessageId = asked.as_str().unwrap().parse().unwrap();
    patient.until(&case, |case| !case.data_requests.is_empty()).await;
    let own = hdms::json::parse(RESULT.as_bytes()).unwrap();
    let own = patient.node.add_record(own).await.unwrap();
    patient.node.share(&case, &asked, &[own]).await.unwrap();
    let shared = |case: &PatientCase| case.data_requests[0].answer != DataAnswer::Open;
    patient.until(&case, shared).await;
    let amended = RESULT.replace("final", "amended");
    let results = [his.hand_in(&case, RESULT).await, his.hand_in(&case, &amended).await].concat();
    patient.until(&case, |case| case.results.len() == 2).await;
    patient.node.dispute(&case, slice::from_ref(&results[0]), "Not mine").await.unwrap();
    patient.node.confirm(&case, slice::from_ref(&results[1])).await.unwrap();
    let committed =
        |case: &PatientCase| matches!(case.results[1].status, ResultStatus::Committed { .. });
    let state = patient.until(&case, committed).await;
    let view = his.until(&case, |view| view["summary"]["openResults"] == 0).await;

    assert_eq!(state.entries().len(), 3);
    assert_eq!(view["ledger"].as_array().unwrap().len(), 3);
    assert_eq!(view["dataRequests"].as_array().unwrap().len(), 1);
    assert_eq!(patient.node.waiting("", 10).await.unwrap(), []);
    let sent = [
        MessageType::TreatmentRequest,
        MessageType::Data,
        MessageType::Dispute,
        MessageType::Confirmation,
    ];
    for kind in sent.map(MessageType::name).into_iter().chain(["deposit"]) {
        assert_eq!(patient.carried.get(kind), Some(&1), "{kind}");
    }
    assert_eq!(patient.carried.get("mailbox"), Some(&4));
}
