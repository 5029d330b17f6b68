//! The body with which a log asks for a cosignature (C2SP tlog-witness).

use hdms::Error;
use hdms::log::{Hash, MAX_TEXT, SignedCheckpoint, decimal, decode_hash, encode};

/// Most lines of a consistency proof.
const MAX_HASHES: usize = 63;

/// Largest body that is read, bytes: a note, and a line of 44 characters for each hash.
pub const MAX_BYTES: usize = MAX_TEXT + 64 * 64;

/// A new checkpoint, and the proof that its tree begins with one that the witness has co-signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Leaves of the tree that the witness has co-signed; 0 if none.
    pub old: u64,
    /// The consistency proof from there (RFC 9162 section 2.1.4).
    pub proof: Vec<Hash>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl Submission {
    /// Reads a body, checking neither proof nor signature. [`Error::LogForged`] if it is not one in
    /// its one form, and for a size above 2^63 - 1.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let forged = Error::LogForged;
        let body = str::from_utf8(body).map_err(|_| forged)?;
        let (head, checkpoint) = body.split_once("\n\n").ok_or(forged)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(forged)?;
        let proof = lines.take(MAX_HASHES + 1).map(decode_hash).collect::<Result<Vec<_>, _>>()?;
        let (old, checkpoint) = (decimal(old)?, SignedCheckpoint::parse(checkpoint)?);
        if proof.len() > MAX_HASHES || i64::try_from(checkpoint.checkpoint().size).is_err() {
            return Err(forged);
        }
        Ok(Self { old, proof, checkpoint })
    }

    /// The body as it is sent.
    pub fn to_text(&self) -> String {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text += &encode(hash);
            text.push('\n');
        }
        text.push('\n');
        text + &self.checkpoint.to_text()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_HASHES, Submission};
    use hdms::log::{Checkpoint, NoteSignature, SignedCheckpoint};

    fn submission(proof: usize) -> Submission {
        let checkpoint = Checkpoint { origin: "log".into(), size: 9, root: [7; 32] };
        let signature =
            NoteSignature { name: "log".into(), key_id: [1; 4], signature: vec![2; 64] };
        let checkpoint = SignedCheckpoint::new(checkpoint, signature);
        Submission { old: 5, proof: vec![[3; 32]; proof], checkpoint }
    }

    #[test]
    fn a_body_is_read_as_it_was_written() {
        for proof in [0, 1, MAX_HASHES] {
            let submission = submission(proof);
            assert_eq!(Submission::parse(submission.to_text().as_bytes()), Ok(submission));
        }
    }

    #[test]
    fn anything_but_the_one_form_is_refused() {
        let good = submission(1).to_text();
        let without = |part: &str, by: &str| good.replacen(part, by, 1);
        for body in [
            String::new(),
            "old 5\n".into(),
            submission(MAX_HASHES + 1).to_text(),
            without("old 5", "old 05"),
            without("old 5", "old +5"),
            without("old 5", "old -5"),
            without("old 5", "old 5 "),
            without("old 5", "Old 5"),
            without("old 5\n", "old 5\r\n"),
            without("old 5", "old 18446744073709551616"),
            without("\n9\n", "\n9223372036854775808\n"),
            without("AwMD", "AwM"),
            without("AwMD", "Aw-D"),
            without("\n\n", "\n"),
            format!("\n{good}"),
            good.trim_end().into(),
        ] {
            assert!(Submission::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Submission::parse(&[&[0xff], good.as_bytes()].concat()).is_err());
    }
}
