//! Treatments over real HTTP, over and over: `make soak SECONDS=600`. Prints a line for each round
//! with the memory that the process holds, and ends at the first case that fails.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use hdms_nodes::local::scenario::{Style, Treatment};
use hdms_tests::{Result, pages};

/// Cases in a round, which has a network of its own.
const CASES: usize = 200;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match seconds() {
        Some(seconds) => soak(Duration::from_secs(seconds)).await,
        None => Err("say how long: soak --seconds 600".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn seconds() -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds");
    arguments.nth(1)?.parse().ok()
}

async fn soak(time: Duration) -> Result<()> {
    let records = vec![pages::root().join("node_modules/hl7.fhir.uv.ips/example")];
    let treatment =
        Treatment { records, cases: Some(CASES), concurrency: 64, style: Style::Summary };
    let begun = Instant::now();
    let mut passed = 0;
    while begun.elapsed() < time {
        let summary = treatment.run().await.map_err(|failed| failed.to_string())?;
        if summary.failed > 0 {
            return Err(format!("{} of {CASES} cases failed", summary.failed).into());
        }
        passed += summary.passed;
        let (elapsed, memory) = (begun.elapsed().as_secs(), resident_megabytes()?);
        println!("{passed} cases in {elapsed} s, {memory} MB in memory");
    }
    Ok(())
}

/// What Linux says that this process holds in memory.
fn resident_megabytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(kilobytes.parse::<u64>()? / 1024)
}
