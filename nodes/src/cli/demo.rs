//! `hdms demo`.

use std::path::PathBuf;

use clap::Args;
use hdms::Error;
use hdms_nodes::base::http::serve::stop_signal;
use hdms_nodes::local::demo;

use super::CommandResult;

/// Starts a whole network with sample records on this machine.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder of everything that is to be there again at the next start.
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    data: PathBuf,
    /// Port of the server; notaries, hospital and institute take those after it.
    #[arg(long, default_value_t = 8700)]
    port: u16,
    /// Folder of the built pages.
    #[arg(long, value_name = "DIR", default_value = "www/dist")]
    pages: PathBuf,
    /// Folder of FHIR files that the consoles offer to hand in.
    #[arg(long, value_name = "DIR", default_value = "nodes/sample")]
    samples: PathBuf,
}

/// What is said where the folder of the server is older than those of its nodes.
const AGE: &str = "the server's data is older than that of the other nodes, and none of these gives back what \
                   it lacks: put back the whole folder as it was at one time, or begin with another one";

impl DemoArgs {
    /// Runs until it is told to stop.
    pub async fn run(self) -> CommandResult {
        let stop = stop_signal()?;
        let Self { data, port, pages, samples } = self;
        if !pages.join("index.html").is_file() {
            eprintln!("no pages in {}: build them with make pages", pages.display());
        }
        let starting = demo::Demo { data, port, pages, samples }.start(stop.clone());
        let running = match starting.await {
            Err(Error::NodeStopped) => return Ok(()),
            Err(Error::NetworkRollback) => return Err(AGE.into()),
            started => started?,
        };
        println!("{running}");
        stop.cancelled().await;
        running.stop().await;
        println!("Stopped; start it again to go on.");
        Ok(())
    }
}
