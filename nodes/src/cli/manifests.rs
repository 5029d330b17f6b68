//! `hdms server audit`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hdms::log::encode;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::server::audit::{ManifestsAudit, ManifestsReport};

use super::audit::{NotChecked, write_faults, write_witness};
use super::{CommandResult, jwk};

/// Checks every manifest that a network's server has offered against all that its log has signed.
///
/// Ends with 0 when all is good, with 1 when there are faults, with 2 when it could not be checked.
#[derive(Debug, Args)]
pub struct ManifestsAuditArgs {
    /// Base URL of the server.
    url: String,
    /// File with the network's root key, a JWK: the one thing that is trusted.
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// File with the checkpoint of the last good audit, which the log must continue.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Seconds that one answer may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
}

impl ManifestsAuditArgs {
    /// Audits the log and prints what was seen.
    pub async fn run(self) -> CommandResult {
        let audit = ManifestsAudit {
            root: jwk(&self.root).map_err(|error| NotChecked(error.to_string()))?,
            url: self.url,
            state: self.state,
            patience: Duration::from_secs(self.patience),
        };
        let report = audit.run(NodeClock::default()).await;
        let report = report.map_err(|error| NotChecked(error.to_string()))?;
        print!("{}", ShownManifests(&report));
        match report.faults.count() {
            0 => Ok(()),
            1 => Err("the log of manifests has 1 fault".into()),
            count => Err(format!("the log of manifests has {count} faults").into()),
        }
    }
}

/// A report for people.
struct ShownManifests<'a>(&'a ManifestsReport);

impl fmt::Display for ShownManifests<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let ManifestsReport {
            name,
            checkpoint,
            offered,
            unwatched,
            former,
            counts,
            witnesses,
            faults,
        } = report;
        let checkpoint = checkpoint.checkpoint();
        let (size, root) = (checkpoint.size, encode(&checkpoint.root));
        writeln!(f, "network     {name:?}")?;
        writeln!(f, "            {}", checkpoint.origin.escape_debug())?;
        writeln!(f, "checkpoint  {size} manifests, root {root}")?;
        writeln!(
            f,
            "computed    every hash, and the roots of {} signed checkpoints",
            counts.claims
        )?;
        if *offered < size {
            writeln!(f, "offered     only manifest {offered}: ask why, if it stays so")?;
        }
        if *unwatched > 0 {
            writeln!(f, "unwatched   {unwatched} of them, which nobody had to co-sign")?;
        }
        if *former > 0 {
            writeln!(
                f,
                "former      {former} of them are under an earlier list of the Doorman's keys, which the server \
                 has not kept"
            )?;
        }
        witnesses.iter().try_for_each(|witness| write_witness(witness, f))?;
        write_faults(faults, f)?;
        if faults.count() == 0 {
            writeln!(f, "good        everything was checked, nothing is wrong")?;
        }
        Ok(())
    }
}
