//! `hdms keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hdms::Error;
use hdms::provider::Clock;
use hdms_nodes::base::keys;
use hdms_nodes::base::sqlite;
use hdms_nodes::base::system::SystemClock;

use super::{CommandResult, PassphraseArgs};

/// What is done with the keys of an institution or a notary while it is stopped.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Makes new keys, for which the present ones vouch. The node's id stays, its cases go on, and
    /// what was sealed to the former key can still be opened.
    Change(Change),
}

#[derive(Debug, Args)]
struct Change {
    /// Folder of the node's database and keys.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl KeysArgs {
    /// Does what it was told.
    pub async fn run(self) -> CommandResult {
        match self.command {
            KeysCommand::Change(change) => change.run().await,
        }
    }
}

impl Change {
    async fn run(self) -> CommandResult {
        let folder = self.data.display();
        let passphrase = self.passphrase.get()?;
        // A node that runs goes on signing with its present keys.
        let _held = sqlite::hold_all(&self.data)?;
        let changed = keys::change(&self.data, &passphrase, SystemClock.now()).await;
        let node = changed.map_err(|error| match error {
            Error::NotFound => format!("{folder}: there are no keys of a node"),
            error => error.to_string(),
        })?;
        println!(
            "{node} has new keys. Start it within seven days: it asks the Doorman for a card with them."
        );
        Ok(())
    }
}
