//! The `hdms` command.

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// Health records on the patients' own devices: the native nodes of an HDMS network.
#[derive(Debug, Parser)]
#[command(name = "hdms", version)]
enum Hdms {
    /// Doorman, Network Map and Message Queue; and what its operator decides.
    Server(Box<cli::server::ServerArgs>),
    /// The network's root key, which is kept offline.
    Root(cli::root::RootKey),
    /// Keeps the verification keys of ledger entries.
    Notary(cli::notary::NotaryCommand),
    /// The node of a hospital or a research institute.
    Institution(Box<cli::institution::InstitutionArgs>),
    /// Copies what a node keeps.
    Backup(cli::backup::Backup),
    /// The keys of a stopped institution or notary.
    Keys(cli::keys::KeysArgs),
    /// Starts a whole network with sample records on this machine.
    Demo(cli::demo::DemoArgs),
    /// Plays a whole scenario on this machine.
    Scenario(cli::scenario::Scenario),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Hdms::parse();
    cli::start_logging(match command {
        Hdms::Demo(_) | Hdms::Scenario(_) => "warn",
        _ => "info",
    });
    let outcome = match command {
        Hdms::Server(server) => server.run().await,
        Hdms::Root(root) => root.run().await,
        Hdms::Notary(notary) => notary.run().await,
        Hdms::Institution(institution) => institution.run().await,
        Hdms::Backup(backup) => backup.run().await,
        Hdms::Keys(keys) => keys.run().await,
        Hdms::Demo(demo) => demo.run().await,
        Hdms::Scenario(scenario) => scenario.run().await,
    };
    cli::exit_code(outcome)
}
