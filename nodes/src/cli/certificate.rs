//! `hdms server request`, `new-key` and `certificate`: the server's side of what the root key signs.

use std::path::{Path, PathBuf};

use clap::Args;
use hdms::Error;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::server::certificate::Keyring;

use super::{CommandResult, PassphraseArgs, date, jwk, read};

/// Where the Doorman's keys are.
#[derive(Debug, Args)]
pub struct OnKeys {
    /// The server's folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Debug, Args)]
pub struct Install {
    /// The list that `hdms root certify` has signed.
    #[arg(value_name = "FILE")]
    list: PathBuf,
    #[command(flatten)]
    keys: OnKeys,
    /// File with the root key to pin, a JWK: the first time.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

impl OnKeys {
    fn keyring(&self) -> Result<Keyring, Box<dyn std::error::Error>> {
        Ok(Keyring::open(&self.data, self.passphrase.get()?, NodeClock::default())?)
    }

    /// Prints the request.
    pub async fn request(self) -> CommandResult {
        print_request(&self.keyring()?).await
    }

    /// Makes the next key and prints the request.
    pub async fn new_key(self) -> CommandResult {
        let keyring = self.keyring()?;
        keyring.make_next()?;
        print_request(&keyring).await
    }
}

impl Install {
    /// Installs the list.
    pub async fn run(self) -> CommandResult {
        let root = self.root.as_deref().map(jwk).transpose()?;
        let jwt = read(&self.list)?;
        let installed = self.keys.keyring()?.install(jwt.trim(), root.as_ref()).await;
        let list = installed.map_err(|error| match error {
            Error::KeyMalformed => "say which root key to pin: --root FILE".to_owned(),
            Error::NetworkForged => "the pinned root key has not signed this".to_owned(),
            Error::NetworkRollback => "a newer list is installed already".to_owned(),
            Error::Expired => "this list has ended".to_owned(),
            Error::UnknownKey => "this server has not the key that the list names".to_owned(),
            error => error.to_string(),
        })?;
        println!("list {} is installed, until {}", list.number, date(list.exp));
        Ok(())
    }
}

async fn print_request(keyring: &Keyring) -> CommandResult {
    let (request, key) = keyring.request().await?;
    println!("{request}");
    eprintln!("asks for the key {key}");
    Ok(())
}

/// What to do when the server can't start without a certificate.
pub fn how_to_certify(data: &Path) -> String {
    let data = data.display();
    format!(
        "the network's root key has not certified this server's key. Here:\n\n  \
         hdms server request --data {data} > request.jwt\n\n\
         Where the root key is, on a machine without a network (hdms root init --data ROOT makes \
         the key, once for a network; before there were lists it was in the server's folder):\n\n  \
         hdms root certify --data ROOT request.jwt\n\n\
         Here again, with the files from there (--root only the first time):\n\n  \
         hdms server certificate --data {data} --root root.jwk doormen-1.jwt\n"
    )
}
