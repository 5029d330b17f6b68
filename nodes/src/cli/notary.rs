//! `hdms notary`.

use std::net::SocketAddr;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use hdms::Error;
use hdms::card::Role;
use hdms_nodes::base::http::serve::stop_signal;
use hdms_nodes::base::system::NodeClock;

use super::about::AboutArgs;
use super::audit::AuditArgs;
use super::limits::NotaryCostArgs;
use super::{CommandResult, NetworkArgs, NodeArgs, member, not_started};

/// Serves as a notary, unless it is told to audit one. Not derived: what serving requires would be
/// required for an audit too.
#[derive(Debug)]
pub enum NotaryCommand {
    /// Serves.
    Serve(Box<NotaryServeArgs>),
    /// Audits.
    Audit(Box<AuditArgs>),
}

const AUDIT: &str = "audit";

impl Args for NotaryCommand {
    fn augment_args(command: Command) -> Command {
        NotaryServeArgs::augment_args(command)
            .subcommand(AuditArgs::augment_args(Command::new(AUDIT)))
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for NotaryCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(match matches.subcommand_matches(AUDIT) {
            Some(matches) => Self::Audit(Box::new(AuditArgs::from_arg_matches(matches)?)),
            None => Self::Serve(Box::new(NotaryServeArgs::from_arg_matches(matches)?)),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl NotaryCommand {
    /// Does what it was told.
    pub async fn run(self) -> CommandResult {
        match self {
            Self::Serve(serve) => serve.run().await,
            Self::Audit(audit) => audit.run().await,
        }
    }
}

/// Serves as a notary.
#[derive(Debug, Args)]
pub struct NotaryServeArgs {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    about: AboutArgs,
    #[command(flatten)]
    costs: NotaryCostArgs,
}

impl NotaryServeArgs {
    async fn run(self) -> CommandResult {
        let stop = stop_signal()?;
        let (listener, url) = self.node.bind(self.listen).await?;
        let config =
            member(Role::Notary, self.node, self.network, self.about, self.costs.into(), &url)?;
        let clock = NodeClock::default();
        let notary = match hdms_nodes::notary::Notary::start(config, listener, clock, stop).await {
            Err(Error::NodeStopped) => return Ok(()),
            started => started.map_err(not_started)?,
        };
        let node = notary.member().id().as_ref();
        tracing::info!(%url, address = %notary.address(), node, "serving");
        notary.serving().ended().await;
        Ok(())
    }
}
