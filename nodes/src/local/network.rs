//! A whole network on this machine, in one process, speaking HTTP over loopback: a server, three
//! notaries and some institutions, each with a folder of its own. Its operator admits exactly these.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::try_join_all;
use hdms::Error;
use hdms::card::Role;
use hdms::doorman::About;
use hdms::endpoint::Endpoint;
use hdms::jwk::RsaJwk;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::base::http::reach::Reach;
use crate::base::keys::Passphrase;
use crate::base::system::NodeClock;
use crate::institution::{self, Institution};
use crate::member::MemberConfig;
use crate::member::costs::Costs;
use crate::notary::Notary;
use crate::server::certificate::Keyring;
use crate::server::operator::Operator;
use crate::server::{PushConfig, Server, ServerConfig};

/// How the notaries are called.
const NOTARIES: [&str; 3] = ["Notary North", "Notary East", "Notary South"];

/// How many of the other notaries must have co-signed before a receipt counts.
const WITNESSES: u64 = 1;

/// Opens the key files. All data of such a network lies side by side on one disk: it hides nothing.
pub const PASSPHRASE: &str = "loopback";

/// How often the operator looks for applicants.
const LOOK: Duration = Duration::from_millis(50);

/// How often members ask for newer network documents.
const REFRESH: Duration = Duration::from_secs(60);

/// How long a server that was put back has to take back what its nodes have seen, and how often they look.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(500);

/// What to start.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// Holds a folder for each node.
    pub data: PathBuf,
    /// The server's port, from which the others count up; any free ones when left out.
    pub port: Option<u16>,
    /// The network's name.
    pub name: String,
    /// Folder and name of each institution.
    pub institutions: Vec<(String, String)>,
    /// The built pages.
    pub pages: Option<PathBuf>,
    /// Sample results that the consoles offer.
    pub samples: Option<PathBuf>,
    /// How the server pushes.
    pub push: PushConfig,
}

/// A running network.
#[derive(Debug)]
pub struct LocalNetwork {
    config: LocalConfig,
    url: String,
    server: Server,
    notaries: Vec<Notary>,
    institutions: Vec<Institution>,
    stop: CancellationToken,
}

impl LocalNetwork {
    /// Starts every node; returns once all are members. Runs until `stop` is cancelled.
    ///
    /// Errors: [`Error::StoreFailed`] when a port or a folder can't be had, and those of the nodes.
    pub async fn start(config: LocalConfig, stop: CancellationToken) -> Result<Self, Error> {
        let (listener, url) = listen(&config, 0).await?;
        let folder = config.data.join("server");
        let mut server = ServerConfig::new(folder.clone(), passphrase(), url.clone());
        server.rules.name.clone_from(&config.name);
        server.rules.witnesses = WITNESSES;
        server.pages.clone_from(&config.pages);
        server.push.clone_from(&config.push);
        certify(&config, folder.clone()).await?;
        let server = Server::start(server, listener, NodeClock::default(), stop.clone()).await?;
        let plan = Plan { config: &config, server: &url, root: server.root(), stop: &stop };
        let members = async {
            tokio::try_join!(
                try_join_all((0..NOTARIES.len()).map(|place| plan.notary(place))),
                try_join_all((0..config.institutions.len()).map(|place| plan.institution(place))),
            )
        };
        let (notaries, institutions) = tokio::select! {
            members = members => members?,
            failed = admit(Operator::of(&folder)?) => return Err(failed),
        };
        let network = Self { url, server, notaries, institutions, stop, config };
        network.catch_up().await?;
        Ok(network)
    }

    /// The first [`LocalNetwork::refresh`]: a server that was put back takes back from the notaries, which
    /// run by now, what the others have seen.
    async fn catch_up(&self) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.refresh().await {
                Err(Error::NetworkRollback) if Instant::now() < until => sleep(AGAIN).await,
                done => return done,
            }
        }
    }

    /// The server's base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The network's root key.
    pub fn root(&self) -> &RsaJwk {
        self.server.root()
    }

    /// In the order of the configuration.
    pub fn institutions(&self) -> &[Institution] {
        &self.institutions
    }

    /// In a fixed order.
    pub fn notaries(&self) -> &[Notary] {
        &self.notaries
    }

    /// What a further personal node needs to join, with the folder `folder`.
    pub fn personal(&self, folder: &str, name: &str) -> MemberConfig {
        let Self { config, url, stop, .. } = self;
        let plan = Plan { config, server: url, root: self.root(), stop };
        plan.member(folder, name, Role::Personal, None)
    }

    /// Stops every node and returns when all have ended.
    pub async fn stop(self) {
        self.stop.cancel();
        for institution in self.institutions {
            institution.ended().await;
        }
        for notary in self.notaries {
            notary.serving().ended().await;
        }
        self.server.serving().ended().await;
    }

    /// Has every node ask for newer network documents: whoever joined first does not know of the
    /// last. Errors: those of the nodes' own `refresh`.
    pub async fn refresh(&self) -> Result<(), Error> {
        for notary in &self.notaries {
            notary.member().refresh().await?;
        }
        for institution in &self.institutions {
            institution.refresh().await?;
        }
        Ok(())
    }
}

struct Plan<'a> {
    config: &'a LocalConfig,
    server: &'a str,
    root: &'a RsaJwk,
    stop: &'a CancellationToken,
}

impl Plan<'_> {
    fn member(
        &self,
        folder: &str,
        name: &str,
        role: Role,
        endpoint: Option<Endpoint>,
    ) -> MemberConfig {
        MemberConfig {
            data: self.config.data.join(folder),
            passphrase: passphrase(),
            server: self.server.to_owned(),
            root: Some(self.root.clone()),
            role,
            name: name.to_owned(),
            about: endpoint.as_ref().map(|_| About {
                registry_number: "none: it is on this machine alone".into(),
                address: "this machine".into(),
                contact: "whoever started it".into(),
            }),
            endpoint,
            reach: Reach::Local,
            costs: Costs::unlimited(),
            log: None,
            refresh: REFRESH,
        }
    }

    async fn notary(&self, place: usize) -> Result<Notary, Error> {
        let (listener, url) = listen(self.config, 1 + place).await?;
        let (folder, name) = (format!("notary-{}", place + 1), NOTARIES[place]);
        let member = self.member(&folder, name, Role::Notary, Some(url.parse()?));
        Notary::start(member, listener, NodeClock::default(), self.stop.clone()).await
    }

    async fn institution(&self, place: usize) -> Result<Institution, Error> {
        let (listener, url) = listen(self.config, 1 + NOTARIES.len() + place).await?;
        let (folder, name) = &self.config.institutions[place];
        let config = institution::Config {
            member: self.member(folder, name, Role::Institution, Some(url.parse()?)),
            api_key: None,
            console: None,
            origins: Vec::new(),
            pages: self.config.pages.clone(),
            samples: self.config.samples.clone(),
        };
        Institution::start(config, NodeClock::default(), listener, self.stop.clone()).await
    }
}

/// The database is closed again when this returns.
async fn certify(config: &LocalConfig, server: PathBuf) -> Result<(), Error> {
    let keyring = Keyring::open(&server, passphrase(), NodeClock::default())?;
    keyring.certify_here(&config.data.join("root")).await
}

/// Admits every applicant that is reached on this machine; answers only when that fails.
async fn admit(operator: Operator) -> Error {
    let admit_all = async || {
        for applicant in operator.pending(None).await? {
            if applicant.claims.endpoint.starts_with("http://127.0.0.1:") {
                operator.admit(applicant.id).await?;
            }
        }
        Ok(())
    };
    loop {
        if let Err(error) = admit_all().await {
            return error;
        }
        sleep(LOOK).await;
    }
}

async fn listen(config: &LocalConfig, place: usize) -> Result<(TcpListener, String), Error> {
    let offset = u16::try_from(place).map_err(|_| Error::StoreFailed)?;
    let port = config.port.map_or(Some(0), |port| port.checked_add(offset));
    let port = port.ok_or(Error::CommandMalformed)?;
    let taken = |error| {
        tracing::error!(port, %error, "the port can't be had");
        Error::StoreFailed
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(taken)?;
    let port = listener.local_addr().map_err(taken)?.port();
    Ok((listener, format!("http://127.0.0.1:{port}")))
}

/// [`PASSPHRASE`], which is no secret.
pub fn passphrase() -> Passphrase {
    Passphrase::of_no_secret(PASSPHRASE)
}
