//! From the push service to a committed record and a notification, beside a bare JavaScript worker
//! in the same browser that only stores what the push brings.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdms_push_services::{PushService, encrypt};
use hdms_tests::browser::Browser;
use hdms_tests::engine::Engine;
use hdms_tests::network::Network;
use hdms_tests::push::PushServices;
use hdms_tests::{Result, pages, until};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::table::{Table, median};

/// Pushes of each kind that are measured.
const ROUNDS: usize = 25;

/// What a worker may still have to do after its notification.
const PAUSE: Duration = Duration::from_millis(400);

/// Most that ours may take, of what the bare worker takes.
const SHARE: f64 = 1.5;

/// Goes before a worker's own script; notes when its notifications are shown.
const CLOCK: &str = r#"
const show = ServiceWorkerRegistration.prototype.showNotification;
ServiceWorkerRegistration.prototype.showNotification = async function (...args) {
    await show.apply(this, args);
    const at = Date.now();
    const cache = await caches.open("shown " + registration.scope);
    await cache.put("/" + crypto.randomUUID(), new Response(String(at)));
};
"#;

/// Stores the payload as durably as the node does, then shows a notification.
const BARE: &str = r#"
import "../clock.js";
addEventListener("install", () => skipWaiting());
addEventListener("push", (event) => event.waitUntil(take(event.data.arrayBuffer())));
let opened;
function database() {
    return opened ??= new Promise((resolve, reject) => {
        const request = indexedDB.open("bare", 1);
        request.onupgradeneeded = () => request.result.createObjectStore("payloads", { autoIncrement: true });
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}
async function take(payload) {
    const transaction = (await database()).transaction("payloads", "readwrite", { durability: "strict" });
    transaction.objectStore("payloads").add(payload);
    await new Promise((resolve, reject) => {
        transaction.oncomplete = resolve;
        transaction.onabort = reject;
    });
    await registration.showNotification("A message has arrived", { tag: crypto.randomUUID() });
}
"#;

const SUBSCRIBE: &str = "
    await node.make({ name: 'Kim' });
    const [hospital] = await node.hospitals();
    const request = { reason: 'Cough', date: null, mayRead: ['Observation'] };
    await node.ask({ case: hdms.uuidv7(), hospital: hospital.id, request });
    await hdms.notifications.enable();
    const { vapid } = await until(async () => {
        const status = await node.status();
        return status.push.since && status;
    });
    const registration = await navigator.serviceWorker.register('./bare/sw.js', { type: 'module' });
    await until(() => registration.active?.state === 'activated');
    const options = { userVisibleOnly: true, applicationServerKey: vapid };
    return (await registration.pushManager.subscribe(options)).toJSON();";

/// When the notifications of one worker were shown, milliseconds, oldest first.
const SHOWN: &str = "
    const cache = await caches.open('shown ' + new URL(args[0], location).href);
    const shown = (await cache.keys()).map(async (key) => Number(await (await cache.match(key)).text()));
    return (await Promise.all(shown)).sort();";

/// Push to committed record and notification, cold and warm, in both browsers that have push.
pub async fn wakes(table: &mut Table) -> Result<()> {
    for engine in [Engine::Chromium, Engine::Firefox] {
        let mut bench = Bench::new(engine).await?;
        for cold in [false, true] {
            let how = if cold { "worker stopped" } else { "worker running" };
            let (ours, bare) = bench.measure(cold).await?;
            table.held(
                &format!("{engine:?}: push to record and notification, {how}"),
                format!("at most {SHARE} of bare JavaScript"),
                format!("{:.2} ({ours:.1} ms, bare {bare:.1} ms)", ours / bare),
                ours <= SHARE * bare,
            );
        }
    }
    Ok(())
}

/// A browser with a node and a bare worker, both subscribed.
struct Bench {
    network: Network,
    browser: Browser,
    push: Arc<PushServices>,
    case: String,
    /// The bare worker's subscription.
    bare: Value,
    _pages: TempDir,
}

impl Bench {
    async fn new(engine: Engine) -> Result<Self> {
        let pages = pages::bare_on(&pages::root().join("worker/pkg"))?;
        fs::create_dir(pages.path().join("bare"))?;
        fs::write(pages.path().join("bare/sw.js"), BARE)?;
        fs::write(pages.path().join("clock.js"), CLOCK)?;
        let worker = pages.path().join("sw.js");
        fs::write(&worker, format!("import \"./clock.js\";\n{}", fs::read_to_string(&worker)?))?;
        let push = Arc::new(PushServices::start().await?);
        let network = Network::with_push(pages.path().to_owned(), push.config()).await?;
        let browser = Browser::with_push(engine, push.clone()).await?;
        browser.go(network.url()).await?;
        let bare = browser.node(SUBSCRIBE, Vec::new()).await?;
        let case = network.case_in_phase("requested").await?;
        network.approve(&case).await?;
        until("the approval is taken in", async || Ok(network.mailbox()? == (1, 1))).await?;
        sleep(PAUSE).await;
        browser.go("about:blank").await?;
        Ok(Self { network, browser, push, case, bare, _pages: pages })
    }

    /// The medians of ours and of the bare worker, milliseconds.
    async fn measure(&mut self, cold: bool) -> Result<(f64, f64)> {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (sent, message) in [(&mut ours, true), (&mut bare, false)] {
                if cold {
                    self.browser.stop_worker().await?;
                }
                sent.push(if message { self.ask().await? } else { self.deliver()? });
                sleep(PAUSE).await;
            }
        }
        self.browser.go(self.network.url()).await?;
        let (ours, bare) = (self.took("./", ours).await?, self.took("./bare/", bare).await?);
        self.browser.go("about:blank").await?;
        Ok((ours, bare))
    }

    /// Sends our node a message, waits until it has acknowledged it; answers when it was pushed.
    async fn ask(&self) -> Result<SystemTime> {
        let all = self.network.mailbox()?.0 + 1;
        self.network.ask_for_data(&self.case, "Observation").await?;
        until("it is taken in", async || Ok(self.network.mailbox()? == (all, all))).await?;
        let pushed = self.service()?.requests().pop();
        Ok(pushed.ok_or("nothing was pushed")?.at)
    }

    /// Sends the bare worker as much as was last sent to ours; answers when.
    fn deliver(&self) -> Result<SystemTime> {
        let last = self.service()?.requests().pop().ok_or("nothing was pushed")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let [p256dh, auth] = ["p256dh", "auth"].map(|key| text(&self.bare["keys"][key]));
        let endpoint = text(&self.bare["endpoint"]);
        let body = encrypt(vec![b'x'; last.body.len() - 103], &p256dh, &auth).ok_or("no keys")?;
        let subscription = endpoint.rsplit('/').next().unwrap_or_default();
        let now = SystemTime::now();
        self.service()?.deliver(subscription, 60, body).map_err(|refusal| refusal.reason)?;
        Ok(now)
    }

    /// The median of what the last pushes took until the worker at `scope` had shown them.
    async fn took(&self, scope: &str, sent: Vec<SystemTime>) -> Result<f64> {
        let shown = self.browser.run(SHOWN, vec![json!(scope)]).await?;
        let shown: Vec<f64> =
            shown.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        let shown = shown.len().checked_sub(sent.len()).and_then(|first| shown.get(first..));
        let shown = shown.ok_or("not every push has shown a notification")?;
        let sent = sent.into_iter().map(|sent| sent.duration_since(UNIX_EPOCH));
        let sent: std::result::Result<Vec<_>, _> = sent.collect();
        let took =
            sent?.into_iter().zip(shown).map(|(sent, shown)| shown - sent.as_secs_f64() * 1000.0);
        Ok(median(took.collect()))
    }

    fn service(&self) -> Result<&PushService> {
        self.push.of(self.browser.engine())
    }
}
