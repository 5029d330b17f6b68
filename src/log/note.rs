//! Signed notes (C2SP signed-note): a text with lines of signatures under it.

use sha2::{Digest, Sha256};

use super::{MAX_TEXT, decode, encode};
use crate::error::Error;

/// Most signatures that are read on one note.
pub const MAX_SIGNATURES: usize = 64;

/// A text and its signatures. Those of unknown keys are kept as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed; it ends with a line feed.
    pub text: String,
    /// In the order of their lines, at least one.
    pub signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// [`NoteKey::id`] of the key.
    pub key_id: [u8; 4],
    /// What the key's kind makes of it.
    pub signature: Vec<u8>,
}

impl NoteSignature {
    /// The time that a cosignature names, seconds; nothing checks here that it is one.
    pub fn cosigned_at(&self) -> Option<u64> {
        self.signature.first_chunk().map(|time| u64::from_be_bytes(*time))
    }
}

/// Where a text has two line breaks in a row. By its bytes: the standard library's search for a string
/// would cost the worker 2 KB.
pub(super) fn blank_lines(text: &str) -> impl DoubleEndedIterator<Item = usize> {
    let pairs = text.as_bytes().windows(2).enumerate();
    pairs.filter(|(_, pair)| pair == b"\n\n").map(|(place, _)| place)
}

impl Note {
    /// Reads a note, checking no signature. [`Error::LogForged`] if it is not one in its one form,
    /// is larger than [`MAX_TEXT`] or has more than [`MAX_SIGNATURES`].
    pub fn parse(note: &str) -> Result<Self, Error> {
        let control = |byte: u8| byte < b' ' && byte != b'\n';
        if note.len() > MAX_TEXT || note.bytes().any(control) {
            return Err(Error::LogForged);
        }
        let end = blank_lines(note).next_back().ok_or(Error::LogForged)? + 1;
        let (text, signatures) = note.split_at(end);
        let lines = signatures.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let signatures = lines
            .ok_or(Error::LogForged)?
            .split('\n')
            .take(MAX_SIGNATURES + 1)
            .map(NoteSignature::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(Error::LogForged);
        }
        Ok(Self { text: text.into(), signatures })
    }

    /// The note as it is sent and kept.
    pub fn to_text(&self) -> String {
        let mut note = self.text.clone();
        note.push('\n');
        for signature in &self.signatures {
            signature.write(&mut note);
        }
        note
    }

    /// The first signature that says it is `key`'s.
    pub fn signature_of(&self, key: &NoteKey) -> Option<&[u8]> {
        let id = key.id();
        let mut lines = self.signatures.iter();
        let line = lines.find(|line| line.key_id == id && line.name == key.name)?;
        Some(&line.signature)
    }
}

impl NoteSignature {
    /// The line under the note: an em dash, the name and base64.
    pub fn to_line(&self) -> String {
        let mut line = String::new();
        self.write(&mut line);
        line
    }

    /// Reads a line without its line feed.
    pub fn parse(line: &str) -> Result<Self, Error> {
        let (name, bytes) = line
            .strip_prefix("\u{2014} ")
            .and_then(|line| line.split_once(' '))
            .ok_or(Error::LogForged)?;
        let bytes = decode(bytes)?;
        match bytes.split_first_chunk() {
            Some((key_id, signature)) if is_name(name) && !signature.is_empty() => {
                Ok(Self { name: name.into(), key_id: *key_id, signature: signature.into() })
            }
            _ => Err(Error::LogForged),
        }
    }

    /// Whether both say they are of one key.
    pub fn same_key(&self, other: &Self) -> bool {
        self.key_id == other.key_id && self.name == other.name
    }

    fn write(&self, note: &mut String) {
        let bytes = [&self.key_id[..], &self.signature].concat();
        for part in ["\u{2014} ", &self.name, " ", &encode(&bytes), "\n"] {
            note.push_str(part);
        }
    }
}

/// Whether a key may have this name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

/// What a key signs; the value is C2SP's signature type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A log's checkpoints: Ed25519 over the note's text.
    Log = 0x01,
    /// A witness's cosignatures: a time, and Ed25519 over it and the note's text.
    Witness = 0x04,
}

/// A public Ed25519 key (RFC 8032) with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteKey {
    /// Non-empty, without white space and `+`.
    pub name: String,
    /// What it signs.
    pub kind: KeyKind,
    /// The public key.
    pub key: [u8; 32],
}

impl NoteKey {
    /// The four bytes by which a signature line names its key.
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.kind as u8])
            .chain_update(self.key)
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// The verifier key as text: name, id in hexadecimal, and base64 of type and key.
    pub fn vkey(&self) -> String {
        let id = u32::from_be_bytes(self.id());
        let key = encode(&[&[self.kind as u8], &self.key[..]].concat());
        format!("{}+{id:08x}+{key}", self.name)
    }
}
