//! The push services of the browsers under test.

use hdms_nodes::server::{FirebaseConfig, PushConfig};
use hdms_push_services::{Firefox, Google, PushService, google};

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

    /// How a server sends to them.
    pub fn config(&self) -> PushConfig {
        let via = google::ORIGINS.map(|origin| (origin.to_owned(), self.google.url()));
        PushConfig { private: true, via: via.into(), ..PushConfig::default() }
    }

    /// How a server sends by Firebase.
    pub fn config_with_firebase(&self) -> Result<PushConfig> {
        let firebase = self.google.firebase();
        let app = serde_json::from_value(firebase.web_config())?;
        let credentials = firebase.key_file()?.to_string();
        let firebase = Some(FirebaseConfig { app, credentials });
        Ok(PushConfig { firebase, ..self.config() })
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
