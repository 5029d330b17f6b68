//! What it takes to audit a notary's log over HTTP: in a process of its own, beside the notary.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hdms::provider::{Clock, Timestamp};
use hdms::testing::FixedClock;
use hdms_nodes::base::system::{NodeClock, SystemClock};
use hdms_nodes::notary::{Import, Imported, Notary};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{Net, SECRET, first_entry, passphrase};
use crate::is_quick;
use crate::network::without_rates;
use hdms::ledger::Place;

/// Entries that are made at a time.
const CHUNK: u64 = 50_000;

/// Milliseconds between two entries.
const APART: u64 = 3_000;

/// Prints the figures. On a network of its own: all notaries have the one key that is made for tests.
pub async fn measure() {
    let size = if is_quick() { 100_000 } else { 1_000_000 };
    let net = Net::start_with(without_rates).await;
    let notary = filled(&net, size).await;
    let root = net.dir.path().join("root.jwk");
    std::fs::write(&root, serde_json::to_string(&net.root).unwrap()).unwrap();
    let url = format!("http://{}", notary.address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
    command.args(["notary", "audit", &url, "--server", &net.url, "--root"]).arg(root);
    let audit = tokio::task::spawn_blocking(move || audit(command));
    let (took, kilobytes) = audit.await.unwrap();
    notary.serving().stop().await;
    println!(
        "audit of {size} entries: {:.1} s, at most {:.0} MB of memory",
        took.as_secs_f64(),
        kilobytes as f64 / 1024.0
    );
}

/// A notary that has logged so many entries, each the first one of its case.
async fn filled(net: &Net, size: u64) -> Notary {
    let notary = net.notary("audited").await;
    let (address, id) = (notary.address(), notary.member().id().clone());
    notary.serving().stop().await;
    let import = Import::open(&net.dir.path().join("audited"), &passphrase(), &id).unwrap();
    let clock = FixedClock::new(Timestamp(SystemClock.now().0 - size * APART));
    let entry = |_| {
        clock.advance(APART);
        let entry = first_entry(&id, &id, &clock);
        Imported { entry, place: Place::Numbered(SECRET, 1), time: clock.now().seconds() }
    };
    for _ in 0..size / CHUNK {
        import.append((0..CHUNK).map(entry).collect()).await.unwrap();
    }
    drop(import);
    let listener = TcpListener::bind(address).await.unwrap();
    let config = net.member_config("audited", format!("http://{address}"));
    let clock = NodeClock::new(net.clock.clone());
    Notary::start(config, listener, clock, CancellationToken::new()).await.unwrap()
}

/// How long it took and how much memory it had at most, in units of 1024 bytes.
fn audit(mut command: Command) -> (Duration, u64) {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut most = 0;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "the audit was not good: {status}");
            return (begun.elapsed(), most);
        }
        most = peak(child.id()).unwrap_or(most);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The most memory that the process has had so far: Linux keeps count.
fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
