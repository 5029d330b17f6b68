//! `hdms server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hdms::Error;
use hdms_nodes::base::http::connections::Limits;
use hdms_nodes::base::http::serve::stop_signal;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::server::ServerConfig;
use hdms_nodes::server::settings::{Refused, Settings};

use super::certificate::{Install, OnKeys, how_to_certify};
use super::limits::{ProxyArgs, SettingArgs, lines};
use super::manifests::ManifestsAuditArgs;
use super::operator::{Admit, OnServer, PinLog, Revoke, Set, TurnDown};
use super::push::PushArgs;
use super::{CommandResult, NodeArgs};

/// Serves, unless it is told what the operator decides or does with its key.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ServerArgs {
    #[command(subcommand)]
    command: Option<ServerCommand>,
    #[command(flatten)]
    serve: ServerServeArgs,
}

#[derive(Debug, Subcommand)]
enum ServerCommand {
    /// Serves, as without a subcommand.
    Serve(Box<ServerServeArgs>),
    /// Prints what the root key is to certify; makes the Doorman's key at first.
    Request(OnKeys),
    /// Makes the Doorman's next key, and prints what the root key is to certify.
    NewKey(OnKeys),
    /// Checks and installs what the root key has signed.
    Certificate(Install),
    /// Shows the institutions and notaries that wait to be admitted, with what they claim.
    Pending(OnServer),
    /// Admits a node as what it asks to be.
    Admit(Admit),
    /// Refuses what a node asks to be.
    Refuse(TurnDown),
    /// Revokes a node's card; of a notary says before what that means.
    Revoke(Revoke),
    /// Shows the network's rules and what the server allows.
    Show(OnServer),
    /// Changes them: what is given. Nodes follow the rules at their next look, but for another number of
    /// witnesses, of which is shown from when it counts; the server what it allows at its next start.
    Set(Box<Set>),
    /// Pins a notary's log as it was before there were witnesses: receipts under it need none.
    PinLog(PinLog),
    /// Shows everything that was decided, and checks that nothing of it was altered.
    Trail(OnServer),
    /// Audits the log of a network's manifests, from anywhere.
    Audit(ManifestsAuditArgs),
}

#[derive(Debug, Args)]
struct ServerServeArgs {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8700")]
    listen: SocketAddr,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    proxies: ProxyArgs,
    /// Folder of static pages to serve.
    #[arg(long, value_name = "DIR")]
    pages: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Push")]
    push: PushArgs,
    // What follows a heading is under it.
    #[command(flatten, next_help_heading = "At the first start; later: hdms server set")]
    settings: SettingArgs,
}

impl ServerArgs {
    /// Does what it was told.
    pub async fn run(self) -> CommandResult {
        match self.command {
            None => self.serve.run().await,
            Some(ServerCommand::Serve(serve)) => serve.run().await,
            Some(ServerCommand::Request(on)) => on.request().await,
            Some(ServerCommand::NewKey(on)) => on.new_key().await,
            Some(ServerCommand::Certificate(install)) => install.run().await,
            Some(ServerCommand::Pending(server)) => server.list_pending().await,
            Some(ServerCommand::Admit(admit)) => admit.run().await,
            Some(ServerCommand::Refuse(turn_down)) => turn_down.refuse().await,
            Some(ServerCommand::Revoke(revoke)) => revoke.run().await,
            Some(ServerCommand::Show(server)) => server.show_settings().await,
            Some(ServerCommand::Set(set)) => set.run().await,
            Some(ServerCommand::PinLog(pin)) => pin.run().await,
            Some(ServerCommand::Trail(server)) => server.show_trail().await,
            Some(ServerCommand::Audit(audit)) => audit.run().await,
        }
    }
}

impl ServerServeArgs {
    async fn run(self) -> CommandResult {
        let stop = stop_signal()?;
        let passphrase = self.node.passphrase()?;
        let (listener, url) = self.node.bind(self.listen).await?;
        let (clock, data) = (NodeClock::default(), self.node.data()?);
        let given = |settings: &mut Settings| self.settings.apply(settings);
        let settings = Settings::given(&data, given).await.map_err(named)?;
        let Settings { rules, allowances } = settings;
        let config = ServerConfig {
            rules,
            quotas: allowances.quotas,
            rates: allowances.rates,
            limits: Limits {
                connections: allowances.connections,
                proxies: self.proxies.into(),
                ..Limits::default()
            },
            push: self.push.config()?,
            private_networks: self.node.private_networks,
            pages: self.pages,
            ..ServerConfig::new(data.clone(), passphrase, url.clone().into())
        };
        let server = match hdms_nodes::server::Server::start(config, listener, clock, stop).await {
            Err(Error::Uncertified) => return Err(how_to_certify(&data).into()),
            started => started?,
        };
        tracing::info!(%url, address = %server.address(), root = server.root().thumbprint(), "serving");
        server.serving().ended().await;
        Ok(())
    }
}

/// With the options that say otherwise than what is kept.
fn named(refused: Refused) -> String {
    let Refused::Kept { kept, given } = &refused else { return refused.to_string() };
    let differing = lines(kept).into_iter().zip(lines(given)).filter(|(kept, given)| kept != given);
    let options: Vec<_> = differing.map(|((option, _), _)| option).collect();
    format!("{}: {refused}", options.join(", "))
}
