//! Real encrypted push: from the hospital by the server and the browser's push service into a
//! service worker that nothing else keeps awake. Each push is the node's whole step: the message is
//! committed and acknowledged before any page is opened.

use std::sync::Arc;

use hdms_push_services::PushService;
use hdms_tests::browser::Browser;
use hdms_tests::engine::Engine;
use hdms_tests::fhir::{OBSERVATION, example};
use hdms_tests::network::Network;
use hdms_tests::push::PushServices;
use hdms_tests::{Result, in_engines_with_push, pages, until};
use serde_json::{Value, json};
use tempfile::TempDir;

in_engines_with_push!(
    a_message_that_comes_by_push_and_to_an_open_page_is_taken_in_once,
    a_push_reaches_a_node_without_pages,
    a_push_starts_a_node_whose_worker_was_stopped,
    pushes_wait_for_a_browser_that_is_closed,
    a_message_that_does_not_fit_is_fetched,
    a_dead_subscription_is_dropped_and_renewed,
);

/// A network and a browser whose node wants to be woken.
struct World {
    network: Network,
    browser: Browser,
    push: Arc<PushServices>,
    case: String,
    /// How many messages had come before.
    before: u64,
    _pages: TempDir,
}

impl World {
    async fn new(engine: Engine) -> Result<Self> {
        let push = Arc::new(PushServices::start().await?);
        let pages = pages::bare_on(&pages::root().join("worker/pkg"))?;
        let network = Network::with_push(pages.path().to_owned(), push.config()).await?;
        Self::of(engine, push, pages, network).await
    }

    /// On a network that sends by Firebase.
    async fn with_firebase() -> Result<Self> {
        let push = Arc::new(PushServices::start().await?);
        let pages = pages::bare_on(&pages::root().join("worker/pkg"))?;
        pages::add_firebase(pages.path())?;
        let network =
            Network::with_push(pages.path().to_owned(), push.config_with_firebase()?).await?;
        Self::of(Engine::Chromium, push, pages, network).await
    }

    /// With an approved case.
    async fn of(
        engine: Engine,
        push: Arc<PushServices>,
        pages: TempDir,
        network: Network,
    ) -> Result<Self> {
        let browser = Browser::with_push(engine, push.clone()).await?;
        browser.go(network.url()).await?;
        browser.node(MAKE, Vec::new()).await?;
        let case = network.case_in_phase("requested").await?;
        network.approve(&case).await?;
        browser.node(APPROVED, vec![json!(case)]).await?;
        let on = browser.node(SUBSCRIBE, Vec::new()).await?;
        assert_eq!(on, "on");
        until("all is acknowledged", async || network.mailbox().map(|(last, seen)| last == seen))
            .await?;
        let before = network.mailbox()?.0;
        Ok(Self { network, browser, push, case, before, _pages: pages })
    }

    fn service(&self) -> Result<&PushService> {
        self.push.of(self.browser.engine())
    }

    /// Leaves the node without a page.
    async fn leave(&self) -> Result<()> {
        self.browser.go("about:blank").await
    }

    /// The hospital asks for data, which fits into a push.
    async fn ask(&self) -> Result<()> {
        self.network.ask_for_data(&self.case, "Observation").await.map(drop)
    }

    /// So many messages have come since, and the node has taken them in and acknowledged them.
    async fn acknowledged(&self, messages: u64) -> Result<()> {
        let all = self.before + messages;
        until("it is acknowledged", async || Ok(self.network.mailbox()? == (all, all))).await
    }

    /// What the hospital asked for has arrived once, and nothing was set aside.
    async fn asked_once(&self) -> Result<()> {
        let taken = "const { dataRequests } = await node.case(args[0]);
            return [dataRequests.length, await node.quarantine()]";
        let taken = self.browser.node(taken, vec![json!(self.case)]).await?;
        assert_eq!(taken, json!([1, []]));
        Ok(())
    }

    /// The same, and it was notified of without health data.
    async fn asked(&self) -> Result<()> {
        self.browser.go(self.network.url()).await?;
        self.asked_once().await?;
        self.notified("A hospital asks for health data").await
    }

    /// The one notification of the case leads to it, and says nothing but `title`.
    async fn notified(&self, title: &str) -> Result<()> {
        let shown = self.browser.node(NOTIFICATIONS, Vec::new()).await?;
        let data = json!({"url": format!("./#/cases/{}", self.case)});
        assert_eq!(shown, json!([[title, "Open your health node to look at it.", data]]));
        Ok(())
    }

    /// The answers that senders got, from the `first` on.
    fn answers(&self, first: usize) -> Result<Vec<u16>> {
        let requests = self.service()?.requests();
        Ok(requests.iter().skip(first).map(|request| request.status.as_u16()).collect())
    }

    /// What was pushed so far, encrypted, in bytes.
    fn sizes(&self) -> Result<Vec<usize>> {
        Ok(self.service()?.requests().iter().map(|request| request.body.len()).collect())
    }
}

const MAKE: &str = "
    await node.make({ name: 'Kim' });
    const [hospital] = await node.hospitals();
    const request = { reason: 'Cough', date: null, mayRead: ['Observation'] };
    await node.ask({ case: hdms.uuidv7(), hospital: hospital.id, request });";

const APPROVED: &str =
    "await until(async () => (await node.case(args[0])).phase.kind === 'approved')";

/// Until the server knows of the subscription.
const SUBSCRIBE: &str = "
    await hdms.notifications.enable();
    await until(async () => (await node.status()).push.since);
    return await hdms.notifications.state();";

const NOTIFICATIONS: &str = "
    const shown = await (await navigator.serviceWorker.ready).getNotifications();
    return shown.map(({ title, body, data }) => [title, body, data]);";

/// The live stream and the push bring the same message, in whatever order.
async fn a_message_that_comes_by_push_and_to_an_open_page_is_taken_in_once(
    engine: Engine,
) -> Result<()> {
    let world = World::new(engine).await?;
    world.ask().await?;
    world.acknowledged(1).await?;
    world.asked_once().await
}

async fn a_push_reaches_a_node_without_pages(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    world.leave().await?;
    world.ask().await?;
    world.acknowledged(1).await?;
    assert_eq!(world.answers(0)?, [201]);
    // It was inside.
    assert!(world.sizes()?[0] > 1000, "{:?}", world.sizes()?);
    world.asked().await
}

async fn a_push_starts_a_node_whose_worker_was_stopped(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    world.leave().await?;
    world.browser.stop_worker().await?;
    world.ask().await?;
    world.acknowledged(1).await?;
    world.asked().await
}

async fn pushes_wait_for_a_browser_that_is_closed(engine: Engine) -> Result<()> {
    let mut world = World::new(engine).await?;
    world.leave().await?;
    world.browser.close().await?;
    world.ask().await?;
    until("the push waits", async || Ok(world.service()?.waiting() > 0)).await?;
    assert_eq!(world.network.mailbox()?, (world.before + 1, world.before));
    world.browser.restart().await?;
    world.acknowledged(1).await?;
    world.asked().await
}

async fn a_message_that_does_not_fit_is_fetched(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    world.leave().await?;
    world.browser.stop_worker().await?;
    world.network.hand_in(&world.case, example(OBSERVATION)?).await?;
    world.acknowledged(1).await?;
    assert!(world.sizes()?.iter().all(|bytes| *bytes < 500), "{:?}", world.sizes()?);
    world.browser.go(world.network.url()).await?;
    let results = "return (await node.case(args[0])).results.map(({ status }) => status.kind)";
    let results = world.browser.node(results, vec![json!(world.case)]).await?;
    assert_eq!(results, json!(["received"]));
    world.notified("A medical result has arrived").await
}

async fn a_dead_subscription_is_dropped_and_renewed(engine: Engine) -> Result<()> {
    let world = World::new(engine).await?;
    world.leave().await?;
    world.service()?.expire();
    world.ask().await?;
    until("a push was refused", async || Ok(world.answers(0)? == [410])).await?;
    // The next contact: the node learns that it is not subscribed any more.
    world.browser.go(world.network.url()).await?;
    world.browser.node("await node.status()", Vec::new()).await?;
    until("there is a new one", async || Ok(world.service()?.subscriptions() == 1)).await?;
    world.browser.node(SUBSCRIBE, Vec::new()).await?;
    world.acknowledged(1).await?;
    world.leave().await?;
    world.browser.stop_worker().await?;
    world.network.hand_in(&world.case, example(OBSERVATION)?).await?;
    world.acknowledged(2).await?;
    assert_eq!(world.answers(1)?, [201]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn firebase_wakes_a_node_and_learns_nothing() {
    let run = async || -> Result<()> {
        let world = World::with_firebase().await?;
        let firebase = world.push.google.firebase();
        assert_eq!(firebase.registrations(), 1);
        world.leave().await?;
        world.browser.stop_worker().await?;
        world.ask().await?;
        world.acknowledged(1).await?;
        for sent in firebase.messages() {
            only_wakes(&sent["message"]);
        }
        assert_eq!((firebase.messages().len(), world.answers(0)?.len()), (1, 0));
        world.asked().await
    };
    run().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_firebase_registration_is_dropped_and_renewed() {
    let run = async || -> Result<()> {
        let world = World::with_firebase().await?;
        let firebase = world.push.google.firebase();
        world.leave().await?;
        firebase.expire();
        world.ask().await?;
        until("a push was refused", async || Ok(firebase.messages().len() == 1)).await?;
        world.browser.go(world.network.url()).await?;
        world.acknowledged(1).await?;
        until("there is a new one", async || Ok(firebase.registrations() == 1)).await?;
        world.browser.node(SUBSCRIBE, Vec::new()).await?;
        world.leave().await?;
        world.browser.stop_worker().await?;
        world.ask().await?;
        world.acknowledged(2).await
    };
    run().await.unwrap();
}

/// A Firebase message carries a random name and nothing else.
fn only_wakes(message: &Value) {
    let data = message["data"].as_object().map(|data| data.keys().collect::<Vec<_>>());
    assert_eq!(data, Some(vec![&"wake".to_owned()]));
    assert_eq!(message["data"]["wake"].as_str().map(str::len), Some(36));
    assert_eq!(message.get("notification"), None);
}
