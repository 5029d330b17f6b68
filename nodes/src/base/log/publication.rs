//! A log over HTTP (C2SP tlog-tiles): the newest published checkpoint, tiles of hashes, and bundles
//! of leaves, from which nobody learns anything about patients.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hdms::Error;

use super::tile_path::TilePath;
use super::tiles::Tiles;
use crate::base::http::gate::Gate;
use crate::base::http::problem::Problem;

/// What has this name never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A log that is served.
pub trait Published: Send + Sync + 'static {
    /// Its tiles and checkpoints.
    fn tiles(&self) -> Tiles;

    /// The leaves with these indexes, as far as there are any.
    fn leaves(
        &self,
        indexes: Range<u64>,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, Error>> + Send;
}

/// The routes `/checkpoint` and `/tile/…` of a log.
pub fn routes(log: impl Published) -> Router {
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*path}", get(tile))
        .with_state(Arc::new(ServedLog { log, gate: Gate::new() }))
}

/// A log, and who reads it.
struct ServedLog<L> {
    log: L,
    gate: Arc<Gate>,
}

async fn checkpoint(
    State(served): State<Arc<ServedLog<impl Published>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
) -> Result<Response, Problem> {
    let place = served.gate.enter(from.ip())?;
    let checkpoint = place.work(served.log.tiles().checkpoint()).await?.ok_or(Error::NotFound)?;
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, checkpoint.to_text()).into_response())
}

async fn tile(
    State(served): State<Arc<ServedLog<impl Published>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let path = TilePath::parse(&path).ok_or(Error::NotFound)?;
    let place = served.gate.enter(from.ip())?;
    let bytes = place.work(bytes(&served.log, path)).await?;
    let headers = [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, FOR_EVER)];
    Ok((headers, bytes.ok_or(Error::NotFound)?).into_response())
}

async fn bytes(log: &impl Published, path: TilePath) -> Result<Option<Vec<u8>>, Error> {
    if let Some(position) = path.position() {
        return log.tiles().tile(position, path.width).await;
    }
    let leaves = log.leaves(path.range()).await?;
    Ok((leaves.len() as u64 == path.width).then(|| bundle(&leaves)))
}

/// Each leaf behind its length, 16 bits, big-endian.
fn bundle(leaves: &[Vec<u8>]) -> Vec<u8> {
    leaves.iter().fold(Vec::new(), |mut bundle, leaf| {
        bundle.extend((leaf.len() as u16).to_be_bytes());
        bundle.extend(leaf);
        bundle
    })
}
