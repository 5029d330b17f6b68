//! A small network as its nodes had stored it: a copy, whose nodes start at the time at which it was
//! written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hdms::card::Role;
use hdms::doorman::About;
use hdms::ids::{CaseId, EntryId};
use hdms::provider::{Store, Table, Timestamp, Write};
use hdms::testing::FixedClock;
use hdms_nodes::base::http::reach::Reach;
use hdms_nodes::base::store::SqliteStore;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::{self, Institution};
use hdms_nodes::local::network::passphrase;
use hdms_nodes::local::personal::Personal;
use hdms_nodes::member::MemberConfig;
use hdms_nodes::member::costs::Costs;
use hdms_nodes::notary::Notary;
use hdms_nodes::server::certificate::Keyring;
use hdms_nodes::server::{Server, ServerConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The patient's tables, as a browser would keep them.
pub const TABLES: &str = "patient/tables.json";

/// What there is to know of a stored network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// When it was written, milliseconds.
    pub time: u64,
    /// The server's address then.
    pub server: String,
    /// Those of the notaries, in their order.
    pub notaries: Vec<String>,
    /// That of the hospital.
    pub hospital: String,
    /// Its cases.
    pub cases: Cases,
    /// The result of the first.
    pub result: EntryId,
}

/// One of each kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cases {
    /// With a final result.
    pub done: CaseId,
    /// Approved, with a result that the patient has not decided on.
    pub open: CaseId,
    /// Declined by the hospital.
    pub refused: CaseId,
    /// Not decided by the hospital.
    pub asked: CaseId,
}

/// A copy of it.
pub struct Copied {
    pub kept: Kept,
    pub dir: TempDir,
    /// A minute after it was written.
    pub clock: FixedClock,
    stop: CancellationToken,
    server: String,
}

impl Copied {
    /// Of the stores of this version.
    pub fn of(version: &str) -> Self {
        let stores = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/fixtures");
        let from = Path::new(stores).join(version);
        let dir = tempfile::tempdir().unwrap();
        copy(&from, dir.path());
        let kept = std::fs::read(from.join("network.json")).unwrap();
        let kept: Kept = serde_json::from_slice(&kept).unwrap();
        let (server, clock) = (kept.server.clone(), FixedClock::new(Timestamp(kept.time + 60_000)));
        Self { kept, dir, clock, stop: CancellationToken::new(), server }
    }

    /// The same with a new list of the Doorman's keys.
    pub async fn certified(version: &str) -> Self {
        let copied = Self::of(version);
        copied.certify().await;
        copied
    }

    /// Has the root key sign a list that names a log of manifests: those of version 1 name none.
    pub async fn certify(&self) {
        let folder = self.dir.path().join("server");
        let keyring = Keyring::open(&folder, passphrase(), self.node_clock()).unwrap();
        keyring.certify_here(&self.dir.path().join("root")).await.unwrap();
    }

    fn node_clock(&self) -> NodeClock {
        NodeClock::new(self.clock.clone())
    }

    /// The server, at another address; the nodes that start after it ask it there.
    pub async fn server(&mut self) -> Server {
        let (listener, url) = listen().await;
        let folder = self.dir.path().join("server");
        let mut config = ServerConfig::new(folder, passphrase(), url.clone());
        config.rules.witnesses = 1;
        self.server = url;
        Server::start(config, listener, self.node_clock(), self.stop.clone()).await.unwrap()
    }

    /// The notary with this number, from 0, at another address.
    pub async fn notary(&self, number: usize) -> Notary {
        let folder = format!("notary-{}", number + 1);
        let name = ["Notary North", "Notary East", "Notary South"][number];
        let (listener, endpoint) = listen().await;
        let config = self.member((&folder, name), Role::Notary, Some(endpoint));
        Notary::start(config, listener, self.node_clock(), self.stop.clone()).await.unwrap()
    }

    /// At another address.
    pub async fn hospital(&self) -> Institution {
        let (listener, endpoint) = listen().await;
        let member = self.member(("hospital", "The hospital"), Role::Institution, Some(endpoint));
        let config = institution::Config::new(member);
        Institution::start(config, self.node_clock(), listener, self.stop.clone()).await.unwrap()
    }

    pub async fn patient(&self) -> Personal {
        let store = SqliteStore::open(&self.dir.path().join("patient/personal.sqlite")).unwrap();
        fill(&store, &self.tables()).await;
        drop(store);
        let config = self.member(("patient", ""), Role::Personal, None);
        Personal::start(config, self.node_clock(), self.stop.clone()).await.unwrap()
    }

    fn tables(&self) -> PathBuf {
        self.dir.path().join(TABLES)
    }

    /// As it was set up then.
    fn member(
        &self,
        (folder, name): (&str, &str),
        role: Role,
        endpoint: Option<String>,
    ) -> MemberConfig {
        let about = endpoint.as_ref().map(|_| About {
            registry_number: "none: it is on this machine alone".into(),
            address: "this machine".into(),
            contact: "whoever started it".into(),
        });
        MemberConfig {
            data: self.dir.path().join(folder),
            passphrase: passphrase(),
            server: self.server.clone(),
            root: None,
            role,
            name: name.into(),
            about,
            endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
            reach: Reach::Local,
            costs: Costs::default(),
            log: None,
            refresh: Duration::from_secs(60),
        }
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn fill(store: &impl Store, tables: &Path) {
    let tables: Value = serde_json::from_slice(&std::fs::read(tables).unwrap()).unwrap();
    let mut writes = Vec::new();
    for table in Table::ALL {
        for (key, value) in tables[table.name()].as_object().unwrap() {
            let (key, value) = (key.clone(), value.as_str().unwrap().into());
            writes.push(Write::Put { table, key, value });
        }
    }
    store.commit(writes).await.unwrap();
}

/// Everything in a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}
