//! A receipt holds as a whole or not at all, and counts for what the network asked for in its time.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::digest;
use hdms::ids::NodeId;
use hdms::ledger::{
    CaseSecret, Commitment, Entry, EntryKind, LeafOpening, Place, Receipt, Salt, VerificationKey,
    VerifiedReceipt,
};
use hdms::log::{Checkpoint, SignedCheckpoint, TlogProof};
use hdms::network::{PinnedLog, TreeRoot, WitnessRule, origin};
use hdms_simulation::BEGIN;
use hdms_simulation::log::{Log, LogSigner};

use crate::logbook::{Logbook, SECRET};
use crate::{case, id};

const NOW: u64 = BEGIN.0 / 1000;

async fn with_rules(rules: &[(u64, u64)]) -> Logbook {
    let mut book = Logbook::new().await;
    let rules = rules.iter().map(|(since, needed)| WitnessRule { since: *since, needed: *needed });
    book.world.network.parameters.witnesses = rules.collect();
    book.publish().await;
    book
}

#[test]
fn no_participant_takes_a_receipt_with_any_character_changed() {
    block_on(async {
        let book = with_rules(&[(NOW, 2)]).await;
        let good = book.good();
        let taken = book.verify(&good).await.unwrap();
        taken.expect(&book.entries[1], Some(SECRET)).unwrap();
        let (trust, software) = (book.trust(), book.world.software());
        for (at, was) in good.char_indices() {
            let other = if was == 'A' { 'B' } else { 'A' };
            let forged = format!("{}{other}{}", &good[..at], &good[at + was.len_utf8()..]);
            let refusals = [Error::ReceiptForged, Error::NodeUnknown, Error::EntryMismatch];
            // Nor after a good one, under whose checkpoint it seems to be.
            for known in [None, Some(taken.checkpoint())] {
                let again = VerifiedReceipt::verify_after(&forged, known, &trust, &software).await;
                let taken = again.and_then(|one| one.expect(&book.entries[1], Some(SECRET)));
                assert!(taken.is_err_and(|error| refusals.contains(&error)), "{at}: {forged}");
            }
        }
    });
}

#[test]
fn every_part_of_the_proof_must_be_the_logs() {
    block_on(async {
        let book = Logbook::new().await;
        let proof = TlogProof::parse(&book.good()).unwrap();
        let resigned = |change: &dyn Fn(&mut Checkpoint), by: &LogSigner| {
            let mut checkpoint = proof.checkpoint.checkpoint().clone();
            change(&mut checkpoint);
            let mut signed = by.sign(checkpoint);
            signed.add(book.witnesses[0].cosign(&signed, NOW));
            signed
        };
        let stranger = LogSigner::of(&digest("a stranger").parse().unwrap()).unwrap();
        let witness = &book.witnesses[0];
        let of_witness = |checkpoint: &mut Checkpoint| {
            checkpoint.origin = origin(&witness.listed().notary);
        };
        let with = |change: &dyn Fn(&mut TlogProof)| {
            let mut changed = proof.clone();
            change(&mut changed);
            changed.to_text()
        };
        let under =
            |checkpoint: SignedCheckpoint| with(&|proof| proof.checkpoint = checkpoint.clone());
        let forged = [
            ("index", with(&|proof| proof.index = 0)),
            ("index beyond", with(&|proof| proof.index = u64::MAX)),
            ("hash", with(&|proof| proof.hashes[0][31] ^= 1)),
            ("order of hashes", with(&|proof| proof.hashes.reverse())),
            ("hash left out", with(&|proof| proof.hashes.truncate(1))),
            ("hash too many", with(&|proof| proof.hashes.push([0; 32]))),
            ("no opening", with(&|proof| proof.extra = None)),
            ("opening", with(&|proof| proof.extra = Some(b"{}".to_vec()))),
            ("root", under(resigned(&|tree| tree.root[0] ^= 1, &book.notary))),
            ("smaller tree", under(resigned(&|tree| tree.size = 1, &book.notary))),
            ("log's signature", under(resigned(&|_| {}, &stranger))),
            ("another log's signature", under(resigned(&|_| {}, witness))),
            ("another notary's origin", under(resigned(&of_witness, &book.notary))),
            ("no origin", under(resigned(&|tree| tree.origin = "log".into(), &book.notary))),
            ("empty", String::new()),
        ];
        for (part, text) in forged {
            assert_eq!(book.verify(&text).await.err(), Some(Error::ReceiptForged), "{part}");
        }
        let unlisted = |tree: &mut Checkpoint| {
            tree.origin = origin(&stranger.listed().notary);
        };
        let unknown = book.verify(&under(resigned(&unlisted, &stranger))).await;
        assert_eq!(unknown.err(), Some(Error::NodeUnknown));
        let other_log = book.verify(&under(resigned(&of_witness, witness))).await;
        assert_eq!(other_log.err(), Some(Error::ReceiptForged), "its only witness is itself");
    });
}

#[test]
fn every_member_of_the_opening_is_committed_to() {
    block_on(async {
        let book = Logbook::new().await;
        let proof = TlogProof::parse(&book.good()).unwrap();
        let opening = book.opening(1, NOW);
        let other = book.opening(2, NOW);
        let receipt = |opening: LeafOpening| opening.receipt(proof.clone()).unwrap();
        let forged = [
            LeafOpening { version: 1, ..opening.clone() },
            LeafOpening { version: 3, ..opening.clone() },
            LeafOpening { number: Some(1 << 53), ..opening.clone() },
            LeafOpening { entry: other.entry.clone(), ..opening.clone() },
            LeafOpening { verification_key: VerificationKey::of("other"), ..opening.clone() },
            LeafOpening { time: NOW + 1, ..opening.clone() },
            LeafOpening { salt: other.salt, ..opening.clone() },
            LeafOpening { place: other.place, ..opening.clone() },
            LeafOpening { parties: other.parties, ..opening.clone() },
        ];
        for opening in forged {
            let text = receipt(opening.clone());
            assert_eq!(book.verify(&text).await.err(), Some(Error::ReceiptForged), "{opening:?}");
        }
        for changed in [
            LeafOpening { parties_salt: other.parties_salt, ..opening.clone() },
            LeafOpening { number: other.number, ..opening.clone() },
            LeafOpening { number: None, ..opening.clone() },
            opening.for_others(),
        ] {
            let changed = book.verify(&receipt(changed)).await.unwrap();
            let expected = changed.expect(&book.entries[1], Some(SECRET));
            assert_eq!(expected, Err(Error::EntryMismatch));
        }
    });
}

#[test]
fn a_participant_takes_only_the_receipt_of_exactly_its_entry() {
    block_on(async {
        let book = Logbook::new().await;
        let receipt = book.verify(&book.good()).await.unwrap();
        let entry = &book.entries[1];
        assert_eq!(receipt.expect(entry, Some(SECRET)), Ok(()));
        let stranger: NodeId = digest("a stranger").parse().unwrap();
        for other in [
            Entry { id: id(99), ..entry.clone() },
            Entry { kind: EntryKind::Request, ..entry.clone() },
            Entry { case: id(99), ..entry.clone() },
            Entry { author: stranger.clone(), ..entry.clone() },
            Entry { counterparty: stranger, ..entry.clone() },
            Entry { verification_key: VerificationKey::of("other"), ..entry.clone() },
            Entry { previous: Some(id(10)), ..entry.clone() },
        ] {
            assert_eq!(
                receipt.expect(&other, Some(SECRET)),
                Err(Error::EntryMismatch),
                "{other:?}"
            );
        }
        for other in [None, Some(CaseSecret([8; 32]))] {
            assert_eq!(receipt.expect(entry, other), Err(Error::EntryMismatch), "{other:?}");
        }
    });
}

#[test]
fn only_listed_witnesses_count_each_once_and_none_for_its_own_log() {
    block_on(async {
        let book = with_rules(&[(NOW, 2)]).await;
        let [first, second] = &book.witnesses[..] else { panic!("two witnesses") };
        let stranger = LogSigner::of(&digest("a stranger").parse().unwrap()).unwrap();
        for too_few in [
            &[][..],
            &[(first, NOW)],
            &[(first, NOW), (&stranger, NOW)],
            &[(first, NOW), (&book.notary, NOW)],
        ] {
            let text = book.receipt(1, NOW, too_few);
            assert_eq!(book.verify(&text).await.err(), Some(Error::ReceiptForged));
        }
        let enough = [(first, NOW), (second, NOW), (&stranger, NOW), (&book.notary, NOW)];
        let receipt = book.verify(&book.receipt(1, NOW, &enough)).await.unwrap();
        let counted: Vec<&NodeId> = receipt.witnesses().iter().collect();
        assert_eq!(counted, [&first.listed().notary, &second.listed().notary]);
        let good = book.good();
        let line = good.lines().last().unwrap();
        let doubled = book.verify(&format!("{good}{line}\n")).await;
        assert_eq!(doubled.err(), Some(Error::ReceiptForged));
    });
}

#[test]
fn a_line_in_the_name_of_a_witness_that_it_has_not_signed_is_a_forgery() {
    block_on(async {
        let book = Logbook::new().await;
        let [first, second] = &book.witnesses[..] else { panic!("two witnesses") };
        let (log, checkpoint) = book.log(NOW, &[(first, NOW)]);
        let (_, other) = book.log(NOW + 1, &[]);
        let genuine = second.cosign(&checkpoint, NOW);
        let mut by_another = first.cosign(&checkpoint, NOW);
        (by_another.name, by_another.key_id) = (genuine.name.clone(), genuine.key_id);
        let mut later = genuine.clone();
        later.signature[7] ^= 1;
        let mut short = genuine.clone();
        short.signature.truncate(7);
        for line in [by_another, later, short, second.cosign(&other, NOW)] {
            let mut checkpoint = checkpoint.clone();
            checkpoint.add(line);
            let text = book.opening(1, NOW).receipt(log.prove(1, checkpoint)).unwrap();
            assert_eq!(book.verify(&text).await.err(), Some(Error::ReceiptForged));
        }
    });
}

#[test]
fn a_former_notarys_receipts_count_that_were_co_signed_in_its_time() {
    block_on(async {
        let mut book = Logbook::new().await;
        let witness = book.witnesses[0].clone();
        let at = |book: &Logbook, time| book.receipt(1, NOW, &[(&witness, time)]);
        book.world.network.map.logs[0].until = Some(NOW + 10);
        book.world.network.map.nodes.remove(1);
        let trust = book.publish().await;
        assert_eq!(trust.notary(book.notary_id()).err(), Some(Error::NodeUnknown));
        let before = book.verify(&at(&book, NOW + 9)).await.unwrap();
        assert_eq!(before.receipt().iss, *book.notary_id());
        for after in [NOW + 10, NOW + 1000] {
            let text = at(&book, after);
            assert_eq!(book.verify(&text).await.err(), Some(Error::ReceiptForged));
        }
    });
}

#[test]
fn a_former_witness_counts_for_what_was_co_signed_in_its_time() {
    block_on(async {
        let mut book = Logbook::new().await;
        let [first, second] = [book.witnesses[0].clone(), book.witnesses[1].clone()];
        book.world.network.map.logs[1].until = Some(NOW + 10);
        book.publish().await;
        let before = book.verify(&book.receipt(1, NOW, &[(&first, NOW + 9)])).await.unwrap();
        assert_eq!(before.witnesses(), [first.listed().notary.clone()]);
        let after = book.verify(&book.receipt(1, NOW, &[(&first, NOW + 10)])).await;
        assert_eq!(after.err(), Some(Error::ReceiptForged));
        let both = book.receipt(1, NOW, &[(&first, NOW + 1), (&second, NOW + 20)]);
        let both = book.verify(&both).await.unwrap();
        assert_eq!(both.witnesses(), [second.listed().notary.clone()], "the later of two decides");
        assert_eq!(both.time(), NOW + 20);
    });
}

#[test]
fn the_rule_counts_that_was_in_force_when_witnesses_co_signed() {
    block_on(async {
        let book = with_rules(&[(100, 1), (200, 2), (300, 0)]).await;
        let [first, second] = &book.witnesses[..] else { panic!("two witnesses") };
        for (time, needed) in [(99, 1), (100, 1), (199, 1), (200, 2), (299, 2), (300, 1)] {
            for number in 1..=2 {
                let cosigners = [(first, time), (second, time)];
                let verified = book.verify(&book.receipt(1, 50, &cosigners[..number])).await;
                assert_eq!(verified.is_ok(), number >= needed, "{number} at {time}");
            }
        }
    });
}

#[test]
fn without_a_cosignature_the_last_rule_counts_and_the_receipt_says_that_nobody_watches() {
    block_on(async {
        for (rules, counts) in [
            (&[][..], true),
            (&[(100, 1), (NOW + 1000, 0)], true),
            (&[(100, 0), (200, 1)], false),
            (&[(100, 0), (NOW + 1000, 1)], false),
        ] {
            let mut book = with_rules(rules).await;
            let text = book.receipt(1, 50, &[]);
            let receipt = book.verify(&text).await;
            assert_eq!(receipt.is_ok(), counts, "{rules:?}");
            assert!(receipt.is_ok_and(|receipt| receipt.witnesses().is_empty()) || !counts);
            // When nobody knows when it was signed, a former notary may have signed it since.
            book.world.network.map.logs[0].until = Some(NOW + 10);
            book.publish().await;
            assert_eq!(book.verify(&text).await.err(), Some(Error::ReceiptForged));
        }
    });
}

#[test]
fn a_pinned_checkpoint_counts_without_witnesses_and_no_other_of_its_log() {
    block_on(async {
        let mut book = Logbook::new().await;
        let (text, other) = (book.receipt(1, 50, &[]), book.receipt(1, 51, &[]));
        assert_eq!(book.verify(&text).await.err(), Some(Error::ReceiptForged));
        let (_, checkpoint) = book.log(50, &[]);
        let Checkpoint { size, root, .. } = *checkpoint.checkpoint();
        let pinned =
            |notary: &NodeId| PinnedLog { notary: notary.clone(), size, root: TreeRoot(root) };
        let another = book.witnesses[0].listed().notary.clone();
        book.world.network.parameters.pinned_logs = vec![pinned(&another)];
        book.publish().await;
        assert_eq!(book.verify(&text).await.err(), Some(Error::ReceiptForged));
        book.world.network.parameters.pinned_logs.push(pinned(book.notary_id()));
        book.world.network.map.logs[0].until = Some(100);
        book.publish().await;
        assert!(book.verify(&text).await.unwrap().witnesses().is_empty());
        assert_eq!(book.verify(&other).await.err(), Some(Error::ReceiptForged));
    });
}

#[test]
fn receipts_agree_on_one_leaf_at_one_place_whatever_their_checkpoints() {
    block_on(async {
        let book = Logbook::new().await;
        let [first, second] = &book.witnesses[..] else { panic!("two witnesses") };
        let said = async |text: String| book.verify(&text).await.unwrap().receipt().clone();
        let one = said(book.receipt(1, NOW, &[(first, NOW)])).await;
        let later = said(book.receipt(1, NOW, &[(first, NOW), (second, NOW + 60)])).await;
        assert!(one.agrees_with(&later) && later.agrees_with(&one));

        // The same entry at the same place, in a log that its notary shows nobody else.
        let (mut log, place) = (Log::default(), Place::Numbered(SECRET, 2));
        let opening = LeafOpening::of(&book.entries[1], [Salt([9; 16]); 2], place, NOW);
        for opening in [&book.opening(0, NOW), &opening] {
            log.append(opening.leaf().to_bytes());
        }
        let mut checkpoint = book.notary.sign(log.checkpoint(book.notary_id()));
        checkpoint.add(first.cosign(&checkpoint, NOW));
        let other = said(opening.receipt(log.prove(1, checkpoint)).unwrap()).await;
        assert_eq!((other.index, other.number), (one.index, one.number));
        assert!(!one.agrees_with(&other) && !other.agrees_with(&one));

        let stored = Receipt { leaf: None, ..one.clone() };
        assert!(stored.agrees_with(&later), "as an earlier version has kept it");
        let elsewhere = Receipt { index: one.index + 1, ..stored };
        assert!(!elsewhere.agrees_with(&later));
    });
}

#[test]
fn others_are_shown_the_document_and_not_whose_it_is() {
    block_on(async {
        let book = Logbook::new().await;
        let mut openings = Vec::new();
        for number in 0..2 {
            let text = book.receipt(number, NOW, &[(&book.witnesses[0], NOW)]);
            let shown = book.verify(&text).await.unwrap().for_others().unwrap();
            let receipt = book.verify(&shown).await.unwrap();
            assert_eq!(receipt.receipt().entry, book.entries[number].id);
            assert_eq!(
                receipt.expect(&book.entries[number], Some(SECRET)),
                Err(Error::EntryMismatch)
            );
            let extra = TlogProof::parse(&shown).unwrap().extra.unwrap();
            let extra = String::from_utf8(extra).unwrap();
            for told in [book.world.patient.id(), book.world.hospital.id()] {
                assert!(!extra.contains(told.as_ref()));
            }
            assert!(!extra.contains(case().as_ref()) && !extra.contains("parties_salt"));
            openings.push(receipt.opening().clone());
        }
        let [one, two] = &openings[..] else { panic!("two") };
        assert_ne!(one.place, two.place, "two entries of one case have nothing in common");
        assert_ne!(one.parties, two.parties);
        assert_ne!(one.salt, two.salt);
        let guessed = Commitment::to_parties(one.salt, &book.entries[0]);
        assert_ne!(one.parties, guessed, "the document's salt opens nothing else");
    });
}
