//! Checkpoints that are not signed as they must be.

use hdms::log::{NoteSignature, SignedCheckpoint};

use crate::common::keys;
use crate::shelf::StaticLog;
use crate::stage::{Stage, trusting};

fn forged(mut checkpoint: SignedCheckpoint, name: &str) -> String {
    let lines = checkpoint.note().signatures.iter();
    let line = lines.into_iter().find(|line| line.name == name).unwrap();
    let mut signature = line.signature.clone();
    signature[20] ^= 1;
    let line = NoteSignature { signature, ..line.clone() };
    checkpoint.add(line);
    checkpoint.to_text()
}

#[tokio::test]
async fn a_forged_signature_of_the_log_is_found() {
    let (stage, log) = (Stage::with(2).await, StaticLog::of(5));
    let [notary, other] = [&stage.notaries[0], &stage.notaries[1]];
    let checkpoint = notary.checkpoint(&log);
    let origin = checkpoint.checkpoint().origin.clone();
    // Altered, signed by another log in this one's name, and not signed at all.
    let by_other = other.checkpoint(&log).to_text();
    let by_other = by_other.replace(&other.log.log_key().name, &origin);
    let mut unsigned = checkpoint.clone();
    stage.notaries[1].cosign(&mut unsigned);
    let unsigned = unsigned.to_text();
    let own = checkpoint.note().signatures[0].to_line();
    for note in [forged(checkpoint, &origin), by_other, unsigned.replace(&own, "")] {
        notary.publish(&log);
        notary.shelf.put_bytes("/log/checkpoint", note);
        stage.audit(&[]).await.has_faults(&["checkpoint: the log has not signed it"]);
    }
}

#[tokio::test]
async fn too_few_witnesses_and_a_forged_one_are_found() {
    let (stage, log) = (Stage::asking(3, 2).await, StaticLog::of(5));
    let notary = stage.notary();
    let mut checkpoint = notary.checkpoint(&log);
    let few = |found| format!("checkpoint: co-signed by {found} other notaries, not by 2");
    // Its own word is none.
    notary.cosign(&mut checkpoint);
    stage.notary().shelf.put_log(&log, checkpoint.to_text());
    stage.audit(&[]).await.has_faults(&[&few(0)]);

    stage.notaries[1].cosign(&mut checkpoint);
    stage.notary().shelf.put_log(&log, checkpoint.to_text());
    stage.audit(&[]).await.has_faults(&[&few(1)]).says("co-signed   by 1, needed: 2");

    stage.notaries[2].cosign(&mut checkpoint);
    stage.notary().shelf.put_log(&log, checkpoint.to_text());
    stage.audit(&[]).await.is_good().says("co-signed   by 2, needed: 2");

    let witness = stage.notaries[2].log.witness_key().name;
    stage.notary().shelf.put_log(&log, forged(checkpoint, &witness));
    let id = stage.notaries[2].id();
    let forged = format!("checkpoint: the cosignature of {id} is forged");
    stage.audit(&[]).await.has_faults(&[&forged, &few(1)]);
}

#[tokio::test]
async fn a_witness_that_was_revoked_counts_for_what_it_signed_before() {
    let (stage, log) = (Stage::asking(2, 1).await, StaticLog::of(5));
    let mut checkpoint = stage.notary().checkpoint(&log);
    stage.notaries[1].cosign(&mut checkpoint);
    stage.notary().shelf.put_log(&log, checkpoint.to_text());
    let id = stage.notaries[1].id().clone();
    stage.net.operator().revoke(id.clone(), "gone").await.unwrap();
    stage.net.until(|trust| trust.notary(&id).is_err()).await;
    stage.audit(&[]).await.is_good();
}

#[tokio::test]
async fn only_what_the_root_key_vouches_for_is_trusted() {
    let stage = Stage::with(1).await;
    stage.notary().publish(&StaticLog::of(5));
    let other = keys(5).public().0;
    let audited = trusting(other, &stage.net, &stage.notary().url, &[]).await;
    audited.is_unchecked("/network", "network/forged");
}
