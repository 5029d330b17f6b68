//! Proofs that a leaf is in a log (C2SP tlog-proof).

use super::merkle::{leaf_hash, root_of_inclusion};
use super::note::blank_lines;
use super::{Hash, MAX_TEXT, SignedCheckpoint, decimal, decode, decode_hash, encode};
use crate::error::Error;

const TITLE: &str = "c2sp.org/tlog-proof@v1\n";

/// Most hashes of an inclusion proof.
pub const MAX_HASHES: usize = 63;

/// A leaf's place in a log, and the checkpoint under which it can be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What the log adds for its application; nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// The leaf's number, from 0.
    pub index: u64,
    /// The inclusion proof (RFC 9162 section 2.1.3), from the leaf up.
    pub hashes: Vec<Hash>,
    /// Of the tree that the proof leads to.
    pub checkpoint: SignedCheckpoint,
}

impl TlogProof {
    /// Reads a proof, checking neither it nor a signature. [`Error::LogForged`] if it is not one in
    /// its one form.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix(TITLE).filter(|text| text.len() <= 2 * MAX_TEXT);
        let text = text.ok_or(Error::LogForged)?;
        let blank = blank_lines(text).next().ok_or(Error::LogForged)?;
        let (head, checkpoint) = (&text[..blank], &text[blank + 2..]);
        let mut lines = head.split('\n').peekable();
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.map(|line| decode(&line["extra ".len()..])).transpose()?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = decimal(index.ok_or(Error::LogForged)?)?;
        let hashes = lines.take(MAX_HASHES + 1).map(decode_hash).collect::<Result<Vec<_>, _>>()?;
        if hashes.len() > MAX_HASHES {
            return Err(Error::LogForged);
        }
        Ok(Self { extra, index, hashes, checkpoint: SignedCheckpoint::parse(checkpoint)? })
    }

    /// The proof as it is sent and kept.
    pub fn to_text(&self) -> String {
        let mut text = String::from(TITLE);
        if let Some(extra) = &self.extra {
            text += &format!("extra {}\n", encode(extra));
        }
        text += &format!("index {}\n", self.index);
        for hash in &self.hashes {
            text += &encode(hash);
            text.push('\n');
        }
        text.push('\n');
        text + &self.checkpoint.to_text()
    }

    /// Whether the leaf with these bytes is where the proof says, in the tree of its checkpoint. Who
    /// signed that is for [`SignedCheckpoint`] to check.
    pub fn includes(&self, leaf: &[u8]) -> bool {
        let tree = self.checkpoint.checkpoint();
        root_of_inclusion(self.index, tree.size, leaf_hash(leaf), &self.hashes) == Some(tree.root)
    }
}
