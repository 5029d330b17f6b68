//! Notes and checkpoints that others made, and ours read by others: by the crates `signed_note` and
//! `tlog_tiles`, by logs and witnesses in public, and by the examples of C2SP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::prelude::{BASE64_STANDARD as BASE64, Engine};
use futures_lite::future::block_on;
use hdms::Error;
use hdms::log::checkpoint::{cosignature, cosigned_text, log_signature};
use hdms::log::merkle::leaf_hash;
use hdms::log::{Checkpoint, KeyKind, Note, NoteKey, SignedCheckpoint, TlogProof};
use hdms::software::Software;
use hdms::testing::SeededRandomness;
use hdms_nodes::base::keys::AwsPrimitives;
use hdms_vectors::log::key;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};

/// The example of C2SP tlog-cosignature, of which the keys are not published.
const EXAMPLE: &str = "\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
";

/// Ed25519 by aws-lc-rs, the key of a log or a witness.
struct Signer {
    pair: Ed25519KeyPair,
    key: NoteKey,
}

impl Signer {
    fn new(name: &str, kind: KeyKind, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = pair.public_key().as_ref().try_into().unwrap();
        Self { pair, key: NoteKey { name: name.into(), kind, key } }
    }

    fn sign(&self, text: &str) -> [u8; 64] {
        self.pair.sign(text.as_bytes()).as_ref().try_into().unwrap()
    }

    fn cosign(&self, checkpoint: &mut SignedCheckpoint, time: u64) {
        let signature = self.sign(&cosigned_text(&checkpoint.note().text, time));
        checkpoint.add(cosignature(&self.key, time, signature));
    }
}

fn log() -> Signer {
    Signer::new("hdms-log/notary", KeyKind::Log, 1)
}

fn witness(seed: u8) -> Signer {
    Signer::new(&format!("hdms-witness/{seed}"), KeyKind::Witness, seed)
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: log().key.name, size: 1, root: leaf_hash(b"leaf") }
}

fn published() -> SignedCheckpoint {
    let signature = log().sign(&checkpoint().to_text());
    SignedCheckpoint::new(checkpoint(), log_signature(&log().key, signature))
}

/// What both native providers say.
fn verify_log(checkpoint: &SignedCheckpoint, key: &NoteKey) -> Result<(), Error> {
    let software = Software::new(SeededRandomness::new(1));
    let answer = block_on(checkpoint.verify_log(key, &software));
    assert_eq!(answer, block_on(checkpoint.verify_log(key, &AwsPrimitives)));
    answer
}

/// What both native providers say.
fn cosignature_time(checkpoint: &SignedCheckpoint, key: &NoteKey) -> Result<Option<u64>, Error> {
    let software = Software::new(SeededRandomness::new(1));
    let answer = block_on(checkpoint.cosignature_time(key, &software));
    assert_eq!(answer, block_on(checkpoint.cosignature_time(key, &AwsPrimitives)));
    answer
}

#[test]
fn a_public_checkpoint_is_its_logs_and_its_witnesses() {
    let software = Software::new(SeededRandomness::new(1));
    block_on(hdms_vectors::log::public_checkpoint(&software));
    block_on(hdms_vectors::log::public_checkpoint(&AwsPrimitives));
}

#[test]
fn the_example_of_c2sp_is_read_and_written() {
    let checkpoint = SignedCheckpoint::parse(EXAMPLE).unwrap();
    assert_eq!(checkpoint.to_text(), EXAMPLE);
    let line = &checkpoint.note().signatures[1];
    let (time, signature) = line.signature.split_first_chunk().unwrap();
    assert_eq!((u64::from_be_bytes(*time), signature.len()), (1_679_315_147, 64));
    assert_eq!(
        cosigned_text(&checkpoint.note().text, 1_679_315_147),
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
         CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    );
}

#[test]
fn notes_of_signed_note_are_read_and_hold() {
    // From the documentation of Go's package note, which the crate's tests share.
    let secret = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let key = key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    let text = format!("PeterNeumann\n7\n{}\nan extension\n", BASE64.encode([5; 32]));
    let mut made = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    made.add_sigs(&[&StandardSigner::new(secret).unwrap()]).unwrap();
    let made = String::from_utf8(made.to_bytes()).unwrap();

    let note = Note::parse(&made).unwrap();
    assert_eq!((note.text.as_str(), note.to_text()), (text.as_str(), made.clone()));
    let checkpoint = SignedCheckpoint::parse(&made).unwrap();
    assert_eq!(checkpoint.checkpoint().root, [5; 32]);
    assert_eq!(verify_log(&checkpoint, &key), Ok(()));
}

#[test]
fn ours_are_read_by_signed_note_and_tlog_tiles_and_hold() {
    let ours = published();
    let theirs = signed_note::Note::from_bytes(ours.to_text().as_bytes()).unwrap();
    let verifier = StandardVerifier::new(&log().key.vkey()).unwrap();
    let (known, unknown) = theirs.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((known.len(), unknown.len()), (1, 0));
    let read = tlog_tiles::Checkpoint::from_bytes(theirs.text()).unwrap();
    assert_eq!(
        (read.origin(), read.size(), read.hash().0),
        (log().key.name.as_str(), 1, leaf_hash(b"leaf"))
    );
    assert_eq!(read.to_bytes(), checkpoint().to_text().as_bytes());
}

#[test]
fn a_checkpoint_tells_who_signed_and_when() {
    let mut published = published();
    assert_eq!(verify_log(&published, &log().key), Ok(()));
    witness(2).cosign(&mut published, 1_790_000_000);
    witness(3).cosign(&mut published, 0);
    let published = SignedCheckpoint::parse(&published.to_text()).unwrap();
    assert_eq!(verify_log(&published, &log().key), Ok(()));
    assert_eq!(cosignature_time(&published, &witness(2).key), Ok(Some(1_790_000_000)));
    assert_eq!(cosignature_time(&published, &witness(3).key), Ok(Some(0)));
    assert_eq!(cosignature_time(&published, &witness(4).key), Ok(None));
}

#[test]
fn a_key_counts_for_its_own_name_and_purpose_only() {
    let mut published = published();
    witness(2).cosign(&mut published, 1);
    let changed = |key: &NoteKey, change: fn(&mut NoteKey)| {
        let mut key = key.clone();
        change(&mut key);
        key
    };
    let (log, witness) = (log().key, witness(2).key);
    for other in [
        changed(&log, |key| key.kind = KeyKind::Witness),
        changed(&log, |key| key.name += "/other"),
        changed(&log, |key| key.key[0] ^= 1),
        witness.clone(),
    ] {
        assert_eq!(verify_log(&published, &other), Err(Error::LogForged));
    }
    let other = changed(&witness, |key| key.kind = KeyKind::Log);
    assert_eq!(cosignature_time(&published, &other), Err(Error::LogForged));
    let other = changed(&witness, |key| key.key[0] ^= 1);
    assert_eq!(cosignature_time(&published, &other), Ok(None));

    let witness = Signer::new(&checkpoint().origin, KeyKind::Witness, 5);
    let line = log_signature(&witness.key, witness.sign(&checkpoint().to_text()));
    let posing = SignedCheckpoint::new(checkpoint(), line);
    assert_eq!(verify_log(&posing, &witness.key), Err(Error::LogForged));
}

#[test]
fn a_line_that_shares_only_the_id_of_a_key_is_not_its() {
    let mut published = published();
    witness(2).cosign(&mut published, 1);
    let mut line = published.note().signatures[1].clone();
    line.name += "/other";
    let mut other = self::published();
    other.add(line);
    assert_eq!(cosignature_time(&other, &witness(2).key), Ok(None));
}

#[test]
fn a_log_that_signs_for_another_origin_is_refused() {
    let foreign = Checkpoint { origin: "hdms-log/other".into(), ..checkpoint() };
    let signature = log_signature(&log().key, log().sign(&foreign.to_text()));
    let foreign = SignedCheckpoint::new(foreign, signature);
    assert_eq!(verify_log(&foreign, &log().key), Err(Error::LogForged));
}

#[test]
fn cosignatures_that_do_not_hold_are_told_from_absent_ones() {
    let honest = witness(2);
    let cosigned = |time: u64, text: &str| {
        let mut checkpoint = published();
        checkpoint.add(cosignature(&honest.key, time, honest.sign(text)));
        cosignature_time(&checkpoint, &honest.key)
    };
    let text = checkpoint().to_text();
    assert_eq!(cosigned(7, &cosigned_text(&text, 7)), Ok(Some(7)));
    assert_eq!(cosigned(7, &cosigned_text(&text, 8)), Err(Error::LogForged));
    assert_eq!(cosigned(7, &text), Err(Error::LogForged));
    let late = 1 << 63;
    assert_eq!(cosigned(late, &cosigned_text(&text, late)), Err(Error::LogForged));

    let mut short = published();
    let mut line = cosignature(&honest.key, 7, honest.sign(&cosigned_text(&text, 7)));
    line.signature.truncate(6);
    short.add(line);
    assert_eq!(cosignature_time(&short, &honest.key), Err(Error::LogForged));
}

#[test]
fn a_witness_that_cosigns_again_has_one_line() {
    let mut published = published();
    witness(2).cosign(&mut published, 1);
    witness(2).cosign(&mut published, 2);
    assert_eq!(published.note().signatures.len(), 2);
    assert_eq!(cosignature_time(&published, &witness(2).key), Ok(Some(2)));
    let text = published.to_text();
    let doubled = format!("{text}{}", published.note().signatures[1].to_line());
    assert!(Note::parse(&doubled).is_ok());
    assert_eq!(SignedCheckpoint::parse(&doubled), Err(Error::LogForged));
}

#[test]
fn a_proof_includes_its_leaf_alone_and_is_written_as_it_was_read() {
    let extra = Some(b"{\"opening\":1}".to_vec());
    let proof = TlogProof { extra, index: 0, hashes: vec![], checkpoint: published() };
    let text = proof.to_text();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra eyJvcGVuaW5nIjoxfQ==\nindex 0\n\n"));
    let read = TlogProof::parse(&text).unwrap();
    assert_eq!((&read, read.to_text()), (&proof, text));
    assert!(read.includes(b"leaf"));
    assert!(!read.includes(b"other"));
    for altered in [
        TlogProof { index: 1, ..read.clone() },
        TlogProof { hashes: vec![[0; 32]], ..read.clone() },
        TlogProof { checkpoint: SignedCheckpoint::parse(EXAMPLE).unwrap(), ..read.clone() },
    ] {
        assert!(!altered.includes(b"leaf"));
    }
    let bare = TlogProof { extra: None, ..read };
    assert_eq!(TlogProof::parse(&bare.to_text()), Ok(bare));
}
