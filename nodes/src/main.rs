//! The `hdms` command.

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// Health records on the patients' own devices: the native nodes of an HDMS network.
#[derive(Debug, Parser)]
#[command(name = "hdms", version)]
enum Hdms {
    /// Doorman, Network Map and Message Queue; and what its operator decides.
    Server(cli::server::Server),
    /// Keeps the verification keys of ledger entries.
    Notary(cli::notary::Notary),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Hdms::parse();
    cli::start_logging();
    let outcome = match command {
        Hdms::Server(server) => server.run().await,
        Hdms::Notary(notary) => notary.run().await,
    };
    cli::exit_code(outcome)
}
