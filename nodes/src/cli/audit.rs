//! `hdms notary audit`.

use std::cell::Cell;
use std::fmt;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hdms::log::encode;
use hdms_nodes::base::audit::{Alarm, Counts, Faults, Witness};
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::notary::audit::{self, Report};
use indicatif::{ProgressBar, ProgressStyle};

use super::{CommandResult, date, jwk};

/// Checks everything that a notary's log serves against all that it has signed.
///
/// Ends with 0 when all is good, with 1 when there are faults, with 2 when it could not be checked.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Base URL of the notary, or of a copy of its log.
    url: String,
    /// Base URL of the network's HDMS server.
    #[arg(long, value_name = "URL")]
    server: String,
    /// File with the network's root key, a JWK: the one thing that is trusted.
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// File with the checkpoint of the last good audit, which the log must continue.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Base URLs of witnesses that must answer; without it, all that the Network Map lists are asked.
    #[arg(long, value_name = "URL", num_args = 1..)]
    witnesses: Vec<String>,
    /// Seconds that one answer may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
}

/// Why a log could not be checked.
#[derive(Debug)]
pub struct NotChecked(pub String);

impl fmt::Display for NotChecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not be checked: {}", self.0)
    }
}

impl std::error::Error for NotChecked {}

impl AuditArgs {
    /// Audits the log and prints what was seen.
    pub async fn run(self) -> CommandResult {
        let audit = audit::Audit {
            root: jwk(&self.root).map_err(|error| NotChecked(error.to_string()))?,
            url: self.url,
            server: self.server,
            state: self.state,
            witnesses: self.witnesses,
            patience: Duration::from_secs(self.patience),
        };
        let progress = ProgressLine::new();
        let report = audit.run(NodeClock::default(), |done, of| progress.show(done, of)).await;
        progress.bar.finish_and_clear();
        let report = report.map_err(|error| NotChecked(error.to_string()))?;
        print!("{}", ShownReport(&report));
        match (report.faults.count(), report.unfinished) {
            (0, None) => Ok(()),
            (0, Some(unchecked)) => Err(NotChecked(unchecked.to_string()).into()),
            (1, _) => Err("the log has 1 fault".into()),
            (count, _) => Err(format!("the log has {count} faults").into()),
        }
    }
}

/// A bar on a terminal, otherwise a line at each tenth.
struct ProgressLine {
    bar: ProgressBar,
    tenths: Cell<u64>,
}

impl ProgressLine {
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        let style = "{bar:40} {human_pos} of {human_len} leaves, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, tenths: Cell::new(0) }
    }

    fn show(&self, done: u64, of: u64) {
        if stderr().is_terminal() {
            self.bar.set_length(of);
            self.bar.set_position(done);
        } else if let Some(tenths) = (done * 10).checked_div(of)
            && tenths != self.tenths.replace(tenths)
        {
            eprintln!("hdms: {done} of {of} leaves");
        }
    }
}

/// A report for people.
struct ShownReport<'a>(&'a Report);

impl fmt::Display for ShownReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        self.write_log(f)?;
        report.witnesses.iter().try_for_each(|witness| write_witness(witness, f))?;
        write_faults(&report.faults, f)?;
        if let Some(unfinished) = &report.unfinished {
            writeln!(f, "UNCHECKED   {unfinished}")?;
        }
        if report.is_good() {
            writeln!(f, "good        everything was checked, nothing is wrong")?;
        }
        Ok(())
    }
}

impl ShownReport<'_> {
    fn write_log(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let name = report.name.as_deref().unwrap_or("not listed");
        writeln!(f, "log         {} ({name:?})", report.url)?;
        if report.is_empty {
            writeln!(f, "empty       it has logged nothing yet")?;
        }
        let Some(checkpoint) = &report.checkpoint else { return Ok(()) };
        let checkpoint = checkpoint.checkpoint();
        let (size, root) = (checkpoint.size, encode(&checkpoint.root));
        writeln!(f, "            {}", checkpoint.origin.escape_debug())?;
        writeln!(f, "checkpoint  {size} leaves, root {root}")?;
        writeln!(f, "co-signed   by {}, needed: {}", report.cosigned.len(), report.needed)?;
        for (witness, time) in &report.cosigned {
            writeln!(f, "            {witness}, {}", date(*time))?;
        }
        if let Some(kept) = report.kept {
            writeln!(f, "kept        {kept} leaves at the last audit")?;
        }
        let Counts { bundles, tiles, places, claims, times } = &report.counts;
        writeln!(f, "read        {} leaves in {bundles} bundles, {tiles} tiles", report.leaves)?;
        writeln!(f, "computed    every hash, and the roots of {claims} signed checkpoints")?;
        writeln!(f, "places      {places}, each held against all others")?;
        if let Some([first, last]) = times {
            writeln!(f, "times       {} to {}", date(*first), date(*last))?;
        }
        Ok(())
    }
}

/// What is wrong, with what proves it.
pub fn write_faults(faults: &Faults, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for fault in faults.found() {
        writeln!(f, "FAULT       {fault}")?;
        for line in fault.evidence().iter().flat_map(|note| note.lines()) {
            writeln!(f, "            | {line}")?;
        }
    }
    let unlisted = faults.count() - faults.found().len();
    if unlisted > 0 {
        writeln!(f, "FAULT       and {unlisted} more")?;
    }
    Ok(())
}

/// What a witness knows of the log.
pub fn write_witness(witness: &Witness, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Witness { id, url, cosigned, alarms, unsigned, silent } = witness;
    if let Some(silent) = silent {
        return writeln!(f, "witness     {id} has not answered: {silent}");
    }
    let cosigned = cosigned.map_or("nothing".into(), |size| format!("{size} leaves"));
    writeln!(f, "witness     {id} at {url} co-signed {cosigned}, alarms: {}", alarms.len())?;
    for Alarm { kind, time, sizes: [refused, cosigned] } in alarms {
        let (kind, time) = (kind.escape_debug(), date(*time));
        writeln!(f, "ALARM       {kind}, {time}: {refused} leaves refused, {cosigned} co-signed")?;
    }
    if *unsigned > 0 {
        writeln!(f, "            and shows {unsigned} checkpoints that the log has not signed")?;
    }
    Ok(())
}
