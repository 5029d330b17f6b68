//! Whole networks under test: real nodes, real browsers, nothing between them but HTTP.

use std::time::{Duration, Instant};

use tokio::time::sleep;

pub mod browser;
pub mod cdp;
pub mod engine;
pub mod fhir;
pub mod network;
pub mod operator;
pub mod pages;
pub mod patient;
pub mod push;
pub mod sick;
pub mod world;

/// What went wrong, for a person to read.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A port of the loopback interface on which nobody listens.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until `holds`, as long as a person would.
pub async fn until(what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + browser::PATIENCE;
    while !holds().await? {
        if Instant::now() > end {
            return Err(format!("never: {what}").into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Makes of each async function that takes an engine one test for each engine.
#[macro_export]
macro_rules! in_every_engine {
    ($($name:ident),+ $(,)?) => {
        $($crate::in_engines!($name: Chromium as chromium, Firefox as firefox, WebKit as webkit);)+
    };
}

/// The same, in the engines that have web push.
#[macro_export]
macro_rules! in_engines_with_push {
    ($($name:ident),+ $(,)?) => {
        $($crate::in_engines!($name: Chromium as chromium, Firefox as firefox);)+
    };
}

/// One test of one function for each engine named.
#[macro_export]
macro_rules! in_engines {
    ($name:ident: $($engine:ident as $test:ident),+) => {
        mod $name {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$name($crate::engine::Engine::$engine).await.unwrap();
            })+
        }
    };
}
