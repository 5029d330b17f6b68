//! A log as a folder of files behind HTTP, built by `tlog_tiles` alone, which serves what a test puts
//! there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hdms::ledger::{Commitment, Leaf};
use tlog_tiles::{Hash, HashReader, Tile};

/// What is served at a path.
#[derive(Clone, Debug)]
pub enum Served {
    Bytes(Bytes),
    Status(u16),
    /// So many bytes, and then the connection breaks.
    Broken(usize),
    /// Zeros without end.
    Endless,
    /// Nothing, for longer than anybody waits.
    Slow,
}

/// What is served at all paths. Clones serve the same.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<HashMap<String, Served>>>);

impl Shelf {
    /// Serves it; answers the base URL.
    pub async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        url
    }

    pub fn put(&self, path: &str, served: Served) {
        self.0.lock().unwrap().insert(path.into(), served);
    }

    pub fn put_bytes(&self, path: &str, bytes: impl Into<Bytes>) {
        self.put(path, Served::Bytes(bytes.into()));
    }

    /// Replaces everything below `/log` by this log.
    pub fn put_log(&self, log: &StaticLog, checkpoint: String) {
        let mut shelf = self.0.lock().unwrap();
        shelf.retain(|path, _| !path.starts_with("/log/"));
        for (path, bytes) in log.resources() {
            shelf.insert(path, Served::Bytes(bytes.into()));
        }
        shelf.insert("/log/checkpoint".into(), Served::Bytes(checkpoint.into()));
    }

    /// The bytes at a path, which must be there.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        match self.0.lock().unwrap().get(path) {
            Some(Served::Bytes(bytes)) => bytes.to_vec(),
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Changes the bytes at a path, which must be there.
    pub fn alter(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut shelf = self.0.lock().unwrap();
        let Some(Served::Bytes(bytes)) = shelf.get_mut(path) else { panic!("nothing at {path}") };
        let mut changed = bytes.to_vec();
        change(&mut changed);
        assert_ne!(changed, *bytes);
        *bytes = changed.into();
    }
}

async fn answer(State(shelf): State<Shelf>, uri: Uri) -> Response {
    let served = shelf.0.lock().unwrap().get(uri.path()).cloned();
    match served.unwrap_or(Served::Status(404)) {
        Served::Bytes(bytes) => bytes.into_response(),
        Served::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Served::Broken(count) => {
            let parts = [Ok(vec![0; count]), Err(std::io::Error::other("broken"))];
            Body::from_stream(stream::iter(parts)).into_response()
        }
        Served::Endless => {
            let zeros = || Ok::<_, std::io::Error>(vec![0_u8; 4096]);
            Body::from_stream(stream::repeat_with(zeros)).into_response()
        }
        Served::Slow => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            StatusCode::OK.into_response()
        }
    }
}

/// Leaves, and all hashes above them.
#[derive(Clone, Default)]
pub struct StaticLog {
    pub leaves: Vec<Vec<u8>>,
    hashes: Stored,
}

#[derive(Clone, Default)]
struct Stored(Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

impl StaticLog {
    /// With leaves of different places, one each second.
    pub fn of(size: u64) -> Self {
        (0..size).map(leaf).collect()
    }

    pub fn push(&mut self, leaf: Vec<u8>) {
        let number = self.leaves.len() as u64;
        let new = tlog_tiles::stored_hashes(number, &leaf, &self.hashes).unwrap();
        self.hashes.0.extend(new);
        self.leaves.push(leaf);
    }

    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    pub fn root(&self) -> [u8; 32] {
        tlog_tiles::tree_hash(self.size(), &self.hashes).unwrap().0
    }

    fn resources(&self) -> Vec<(String, Vec<u8>)> {
        let mut resources = Vec::new();
        for tile in Tile::new_tiles(8, 0, self.size()) {
            let path = tile.path().replace("tile/8/", "/log/tile/");
            resources.push((path, tile.read_data(&self.hashes).unwrap()));
            if tile.level() == 0 {
                let start = tile.level_index() as usize * 256;
                let leaves = &self.leaves[start..start + tile.width() as usize];
                let entries = leaves
                    .iter()
                    .flat_map(|leaf| [&(leaf.len() as u16).to_be_bytes()[..], leaf].concat());
                let path = tile.path().replace("tile/8/0/", "/log/tile/entries/");
                resources.push((path, entries.collect()));
            }
        }
        resources
    }
}

impl FromIterator<Leaf> for StaticLog {
    fn from_iter<I: IntoIterator<Item = Leaf>>(leaves: I) -> Self {
        let mut log = Self::default();
        leaves.into_iter().for_each(|leaf| log.push(leaf.to_bytes()));
        log
    }
}

/// The leaf at this index of [`StaticLog::of`].
pub fn leaf(index: u64) -> Leaf {
    let commitment = |of: u8| {
        let mut bytes = [of; 32];
        bytes[..8].copy_from_slice(&index.to_be_bytes());
        Commitment(bytes)
    };
    let (document, place, parties) = (commitment(1), commitment(2), commitment(3));
    Leaf { version: 2, time: 1_700_000_000 + index, document, place, parties }
}
