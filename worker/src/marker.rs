//! A mark in CacheStorage that this device has a node. Browsers may remove IndexedDB and leave the
//! rest: then the mark tells a lost node from one that was never made.

use hdms::Error;
use wasm_bindgen::JsCast;
use web_sys::{Cache, Response, WorkerGlobalScope};

/// The cache; the service worker leaves it alone when it clears out older ones.
const CACHE: &str = "hdms-node";

/// The mark's address, which nothing answers.
const MARK: &str = "/.hdms-node";

/// Whether the mark is set.
pub async fn exists() -> Result<bool, Error> {
    let found = open().await?.match_with_str(MARK).await.map_err(failed)?;
    Ok(!found.is_undefined())
}

/// Sets the mark.
pub async fn set() -> Result<(), Error> {
    let mark = Response::new_with_opt_str(Some("1")).map_err(failed)?;
    open().await?.put_with_str(MARK, &mark).await.map_err(failed).map(|_| ())
}

async fn open() -> Result<Cache, Error> {
    let global: WorkerGlobalScope = js_sys::global().unchecked_into();
    let caches = global.caches().map_err(failed)?;
    Ok(caches.open(CACHE).await.map_err(failed)?.unchecked_into())
}

fn failed<T>(_cause: T) -> Error {
    Error::StoreFailed
}
