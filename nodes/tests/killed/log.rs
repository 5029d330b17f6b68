//! The notary's log from outside, against which receipts are checked.

use hdms::ledger::VerifiedReceipt;
use hdms::log::merkle::{empty_root, leaf_hash, node_hash};
use hdms::log::{Hash, SignedCheckpoint, TlogProof};
use hdms::network::Trust;
use hdms_nodes::base::keys::AwsPrimitives;

/// Bytes of a leaf in a bundle, with those of its length.
const LEAF: usize = 2 + 105;

/// Every receipt that a participant was ever given still proves what the log says.
pub async fn expect_all(notary: &str, receipts: &[String], trust: &Trust) {
    let leaves = leaves(notary).await;
    for text in receipts {
        let receipt = VerifiedReceipt::verify(text, trust, &AwsPrimitives).await.unwrap();
        let index = receipt.receipt().index as usize;
        assert_eq!(leaf_hash(&receipt.opening().leaf().to_bytes()), leaves[index]);
        let proof = TlogProof::parse(text).unwrap();
        let checkpoint = proof.checkpoint.checkpoint();
        assert_eq!(root(&leaves[..checkpoint.size as usize]), checkpoint.root, "another log");
    }
}

/// The hashes of all published leaves, whose root the notary has signed.
async fn leaves(notary: &str) -> Vec<Hash> {
    let note = fetch(&format!("{notary}/log/checkpoint")).await;
    let note = SignedCheckpoint::parse(std::str::from_utf8(&note).unwrap()).unwrap();
    let checkpoint = note.checkpoint();
    let mut leaves = Vec::new();
    for bundle in 0..checkpoint.size.div_ceil(256) {
        let width = (checkpoint.size - bundle * 256).min(256);
        let part = if width < 256 { format!(".p/{width}") } else { String::new() };
        let url = format!("{notary}/log/tile/entries/{bundle:03}{part}");
        leaves.extend(fetch(&url).await.chunks(LEAF).map(|leaf| leaf_hash(&leaf[2..])));
    }
    assert_eq!(root(&leaves), checkpoint.root);
    leaves
}

async fn fetch(url: &str) -> Vec<u8> {
    let answer = reqwest::get(url).await.unwrap().error_for_status().unwrap();
    answer.bytes().await.unwrap().to_vec()
}

/// RFC 9162 section 2.1.1.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().div_ceil(2).next_power_of_two());
            node_hash(&root(left), &root(right))
        }
    }
}
