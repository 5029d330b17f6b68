//! A real notary, and its database after somebody has altered it.

use hdms::ids::NodeId;
use hdms::ledger::Place;
use hdms::provider::Clock;
use hdms_nodes::base::system::{NodeClock, SystemClock};
use hdms_nodes::notary::{Import, Imported, Notary};
use rusqlite::Connection;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{Net, SECRET, deposit, first_entry, passphrase, sealed};
use crate::stage::{Audited, audit};

struct Real {
    net: Net,
    notary: Notary,
}

impl Real {
    async fn start() -> Self {
        let net = Net::start().await;
        let notary = net.notary("notary").await;
        Self { net, notary }
    }

    /// Stops the notary, does something to its folder, and starts it again.
    async fn after(self, act: impl AsyncFnOnce(&Net, &NodeId)) -> Self {
        let Self { net, notary } = self;
        let (id, address) = (notary.member().id().clone(), notary.address());
        notary.serving().stop().await;
        act(&net, &id).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let config = net.member_config("notary", format!("http://{address}"));
        let clock = NodeClock::new(net.clock.clone());
        let notary = Notary::start(config, listener, clock, CancellationToken::new()).await;
        Self { net, notary: notary.unwrap() }
    }

    async fn with_entries(self, count: u64) -> Self {
        self.after(async |net, id| {
            let folder = net.dir.path().join("notary");
            let import = Import::open(&folder, &passphrase(), id).unwrap();
            let now = net.clock.now().seconds();
            let imported = |_| {
                let entry = first_entry(id, id, &SystemClock);
                Imported { entry, place: Place::Numbered(SECRET, 1), time: now }
            };
            import.append((0..count).map(imported).collect()).await.unwrap();
        })
        .await
    }

    async fn altered(self, sql: &'static str) -> Self {
        self.after(async |net, _| {
            let file = net.dir.path().join("notary/notary.sqlite");
            assert_eq!(Connection::open(file).unwrap().execute(sql, []).unwrap(), 1, "{sql}");
        })
        .await
    }

    async fn audit(&self) -> Audited {
        let state = self.net.dir.path().join("state");
        let url = format!("http://{}", self.notary.address());
        audit(&self.net, &url, &["--state", state.to_str().unwrap()]).await
    }
}

#[tokio::test]
async fn a_notary_that_nobody_altered_passes_while_it_logs_more() {
    let real = Real::start().await;
    let empty = real.audit().await;
    empty.is_unchecked("no other notary to ask", "api/not-found");
    empty.says("empty       it has logged nothing yet");
    let nobodys = audit(&real.net, &real.net.url, &[]).await;
    nobodys.is_unchecked("/log/checkpoint", "api/not-found");
    let real = real.with_entries(600).await;
    real.audit().await.is_good().says("read        600 leaves in 3 bundles, 4 tiles");
    let people = [real.net.person(0).await, real.net.hospital(1).await];
    let deposit = deposit(&people[0], &people[1], &real.notary).await;
    let card = real.notary.member().standing().card.clone();
    let envelope = sealed([&people[0], &people[1]], &card, vec![deposit]).await;
    let url = format!("http://{}", real.notary.address());
    real.net.client.deposit(&url, envelope).await.unwrap();
    let again = real.audit().await;
    again.is_good().says("read        601 leaves in 3 bundles, 4 tiles");
    again.says("kept        600 leaves at the last audit");
}

#[tokio::test]
async fn an_altered_row_is_found() {
    let mut real = Real::start().await.with_entries(600).await;
    real.audit().await.is_good();
    let later = "leaf 101: its time";
    for (sql, fault) in [
        (
            "UPDATE entries SET parties_salt = zeroblob(16) WHERE place = 300",
            "0/001: 1 of its hashes, first that of the leaf 300, are not of what is under them",
        ),
        (
            "UPDATE tiles SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE level = 0 AND number = 0",
            "0/000: 1 of its hashes, first that of the leaf 0, are not of what is under them",
        ),
        ("UPDATE entries SET time = time + 1 WHERE place = 100", later),
        ("DELETE FROM entries WHERE place = 7", "entries/000: it is missing"),
    ] {
        real = real.altered(sql).await;
        let audited = real.audit().await;
        assert_eq!(audited.code, 1, "{audited:?}");
        assert!(audited.report.contains(&format!("FAULT       {fault}")), "{}", audited.report);
    }
}
