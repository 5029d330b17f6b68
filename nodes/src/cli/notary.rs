//! `hdms notary`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use hdms::Error;
use hdms::card::Role;
use hdms_nodes::member::MemberConfig;
use hdms_nodes::serve::stop_signal;
use hdms_nodes::system::NodeClock;

use super::about::AboutArgs;
use super::{NetworkArgs, NodeArgs, Outcome};

/// Serves as a notary.
#[derive(Debug, Args)]
pub struct Notary {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    about: AboutArgs,
}

impl Notary {
    /// Serves until it is told to stop.
    pub async fn run(self) -> Outcome {
        let stop = stop_signal()?;
        let passphrase = self.node.passphrase()?;
        let root = self.network.root()?;
        let (listener, url) = self.node.bind(self.listen).await?;
        let config = MemberConfig {
            data: self.node.data()?,
            passphrase,
            server: self.network.server,
            root,
            role: Role::Notary,
            name: self.network.name,
            endpoint: Some(url.clone()),
            about: Some(self.about.into()),
            log: None,
            refresh: Duration::from_secs(self.network.refresh),
        };
        let clock = NodeClock::default();
        let notary = match hdms_nodes::notary::Notary::start(config, listener, clock, stop).await {
            Err(Error::NodeStopped) => return Ok(()),
            started => started?,
        };
        let node = notary.member().id().as_ref();
        tracing::info!(url, address = %notary.address(), node, "serving");
        notary.serving().ended().await;
        Ok(())
    }
}
