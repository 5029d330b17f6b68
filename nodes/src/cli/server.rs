//! `hdms server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hdms::ids::NodeId;
use hdms_nodes::serve::stop_signal;
use hdms_nodes::server::operator::Operator;
use hdms_nodes::server::{Rules, ServerConfig};
use hdms_nodes::system::NodeClock;

use super::limits::{LimitArgs, QuotaArgs, RateArgs};
use super::push::PushArgs;
use super::{NodeArgs, Outcome};

/// Serves, unless it is told what the operator decides.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Server {
    #[command(subcommand)]
    decision: Option<Decision>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Decision {
    /// Serves, as without a subcommand.
    Serve(Box<Serve>),
    /// Lists the institutions and notaries that wait to be admitted.
    Pending(OnServer),
    /// Admits a node.
    Admit(OnNode),
    /// Revokes a node's card.
    Revoke(OnNode),
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

#[derive(Debug, Args)]
struct OnServer {
    /// The server's folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct OnNode {
    /// The node's id.
    #[arg(allow_hyphen_values = true)]
    node: NodeId,
    #[command(flatten)]
    server: OnServer,
}

impl Server {
    /// Does what it was told.
    pub async fn run(self) -> Outcome {
        match self.decision {
            None => self.serve.run().await,
            Some(Decision::Serve(serve)) => serve.run().await,
            Some(Decision::Pending(server)) => server.list_pending().await,
            Some(Decision::Admit(on)) => Ok(Operator::of(&on.server.data)?.admit(on.node).await?),
            Some(Decision::Revoke(on)) => {
                Ok(Operator::of(&on.server.data)?.revoke(on.node).await?)
            }
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
            pages: self.pages,
            ..ServerConfig::new(self.node.data()?, passphrase, url.clone())
        };
        let clock = NodeClock::default();
        let server = hdms_nodes::server::Server::start(config, listener, clock, stop).await?;
        tracing::info!(url, address = %server.address(), root = server.root().thumbprint(), "serving");
        server.serving().ended().await;
        Ok(())
    }
}

impl OnServer {
    async fn list_pending(self) -> Outcome {
        for node in Operator::of(&self.data)?.pending().await? {
            let role = serde_json::to_value(node.role)?;
            println!("{} {} {} {}", node.id, role.as_str().unwrap_or(""), node.endpoint, node.name);
        }
        Ok(())
    }
}
