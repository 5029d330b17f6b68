//! The push services of the browsers under test.

use hdms_push_services::{Firefox, Google, PushService};

use crate::Result;
use crate::engine::Engine;

/// What stands in for Mozilla's and Google's services.
pub struct PushServices {
    /// Firefox's.
    pub firefox: Firefox,
    /// Chromium's, with Firebase.
    pub google: Google,
}

impl PushServices {
    /// Starts them.
    pub async fn start() -> Result<Self> {
        Ok(Self { firefox: Firefox::start().await?, google: Google::start().await? })
    }

    /// The one that this engine uses.
    pub fn of(&self, engine: Engine) -> Result<&PushService> {
        match engine {
            Engine::Chromium => Ok(self.google.service()),
            Engine::Firefox => Ok(self.firefox.service()),
            Engine::WebKit => Err("WebKitGTK has no push".into()),
        }
    }
}
