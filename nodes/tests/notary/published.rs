//! The log over HTTP, read by other code than what wrote it.

use hdms::log::merkle::leaf_hash;
use reqwest::Response;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash, HashReader, Tile};

use crate::case::Case;
use crate::common::problem;

async fn fetch(case: &Case, path: &str) -> Response {
    reqwest::get(case.url(&format!("/log/{path}"))).await.unwrap()
}

async fn bytes(case: &Case, path: &str) -> Vec<u8> {
    let answer = fetch(case, path).await;
    assert_eq!(answer.status(), 200, "{path}");
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
    answer.bytes().await.unwrap().to_vec()
}

/// The newest checkpoint, whose signature Cloudflare's verifier accepts.
async fn checkpoint(case: &Case) -> Checkpoint {
    let answer = fetch(case, "checkpoint").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers()["cache-control"], "no-cache");
    let note = Note::from_bytes(&answer.bytes().await.unwrap()).unwrap();
    let key = case.trust.log(case.notary().member().id()).unwrap().log_key();
    let verifier = StandardVerifier::new(&key.vkey()).unwrap();
    let verified = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!(verified.0.len(), 1);
    let checkpoint = Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!(checkpoint.origin(), key.name);
    checkpoint
}

/// Two levels of tiles, as they were fetched.
struct Fetched([Vec<u8>; 3]);

impl HashReader for Fetched {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let Self([first, second, above]) = self;
        let hash = |index: &u64| {
            let tile = Tile::from_index(8, *index);
            let bytes = match (tile.level(), tile.level_index()) {
                (0, 0) => first,
                (0, 1) => second,
                _ => above,
            };
            tile.hash_at_index(bytes, *index)
        };
        indexes.iter().map(hash).collect()
    }
}

#[tokio::test]
async fn the_checkpoint_the_tiles_and_the_leaves_belong_together() {
    let case = Case::begin().await;
    assert_eq!(problem(fetch(&case, "checkpoint").await).await.0, 404, "before the first entry");
    for _ in 0..3 {
        case.grow(100).await;
    }
    let checkpoint = checkpoint(&case).await;
    assert_eq!(checkpoint.size(), 300);
    let paths = ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"];
    let [first, second, above] = paths.map(|path| bytes(&case, path));
    let tiles = Fetched([first.await, second.await, above.await]);
    assert_eq!(tlog_tiles::tree_hash(300, &tiles).unwrap(), *checkpoint.hash());
    for (path, tile) in [("tile/entries/000", 0), ("tile/entries/001.p/44", 1)] {
        let bundle = bytes(&case, path).await;
        let leaves = bundle.chunks(107).map(|leaf| {
            assert_eq!(leaf[..3], [0, 105, 2]);
            leaf_hash(&leaf[2..])
        });
        assert_eq!(leaves.collect::<Vec<_>>().concat(), tiles.0[tile], "{path}");
    }
    assert_eq!(bytes(&case, "tile/0/001.p/7").await, tiles.0[1][..7 * 32]);
    let bundle = bytes(&case, "tile/entries/000.p/7").await;
    assert_eq!(bundle, bytes(&case, "tile/entries/000").await[..7 * 107]);
}

#[tokio::test]
async fn what_the_log_does_not_have_is_not_found() {
    let case = Case::begin().await;
    case.grow(3).await;
    for path in [
        "",
        "tile",
        "tile/0/000",
        "tile/0/000.p/4",
        "tile/0/000.p/0",
        "tile/0/0.p/3",
        "tile/1/000.p/1",
        "tile/99/000",
        "tile/entries/000",
        "tile/entries/000.p/4",
        "tile/entries/x018/x014/x398/x509/x481/983",
        "tile/0/x018/x014/x398/x509/x481/983",
        "tile/0/x018/x446/x744/x073/x709/x551/615",
        "tile/entries/..%2f..%2fcheckpoint",
    ] {
        assert_eq!(problem(fetch(&case, path).await).await.0, 404, "{path}");
    }
}
