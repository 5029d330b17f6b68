//! What `hdms server` pushes by.

use std::path::PathBuf;

use clap::Args;
use hdms_nodes::server::{FirebaseConfig, PushConfig};

use super::read;

/// How nodes are woken.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Where operators of push services reach you, mailto: or https:; without it, the public URL.
    #[arg(long, value_name = "URL", value_parser = contact)]
    push_contact: Option<String>,
    /// Sends by http and into private networks as well, for tests.
    #[arg(long)]
    push_private: bool,
    /// Sends to the second origin what is meant for the first, a relay; may be given several times.
    #[arg(long, value_name = "ORIGIN=ORIGIN", value_parser = detour)]
    push_via: Vec<(String, String)>,
    /// Firebase's configuration for the web, JSON, with the vapidKey: offers that way too.
    #[arg(long, value_name = "FILE", requires = "firebase_credentials")]
    firebase_config: Option<PathBuf>,
    /// Key file of a service account that may send by Firebase.
    #[arg(long, value_name = "FILE", requires = "firebase_config")]
    firebase_credentials: Option<PathBuf>,
}

impl PushArgs {
    /// What they say, the files read.
    pub fn config(self) -> Result<PushConfig, Box<dyn std::error::Error>> {
        let firebase = match (self.firebase_config, self.firebase_credentials) {
            (Some(app), Some(credentials)) => Some(FirebaseConfig {
                app: serde_json::from_str(&read(&app)?)
                    .map_err(|error| format!("{}: {error}", app.display()))?,
                credentials: read(&credentials)?,
            }),
            _ => None,
        };
        Ok(PushConfig {
            contact: self.push_contact,
            private: self.push_private,
            via: self.push_via.into_iter().collect(),
            firebase,
        })
    }
}

fn contact(text: &str) -> Result<String, String> {
    if ["mailto:", "https://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(text.to_owned());
    }
    Err("give a mailto: or https: URL".into())
}

fn detour(text: &str) -> Result<(String, String), String> {
    let origin = |text: &str| {
        let url = reqwest::Url::parse(text).ok().filter(|url| url.has_host() && url.path() == "/");
        url.map(|url| url.origin().ascii_serialization())
    };
    let pair = text.split_once('=').and_then(|(from, to)| Some((origin(from)?, origin(to)?)));
    pair.ok_or_else(|| "give two origins, as https://push.example=http://127.0.0.1:8080".into())
}
