//! Whatever befalls a node, a push shows something: browsers end a subscription whose pushes show
//! nothing. In Chromium, which lets a test deliver pushes of its own.

use std::sync::Arc;

use hdms_tests::browser::Browser;
use hdms_tests::engine::Engine;
use hdms_tests::network::Network;
use hdms_tests::push::PushServices;
use hdms_tests::{Result, pages};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser that allows notifications, on a bare page without a node.
struct Device {
    network: Network,
    browser: Browser,
    _pages: TempDir,
}

impl Device {
    async fn new() -> Result<Self> {
        let pages = pages::bare()?;
        let network = Network::start(pages.path().to_owned()).await?;
        let push = Arc::new(PushServices::start().await?);
        let browser = Browser::with_push(Engine::Chromium, push).await?;
        browser.go(network.url()).await?;
        // Asked for the first time, Chromium forgets what it does not yet find on the screen.
        let ready = "await node.status();
            return (await navigator.serviceWorker.ready).getNotifications();";
        assert_eq!(browser.node(ready, Vec::new()).await?, json!([]));
        Ok(Self { network, browser, _pages: pages })
    }

    async fn with_node() -> Result<Self> {
        let device = Self::new().await?;
        device.browser.node("await node.make({ name: 'Kim' })", Vec::new()).await?;
        Ok(device)
    }

    async fn push(&self, data: &str) -> Result<()> {
        self.browser.cdp().await?.deliver_push(self.network.url(), data).await
    }

    /// Waits for what is shown: titles and tags.
    async fn shown(&self) -> Result<Value> {
        let shown = "const { ready } = navigator.serviceWorker;
            const shown = await until(async () => {
                const all = await (await ready).getNotifications();
                return all.length > 0 && all;
            });
            return shown.map(({ title, tag }) => [title, tag]);";
        self.browser.node(shown, Vec::new()).await
    }

    async fn shows_something_general(&self) -> Result<()> {
        let general = json!([["There is news for your health node", "hdms"]]);
        assert_eq!(self.shown().await?, general);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_a_device_without_a_node_shows_something() {
    let device = Device::new().await.unwrap();
    device.push(r#"{"seq":1}"#).await.unwrap();
    device.shows_something_general().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_that_bring_nothing_share_one_notification() {
    let device = Device::with_node().await.unwrap();
    for data in ["", "rubbish", r#"{"seq":1,"envelope":"a.b.c.d.e"}"#] {
        device.push(data).await.unwrap();
        device.shows_something_general().await.unwrap();
    }
    let set_aside = device.browser.node("return await node.quarantine()", Vec::new()).await;
    assert_eq!(set_aside.unwrap(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_a_node_whose_storage_is_open_elsewhere_shows_something() {
    let device = Device::with_node().await.unwrap();
    let take = "window.taken = false;
        const taken = () => new Promise(() => { window.taken = true; });
        void navigator.locks.request('hdms/hdms', taken);";
    device.browser.run(take, Vec::new()).await.unwrap();
    device.browser.stop_worker().await.unwrap();
    device.browser.node("await until(() => window.taken)", Vec::new()).await.unwrap();
    // One that comes while the browser still ends the former worker may be lost with that.
    let mut shown = Err("no push yet".into());
    for _ in 0..3 {
        device.push(r#"{"seq":1}"#).await.unwrap();
        shown = device.shows_something_general().await;
        if shown.is_ok() {
            break;
        }
    }
    shown.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_a_worker_whose_module_is_damaged_shows_something() {
    let device = Device::with_node().await.unwrap();
    let damage = "for (const name of await caches.keys()) {
            const cache = await caches.open(name);
            const headers = { 'content-type': 'application/wasm' };
            for (const request of await cache.keys()) {
                await cache.put(request, new Response('x', { headers }));
            }
        }";
    device.browser.run(damage, Vec::new()).await.unwrap();
    device.browser.stop_worker().await.unwrap();
    device.push(r#"{"seq":1}"#).await.unwrap();
    device.shows_something_general().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_after_a_trap_meets_a_node_that_works() {
    let device = Device::with_node().await.unwrap();
    let trap = "const { active } = await navigator.serviceWorker.ready;
        active.postMessage({ hook: 'trap' });";
    device.browser.run(trap, Vec::new()).await.unwrap();
    device.push(r#"{"seq":1}"#).await.unwrap();
    device.shows_something_general().await.unwrap();
    let state = device.browser.node("return (await node.status()).state", Vec::new()).await;
    assert_eq!(state.unwrap(), "ready");
}
