//! A log over HTTP (C2SP tlog-tiles): the newest published checkpoint, tiles of hashes, and bundles
//! of leaves, from which nobody learns anything about patients.

use std::ops::Range;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hdms::Error;

use super::tile_path::TilePath;
use super::tiles::Tiles;
use crate::problem::Problem;

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
        .with_state(Arc::new(log))
}

async fn checkpoint(State(log): State<Arc<impl Published>>) -> Result<Response, Problem> {
    let checkpoint = log.tiles().checkpoint().await?.ok_or(Error::NotFound)?;
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, checkpoint.to_text()).into_response())
}

async fn tile(
    State(log): State<Arc<impl Published>>,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let path = TilePath::parse(&path).ok_or(Error::NotFound)?;
    let bytes = match path.position() {
        Some(position) => log.tiles().tile(position, path.width).await?,
        None => {
            let leaves = log.leaves(path.range()).await?;
            (leaves.len() as u64 == path.width).then(|| bundle(&leaves))
        }
    };
    let headers = [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, FOR_EVER)];
    Ok((headers, bytes.ok_or(Error::NotFound)?).into_response())
}

/// Each leaf behind its length, 16 bits, big-endian.
fn bundle(leaves: &[Vec<u8>]) -> Vec<u8> {
    leaves.iter().fold(Vec::new(), |mut bundle, leaf| {
        bundle.extend((leaf.len() as u16).to_be_bytes());
        bundle.extend(leaf);
        bundle
    })
}
