//! What a witness tells everybody of the logs that it has co-signed, as JSON below `/witness`.

use serde::{Deserialize, Serialize};

/// The answer at `/witness/state`.
#[derive(Debug, Serialize, Deserialize)]
pub struct WitnessState {
    /// One of each log.
    pub logs: Vec<CosignedCheckpoint>,
}

/// The answer at `/witness/alarms`.
#[derive(Debug, Serialize, Deserialize)]
pub struct WitnessAlarms {
    /// Oldest first.
    pub alarms: Vec<WitnessAlarm>,
}

/// A checkpoint that a witness has co-signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CosignedCheckpoint {
    /// The log's origin.
    pub log: String,
    /// The newest one: a note with the log's signature and the cosignature.
    pub checkpoint: String,
}

/// A log's two signed checkpoints that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessAlarm {
    /// The log's origin.
    pub log: String,
    /// `fork`, `rollback` or `unproven`.
    pub kind: String,
    /// When it was first refused, seconds.
    pub time: u64,
    /// What the witness had co-signed: a note with both signatures.
    pub cosigned: String,
    /// What it refused: a note with the log's signature.
    pub refused: String,
}
