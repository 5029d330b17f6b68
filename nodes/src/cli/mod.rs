//! The command line: each subcommand has a file of its own, what they share is here.

mod about;
mod audit;
pub mod backup;
mod certificate;
pub mod demo;
pub mod institution;
pub mod keys;
mod limits;
mod manifests;
pub mod notary;
mod operator;
mod push;
pub mod root;
pub mod scenario;
pub mod server;

use std::fmt;
use std::fs;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use about::AboutArgs;
use clap::Args;
use hdms::Error;
use hdms::card::Role;
use hdms::endpoint::Endpoint;
use hdms::jwk::RsaJwk;
use hdms_nodes::base::http::connections::raise_open_files;
use hdms_nodes::base::http::reach::Reach;
use hdms_nodes::base::keys::{KEY_FILE, Passphrase};
use hdms_nodes::base::private;
use hdms_nodes::member::costs::Costs;
use hdms_nodes::member::{MemberConfig, is_refusal};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

/// The last second of the year 9999, after which no date can be written.
const LATEST: u64 = 253_402_300_799;

/// Exit code of a node that the network has refused (EX_NOPERM of sysexits).
const NOT_TAKEN: u8 = 77;

/// What a command ends with; the text is for people.
pub type CommandResult = Result<(), Box<dyn std::error::Error>>;

/// Where a node keeps its things and how it is reached.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Folder of the node's database and keys.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Base URL by which others reach the node; without it, http:// and the address it listens on.
    #[arg(long, value_name = "URL")]
    public_url: Option<Endpoint>,
    /// Goes to other nodes in private networks too: where all of the network is inside one.
    #[arg(long)]
    pub private_networks: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// What opens key files.
#[derive(Debug, Args)]
pub struct PassphraseArgs {
    /// File with the passphrase of the keys; without it, the environment's HDMS_PASSPHRASE.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Which network a node joins.
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// Base URL of the network's HDMS server.
    #[arg(long, value_name = "URL")]
    pub server: Endpoint,
    /// File with the network's root key, a JWK; without it, the first one seen is pinned.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// How people call the node.
    #[arg(long)]
    pub name: String,
    /// Seconds between two looks for newer network documents.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub refresh: u64,
}

impl NodeArgs {
    /// The node's folder. Checked here and not by clap, for which `hdms server` may also go on
    /// with a subcommand.
    pub fn data(&self) -> Result<PathBuf, Box<dyn std::error::Error>> {
        self.data.clone().ok_or_else(|| "say where the node keeps its things: --data DIR".into())
    }

    /// Opens the listener, says so in the log, and answers it with the node's base URL.
    pub async fn bind(
        &self,
        listen: SocketAddr,
    ) -> Result<(TcpListener, Endpoint), Box<dyn std::error::Error>> {
        raise_open_files();
        let listener = bind(listen).await?;
        let address = listener.local_addr()?;
        let url = match self.public_url.clone() {
            Some(url) => url,
            None => format!("http://{address}")
                .parse()
                .map_err(|_| "say how others reach the node: --public-url URL")?,
        };
        tracing::info!(%url, %address, "listening");
        Ok((listener, url))
    }

    /// The passphrase of the node's keys.
    pub fn passphrase(&self) -> Result<Passphrase, Box<dyn std::error::Error>> {
        self.passphrase.get()
    }
}

impl PassphraseArgs {
    /// The passphrase.
    pub fn get(&self) -> Result<Passphrase, Box<dyn std::error::Error>> {
        let given = match &self.passphrase_file {
            Some(file) => Zeroizing::new(read_secret(file)?),
            None => Zeroizing::new(std::env::var("HDMS_PASSPHRASE").unwrap_or_default()),
        };
        let given = Zeroizing::new(given.trim_end_matches(['\r', '\n']).to_owned());
        if given.is_empty() {
            return Err("give a passphrase for the keys: --passphrase-file FILE, or \
                        HDMS_PASSPHRASE in the environment"
                .into());
        }
        Ok(Passphrase::new(given))
    }
}

impl NetworkArgs {
    /// The root key to pin, if one was given.
    pub fn root(&self) -> Result<Option<RsaJwk>, Box<dyn std::error::Error>> {
        self.root.as_deref().map(jwk).transpose()
    }
}

/// What an institution or a notary at `url` is and where it asks.
fn member(
    role: Role,
    node: NodeArgs,
    network: NetworkArgs,
    about: AboutArgs,
    costs: Costs,
    url: &Endpoint,
) -> Result<MemberConfig, Box<dyn std::error::Error>> {
    let config = MemberConfig {
        data: node.data()?,
        passphrase: node.passphrase()?,
        costs,
        reach: Reach::with_server(network.server.as_ref(), node.private_networks),
        root: network.root()?,
        server: network.server.into(),
        role,
        name: network.name,
        endpoint: Some(url.clone()),
        about: Some(about.into()),
        log: None,
        refresh: Duration::from_secs(network.refresh),
    };
    // A member keeps the texts by which it was admitted.
    let begins = !config.data.join(KEY_FILE).exists();
    match config.odd_character().filter(|_| begins) {
        Some(one) => Err(format!(
            "U+{:04X} ({}) is not taken in names, numbers, addresses and contacts: letters, digits, \
             punctuation and spaces are, and the symbols of ASCII; see \"Who is a member\" in \
             docs/operator.md",
            u32::from(one),
            one.escape_debug()
        )
        .into()),
        None => Ok(config),
    }
}

/// Logs to the standard error, as `HDMS_LOG` says, or `otherwise`.
pub fn start_logging(otherwise: &str) {
    let filter = EnvFilter::try_from_env("HDMS_LOG").unwrap_or_else(|_| EnvFilter::new(otherwise));
    let colours = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    logs.with_writer(std::io::stderr).init();
}

/// Prints it. Who has read enough of it, as `head` has, closes the pipe: that is no failure.
fn say(text: &str) -> CommandResult {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        said => Ok(said?),
    }
}

/// Asks, and answers whether it was agreed to.
fn agreed(question: &str) -> std::io::Result<bool> {
    let mut out = std::io::stdout();
    write!(out, "{question} [y/N] ").and_then(|()| out.flush())?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Says what went wrong, if anything did.
pub fn exit_code(outcome: CommandResult) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hdms: {error}");
            if error.is::<audit::NotChecked>() {
                ExitCode::from(2)
            } else if error.is::<NotTaken>() {
                ExitCode::from(NOT_TAKEN)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// The network does not take the node as it is: starting it again would come to the same.
#[derive(Debug)]
struct NotTaken(Error);

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for NotTaken {}

/// Why a node has not started.
fn not_started(error: Error) -> Box<dyn std::error::Error> {
    if is_refusal(error) { NotTaken(error).into() } else { error.into() }
}

/// Opens a listener.
async fn bind(listen: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(listen).await;
    listener.map_err(|error| format!("can't listen on {listen}: {error}"))
}

/// The public RSA key in a file, a JWK.
fn jwk(file: &Path) -> Result<RsaJwk, Box<dyn std::error::Error>> {
    let jwk = serde_json::from_str(&read(file)?);
    jwk.map_err(|_| format!("{}: not a public RSA JWK", file.display()).into())
}

/// A time, seconds, for people.
fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(LATEST)))
}

/// The same of a secret; says so in the log when others may read it.
fn read_secret(file: &Path) -> Result<String, String> {
    private::warn_of_others(file);
    read(file)
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}
