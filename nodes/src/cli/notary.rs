//! `hdms notary`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use hdms::Error;
use hdms::card::Role;
use hdms_nodes::member::MemberConfig;
use hdms_nodes::reach::Reach;
use hdms_nodes::serve::stop_signal;
use hdms_nodes::system::NodeClock;

use super::about::AboutArgs;
use super::audit::Audit;
use super::limits::CostArgs;
use super::{NetworkArgs, NodeArgs, Outcome};

/// Serves as a notary, unless it is told to audit one. Not derived: what serving requires would be
/// required for an audit too.
#[derive(Debug)]
pub enum Notary {
    /// Serves.
    Serve(Box<Serve>),
    /// Audits.
    Audit(Box<Audit>),
}

const AUDIT: &str = "audit";

impl Args for Notary {
    fn augment_args(command: Command) -> Command {
        Serve::augment_args(command)
            .subcommand(Audit::augment_args(Command::new(AUDIT)))
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Notary {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(match matches.subcommand_matches(AUDIT) {
            Some(matches) => Self::Audit(Box::new(Audit::from_arg_matches(matches)?)),
            None => Self::Serve(Box::new(Serve::from_arg_matches(matches)?)),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Notary {
    /// Does what it was told.
    pub async fn run(self) -> Outcome {
        match self {
            Self::Serve(serve) => serve.run().await,
            Self::Audit(audit) => audit.run().await,
        }
    }
}

/// Serves as a notary.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    about: AboutArgs,
    #[command(flatten)]
    costs: CostArgs,
}

impl Serve {
    async fn run(self) -> Outcome {
        let stop = stop_signal()?;
        let passphrase = self.node.passphrase()?;
        let root = self.network.root()?;
        let (listener, url) = self.node.bind(self.listen).await?;
        let config = MemberConfig {
            data: self.node.data()?,
            passphrase,
            costs: self.costs.into(),
            reach: Reach::with_server(self.network.server.as_ref(), self.node.private_networks),
            server: self.network.server.into(),
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
        tracing::info!(%url, address = %notary.address(), node, "serving");
        notary.serving().ended().await;
        Ok(())
    }
}
