//! What an audit finds wrong, and where.

use std::fmt;

use hdms::Error;
use hdms::ids::NodeId;
use hdms::log::SignedCheckpoint;

use crate::base::log::tile_path::TilePath;

/// One thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The checkpoint is no signed note of a checkpoint.
    CheckpointMalformed,
    /// The checkpoint is of a log that the network does not know.
    LogUnknown(String),
    /// The checkpoint is of another log than that of the notary which the Network Map has at this
    /// address, or than the one kept from the last audit.
    OtherLog(String),
    /// The log has not signed its checkpoint.
    SignatureForged,
    /// A line in the name of this witness that it has not signed.
    CosignatureForged(NodeId),
    /// Fewer other notaries have co-signed than the network asks for.
    TooFewWitnesses {
        /// How many have, each while it was a member.
        found: usize,
        /// How many are asked for.
        needed: usize,
    },
    /// The log's notary was no member any more when its checkpoint was co-signed, or nobody knows
    /// when that was.
    Former {
        /// When it ceased to be one, seconds.
        until: Option<u64>,
    },
    /// A resource that the log has signed for is not there.
    Missing(TilePath),
    /// A resource has another length than it must have.
    Malformed(TilePath),
    /// These are no leaf's bytes.
    LeafUnreadable(u64),
    /// The manifest with this number is not one, has another number, was not signed by the Doorman or
    /// not by the log under its own checkpoint.
    ManifestForged(u64),
    /// The manifest with this number is not there, though the log has it.
    ManifestMissing(u64),
    /// Fewer than most of those have co-signed the manifest with this number whom the one before it
    /// names.
    ManifestUnwitnessed(u64),
    /// A leaf was logged before the one in front of it.
    TimeBackwards {
        /// The leaf.
        index: u64,
        /// Its time, seconds.
        time: u64,
        /// The time of the one before it.
        before: u64,
    },
    /// The last leaf was logged, as it says, after its checkpoint was co-signed.
    TimeAhead {
        /// Its time, seconds.
        time: u64,
        /// When the checkpoint was co-signed, seconds.
        cosigned: u64,
    },
    /// Two leaves take one place.
    PlaceTaken {
        /// The leaf that took it.
        first: u64,
        /// One that took it again.
        second: u64,
    },
    /// A leaf was not the same when it was asked for again.
    LeafChanged(u64),
    /// Hashes in a tile are not of what is under it.
    Altered {
        /// The tile.
        path: TilePath,
        /// Number of the first such hash in its level: for level 0 the leaf's index.
        first: u64,
        /// How many there are.
        count: usize,
    },
    /// The leaves don't lead to the root that was signed for so many of them.
    Contradicted(Claim),
    /// Fewer leaves are there, or published, than the log has signed for.
    Shrunk {
        /// What was signed.
        claim: Claim,
        /// How many leaves there are.
        leaves: u64,
    },
}

/// A checkpoint that the log has signed, and from whom it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// Who has it.
    pub source: Source,
}

/// From whom a checkpoint is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The log publishes it.
    Log,
    /// It was kept at the last good audit.
    Kept,
    /// A witness has co-signed it.
    Cosigned(NodeId),
    /// A witness has raised an alarm with it.
    Alarm(NodeId),
}

impl Claim {
    /// How many leaves it is about.
    pub fn size(&self) -> u64 {
        self.checkpoint.checkpoint().size
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Log => write!(f, "the log's checkpoint")?,
            Source::Kept => write!(f, "the checkpoint kept from the last audit")?,
            Source::Cosigned(witness) => write!(f, "the checkpoint co-signed by {witness}")?,
            Source::Alarm(witness) => write!(f, "a checkpoint in an alarm of {witness}")?,
        }
        write!(f, " ({} leaves)", self.size())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place())?;
        match self {
            Self::CheckpointMalformed => write!(f, "it is no signed checkpoint"),
            Self::LogUnknown(origin) => write!(f, "the network knows no log named {origin:?}"),
            Self::OtherLog(origin) => write!(f, "it is of another log than expected, {origin}"),
            Self::SignatureForged => write!(f, "the log has not signed it"),
            Self::CosignatureForged(by) => write!(f, "the cosignature of {by} is forged"),
            Self::TooFewWitnesses { found, needed } => {
                write!(f, "co-signed by {found} other notaries, not by {needed}")
            }
            Self::Former { until } => {
                let until = until.unwrap_or_default();
                write!(f, "its notary ceased to be a member at {until}, before that")
            }
            Self::Missing(_) => write!(f, "it is missing"),
            Self::Malformed(_) => write!(f, "it has another length than it must have"),
            Self::ManifestMissing(_) => write!(f, "it is not there, though the log has it"),
            Self::ManifestForged(_) => write!(f, "it is not what its number says, or not signed"),
            Self::ManifestUnwitnessed(_) => {
                write!(f, "too few of the witnesses named before have co-signed it")
            }
            Self::LeafUnreadable(_) => write!(f, "it can't be read"),
            Self::TimeBackwards { time, before, .. } => {
                write!(f, "its time {time} is before {before}, the time of the leaf before it")
            }
            Self::TimeAhead { time, cosigned } => {
                write!(f, "its time {time} is after {cosigned}, when it was co-signed")
            }
            Self::PlaceTaken { .. } => write!(f, "both take the same place in a case"),
            Self::LeafChanged(_) => write!(f, "it was another one when it was asked for again"),
            Self::Altered { path, first, count } => write_altered(path, *first, *count, f),
            Self::Contradicted(by) => {
                write!(f, "the leaves don't lead to the root that was signed in {by}")
            }
            Self::Shrunk { claim, leaves } => {
                write!(f, "there are {leaves} leaves, fewer than in {claim}")
            }
        }
    }
}

fn write_altered(
    path: &TilePath,
    first: u64,
    count: usize,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let is_lowest = path.position().is_some_and(|tile| tile.level == 0);
    let below = if is_lowest { "leaf" } else { "tile under it with number" };
    let which = format!("{count} of its hashes, first that of the {below} {first}");
    write!(f, "{which}, are not of what is under them")
}

impl Fault {
    /// Where in the log it is.
    fn place(&self) -> String {
        match self {
            Self::CheckpointMalformed
            | Self::LogUnknown(_)
            | Self::OtherLog(_)
            | Self::SignatureForged
            | Self::CosignatureForged(_)
            | Self::TooFewWitnesses { .. }
            | Self::Former { .. } => "checkpoint".into(),
            Self::Missing(path) | Self::Malformed(path) | Self::Altered { path, .. } => {
                path.to_string()
            }
            Self::ManifestForged(number)
            | Self::ManifestMissing(number)
            | Self::ManifestUnwitnessed(number) => {
                format!("manifest {number}")
            }
            Self::LeafUnreadable(index)
            | Self::LeafChanged(index)
            | Self::TimeBackwards { index, .. } => format!("leaf {index}"),
            Self::TimeAhead { .. } => "last leaf".into(),
            Self::PlaceTaken { first, second } => format!("leaves {first} and {second}"),
            Self::Contradicted(_) => "root".into(),
            Self::Shrunk { .. } => "rollback".into(),
        }
    }
}

impl Fault {
    /// The signed note that proves it, if one does together with the log's own.
    pub fn evidence(&self) -> Option<String> {
        match self {
            Self::Contradicted(claim) | Self::Shrunk { claim, .. } => {
                Some(claim.checkpoint.to_text())
            }
            _ => None,
        }
    }
}

/// Why something could not be checked: nobody's fault as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchecked {
    /// What.
    pub what: String,
    /// Why.
    pub why: Error,
}

impl Unchecked {
    /// For `map_err`.
    pub fn of(what: impl Into<String>) -> impl FnOnce(Error) -> Self {
        move |why| Self { what: what.into(), why }
    }
}

impl fmt::Display for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why } = self;
        match why {
            // Their sentences are for nodes.
            Error::NetworkUnreachable => write!(f, "{what}: {}: it can't be reached", why.code()),
            Error::StoreCorrupt => write!(
                f,
                "{what}: {}: it was damaged; put back a copy of it, or take it away to begin anew",
                why.code()
            ),
            why => write!(f, "{what}: {why}"),
        }
    }
}

impl std::error::Error for Unchecked {}
