//! A patient who is many wants a hospital to turn other patients away.

use hdms::base64url::decode;
use hdms::card::Role;
use hdms::envelope::{Message, MessageType, seal};
use hdms::ids::{CaseId, NodeId};
use hdms::memory::MemoryStore;
use hdms::network::Trust;
use hdms::node::{Node, OutboxItem, Payload, Platform};
use hdms::software::SoftwareHolders;
use hdms::testing::FixedClock;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_nodes::base::http::client::JOSE;
use hdms_nodes::base::http::connections::Limits;
use hdms_nodes::base::http::proxies::{Block, Proxies};
use hdms_nodes::base::keys::{AwsKeys, AwsPrimitives};
use hdms_nodes::base::system::{NodeClock, SystemRandomness};
use hdms_nodes::institution::{Config, Institution};
use hdms_nodes::member::MemberConfig;
use hdms_nodes::member::costs::Costs;
use reqwest::Client;
use rusqlite::Connection;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{JsonBody, Net, case_id};
use crate::stage::His;

/// What a patient's node is made of here: it sends nothing by itself.
struct Played {
    keys: &'static AwsKeys,
    holders: SoftwareHolders<SystemRandomness>,
    store: MemoryStore,
    clock: FixedClock,
}

impl Platform for Played {
    type Primitives = AwsPrimitives;
    type Keys = AwsKeys;
    type Holders = SoftwareHolders<SystemRandomness>;
    type Store = MemoryStore;
    type Clock = FixedClock;
    type Randomness = SystemRandomness;
    type Guard = ();

    fn primitives(&self) -> &AwsPrimitives {
        &AwsPrimitives
    }

    fn keys(&self) -> &AwsKeys {
        self.keys
    }

    fn holders(&self) -> &Self::Holders {
        &self.holders
    }

    fn store(&self) -> &MemoryStore {
        &self.store
    }

    fn clock(&self) -> &FixedClock {
        &self.clock
    }

    fn randomness(&self) -> &SystemRandomness {
        &SystemRandomness
    }

    async fn lock_case(&self, _: &CaseId) {}

    async fn lock_sender(&self, _: &NodeId) {}

    fn queued(&self, _: Vec<OutboxItem>) {}
}

/// A hospital behind a proxy, which keeps two undecided requests of an address.
struct Scene {
    net: Net,
    hospital: Option<(Institution, CancellationToken)>,
    address: String,
    trust: Trust,
}

impl Scene {
    async fn set() -> Self {
        let net = Net::start().await;
        net.notary("notary").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (hospital, ()) = tokio::join!(start(&net, listener, &address), net.admit_next());
        let id = hospital.0.node().id();
        let wanted = |trust: &Trust| trust.node(id).is_ok() && trust.manifest().notaries.len() == 1;
        let trust = net.until(wanted).await;
        Self { net, hospital: Some(hospital), address, trust }
    }

    fn hospital(&self) -> &Institution {
        &self.hospital.as_ref().unwrap().0
    }

    async fn restart(&mut self) {
        let (hospital, stop) = self.hospital.take().unwrap();
        stop.cancel();
        hospital.ended().await;
        let listener = TcpListener::bind(&self.address).await.unwrap();
        self.hospital = Some(start(&self.net, listener, &self.address).await);
    }

    /// A request for treatment of the patient with this number, made so many seconds ahead.
    async fn request(&self, patient: usize, ahead: u64) -> (CaseId, String) {
        let (case, compact, _) = self.asked(patient, ahead).await;
        (case, compact)
    }

    /// The same, with what is signed in it.
    async fn asked(&self, patient: usize, ahead: u64) -> (CaseId, String, String) {
        let (patient, case) = (self.net.person(patient).await, case_id());
        let platform = Played {
            keys: patient.keys,
            holders: SoftwareHolders::new(SystemRandomness),
            store: MemoryStore::default(),
            clock: FixedClock::new(self.net.now()),
        };
        platform.clock.advance(ahead * 1000);
        let node = Node::new(platform, patient.card, self.trust.clone());
        let asks = TreatmentRequest { reason: "Cough".into(), date: None, may_read: Vec::new() };
        node.ask(&case, self.hospital().node().id(), asks).await.unwrap();
        let item = node.waiting("", 1).await.unwrap().remove(0);
        let Payload::Envelope { compact, signed, .. } = item.payload else { panic!("no envelope") };
        (case, compact, signed.unwrap())
    }

    /// What is in this signed message, in a new one of the same patient.
    async fn again(&self, patient: usize, case: &CaseId, signed: &str) -> String {
        let (patient, clock) = (self.net.person(patient).await, &self.net.clock);
        let claims = decode(signed.split('.').nth(1).unwrap()).unwrap();
        let outbound = Message {
            from: &patient.card,
            to: self.trust.node(self.hospital().node().id()).unwrap(),
            case,
            kind: MessageType::TreatmentRequest,
            body: hdms::json::parse(&claims).unwrap()["body"].take(),
        };
        let sealed = seal(outbound, patient.keys, &AwsPrimitives, clock, &SystemRandomness).await;
        sealed.unwrap().1
    }

    /// What the hospital answers to an envelope that comes from `from`: its outcome or a code.
    async fn post(&self, envelope: &str, from: &str) -> String {
        let url = format!("{}/inbox", self.hospital().url());
        let post = Client::new().post(url).header("content-type", JOSE);
        let post = post.header("x-forwarded-for", from).body(envelope.to_owned());
        let answer: Value = post.send().await.unwrap().json_body().await;
        let said = answer["outcome"].as_str().or(answer["code"].as_str());
        said.unwrap().to_owned()
    }

    /// Waits until so many requests wait at the hospital, of these some.
    async fn until_wait(&self, count: usize, all: &[&(CaseId, String)]) {
        let his = His::new(&self.hospital().url(), self.hospital().api_key());
        for _ in 0..400 {
            let list = his.get("/api/cases?phase=requested").await.body;
            let cases: Vec<_> = list["cases"].as_array().unwrap().iter().collect();
            let known = |case: &&Value| all.iter().any(|(id, _)| case["id"] == id.as_ref());
            if cases.len() == count && cases.iter().all(known) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("never {count}");
    }

    /// How many rows of the hospital's begin like this.
    fn rows(&self, table: &str, prefix: &str) -> usize {
        let path = self.net.dir.path().join("hospital/institution.sqlite");
        let count = format!("SELECT count(*) FROM {table} WHERE key LIKE ?1 || '%'");
        Connection::open(path).unwrap().query_row(&count, [prefix], |row| row.get(0)).unwrap()
    }

    async fn until_no_rows(&self, table: &str, prefix: &str) {
        for _ in 0..2400 {
            if self.rows(table, prefix) == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{table} keeps {prefix}");
    }
}

async fn start(net: &Net, listener: TcpListener, at: &str) -> (Institution, CancellationToken) {
    let proxy: Block = "127.0.0.1".parse().unwrap();
    let limits = Limits { proxies: Proxies::from(vec![proxy]), ..Limits::default() };
    let costs = Costs { undecided_of_address: 2, repeats: 2, limits, ..Costs::unlimited() };
    let member = net.member_config("hospital", format!("http://{at}"));
    let config = Config::new(MemberConfig { role: Role::Institution, costs, ..member });
    let (stop, clock) = (CancellationToken::new(), NodeClock::new(net.clock.clone()));
    (Institution::start(config, clock, listener, stop.clone()).await.unwrap(), stop)
}

const ADDRESS: &str = "192.0.2.1";
const A_MONTH: u64 = 31 * 24 * 3600 * 1000 + 1;

#[tokio::test(flavor = "multi_thread")]
async fn who_has_most_requests_makes_room_for_others_of_the_address_and_does_not_come_again() {
    let scene = Scene::set().await;
    let [one, two] = [scene.request(0, 0).await, scene.request(0, 0).await];
    for (_, envelope) in [&one, &two] {
        assert_eq!(scene.post(envelope, ADDRESS).await, "applied");
    }
    let other = scene.request(1, 0).await;
    assert_eq!(scene.post(&other.1, ADDRESS).await, "applied", "honest");
    scene.until_wait(2, &[&one, &other]).await;
    assert_eq!(scene.post(&two.1, ADDRESS).await, "repeated", "it went");
    scene.until_wait(2, &[&one, &other]).await;

    // Each has one: one of them makes room, and no other today.
    let third = scene.request(2, 0).await;
    assert_eq!(scene.post(&third.1, ADDRESS).await, "applied");
    scene.until_wait(2, &[&one, &other, &third]).await;
    for (_, envelope) in [&one, &two, &other, &third] {
        assert_eq!(scene.post(envelope, ADDRESS).await, "repeated");
    }
    let fourth = scene.request(3, 0).await;
    assert_eq!(scene.post(&fourth.1, ADDRESS).await, "treatment/quota");
    assert_eq!(scene.rows("meta", "asked-from/"), 2);

    // Once none of these can be posted any more, they go; once no refusal of theirs can be sent any more,
    // nothing is known of them.
    scene.net.clock.advance(A_MONTH);
    for (table, prefix) in [("cases", ""), ("meta", "asked-from/")] {
        scene.until_no_rows(table, prefix).await;
    }
    scene.net.clock.advance(A_MONTH);
    for (table, prefix) in [("inbox", ""), ("meta", "remembered/"), ("cards", "")] {
        scene.until_no_rows(table, prefix).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_the_same_again_and_again_is_not_remembered_for_ever() {
    let scene = Scene::set().await;
    let (case, first, signed) = scene.asked(0, 0).await;
    assert_eq!(scene.post(&first, ADDRESS).await, "applied");
    for expected in ["repeated", "repeated", "api/too-many"] {
        let again = scene.again(0, &case, &signed).await;
        assert_eq!(scene.post(&again, ADDRESS).await, expected);
    }
    assert_eq!(scene.post(&first, ADDRESS).await, "repeated", "the same costs nothing");
    assert_eq!(scene.rows("inbox", "seen/"), 3);
    scene.net.clock.advance(12 * 3600 * 1000);
    let again = scene.again(0, &case, &signed).await;
    assert_eq!(scene.post(&again, ADDRESS).await, "repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_restart_nor_a_date_ahead_hides_from_where_requests_come() {
    let mut scene = Scene::set().await;
    let requests =
        [scene.request(0, 0).await, scene.request(0, 0).await, scene.request(1, 0).await];
    for (_, envelope) in &requests[..2] {
        assert_eq!(scene.post(envelope, ADDRESS).await, "applied");
    }
    scene.restart().await;
    assert_eq!(scene.post(&requests[2].1, ADDRESS).await, "applied");
    scene.until_wait(2, &[&requests[0], &requests[2]]).await;

    // Each has one. What is dated ahead is tried again as what comes from there.
    let ahead = [scene.request(2, 1200).await, scene.request(3, 1200).await];
    for (_, envelope) in &ahead {
        assert_eq!(scene.post(envelope, ADDRESS).await, "envelope/not-yet-valid");
    }
    scene.net.clock.advance(1200 * 1000);
    let taken = scene.hospital().node().retry_hopeful::<HospitalCase>().await.unwrap();
    assert_eq!(taken.len(), 1, "one by lot");
    scene.until_wait(2, &[&requests[0], &requests[2], &ahead[0], &ahead[1]]).await;

    // What is decided came from nobody knows where.
    let his = His::new(&scene.hospital().url(), scene.hospital().api_key());
    let list = his.get("/api/cases?phase=requested").await.body;
    for case in list["cases"].as_array().unwrap() {
        let path = format!("/api/cases/{}/refusal", case["id"].as_str().unwrap());
        assert_eq!(his.post(&path, r#"{"reason":"No"}"#).await.status, 200);
    }
    scene.until_no_rows("meta", "asked-from/").await;
}
