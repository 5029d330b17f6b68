//! Checkpoints (C2SP tlog-checkpoint) and the cosignatures of witnesses (C2SP tlog-cosignature).

use super::{Hash, KeyKind, Note, NoteKey, NoteSignature, decimal, decode_hash, encode};
use crate::error::Error;
use crate::provider::Primitives;

/// Latest time of a cosignature.
const MAX_TIME: u64 = i64::MAX as u64;

/// What a log says of itself: how many leaves it has, and their root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, which is its key's as well.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

impl Checkpoint {
    /// From a note's text. Lines after the third are extensions and left aside.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = text.strip_suffix('\n').ok_or(Error::LogForged)?.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(Error::LogForged);
        let origin = line()?.into();
        let size = decimal(line()?)?;
        let root = decode_hash(line()?)?;
        if lines.any(str::is_empty) {
            return Err(Error::LogForged);
        }
        Ok(Self { origin, size, root })
    }

    /// The three lines that are signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, encode(&self.root))
    }
}

/// A checkpoint as its log publishes it: a note, and what its text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: Note,
    checkpoint: Checkpoint,
}

impl SignedCheckpoint {
    /// With the log's own signature over [`Checkpoint::to_text`].
    pub fn new(checkpoint: Checkpoint, signature: NoteSignature) -> Self {
        let note = Note { text: checkpoint.to_text(), signatures: vec![signature] };
        Self { note, checkpoint }
    }

    /// Reads a signed note, checking no signature. [`Error::LogForged`] for anything else, and for two
    /// lines of one key.
    pub fn parse(note: &str) -> Result<Self, Error> {
        let note = Note::parse(note)?;
        let mut lines = note.signatures.iter().enumerate();
        if lines.any(|(number, line)| note.signatures[..number].iter().any(|l| l.same_key(line))) {
            return Err(Error::LogForged);
        }
        let checkpoint = Checkpoint::parse(&note.text)?;
        Ok(Self { note, checkpoint })
    }

    /// The signed note.
    pub fn to_text(&self) -> String {
        self.note.to_text()
    }

    /// What the log says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The text that was signed, with any extension lines, and the signatures.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Adds the line of a witness, in place of an earlier one.
    pub fn add(&mut self, signature: NoteSignature) {
        self.note.signatures.retain(|line| !line.same_key(&signature));
        self.note.signatures.push(signature);
    }

    /// Checks that the log whose key this is has signed, under its own name. [`Error::LogForged`]
    /// if not.
    pub async fn verify_log(
        &self,
        key: &NoteKey,
        primitives: &impl Primitives,
    ) -> Result<(), Error> {
        if key.kind != KeyKind::Log || key.name != self.checkpoint.origin {
            return Err(Error::LogForged);
        }
        let signature = self.note.signature_of(key).ok_or(Error::LogForged)?;
        verify(key, &self.note.text, signature, primitives).await
    }

    /// When the witness whose key this is cosigned, in seconds since the Unix epoch; `None` if it
    /// did not. [`Error::LogForged`] for a line in its name that it has not signed.
    pub async fn cosignature_time(
        &self,
        key: &NoteKey,
        primitives: &impl Primitives,
    ) -> Result<Option<u64>, Error> {
        if key.kind != KeyKind::Witness {
            return Err(Error::LogForged);
        }
        let Some(line) = self.note.signature_of(key) else { return Ok(None) };
        let (time, signature) = line.split_first_chunk().ok_or(Error::LogForged)?;
        let time = u64::from_be_bytes(*time);
        if time > MAX_TIME {
            return Err(Error::LogForged);
        }
        verify(key, &cosigned_text(&self.note.text, time), signature, primitives).await?;
        Ok(Some(time))
    }
}

async fn verify(
    key: &NoteKey,
    text: &str,
    signature: &[u8],
    primitives: &impl Primitives,
) -> Result<(), Error> {
    let answer = primitives.verify_ed25519(&key.key, text.as_bytes(), signature).await;
    answer.map_err(|error| if error.is_transient() { error } else { Error::LogForged })
}

/// What a witness signs at `time`, seconds since the Unix epoch, to cosign a checkpoint's `text`.
pub fn cosigned_text(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// The line of the log with `key`, from its Ed25519 signature over the checkpoint's text.
pub fn log_signature(key: &NoteKey, signature: [u8; 64]) -> NoteSignature {
    line(key, signature.into())
}

/// The line of the witness with `key`, from its Ed25519 signature over [`cosigned_text`] of `time`.
pub fn cosignature(key: &NoteKey, time: u64, signature: [u8; 64]) -> NoteSignature {
    line(key, [&time.to_be_bytes()[..], &signature].concat())
}

fn line(key: &NoteKey, signature: Vec<u8>) -> NoteSignature {
    NoteSignature { name: key.name.clone(), key_id: key.id(), signature }
}
