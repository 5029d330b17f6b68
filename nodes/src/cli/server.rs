//! `hdms server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hdms::Error;
use hdms_nodes::serve::stop_signal;
use hdms_nodes::server::{Rules, ServerConfig};
use hdms_nodes::system::NodeClock;

use super::certificate::{Install, OnKeys, how_to_certify};
use super::limits::{LimitArgs, QuotaArgs, RateArgs};
use super::operator::{OnNode, OnServer, TurnDown};
use super::push::PushArgs;
use super::{NodeArgs, Outcome};

/// Serves, unless it is told what the operator decides or does with its key.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Server {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves, as without a subcommand.
    Serve(Box<Serve>),
    /// Prints what the root key is to certify; makes the Doorman's key at first.
    Request(OnKeys),
    /// Makes the Doorman's next key, and prints what the root key is to certify.
    NewKey(OnKeys),
    /// Checks and installs what the root key has signed.
    Certificate(Install),
    /// Shows the institutions and notaries that wait to be admitted, with what they claim.
    Pending(OnServer),
    /// Admits a node as what it asks to be.
    Admit(OnNode),
    /// Refuses what a node asks to be.
    Refuse(TurnDown),
    /// Revokes a node's card.
    Revoke(TurnDown),
    /// Shows everything that was decided, and checks that nothing of it was altered.
    Trail(OnServer),
}

#[derive(Debug, Args)]
struct Serve {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8700")]
    listen: SocketAddr,
    #[command(flatten)]
    node: NodeArgs,
    /// The network's name.
    #[arg(long, default_value = "HDMS")]
    network: String,
    /// Seconds after which nodes no longer rely on a revocation list.
    #[arg(long, default_value_t = 24 * 3600, value_parser = clap::value_parser!(u64).range(60..))]
    revocation_age: u64,
    /// Notaries that must have co-signed the log before a receipt counts.
    #[arg(long, default_value_t = 0)]
    witnesses: u64,
    /// Lowest protocol version with which a node may take part.
    #[arg(long, default_value_t = 1)]
    minimum_version: u64,
    #[command(flatten)]
    quotas: QuotaArgs,
    #[command(flatten)]
    rates: RateArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    push: PushArgs,
    /// Folder of static pages to serve.
    #[arg(long, value_name = "DIR")]
    pages: Option<PathBuf>,
}

impl Server {
    /// Does what it was told.
    pub async fn run(self) -> Outcome {
        match self.command {
            None => self.serve.run().await,
            Some(Command::Serve(serve)) => serve.run().await,
            Some(Command::Request(on)) => on.request().await,
            Some(Command::NewKey(on)) => on.new_key().await,
            Some(Command::Certificate(install)) => install.run().await,
            Some(Command::Pending(server)) => server.list_pending().await,
            Some(Command::Admit(on)) => on.admit().await,
            Some(Command::Refuse(turn_down)) => turn_down.refuse().await,
            Some(Command::Revoke(turn_down)) => turn_down.revoke().await,
            Some(Command::Trail(server)) => server.show_trail().await,
        }
    }
}

impl Serve {
    async fn run(self) -> Outcome {
        let stop = stop_signal()?;
        let passphrase = self.node.passphrase()?;
        let (listener, url) = self.node.bind(self.listen).await?;
        let config = ServerConfig {
            rules: Rules {
                name: self.network,
                revocation_age: self.revocation_age,
                witnesses: self.witnesses,
                minimum_version: self.minimum_version,
            },
            quotas: self.quotas.into(),
            rates: self.rates.into(),
            limits: self.limits.into(),
            push: self.push.config()?,
            private_networks: self.node.private_networks,
            pages: self.pages,
            ..ServerConfig::new(self.node.data()?, passphrase, url.clone().into())
        };
        let (clock, data) = (NodeClock::default(), config.data.clone());
        let server = match hdms_nodes::server::Server::start(config, listener, clock, stop).await {
            Err(Error::Uncertified) => return Err(how_to_certify(&data).into()),
            started => started?,
        };
        tracing::info!(%url, address = %server.address(), root = server.root().thumbprint(), "serving");
        server.serving().ended().await;
        Ok(())
    }
}
