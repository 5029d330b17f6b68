//! What the scenario prints: a line for each step, as text or as JSON, and a summary.

use std::fmt;
use std::time::{Duration, Instant};

use hdms::Error;
use serde::Serialize;

/// Why a case failed.
#[derive(Clone, Debug)]
pub struct Failed(String);

impl Failed {
    /// In words.
    pub fn new(what: &str) -> Self {
        Self(what.to_owned())
    }

    /// A node refused `what`.
    pub fn refused(what: &str, error: Error) -> Self {
        Self(format!("{what}: {error}"))
    }
}

impl std::error::Error for Failed {}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// What to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Lines for people.
    Text,
    /// JSON lines.
    Json,
    /// Only failures and the summary.
    Summary,
}

/// Who acts in a step.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The patient's node, or the patient.
    Patient,
    /// The hospital's node.
    Hospital,
    /// The hospital's information system.
    His,
    /// The case's notary.
    Notary,
}

/// A step that was seen to be done.
#[derive(Debug, Serialize)]
pub struct Step {
    case: usize,
    file: String,
    step: u8,
    actor: Actor,
    /// Which of the case's results, from 1, in steps that repeat for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<usize>,
    /// Milliseconds since the case began.
    milliseconds: u64,
    what: &'static str,
}

/// The steps of one case; printed together, so that cases that run side by side stay apart.
#[derive(Debug)]
pub struct Journal {
    case: usize,
    file: String,
    begun: Instant,
    steps: Vec<Step>,
}

impl Journal {
    /// Of the case with this number, about this file.
    pub fn new(case: usize, file: String) -> Self {
        Self { case, file, begun: Instant::now(), steps: Vec::new() }
    }

    /// A step was done.
    pub fn step(&mut self, step: u8, actor: Actor, what: &'static str) {
        self.push(step, actor, what, None);
    }

    /// A step was done for each of so many results.
    pub fn results(&mut self, step: u8, actor: Actor, what: &'static str, count: usize) {
        (1..=count).for_each(|number| self.push(step, actor, what, Some(number)));
    }

    /// Prints what was done, and how it ended.
    pub fn print(&self, style: Style, failed: Option<&Failed>) {
        let lines = self.steps.iter();
        match style {
            Style::Text => lines.for_each(|step| println!("{step}")),
            Style::Json => lines.for_each(|step| println!("{}", json(step))),
            Style::Summary => {}
        }
        let Some(failed) = failed else { return };
        let Self { case, file, .. } = self;
        if style == Style::Json {
            println!("{}", serde_json::json!({"case": case, "file": file, "failed": failed.0}));
        } else {
            println!("case {case} {file} FAILED: {failed}");
        }
    }

    fn push(&mut self, step: u8, actor: Actor, what: &'static str, result: Option<usize>) {
        let milliseconds = self.begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let (case, file) = (self.case, self.file.clone());
        self.steps.push(Step { case, file, step, actor, result, milliseconds, what });
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, step, milliseconds, what, .. } = self;
        let actor = match self.actor {
            Actor::Patient => "patient",
            Actor::Hospital => "hospital",
            Actor::His => "HIS",
            Actor::Notary => "notary",
        };
        write!(f, "case {case:>4}  step {step:>2}  {actor:<8}  {milliseconds:>6} ms  {what}")?;
        match self.result {
            Some(result) => write!(f, " (result {result})"),
            None => Ok(()),
        }
    }
}

/// What a run came to.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Cases that went through.
    pub passed: usize,
    /// Cases that did not.
    pub failed: usize,
    /// Medical results committed.
    pub results: usize,
    /// From the first case's beginning to the last one's end.
    pub wall_seconds: f64,
    /// CPU time of the whole process in between, all nodes together.
    pub cpu_seconds: f64,
    /// Cases in a second of wall time.
    pub cases_per_second: f64,
    /// Cases in a second of one core's time.
    pub cases_per_core_second: f64,
    /// RSA private-key operations for each case.
    pub private_operations_per_case: f64,
    /// Share of the CPU time that was spent in them, 0 to 1.
    pub private_operations_share: f64,
}

/// What is measured of a run.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// From beginning to end.
    pub wall: Duration,
    /// CPU time of the process.
    pub cpu: Duration,
    /// RSA private-key operations.
    pub operations: u64,
    /// CPU time spent in them.
    pub in_operations: Duration,
}

impl Summary {
    /// Of so many cases and results.
    pub fn new(passed: usize, failed: usize, results: usize, measured: Measured) -> Self {
        let (wall, cpu) = (measured.wall.as_secs_f64(), measured.cpu.as_secs_f64());
        let cases = (passed + failed) as f64;
        Self {
            passed,
            failed,
            results,
            wall_seconds: wall,
            cpu_seconds: cpu,
            cases_per_second: cases / wall,
            cases_per_core_second: cases / cpu,
            private_operations_per_case: measured.operations as f64 / cases,
            private_operations_share: measured.in_operations.as_secs_f64() / cpu,
        }
    }

    /// Prints it; the last line is the one that counts passed and failed cases.
    pub fn print(&self, style: Style) {
        if style == Style::Json {
            println!("{}", json(self));
            return;
        }
        println!(
            "{} cases with {} results in {:.1} s, {:.1} s of CPU: {:.1} cases/s, {:.1} cases/s and core",
            self.passed + self.failed,
            self.results,
            self.wall_seconds,
            self.cpu_seconds,
            self.cases_per_second,
            self.cases_per_core_second,
        );
        println!(
            "{:.1} RSA private operations per case, {:.0} % of the CPU time in them",
            self.private_operations_per_case,
            self.private_operations_share * 100.0,
        );
        println!("{} passed, {} failed", self.passed, self.failed);
    }
}

fn json<T: Serialize>(line: &T) -> String {
    serde_json::to_string(line).unwrap_or_default()
}
