//! A whole network in this process, and its hospital as the hospital's information system (HIS)
//! sees it: by REST with the API key.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hdms::ids::NodeId;
use hdms_nodes::local::network::{LocalConfig, LocalNetwork};
use hdms_nodes::server::PushConfig;
use reqwest::{Client, Method, RequestBuilder};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::browser::PATIENCE;

/// How its hospital is called.
pub const HOSPITAL: &str = "Test Hospital";

/// A running network that serves some pages. It ends with the process.
pub struct Network {
    pub(crate) local: LocalNetwork,
    pub(crate) client: Client,
    data: TempDir,
}

impl Network {
    /// Server, three notaries and one hospital on free ports; the server serves `pages`.
    pub async fn start(pages: PathBuf) -> Result<Self> {
        Self::with_push(pages, PushConfig::default()).await
    }

    /// The same, with a server that pushes.
    pub async fn with_push(pages: PathBuf, push: PushConfig) -> Result<Self> {
        let data = TempDir::new()?;
        let config = LocalConfig {
            data: data.path().to_owned(),
            port: None,
            name: "Test".into(),
            institutions: vec![("hospital".into(), HOSPITAL.into())],
            pages: Some(pages),
            samples: None,
            push,
        };
        let local = LocalNetwork::start(config, CancellationToken::new()).await?;
        Ok(Self { local, client: Client::new(), data })
    }

    /// Where the patient's pages are.
    pub fn url(&self) -> &str {
        self.local.url()
    }

    /// The hospital's base URL.
    pub fn hospital(&self) -> String {
        self.local.institutions()[0].url()
    }

    /// The hospital's id.
    pub fn hospital_id(&self) -> NodeId {
        self.local.institutions()[0].node().id().clone()
    }

    /// What the HIS reads under `path`, below `/api`.
    pub async fn get(&self, path: &str) -> Result<Value> {
        answer(self.request(Method::GET, path)).await
    }

    /// The text that the HIS reads under `path`.
    pub async fn text(&self, path: &str) -> Result<String> {
        let answer = self.request(Method::GET, path).send().await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// What the HIS decides under `path`.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    /// The HIS approves a case.
    pub async fn approve(&self, case: &str) -> Result<()> {
        self.post(&format!("cases/{case}/approval"), json!({})).await.map(drop)
    }

    /// The HIS asks for health data; answers the request's id.
    pub async fn ask_for_data(&self, case: &str, resource: &str) -> Result<String> {
        let body = json!({"resources": [resource], "purpose": "Before treatment"});
        text(&self.post(&format!("cases/{case}/data-requests"), body).await?["id"])
    }

    /// The HIS hands in a result as its FHIR text; answers the ids of the entries.
    pub async fn hand_in(&self, case: &str, fhir: String) -> Result<Vec<String>> {
        let request = self.request(Method::POST, &format!("cases/{case}/results"));
        let request = request.header("content-type", "application/fhir+json").body(fhir);
        let answer = answer(request).await?;
        answer["results"].as_array().into_iter().flatten().map(text).collect()
    }

    /// Waits until the only case is in `phase`; answers its id.
    pub async fn case_in_phase(&self, phase: &str) -> Result<String> {
        let cases = self.until("cases", |answer| answer["cases"][0]["phase"]["kind"] == phase);
        text(&cases.await?["cases"][0]["id"])
    }

    /// Waits until what the HIS reads under `path` fits; answers it.
    pub async fn until(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await?;
            if fits(&answer) {
                return Ok(answer);
            }
            if Instant::now() > end {
                return Err(format!("{path} stays at {answer}").into());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the entry has this status with the hospital.
    pub async fn result_is(&self, case: &str, entry: &str, status: &str) -> Result<()> {
        let is = |answer: &Value| {
            let results = answer["results"].as_array().into_iter().flatten();
            results.into_iter().any(|r| r["entry"] == entry && r["status"]["kind"] == status)
        };
        self.until(&format!("cases/{case}"), is).await.map(drop)
    }

    /// How many messages the only personal node was sent, and how many it has acknowledged.
    pub fn mailbox(&self) -> Result<(u64, u64)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = Connection::open_with_flags(self.database(), flags)?;
        let count = "SELECT coalesce(sum(last), 0), coalesce(sum(acknowledged), 0) FROM mailboxes";
        Ok(database.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// Has every node ask for newer network documents.
    pub async fn refresh(&self) -> Result<()> {
        Ok(self.local.refresh().await?)
    }

    /// Stops every node.
    pub async fn stop(self) {
        self.local.stop().await;
    }

    pub(crate) fn server_folder(&self) -> PathBuf {
        self.data.path().join("server")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.server_folder().join("server.sqlite")
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let key = self.local.institutions()[0].api_key();
        self.client.request(method, format!("{}/api/{path}", self.hospital())).bearer_auth(key)
    }
}

async fn answer(request: RequestBuilder) -> Result<Value> {
    let answer = request.send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    if !status.is_success() {
        return Err(format!("{status}: {text}").into());
    }
    Ok(serde_json::from_str(&text)?)
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().ok_or("not a text")?.to_owned())
}
