//! The hospital's information system, as any HIS would be: a client of the hospital's REST
//! interface and of nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use hdms::ids::CaseId;
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::report::Failed;
use crate::base::http::client::events;

/// How long it waits for a case to go on.
const PATIENCE: Duration = Duration::from_secs(120);

/// A HIS.
#[derive(Clone, Debug)]
pub struct His {
    http: Client,
    url: String,
    key: String,
    changes: Changes,
}

impl His {
    /// Of the hospital at `url`; listens to its events from now on.
    pub async fn connect(url: String, key: String) -> Result<Self, Failed> {
        let his = Self { http: Client::new(), url, key, changes: Changes::default() };
        let response = good(his.http.get(his.at("/api/events")).bearer_auth(&his.key)).await?;
        let changes = his.changes.clone();
        tokio::spawn(async move {
            let mut events = events::<ChangeEvent>(response);
            while let Some(event) = events.next().await {
                match event {
                    Ok(ChangeEvent { case: Some(case) }) => changes.tell(&case),
                    Ok(ChangeEvent { case: None }) | Err(_) => changes.tell_all(),
                }
            }
        });
        Ok(his)
    }

    /// The case, once it has changed and `is` says so.
    pub async fn wait_for(
        &self,
        case: &CaseId,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Value, Failed> {
        let changed = self.changes.of(case);
        let waiting = async {
            loop {
                changed.notified().await;
                match self.case(case).await {
                    Ok(view) if is(&view) => return view,
                    _ => {}
                }
            }
        };
        let view = tokio::time::timeout(PATIENCE, waiting).await;
        view.map_err(|_| Failed::new(&format!("the HIS waited in vain for {what}")))
    }

    /// `GET /api/cases/{case}`.
    pub async fn case(&self, case: &CaseId) -> Result<Value, Failed> {
        self.get(&format!("/api/cases/{case}")).await
    }

    /// `POST …/approval`.
    pub async fn approve(&self, case: &CaseId) -> Result<(), Failed> {
        let url = self.at(&format!("/api/cases/{case}/approval"));
        good(self.http.post(url).bearer_auth(&self.key)).await.map(drop)
    }

    /// `POST …/data-requests`; answers the request's id.
    pub async fn ask_for_data(&self, case: &CaseId, kind: &str) -> Result<String, Failed> {
        let body = json!({"resources": [kind], "purpose": "To choose the right treatment"});
        let url = self.at(&format!("/api/cases/{case}/data-requests"));
        let request = self.http.post(url).header("content-type", "application/json");
        let asked: Value = self.send(request.body(body.to_string())).await?;
        let id = asked["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Failed::new("the hospital names no request for data"))
    }

    /// `GET …/shared`: the FHIR texts of all shared records.
    pub async fn shared(&self, case: &CaseId) -> Result<Vec<String>, Failed> {
        let (mut found, mut page) = (Vec::new(), String::new());
        loop {
            let view: Value = self.get(&format!("/api/cases/{case}/shared{page}")).await?;
            let answers = view["shared"].as_array().into_iter().flatten();
            let records =
                answers.flat_map(|answer| answer["records"].as_array().into_iter().flatten());
            found.extend(records.filter_map(|record| record["fhir"].as_str().map(str::to_owned)));
            let Some(next) = view["next"].as_str() else { return Ok(found) };
            page = format!("?after={next}");
        }
    }

    /// `POST …/results`; answers the entries.
    pub async fn hand_in(&self, case: &CaseId, fhir: Vec<u8>) -> Result<Vec<String>, Failed> {
        #[derive(Deserialize)]
        struct AcceptedResults {
            results: Vec<String>,
        }
        let url = self.at(&format!("/api/cases/{case}/results"));
        let request = self.http.post(url).header("content-type", "application/fhir+json");
        let request = request.header("idempotency-key", "scenario");
        let handed_in: AcceptedResults = self.send(request.body(fhir)).await?;
        Ok(handed_in.results)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.send(self.http.get(self.at(path))).await
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failed> {
        let response = good(request.bearer_auth(&self.key)).await?;
        let bytes = response.bytes().await.map_err(unanswered)?;
        serde_json::from_slice(&bytes).map_err(|_| Failed::new("an answer is not as described"))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// An event's data.
#[derive(Deserialize)]
struct ChangeEvent {
    case: Option<CaseId>,
}

/// Wakes those who wait for a change of a case.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<Mutex<HashMap<CaseId, Arc<Notify>>>>);

impl Changes {
    /// Woken whenever the case changes, and once if it did so before anybody waited.
    pub fn of(&self, case: &CaseId) -> Arc<Notify> {
        self.lock().entry(case.clone()).or_default().clone()
    }

    /// The case has changed.
    pub fn tell(&self, case: &CaseId) {
        self.of(case).notify_one();
    }

    /// Any case may have changed.
    pub fn tell_all(&self) {
        self.lock().values().for_each(|waiting| waiting.notify_one());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CaseId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn good(request: RequestBuilder) -> Result<Response, Failed> {
    let response = request.send().await.map_err(unanswered)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    Err(Failed::new(&format!("the hospital answered {status}: {body}")))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unanswered(error: reqwest::Error) -> Failed {
    Failed::new(&format!("the hospital does not answer: {error}"))
}
