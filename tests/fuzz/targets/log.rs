//! Notes, checkpoints, proofs and receipts, as strangers send them, and proofs in trees of any size.
//! What is read is written as it came; what a tree proves, it proves by a proof of one length; what a
//! receipt opens is what was logged.
#![no_main]

use futures_lite::future::block_on;
use hdms::Error;
use hdms::json;
use hdms::ledger::{LeafOpening, VerifiedReceipt};
use hdms::log::merkle::{empty_root, is_consistent, root_of_inclusion};
use hdms::log::{Hash, KeyKind, Note, NoteKey, SignedCheckpoint, TlogProof};
use hdms_fuzz::{NOW, Trusting, proof_of, world};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        texts(text);
    }
    trees(input);
    if let Ok(opening) = json::stored::<LeafOpening>(input) {
        receipt(&opening);
    }
});

fn texts(text: &str) {
    if let Ok(note) = Note::parse(text) {
        assert_eq!(note.to_text(), text);
    }
    if let Ok(checkpoint) = SignedCheckpoint::parse(text) {
        assert_eq!(checkpoint.to_text(), text);
        signers(&checkpoint);
    }
    if let Ok(proof) = TlogProof::parse(text) {
        assert_eq!(proof.to_text(), text);
        signers(&proof.checkpoint);
        let _ = block_on(VerifiedReceipt::verify(text, &world().trust, &Trusting));
    }
}

/// The receipt of a log in which this is the only leaf: it counts if the leaf has a form that there is,
/// and is no later than its cosignature.
fn receipt(opening: &LeafOpening) {
    let Ok(text) = opening.receipt(proof_of(&opening.leaf().to_bytes())) else { return };
    let verified = block_on(VerifiedReceipt::verify(&text, &world().trust, &Trusting));
    let verified = verified.map(|receipt| (receipt.opening().clone(), receipt.for_others()));
    let others = opening.clone().for_others().receipt(proof_of(&opening.leaf().to_bytes()));
    let counts = [1, 2].contains(&opening.version) && opening.time <= NOW.seconds();
    let expected = if counts { Ok((opening.clone(), others)) } else { Err(Error::ReceiptForged) };
    assert_eq!(verified, expected);
}

/// Every signature holds here: a line counts if it is of the key's name and id, and long enough.
fn signers(checkpoint: &SignedCheckpoint) {
    for line in &checkpoint.note().signatures {
        let key = |kind| NoteKey { name: line.name.clone(), kind, key: [7; 32] };
        let (log, witness) = (key(KeyKind::Log), key(KeyKind::Witness));
        let signed = block_on(checkpoint.verify_log(&log, &Trusting)).is_ok();
        let known = checkpoint.note().signature_of(&log).is_some();
        assert_eq!(signed, known && log.name == checkpoint.checkpoint().origin);
        let cosigned = block_on(checkpoint.cosignature_time(&witness, &Trusting));
        let known = checkpoint.note().signature_of(&witness);
        assert_eq!(known.is_none(), cosigned == Ok(None));
    }
}

/// Two sizes, a hash and a proof, as bytes.
fn trees(input: &[u8]) {
    let Some((one, rest)) = input.split_first_chunk() else { return };
    let Some((two, rest)) = rest.split_first_chunk() else { return };
    let Some((leaf, rest)) = rest.split_first_chunk::<32>() else { return };
    let (one, two) = (u64::from_be_bytes(*one), u64::from_be_bytes(*two));
    let (proof, _) = rest.as_chunks::<32>();
    let mut longer: Vec<Hash> = proof.to_vec();
    longer.push(*leaf);
    if root_of_inclusion(one, two, *leaf, proof).is_some() {
        assert!(one < two && proof.len() <= 64);
        assert_eq!(root_of_inclusion(one, two, *leaf, &longer), None);
    }
    if is_consistent(one, leaf, two, leaf, proof) {
        assert!(one == two && proof.is_empty() && (one > 0 || *leaf == empty_root()));
    }
}
