//! A real browser with a profile of its own, and what tests do to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{By, WebDriver, WebElement};
use tokio::time::sleep;

use crate::Result;
use crate::cdp::{Cdp, Cut};
use crate::engine::{Driver, Engine};
use crate::push::PushServices;

/// How long a person would wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A browser. It ends with its driver when dropped.
pub struct Browser {
    session: Option<WebDriver>,
    driver: Driver,
    profile: TempDir,
    push: Option<Arc<PushServices>>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browsers; nobody has to ask it to.
        if let Some(session) = self.session.take() {
            let _left = session.leak();
        }
    }
}

impl Browser {
    /// A new browser with an empty profile.
    pub async fn start(engine: Engine) -> Result<Self> {
        Self::open(engine, None).await
    }

    /// The same, with push services that it may use.
    pub async fn with_push(engine: Engine, push: Arc<PushServices>) -> Result<Self> {
        Self::open(engine, Some(push)).await
    }

    async fn open(engine: Engine, push: Option<Arc<PushServices>>) -> Result<Self> {
        let (profile, driver) = (TempDir::new()?, Driver::start(engine).await?);
        let mut browser = Self { session: None, driver, profile, push };
        browser.restart().await?;
        Ok(browser)
    }

    /// Closes the browser; its profile stays.
    pub async fn close(&mut self) -> Result<()> {
        if let Some(session) = self.session.take() {
            session.quit().await?;
        }
        Ok(())
    }

    /// Closes the browser and starts it again with what its profile keeps.
    pub async fn restart(&mut self) -> Result<()> {
        self.close().await?;
        let session = self.driver.session(self.profile.path(), self.push.as_deref());
        self.session = Some(session.await?);
        Ok(())
    }

    /// Which engine it is.
    pub fn engine(&self) -> Engine {
        self.driver.engine()
    }

    /// The WebDriver session.
    pub fn session(&self) -> Result<&WebDriver> {
        self.session.as_ref().ok_or_else(|| "the browser is closed".into())
    }

    /// Opens an address in the current tab.
    pub async fn go(&self, url: &str) -> Result<()> {
        Ok(self.session()?.goto(url).await?)
    }

    /// Runs the body of an async JavaScript function with `args` in the page; answers what it
    /// returns, or its exception as an error.
    pub async fn run(&self, body: &str, args: Vec<Value>) -> Result<Value> {
        let script = format!(
            "const done = arguments[arguments.length - 1], args = [...arguments].slice(0, -1);
             (async () => {{ {body} }})().then(
               (value) => done({{ value: value === undefined ? null : value }}),
               (error) => done({{ error: typeof error?.code === 'string'
                   ? error.code : `${{error}} ${{error?.stack}}` }}));"
        );
        let answer = self.session()?.execute_async(script, args).await;
        let answer = answer.map_err(|error| format!("{error} in the page, of: {body}"))?;
        let answer = answer.json();
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned().into()),
            None => Ok(answer["value"].clone()),
        }
    }

    /// Waits until `selector`, CSS or an XPath that begins with `//`, matches a visible element;
    /// answers it.
    pub async fn find(&self, selector: &str) -> Result<WebElement> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(found) = self.session()?.find(by(selector)).await
                && found.is_displayed().await.unwrap_or(false)
            {
                return Ok(found);
            }
            if Instant::now() > end {
                let page = self.run("return document.body.innerText", Vec::new()).await?;
                return Err(format!("nothing matches {selector} in: {page}").into());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for the element, then clicks it; a page that draws itself anew is tried again.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let clicked = self.find(selector).await?.click().await;
            match clicked {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > end => return Err(error.into()),
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Writes into an input in place of what is there.
    pub async fn fill(&self, selector: &str, text: &str) -> Result<()> {
        let input = self.find(selector).await?;
        input.clear().await?;
        Ok(input.send_keys(text).await?)
    }

    /// Puts a text into an input at once, as pasting does.
    pub async fn paste(&self, selector: &str, text: &str) -> Result<()> {
        let input = self.find(selector).await?.to_json()?;
        let body = "const [input, text] = args; input.value = text;
            input.dispatchEvent(new Event('input', { bubbles: true }));";
        self.run(body, vec![input, text.into()]).await.map(drop)
    }

    /// Runs the body of an async function in a page of [`crate::pages::bare`], with `node`, the
    /// personal node; `until(question)` asks again until the answer is true.
    pub async fn node(&self, body: &str, args: Vec<Value>) -> Result<Value> {
        let prelude = "const until = async (question) => {
                for (;;) {
                    const answer = await question();
                    if (answer) return answer;
                    await new Promise((resolve) => setTimeout(resolve, 50));
                }
            };
            const { node } = await until(() => window.hdms);";
        self.run(&format!("{prelude} {body}"), args).await
    }

    /// What the service worker answers to a hook of [`crate::pages`].
    pub async fn hook(&self, name: &str) -> Result<Value> {
        let ask = "const { active } = await navigator.serviceWorker.ready;
            const { port1, port2 } = new MessageChannel();
            return new Promise((resolve) => {
                port1.onmessage = ({ data }) => resolve(data);
                active.postMessage({ hook: args[0] }, [port2]);
            });";
        self.run(ask, vec![name.into()]).await
    }

    /// Stops the service worker as the browser itself would, without a word to it. WebKitGTK has no
    /// command for that, and its workers share a process with their pages: there the page is left
    /// until the browser has stopped the worker of a site without pages, and opened again.
    pub async fn stop_worker(&self) -> Result<()> {
        match self.engine() {
            Engine::Chromium => {
                let cdp = self.session()?.cdp();
                cdp.send_raw("ServiceWorker.enable", json!({})).await?;
                cdp.send_raw("ServiceWorker.stopAllWorkers", json!({})).await?;
                Ok(())
            }
            Engine::Firefox => self.privileged(STOP_IN_FIREFOX).await.map(drop),
            Engine::WebKit => {
                let page = self.session()?.current_url().await?;
                self.go("about:blank").await?;
                sleep(IDLE_IN_WEBKIT).await;
                self.go(page.as_str()).await
            }
        }
    }

    /// Takes the network away from pages and workers, until [`Browser::reconnect`].
    pub async fn cut_off(&self) -> Result<Option<Cut>> {
        match self.engine() {
            Engine::Chromium => Ok(Some(self.cdp().await?.cut_off().await?)),
            Engine::Firefox => {
                self.privileged(CUT_OFF_FIREFOX).await?;
                Ok(None)
            }
            Engine::WebKit => Err("WebKitGTK's driver can't take the network away".into()),
        }
    }

    /// Gives it back.
    pub async fn reconnect(&self, cut: Option<Cut>) -> Result<()> {
        match cut {
            Some(cut) => cut.mend().await,
            None => self.privileged("Services.io.offline = false").await.map(drop),
        }
    }

    /// Chromium's own protocol.
    pub async fn cdp(&self) -> Result<Cdp> {
        Cdp::connect(self.profile.path()).await
    }

    /// Runs the body of an async function with Firefox's own rights.
    pub async fn privileged(&self, body: &str) -> Result<Value> {
        let base = format!("{}/session/{}", self.driver.url(), self.session()?.session_id());
        let client = reqwest::Client::new();
        let post = async |path: &str, body: Value| -> Result<Value> {
            let answer = client.post(format!("{base}/{path}")).json(&body).send().await?;
            let answer: Value = answer.json().await?;
            match answer["value"]["error"].as_str() {
                Some(error) => Err(format!("{error}: {}", answer["value"]["message"]).into()),
                None => Ok(answer["value"].clone()),
            }
        };
        post("moz/context", json!({"context": "chrome"})).await?;
        let script = format!(
            "const done = arguments[0]; (async () => {{ {body} }})().then(
               (value) => done(value ?? null), (error) => done('error: ' + error));"
        );
        let answer = post("execute/async", json!({"script": script, "args": []})).await;
        post("moz/context", json!({"context": "content"})).await?;
        match answer? {
            Value::String(text) if text.starts_with("error: ") => Err(text.into()),
            value => Ok(value),
        }
    }
}

fn by(selector: &str) -> By {
    if selector.starts_with("//") { By::XPath(selector) } else { By::Css(selector) }
}

/// WebKit stops a worker 10 seconds after its last page has gone.
const IDLE_IN_WEBKIT: Duration = Duration::from_secs(12);

const CUT_OFF_FIREFOX: &str = r#"
    Services.prefs.setBoolPref("network.disable-localhost-when-offline", true);
    Services.io.offline = true;
    Services.obs.notifyObservers(null, "net:prune-all-connections");
"#;

const STOP_IN_FIREFOX: &str = r#"
    const manager = Cc["@mozilla.org/serviceworkers/manager;1"]
        .getService(Ci.nsIServiceWorkerManager);
    const all = manager.getAllRegistrations();
    for (let i = 0; i < all.length; i++) {
        const worker = all.queryElementAt(i, Ci.nsIServiceWorkerRegistrationInfo).activeWorker;
        if (worker) await worker.terminateWorker();
    }
"#;
