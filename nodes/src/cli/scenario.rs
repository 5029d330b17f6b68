//! `hdms scenario`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hdms_nodes::local::scenario::{self, Style};

use super::CommandResult;

/// Plays a scenario of the papers on a network of its own, over HTTP on this machine.
#[derive(Debug, Args)]
pub struct Scenario {
    #[command(subcommand)]
    scenario: Play,
}

#[derive(Debug, Subcommand)]
enum Play {
    /// Hospital treatment, steps 1 to 21: one case for each FHIR file.
    Treatment(TreatmentArgs),
}

#[derive(Debug, Args)]
struct TreatmentArgs {
    /// FHIR R4 resources or Bundles, or folders of them.
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    records: Vec<PathBuf>,
    /// Run this many cases, going through the files again and again.
    #[arg(long)]
    cases: Option<usize>,
    /// Cases under way at the same time.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Print JSON lines.
    #[arg(long, conflicts_with = "summary")]
    json: bool,
    /// Print only what failed and the summary.
    #[arg(long)]
    summary: bool,
}

impl Scenario {
    /// Plays it; fails when a case does.
    pub async fn run(self) -> CommandResult {
        let Play::Treatment(treatment) = self.scenario;
        let style = match (treatment.json, treatment.summary) {
            (true, _) => Style::Json,
            (_, true) => Style::Summary,
            _ => Style::Text,
        };
        let TreatmentArgs { records, cases, concurrency, .. } = treatment;
        let summary = scenario::Treatment { records, cases, concurrency, style }.run().await?;
        summary.print(style);
        if summary.failed == 0 { Ok(()) } else { Err("not every case went through".into()) }
    }
}
