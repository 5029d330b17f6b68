//! The HDMS server (docs/architecture.md): Doorman, Network Map and Message Queue over HTTP. It never
//! sees health data in the clear.

pub mod audit;
pub mod certificate;
mod challenges;
mod claims;
mod doorman;
mod known;
mod mailbox;
mod manifests;
mod marks;
mod network_map;
mod nodes;
pub mod operator;
mod pages;
mod pins;
mod proofs;
mod push;
mod quota;
mod rates;
mod recovery;
mod refusals;
mod reports;
mod rivals;
pub mod root;
mod routes;
mod rules;
mod schema;
pub mod settings;
mod strangers;
mod stream;
mod superseded;
pub mod trail;
mod waiting_changes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hdms::Error;
use hdms::jwk::RsaJwk;
use hdms::provider::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::base::http::client::Client;
use crate::base::http::connections::Limits;
use crate::base::http::gate::Gate;
use crate::base::http::reach::Reach;
use crate::base::http::serve::Serving;
use crate::base::keys::Passphrase;
use crate::base::rate::{HOUR, RateLimit};
use crate::base::sqlite::Database;
use crate::base::system::NodeClock;
use certificate::Keyring;
use doorman::Doorman;
use mailbox::Mailboxes;
use network_map::Network;
use proofs::Proofs;
use settings::{Allowances, Settings};
use stream::Bells;

pub use push::{FirebaseApp, FirebaseConfig, PushConfig};
pub use quota::{Quota, Quotas};
pub use rates::Rates;
pub use rules::{Rules, Witnessing};

/// Deliveries under way at a time, each of up to 8 MB.
const DELIVERIES: usize = 128;

/// How often the server looks for what the operator's commands have changed.
const LOOK: Duration = Duration::from_millis(200);

/// How often it asks again for cosignatures that are lacking.
const AGAIN: Duration = Duration::from_secs(5);

/// How often it signs what grows old, and deletes what has expired.
const TIDY: Duration = Duration::from_secs(60);

/// What a server needs to start.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Its folder: database and key files. Made when it is not there.
    pub data: PathBuf,
    /// Opens the key files.
    pub passphrase: Passphrase,
    /// Base URL by which nodes know it; their proofs name it.
    pub public_url: String,
    /// The rules with which a network begins; later those in the database count. What follows is kept
    /// there with them.
    pub rules: Rules,
    /// How much may wait in mailboxes.
    pub quotas: Quotas,
    /// How often may be asked.
    pub rates: Rates,
    /// How long it waits for others, and for how many.
    pub limits: Limits,
    /// How nodes are woken.
    pub push: PushConfig,
    /// Whether nodes may be in private networks.
    pub private_networks: bool,
    /// Folder of static pages, served at `/`.
    pub pages: Option<PathBuf>,
}

impl ServerConfig {
    /// The usual network at this address, without pages.
    pub fn new(data: PathBuf, passphrase: Passphrase, public_url: String) -> Self {
        Self {
            data,
            passphrase,
            public_url,
            rules: Rules::named("HDMS"),
            quotas: Quotas::default(),
            rates: Rates::default(),
            limits: Limits::default(),
            push: PushConfig::default(),
            private_networks: false,
            pages: None,
        }
    }

    /// What a network begins with.
    fn settings(&self) -> Settings {
        let (quotas, rates, connections) = (self.quotas, self.rates, self.limits.connections);
        Settings {
            rules: self.rules.clone(),
            allowances: Allowances { quotas, rates, connections },
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    serving: Serving,
    root: RsaJwk,
}

/// What the routes work with.
#[derive(Debug)]
struct Services {
    network: Arc<Network>,
    doorman: Doorman,
    proofs: Proofs,
    mailboxes: Mailboxes,
    push: Arc<push::PushSender>,
    bells: Arc<Bells>,
    gates: Gates,
    clock: NodeClock,
    stop: CancellationToken,
}

/// Before what strangers ask, and before the bodies of what members ask.
#[derive(Debug)]
struct Gates {
    network: Arc<Gate>,
    doorman: Arc<Gate>,
    mailboxes: Arc<Gate>,
    deliveries: Arc<Gate>,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            network: Gate::new(),
            doorman: Gate::new(),
            mailboxes: Gate::new(),
            deliveries: Gate::with_places(DELIVERIES),
        }
    }
}

impl Server {
    /// Starts a server on `listener` until `stop` is cancelled.
    ///
    /// Errors: those of [`Database::open`] and [`Keyring::certificate`].
    pub async fn start(
        config: ServerConfig,
        listener: TcpListener,
        clock: NodeClock,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let database = schema::hold(&config.data)?;
        let (pages, url) = (config.pages.clone(), config.public_url.clone());
        let limits = config.limits.clone();
        let bells = Arc::new(Bells::new(config.rates.streams));
        let (push, announced) =
            push::PushSender::open(&config, bells.clone(), database.clone(), clock.clone()).await?;
        let pushing = tokio::spawn(push.clone().run(announced, stop.clone()));
        let services = Services::open(config, database.clone(), clock, (bells, push), &stop);
        let services = Arc::new(services.await?);
        let root = services.network.root();
        let keeping = tokio::spawn(services.clone().keep_up_to_date(database));
        let router = routes::router(services, pages, &url);
        let serving = Serving::start(listener, router, limits, stop);
        let serving = serving.alongside(keeping).alongside(pushing);
        Ok(Self { serving, root })
    }

    /// The network's root key, for others to pin.
    pub fn root(&self) -> &RsaJwk {
        &self.root
    }

    /// What serves it: its address, and how to stop it.
    pub fn serving(self) -> Serving {
        self.serving
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.serving.address()
    }
}

impl Services {
    async fn open(
        config: ServerConfig,
        database: Database,
        clock: NodeClock,
        (bells, push): (Arc<Bells>, Arc<push::PushSender>),
        stop: &CancellationToken,
    ) -> Result<Self, Error> {
        let (db, at) = (|| database.clone(), || clock.clone());
        let ServerConfig { data, passphrase, .. } = &config;
        let keyring = Keyring::over(data.clone(), passphrase.clone(), db(), at());
        let public_url = config.public_url.trim_end_matches('/').to_owned();
        let reach = Reach::with_server(&public_url, config.private_networks);
        let client = Client::new(at(), reach)?;
        let pace = RateLimit::new(config.rates.manifests, HOUR);
        let network = Network::open(keyring, push.key(), db(), (client, pace), at());
        let network = Arc::new(network.await?);
        let doorman = Doorman::open(network.clone(), db(), at(), config.rates, reach).await?;
        let proofs = Proofs::open(public_url, &config.data, config.rates, db(), at())?;
        let (settings, now) = (config.settings(), clock.now());
        database.write(move |tx| settings.begin(tx, now)).await?;
        network.begin().await?;
        Ok(Self {
            doorman,
            proofs,
            mailboxes: Mailboxes::new(db(), at(), config.quotas, bells.clone(), push.clone()),
            network,
            push,
            bells,
            gates: Gates::default(),
            clock,
            stop: stop.clone(),
        })
    }

    /// Follows the operator's commands and the time until the server stops.
    async fn keep_up_to_date(self: Arc<Self>, database: Database) {
        let mut known = None;
        let mut look = tokio::time::interval(LOOK);
        let mut tidy = tokio::time::interval(TIDY);
        let mut again = tokio::time::interval(AGAIN);
        loop {
            let done = tokio::select! {
                _ = again.tick(), if self.network.is_behind() => self.network.refresh().await,
                _ = look.tick() => self.follow_operator(&database, &mut known).await,
                _ = tidy.tick() => self.tidy(&database).await,
                () = self.stop.cancelled() => return,
            };
            if let Err(error) = done {
                tracing::error!(%error, "the server could not bring itself up to date");
            }
        }
    }

    async fn follow_operator(
        &self,
        database: &Database,
        known: &mut Option<u64>,
    ) -> Result<(), Error> {
        let changes = database.read(nodes::changes).await?;
        if *known != Some(changes) {
            self.network.take_certificate().await?;
            self.network.refresh().await?;
            self.proofs.forget();
            self.silence_revoked(database).await?;
            *known = Some(changes);
        }
        Ok(())
    }

    async fn silence_revoked(&self, database: &Database) -> Result<(), Error> {
        self.bells.silence(&database.read(|connection| nodes::revoked(connection, 0)).await?);
        Ok(())
    }

    async fn tidy(&self, database: &Database) -> Result<(), Error> {
        self.network.refresh().await?;
        self.silence_revoked(database).await?;
        let now = self.clock.now().seconds();
        let drop_old = move |tx: &_| {
            strangers::drop_old(tx, now)?;
            waiting_changes::drop_old(tx, now)
        };
        database.write(drop_old).await?;
        self.push.expire().await?;
        self.mailboxes.expire().await
    }
}
