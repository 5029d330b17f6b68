//! `hdms institution`.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::{HeaderValue, Uri};
use clap::Args;
use hdms::Error;
use hdms::card::Role;
use hdms_nodes::base::http::serve::stop_signal;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::{self, API_KEY_FILE};

use super::about::AboutArgs;
use super::limits::InstitutionCostArgs;
use super::{CommandResult, NetworkArgs, NodeArgs, bind, member, not_started};

/// Serves as a hospital or a research institute.
#[derive(Debug, Args)]
pub struct InstitutionArgs {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8720")]
    listen: SocketAddr,
    /// Another address for the HIS's interface and the console; only /inbox is at the first then.
    #[arg(long, value_name = "ADDR")]
    console_listen: Option<SocketAddr>,
    /// Origin of pages that may use the HIS's interface, such as <https://his.example>; may be
    /// repeated. The console needs none.
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    allow_origin: Vec<HeaderValue>,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    about: AboutArgs,
    #[command(flatten)]
    costs: InstitutionCostArgs,
    /// File with the key with which the HIS comes; without it, one is made in the node's folder.
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Folder of the built pages: the console.
    #[arg(long, value_name = "DIR")]
    pages: Option<PathBuf>,
}

/// Scheme and host, and the port if there is one: what browsers send.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let uri: Option<Uri> = text.parse().ok();
    let is_origin = uri.is_some_and(|uri| {
        let scheme = uri.scheme_str().unwrap_or_default();
        let host = uri.authority().map_or("", |host| host.as_str());
        ["https", "http"].contains(&scheme) && format!("{scheme}://{host}") == text
    });
    let header = HeaderValue::try_from(text).ok().filter(|_| is_origin);
    header.ok_or_else(|| "an origin is a scheme and a host: https://his.example".into())
}

impl InstitutionArgs {
    /// Serves until it is told to stop.
    pub async fn run(self) -> CommandResult {
        let stop = stop_signal()?;
        let (listener, url) = self.node.bind(self.listen).await?;
        let console = match self.console_listen {
            Some(listen) => Some(bind(listen).await?),
            None => None,
        };
        let member = member(
            Role::Institution,
            self.node,
            self.network,
            self.about,
            self.costs.into(),
            &url,
        )?;
        let key_file = self.api_key_file.clone();
        let key_file = key_file.unwrap_or_else(|| member.data.join(API_KEY_FILE));
        let config = institution::Config {
            member,
            api_key: self.api_key_file,
            console,
            origins: self.allow_origin,
            pages: self.pages,
            samples: None,
        };
        let clock = NodeClock::default();
        let started = institution::Institution::start(config, clock, listener, stop).await;
        let institution = match started {
            Err(Error::NodeStopped) => return Ok(()),
            started => started.map_err(not_started)?,
        };
        let (node, console) = (institution.node().id().as_ref(), institution.console_url());
        tracing::info!(%url, console, node, api_key_file = %key_file.display(), "serving");
        institution.ended().await;
        Ok(())
    }
}
