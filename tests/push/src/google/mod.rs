//! Google's services: the push service of Chromium, and Firebase in front of it. Senders reach all
//! of them at one HTTP origin, in place of [`ORIGINS`]; browsers check in and register there too,
//! keep their connection by TLS, and run Firebase's SDK over HTTPS.

mod account;
mod devices;
mod firebase;
mod mcs;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use self::account::Account;
use self::devices::Devices;
pub use self::firebase::Firebase;
use crate::check::Refusal;
use crate::serve::{self, Certificate, TlsListener};
use crate::service::PushService;

/// The origins in the endpoints that browsers hand out, VAPID's `aud`: Chrome's, which is that of
/// Firebase too, and that of builds without Google's name.
pub const ORIGINS: [&str; 2] = ["https://fcm.googleapis.com", "https://jmt17.google.com"];

/// The hosts that Firebase's SDK knows.
const SDK_HOSTS: [&str; 2] =
    ["firebaseinstallations.googleapis.com", "fcmregistrations.googleapis.com"];

/// Running services. They end when dropped.
#[derive(Debug)]
pub struct Google {
    service: Arc<PushService>,
    firebase: Arc<Firebase>,
    http: u16,
    sdk: u16,
    mcs: u16,
    fingerprint: String,
    _serving: Vec<AbortOnDropHandle<()>>,
}

impl Google {
    /// Starts them on free ports of the loopback interface.
    ///
    /// Errors: those of sockets and of key generation.
    pub async fn start() -> io::Result<Self> {
        let [http, sdk, mcs] = [listen().await?, listen().await?, listen().await?];
        let ports = [port(&http)?, port(&sdk)?, port(&mcs)?];
        let certificate = Certificate::generate(&SDK_HOSTS)?;
        let service = Arc::new(PushService::new(ORIGINS.map(str::to_owned).into()));
        let account = Account::generate(format!("http://127.0.0.1:{}/token", ports[0]))?;
        let firebase = Arc::new(Firebase::new(account, service.clone())?);
        let devices = Arc::new(Devices::new(service.clone()));
        let senders = Router::new()
            .route("/wp/{subscription}", post(push))
            .route("/fcm/send/{subscription}", post(push))
            .with_state(service.clone())
            .merge(devices::routes(devices.clone()))
            .merge(account::routes(firebase.clone()))
            .merge(firebase::routes(firebase.clone()));
        let acceptor = certificate.acceptor;
        let sdk = TlsListener { listener: sdk, acceptor: acceptor.clone() };
        let mcs = TlsListener { listener: mcs, acceptor };
        Ok(Self {
            http: ports[0],
            sdk: ports[1],
            mcs: ports[2],
            fingerprint: certificate.fingerprint,
            _serving: vec![
                serve::start(http, senders),
                serve::start(sdk, firebase::routes(firebase.clone())),
                AbortOnDropHandle::new(tokio::spawn(mcs::accept(mcs, devices))),
            ],
            service,
            firebase,
        })
    }

    /// Chromium's push service.
    pub fn service(&self) -> &PushService {
        &self.service
    }

    /// The Firebase project.
    pub fn firebase(&self) -> &Firebase {
        &self.firebase
    }

    /// Where requests for one of [`ORIGINS`] have to go instead.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// What leads Chromium here.
    pub fn arguments(&self) -> Vec<String> {
        let Self { http, sdk, mcs, fingerprint, .. } = self;
        let rules = SDK_HOSTS.map(|host| format!("MAP {host} 127.0.0.1:{sdk}")).join(", ");
        vec![
            format!("--gcm-checkin-url=http://127.0.0.1:{http}/checkin"),
            format!("--gcm-registration-url=http://127.0.0.1:{http}/register"),
            format!("--gcm-mcs-endpoint=https://127.0.0.1:{mcs}"),
            format!("--host-resolver-rules={rules}"),
            format!("--ignore-certificate-errors-spki-list={fingerprint}"),
        ]
    }
}

async fn push(
    State(service): State<Arc<PushService>>,
    Path(subscription): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let id = service.post(&subscription, headers, body.into())?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/m/{id}"))]).into_response())
}

async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}

fn port(listener: &TcpListener) -> io::Result<u16> {
    Ok(listener.local_addr()?.port())
}
