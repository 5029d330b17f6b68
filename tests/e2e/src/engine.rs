//! The three browser engines and the drivers that steer them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::{Capabilities, WebDriver};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::Result;
use crate::push::PushServices;

/// A browser engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Chromium by chromedriver.
    Chromium,
    /// Firefox by geckodriver.
    Firefox,
    /// WebKitGTK by WebKitWebDriver, on a screen of its own.
    WebKit,
}

impl Engine {
    fn driver(self, port: u16) -> Command {
        let port = port.to_string();
        let mut command = match self {
            Engine::Chromium => {
                let path = std::env::var("CHROMEDRIVER").unwrap_or("chromedriver".into());
                let mut command = Command::new(path);
                command.arg(format!("--port={port}"));
                command
            }
            Engine::Firefox => {
                let path = std::env::var("GECKODRIVER").unwrap_or("geckodriver".into());
                let mut command = Command::new(path);
                command.args(["--allow-system-access", "--port", &port]);
                // A free port, not the usual one: several run at once.
                command.args(["--websocket-port", "0"]);
                command
            }
            Engine::WebKit => {
                let mut command = Command::new("xvfb-run");
                let screen = "--server-args=-screen 0 1280x800x24";
                command.args(["-a", screen, "WebKitWebDriver", &format!("--port={port}")]);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn capabilities(self, profile: &Path, push: Option<&PushServices>) -> Result<Capabilities> {
        let profile = profile.to_string_lossy();
        let mut options = match self {
            Engine::Chromium => json!({"browserName": "chrome", "goog:chromeOptions": {"args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", format!("--user-data-dir={profile}"),
            ]}}),
            Engine::Firefox => json!({"browserName": "firefox", "moz:firefoxOptions": {
                "args": ["-headless", "-profile", profile],
                // Only what is asked for stops a worker here.
                "prefs": {"dom.serviceWorkers.idle_timeout": 600_000},
            }}),
            Engine::WebKit => json!({"browserName": "MiniBrowser", "webkitgtk:browserOptions": {
                "binary": mini_browser()?, "args": ["--automation"],
            }}),
        };
        if let Some(push) = push {
            self.lead_to(push, &mut options);
        }
        let mut capabilities = Capabilities::new();
        for (name, value) in options.as_object().into_iter().flatten() {
            capabilities.set(name.as_str(), value)?;
        }
        Ok(capabilities)
    }

    /// Has the browser use these push services, and lets every page show notifications.
    fn lead_to(self, push: &PushServices, options: &mut Value) {
        match self {
            Engine::Chromium => {
                let options = &mut options["goog:chromeOptions"];
                let allowed = "profile.default_content_setting_values.notifications";
                options["prefs"] = json!({ allowed: 1 });
                if let Some(arguments) = options["args"].as_array_mut() {
                    arguments.extend(push.google.arguments().into_iter().map(Value::from));
                }
            }
            Engine::Firefox => {
                let options = &mut options["moz:firefoxOptions"]["prefs"];
                options["permissions.default.desktop-notification"] = 1.into();
                options["alerts.useSystemBackend"] = false.into();
                for (name, value) in push.firefox.preferences().as_object().into_iter().flatten() {
                    options[name] = value.clone();
                }
            }
            // It has no push.
            Engine::WebKit => {}
        }
    }
}

/// Where Debian's multi-arch folders keep the browser around WebKitGTK.
fn mini_browser() -> Result<String> {
    let folders = std::fs::read_dir("/usr/lib")?.flatten();
    let mut found = folders.map(|folder| folder.path().join("webkit2gtk-4.1/MiniBrowser"));
    let path =
        found.find(|path| path.exists()).ok_or("MiniBrowser of webkit2gtk-4.1 is missing")?;
    Ok(path.to_string_lossy().into_owned())
}

/// A running driver; it and all its browsers end when this is dropped.
pub struct Driver {
    engine: Engine,
    child: Child,
    url: String,
}

impl Driver {
    /// Starts the engine's driver on a free port and waits until it answers.
    pub async fn start(engine: Engine) -> Result<Self> {
        let port = crate::free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let child = engine.driver(port).process_group(0).spawn()?;
        let driver = Self { engine, child, url };
        for _ in 0..300 {
            let status = reqwest::get(format!("{}/status", driver.url)).await;
            if status.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(driver);
            }
            sleep(Duration::from_millis(100)).await;
        }
        Err(format!("the driver of {engine:?} does not answer").into())
    }

    /// A new browser on `profile`, a folder that it may fill, at these push services.
    pub async fn session(&self, profile: &Path, push: Option<&PushServices>) -> Result<WebDriver> {
        let capabilities = self.engine.capabilities(profile, push)?;
        let session = WebDriver::builder(&self.url, capabilities);
        Ok(session.request_timeout(Duration::from_secs(120)).connect().await?)
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The driver's own address, for commands that WebDriver's standard does not know.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(id) = self.child.id() {
            let group = format!("-{id}");
            let _ended = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
        }
    }
}
