//! How a node follows the manifests' log: from the tree that it has seen to the one that it is shown,
//! over every manifest that changed who has to co-sign the next.

use super::{Doormen, Logged, Manifest, NetworkDocuments, Trust, Witness, leaf, majority};
use crate::error::Error;
use crate::log::merkle::{empty_root, is_consistent};
use crate::log::{Hash, NoteKey, SignedCheckpoint, TlogProof, decode_hash};
use crate::provider::Primitives;

/// Where a node stands in the log.
struct Position {
    size: u64,
    root: Hash,
    /// Which list of Doormen was bound last; empty before the first.
    doormen: String,
    /// Who has to co-sign the next.
    witnesses: Vec<Witness>,
}

impl Position {
    fn of(seen: Option<&Trust>) -> Self {
        let beginning =
            Self { size: 0, root: empty_root(), doormen: String::new(), witnesses: Vec::new() };
        seen.map_or(beginning, |trust| Self::at(trust.manifest(), trust.checkpoint()))
    }

    fn at(manifest: &Manifest, checkpoint: &SignedCheckpoint) -> Self {
        Self {
            size: manifest.number,
            root: checkpoint.checkpoint().root,
            doormen: manifest.doormen.clone(),
            witnesses: manifest.witnesses.clone(),
        }
    }
}

/// The list of Doormen that is shown, and what it says of the log.
struct Shown<'a> {
    doormen: &'a str,
    witnesses: &'a [Witness],
    key: NoteKey,
}

/// The checkpoint of the manifest that comes with `documents`, which its log has signed. Where the
/// documents are new to the node, which has `seen` those of before, all in between was followed.
///
/// Errors: [`Error::NetworkForged`] for a proof that does not hold, also that the log continues the one
/// that was seen; [`Error::NetworkSplit`] for another log of the same size; [`Error::NetworkUnwitnessed`].
pub(super) async fn follow(
    documents: &NetworkDocuments,
    manifest: &Manifest,
    doormen: &Doormen,
    seen: Option<&Trust>,
    primitives: &impl Primitives,
) -> Result<SignedCheckpoint, Error> {
    let log = doormen.log.as_ref().ok_or(Error::NetworkForged)?;
    let shown =
        Shown { doormen: &manifest.doormen, witnesses: &log.witnesses, key: log.key(&doormen.iss) };
    let NetworkDocuments { manifest, proof, consistency, before, .. } = documents;
    let last = Logged {
        manifest: manifest.clone(),
        proof: proof.clone(),
        consistency: consistency.clone(),
    };
    let mut at = Position::of(seen);
    for step in before {
        let claims = Manifest::unverified(&step.manifest)?;
        let checkpoint = logged(step, &claims, &shown.key, primitives).await?;
        at.expect(step, &claims, &checkpoint, &shown, primitives).await?;
        at = Position::at(&claims, &checkpoint);
    }
    let claims = Manifest::unverified(manifest)?;
    let checkpoint = logged(&last, &claims, &shown.key, primitives).await?;
    at.expect(&last, &claims, &checkpoint, &shown, primitives).await?;
    Ok(checkpoint)
}

/// The checkpoint of documents that the node has followed before.
pub(super) async fn reopen(
    documents: &NetworkDocuments,
    doormen: &Doormen,
    primitives: &impl Primitives,
) -> Result<SignedCheckpoint, Error> {
    let key = doormen.log.as_ref().ok_or(Error::NetworkForged)?.key(&doormen.iss);
    let NetworkDocuments { manifest, proof, .. } = documents;
    let claims = Manifest::unverified(manifest)?;
    let step = Logged { manifest: manifest.clone(), proof: proof.clone(), consistency: Vec::new() };
    logged(&step, &claims, &key, primitives).await
}

/// The checkpoint under which a manifest is the last leaf of its log, which has signed it.
/// [`Error::NetworkForged`].
async fn logged(
    step: &Logged,
    claims: &Manifest,
    log: &NoteKey,
    primitives: &impl Primitives,
) -> Result<SignedCheckpoint, Error> {
    let forged = |error: Error| if error.is_transient() { error } else { Error::NetworkForged };
    let proof = TlogProof::parse(&step.proof).map_err(forged)?;
    let tree = proof.checkpoint.checkpoint();
    let is_last = proof.index.checked_add(1) == Some(claims.number) && tree.size == claims.number;
    if !is_last || !proof.includes(&leaf(&step.manifest)) {
        return Err(Error::NetworkForged);
    }
    proof.checkpoint.verify_log(log, primitives).await.map_err(forged)?;
    Ok(proof.checkpoint)
}

impl Position {
    /// That the tree under `checkpoint` continues this one, and that most of those have co-signed it
    /// who have to.
    async fn expect(
        &self,
        step: &Logged,
        claims: &Manifest,
        checkpoint: &SignedCheckpoint,
        shown: &Shown<'_>,
        primitives: &impl Primitives,
    ) -> Result<(), Error> {
        let tree = checkpoint.checkpoint();
        if tree.size == self.size {
            // The same as before, and who had to co-sign it has; or another one.
            let same = tree.root == self.root;
            return if same { Ok(()) } else { Err(Error::NetworkSplit) };
        }
        let proof = step.consistency.iter().map(|hash| decode_hash(hash));
        let proof = proof.collect::<Result<Vec<_>, _>>().map_err(|_| Error::NetworkForged)?;
        if !is_consistent(self.size, &self.root, tree.size, &tree.root, &proof) {
            // The log may be another one, or only the proof is bad: it proves nothing.
            return Err(Error::NetworkForged);
        }
        let witnesses = match claims.doormen == self.doormen {
            true => &self.witnesses[..],
            false if claims.doormen == shown.doormen => shown.witnesses,
            false => return Err(Error::NetworkForged),
        };
        let mut cosigned = 0;
        for witness in witnesses {
            let time = checkpoint.cosignature_time(&witness.key(), primitives).await;
            match time {
                Ok(time) => cosigned += usize::from(time.is_some()),
                Err(error) if error.is_transient() => return Err(error),
                Err(_) => return Err(Error::NetworkForged),
            }
        }
        let enough = cosigned >= majority(witnesses.len());
        if enough { Ok(()) } else { Err(Error::NetworkUnwitnessed) }
    }
}
