//! `hdms root`: what is done with the network's root key, on a machine without a network.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hdms::Error;
use hdms::network::Doormen;
use hdms::provider::Clock;
use hdms_nodes::base::keys::KEY_FILE;
use hdms_nodes::base::system::SystemClock;
use hdms_nodes::server::root::{PUBLIC_FILE, Request, Root, Terms, YEARS, file_name};

use super::{CommandResult, PassphraseArgs, agreed, date, read};

/// Makes the network's root key, and certifies the server's key by it.
#[derive(Debug, Args)]
pub struct RootKey {
    #[command(subcommand)]
    command: RootCommand,
}

#[derive(Debug, Subcommand)]
enum RootCommand {
    /// Makes the root key, once for a network.
    Init(Safe),
    /// Signs the list of the Doorman's keys that a server's request asks for.
    Certify(Certify),
}

/// Where the root key is.
#[derive(Debug, Args)]
struct Safe {
    /// Folder of the root key and of all lists that it has signed.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Debug, Args)]
struct Certify {
    /// What `hdms server request` printed.
    #[arg(value_name = "FILE")]
    request: PathBuf,
    #[command(flatten)]
    safe: Safe,
    /// Thumbprint of a former key that was stolen: nothing that it signed counts any more. May be
    /// given several times.
    #[arg(long, value_name = "THUMBPRINT", allow_hyphen_values = true)]
    drop: Vec<String>,
    /// How long the list counts, years.
    #[arg(long, default_value_t = YEARS, value_parser = clap::value_parser!(u64).range(1..=10))]
    years: u64,
    /// Sign without asking.
    #[arg(long)]
    yes: bool,
}

impl RootKey {
    /// Does what it was told.
    pub async fn run(self) -> CommandResult {
        match self.command {
            RootCommand::Init(safe) => safe.init(),
            RootCommand::Certify(certify) => certify.run().await,
        }
    }
}

impl Safe {
    fn init(self) -> CommandResult {
        if self.data.join(KEY_FILE).exists() {
            return Err(format!("there is a root key in {}", self.data.display()).into());
        }
        let root = Root::open_or_make(&self.data, &self.passphrase.get()?)?;
        println!("root key    {}", root.public().thumbprint());
        println!("to be given to everyone who runs a node, who pins it:");
        println!("            {}", self.data.join(PUBLIC_FILE).display());
        Ok(())
    }
}

impl Certify {
    async fn run(self) -> CommandResult {
        let request = read(&self.request)?;
        let request = Request::verify(request.trim()).await;
        let request = request.map_err(|_| {
            format!("{}: not what hdms server request prints", self.request.display())
        })?;
        let root = Root::open(&self.safe.data, &self.safe.passphrase.get()?)?;
        let terms = Terms { years: self.years, drop: self.drop };
        let list = root.next(&request, &terms, SystemClock.now()).await;
        let list = list.map_err(|error| match error {
            Error::UnknownKey => "--drop names a key that is not in the last list".into(),
            Error::CardRevoked => "the requested key was retired before, or is the one to be \
                dropped; make another: hdms server new-key"
                .into(),
            Error::LogForged => {
                "the request names another log of manifests than the last list: it is \
                of another server, or of who has broken into this one"
                    .into()
            }
            error => error.to_string(),
        })?;
        let last = root.last(&request).await?;
        show(&list, &terms.drop, last.as_ref());
        if !self.yes && !agreed("Compare the first with what the server shows. Sign?")? {
            return Err("nothing was signed".into());
        }
        root.sign(&list).await?;
        let file = self.safe.data.join(file_name(list.number));
        println!("signed; for the server: hdms server certificate {}", file.display());
        Ok(())
    }
}

fn show(list: &Doormen, dropped: &[String], last: Option<&Doormen>) {
    println!("List {} of the Doorman's keys, until {}:", list.number, date(list.exp));
    for doorman in &list.doormen {
        let thumbprint = doorman.key.thumbprint();
        match doorman.until {
            None => println!("  {thumbprint}  signs from now on"),
            Some(until) => println!("  {thumbprint}  retired: cards of before {}", date(until)),
        }
    }
    let witnesses =
        |list: &Doormen| list.log.as_ref().map_or(Vec::new(), |log| log.witnesses.clone());
    let named = witnesses(list);
    for witness in &named {
        println!("  {}  a witness of the manifests under this list", witness.notary);
    }
    for witness in last.map_or(Vec::new(), witnesses) {
        if !named.contains(&witness) {
            println!(
                "  {}  NO WITNESS any more, as it was under list {}",
                witness.notary,
                list.number - 1
            );
        }
    }
    for thumbprint in dropped {
        println!("  {thumbprint}  DROPPED: nothing that it signed counts any more");
    }
}
