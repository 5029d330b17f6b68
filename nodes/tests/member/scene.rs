//! A network with a patient, a hospital and a notary, each of which can be stopped and started again.

use std::net::SocketAddr;
use std::path::Path;
use std::slice;
use std::sync::OnceLock;
use std::time::Duration;

use hdms::Error;
use hdms::ids::{CaseId, EntryId};
use hdms::treatment::patient::{PatientCase, ResultStatus};
use hdms_nodes::base::keys::{KEY_FILE, open_or_make};
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::platform::NativeNode;
use hdms_nodes::institution::{Config, Institution};
use hdms_nodes::local::personal::Personal;
use hdms_nodes::member::MemberConfig;
use hdms_nodes::member::costs::Costs;
use hdms_nodes::notary::Notary;
use hdms_nodes::server::ServerConfig;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{Net, passphrase};
use crate::stage::{His, ask, received, until};

const OFTEN: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_secs(3600);

/// The nodes' folders.
const FOLDERS: [&str; 3] = ["notary", "hospital", "patient"];

pub struct Scene {
    pub net: Net,
    pub notary: Notary,
    pub patient: Personal,
    pub his: His,
    /// What the hospital lets others cost it, once it is started again.
    pub costs: Costs,
    hospital: Option<(Institution, CancellationToken)>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Scene {
    pub async fn set() -> Self {
        Self::set_with(|_| ()).await
    }

    /// On a server whose configuration `adjust` has changed. The patient's node never asks for
    /// newer documents by itself.
    pub async fn set_with(adjust: impl FnOnce(&mut ServerConfig)) -> Self {
        let net = Net::start_with(adjust).await;
        prepare_keys(net.dir.path());
        let stop = CancellationToken::new();
        let (listener, endpoint) = listen("127.0.0.1:0").await;
        let (config, clock) = (config(&net, "notary", endpoint, OFTEN), clock(&net));
        let notary = Notary::start(config, listener, clock, stop.clone());
        let notary = tokio::join!(notary, net.admit_next()).0.unwrap();
        let (listener, _) = listen("127.0.0.1:0").await;
        let address = listener.local_addr().unwrap();
        let costs = Costs::unlimited();
        let hospital = start_hospital(&net, listener, &costs);
        let hospital = tokio::join!(hospital, net.admit_next()).0.unwrap();
        net.until(|trust| trust.nodes().len() == 2).await;
        hospital.0.refresh().await.unwrap();
        let config = self::config(&net, "patient", String::new(), NEVER);
        let patient = Personal::start(config, self::clock(&net), stop.clone()).await.unwrap();
        let his = His::new(&hospital.0.url(), hospital.0.api_key());
        Self { net, notary, patient, his, costs, hospital: Some(hospital), address, stop }
    }

    pub fn hospital(&self) -> &Institution {
        &self.hospital.as_ref().unwrap().0
    }

    pub async fn stop_hospital(&mut self) {
        let (hospital, stop) = self.hospital.take().unwrap();
        stop.cancel();
        hospital.ended().await;
    }

    pub async fn start_hospital(&mut self) -> Result<(), Error> {
        let (listener, _) = listen(&self.address.to_string()).await;
        self.hospital = Some(start_hospital(&self.net, listener, &self.costs).await?);
        Ok(())
    }

    pub fn node(&self) -> &NativeNode {
        self.patient.node()
    }

    pub async fn ask(&self) -> CaseId {
        ask(self.node(), self.hospital().node().id()).await
    }

    /// A new case that the hospital has approved, with the receipt on both sides.
    pub async fn approved(&self) -> CaseId {
        let case = self.ask().await;
        self.his.approve(&case).await;
        self.until(&case, |case| case.notary.is_some()).await;
        case
    }

    /// The patient's side of a case, once it is as `wanted`.
    pub async fn until(&self, case: &CaseId, wanted: impl Fn(&PatientCase) -> bool) -> PatientCase {
        self.as_time_goes_on(until(self.node(), case, wanted)).await
    }

    /// Time goes on until this is done: what could not be sent on a busy machine is tried again.
    pub async fn as_time_goes_on<T>(&self, doing: impl Future<Output = T>) -> T {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        let mut doing = std::pin::pin!(doing);
        loop {
            tokio::select! {
                done = &mut doing => return done,
                _ = seconds.tick() => self.net.clock.advance(1000),
            }
        }
    }

    /// A result that the hospital hands in and the patient confirms, final on both sides.
    pub async fn treat(&self, case: &CaseId) -> EntryId {
        let state: PatientCase = self.node().case(case).await.unwrap();
        // The same once more is none.
        let result = crate::stage::RESULT.replace("61.0", &state.results.len().to_string());
        let entry = self.his.hand_in(case, &result).await.remove(0);
        self.as_time_goes_on(received(self.node(), case, &entry)).await;
        self.node().confirm(case, slice::from_ref(&entry)).await.unwrap();
        let closed = |view: &Value| view["summary"]["openResults"] == 0;
        self.as_time_goes_on(self.his.until(case, closed)).await;
        self.until(case, |case| {
            matches!(case.result(&entry).unwrap().status, ResultStatus::Committed { .. })
        })
        .await;
        entry
    }

    /// What the hospital says of itself, once it is as `wanted`.
    pub async fn hospital_until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1200 {
            let view = self.his.get("/api/node").await.body;
            if wanted(&view) {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the hospital never became as wanted: {}", self.his.get("/api/node").await.body);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some((_, stop)) = &self.hospital {
            stop.cancel();
        }
    }
}

pub async fn listen(address: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind(address).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn clock(net: &Net) -> NodeClock {
    NodeClock::new(net.clock.clone())
}

fn config(net: &Net, name: &str, endpoint: String, refresh: Duration) -> MemberConfig {
    MemberConfig { refresh, ..net.member_config(name, endpoint) }
}

async fn start_hospital(
    net: &Net,
    listener: TcpListener,
    costs: &Costs,
) -> Result<(Institution, CancellationToken), Error> {
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let member = config(net, "hospital", endpoint, OFTEN);
    let member = MemberConfig { costs: costs.clone(), ..member };
    let config = Config::new(member);
    let stop = CancellationToken::new();
    Ok((Institution::start(config, clock(net), listener, stop.clone()).await?, stop))
}

/// Puts key files made once for all tests where the nodes look for them.
fn prepare_keys(home: &Path) {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = tempfile::tempdir().unwrap();
        for folder in FOLDERS {
            open_or_make(&made.path().join(folder), &passphrase()).unwrap();
        }
        made
    });
    for folder in FOLDERS {
        std::fs::create_dir_all(home.join(folder)).unwrap();
        let file = Path::new(folder).join(KEY_FILE);
        std::fs::copy(made.path().join(&file), home.join(&file)).unwrap();
    }
}
