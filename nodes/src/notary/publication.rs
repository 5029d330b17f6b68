//! The log over HTTP (C2SP tlog-tiles): the newest published checkpoint, tiles of hashes, and bundles
//! of leaves, from which nobody learns anything about patients.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hdms::Error;

use super::reader::LogReader;
use super::tile_path::TilePath;
use crate::problem::Problem;

/// What has this name never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The routes below `/log`.
pub fn routes(reader: LogReader) -> Router {
    Router::new()
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/tile/{*path}", get(tile))
        .with_state(Arc::new(reader))
}

async fn checkpoint(State(reader): State<Arc<LogReader>>) -> Result<Response, Problem> {
    let checkpoint = reader.checkpoint().await?.ok_or(Error::NotFound)?;
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, checkpoint.to_text()).into_response())
}

async fn tile(
    State(reader): State<Arc<LogReader>>,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let path = TilePath::parse(&path).ok_or(Error::NotFound)?;
    let bytes = match path.position() {
        Some(position) => reader.tile(position, path.width).await?,
        None => reader.leaves(path.range()).await?.map(|leaves| bundle(&leaves)),
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
