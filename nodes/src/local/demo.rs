//! `hdms demo`: a whole network on this machine with sample records, for people to try. Everything
//! is kept in one folder, so that the next start finds ports, keys and cases as they were.

use std::fmt;
use std::path::PathBuf;

use hdms::Error;
use tokio_util::sync::CancellationToken;

use crate::local::network::{LocalConfig, LocalNetwork};
use crate::server::PushConfig;

/// Folders and names of the institutions.
const INSTITUTIONS: [(&str, &str); 2] =
    [("hospital", "Riverside Hospital"), ("institute", "Institute for Respiratory Research")];

/// What the demo is made of.
#[derive(Clone, Debug)]
pub struct Demo {
    /// Where everything is kept.
    pub data: PathBuf,
    /// The server's port; the others follow it.
    pub port: u16,
    /// The built pages.
    pub pages: PathBuf,
    /// Sample results for the consoles to hand in.
    pub samples: PathBuf,
}

/// A running demo; shows its addresses.
#[derive(Debug)]
pub struct RunningDemo {
    network: LocalNetwork,
    data: PathBuf,
}

impl Demo {
    /// Starts all nodes; they run until `stop` is cancelled. Errors of [`LocalNetwork::start`].
    pub async fn start(self, stop: CancellationToken) -> Result<RunningDemo, Error> {
        let institutions = INSTITUTIONS.map(|(folder, name)| (folder.into(), name.into()));
        let network = LocalNetwork::start(
            LocalConfig {
                data: self.data.clone(),
                port: Some(self.port),
                name: "HDMS demo".to_owned(),
                institutions: institutions.into(),
                pages: Some(self.pages),
                samples: Some(self.samples),
                // Push services on this machine too.
                push: PushConfig { private: true, ..PushConfig::default() },
            },
            stop,
        )
        .await?;
        Ok(RunningDemo { network, data: self.data })
    }
}

impl RunningDemo {
    /// Ends what is under way and returns when all nodes have stopped.
    pub async fn stop(self) {
        self.network.stop().await;
    }
}

impl fmt::Display for RunningDemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The network runs; its data is in {}.\n", self.data.display())?;
        writeln!(f, "  Patients        {}/", self.network.url())?;
        for institution in self.network.institutions() {
            let card = institution.node().card();
            let name = &card.card().name;
            writeln!(f, "  {name}\n    console       {}/", institution.url())?;
            writeln!(f, "    API key       {}", institution.api_key())?;
            writeln!(f, "    OpenAPI       {}/openapi.json", institution.url())?;
        }
        for notary in self.network.notaries() {
            let standing = notary.member().standing();
            let name = &standing.card.card().name;
            writeln!(f, "  {name:<14}  http://{}/", notary.address())?;
        }
        write!(f, "\nCtrl-C stops it.")
    }
}
