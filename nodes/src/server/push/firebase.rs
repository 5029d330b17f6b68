//! Firebase Cloud Messaging, HTTP v1. It shows Google what it carries, so it carries nothing but the
//! word that something waits.

use std::fmt;
use std::time::Duration;

use gcp_auth::{CustomServiceAccount, TokenProvider};
use hdms::Error;
use hdms::ids::MessageId;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::PushOutcome;
use super::endpoints::Route;
use super::{TOPIC, URGENCY};

/// Where it is.
const ORIGIN: &str = "https://fcm.googleapis.com";

/// What an access token is good for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// How long getting one may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What pages need to register with a Firebase project: the configuration of its web app, and the
/// key of its web push certificates. None of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirebaseApp {
    /// Names the project to Google's interfaces.
    pub api_key: String,
    /// The web app's id.
    pub app_id: String,
    /// The project's id.
    pub project_id: String,
    /// The project's number.
    pub messaging_sender_id: String,
    /// With which browsers subscribe.
    pub vapid_key: String,
}

/// A Firebase project, and an account that may send in its name.
#[derive(Clone)]
pub struct FirebaseConfig {
    /// For pages.
    pub app: FirebaseApp,
    /// The service account's key file, JSON.
    pub credentials: String,
}

impl fmt::Debug for FirebaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirebaseConfig").field("app", &self.app).finish_non_exhaustive()
    }
}

/// Sends by a Firebase project.
pub struct Firebase {
    app: FirebaseApp,
    account: CustomServiceAccount,
}

impl Firebase {
    /// Errors: [`Error::CommandMalformed`] for a project id that is none,
    /// [`Error::KeyFileMalformed`] for credentials that are none.
    pub fn new(config: FirebaseConfig) -> Result<Self, Error> {
        let FirebaseConfig { app, credentials } = config;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.');
        if app.project_id.is_empty() || !app.project_id.bytes().all(plain) {
            return Err(Error::CommandMalformed);
        }
        let account = CustomServiceAccount::from_json(&credentials);
        Ok(Self { app, account: account.map_err(|_| Error::KeyFileMalformed)? })
    }

    /// What pages need to know.
    pub fn app(&self) -> &FirebaseApp {
        &self.app
    }

    /// Where messages are posted.
    pub fn endpoint(&self) -> String {
        format!("{ORIGIN}/v1/projects/{}/messages:send", self.app.project_id)
    }

    /// Wakes the browser with this registration token, within `ttl` seconds; `wake` is a random
    /// name.
    pub async fn wake(
        &self,
        way: &Route<'_>,
        token: &str,
        ttl: u64,
        wake: &MessageId,
    ) -> PushOutcome {
        let access = tokio::time::timeout(PATIENCE, self.account.token(&[SCOPE])).await;
        let Ok(Ok(access)) = access else { return PushOutcome::Later(None) };
        let headers = json!({"TTL": ttl.to_string(), "Urgency": URGENCY, "Topic": TOPIC});
        let message = json!({"message": {
            "token": token,
            "data": {"wake": wake},
            "webpush": {"headers": headers},
        }});
        let request = way.client.post(way.url.clone()).bearer_auth(access.as_str());
        let request = request.header(CONTENT_TYPE, "application/json").body(message.to_string());
        let Ok(request) = request.build() else { return PushOutcome::Later(None) };
        PushOutcome::of(way.client.open(request).await).await
    }
}

impl fmt::Debug for Firebase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Firebase").field("app", &self.app).finish_non_exhaustive()
    }
}
