//! The console page, and the sample results that it offers in a demonstration.

use std::path::{Path, PathBuf};

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use hdms::fhir::resource;
use serde::Serialize;
use tower_http::services::{ServeDir, ServeFile};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::base::http::headers::Policy;

/// The console among the built pages.
const CONSOLE: &str = "console.html";

/// One file of the samples.
#[derive(Clone, Serialize)]
struct Sample {
    file: String,
    title: String,
}

/// `router` with the console at `/` and what it needs, and `/samples`.
pub fn routes(
    router: Router,
    pages: Option<PathBuf>,
    samples: Option<PathBuf>,
    url: &str,
) -> Router {
    let mut router = router;
    if let Some(folder) = samples {
        let list = list(&folder);
        router = router
            .route("/samples/index.json", get(async move || Json(list)))
            .nest_service("/samples", ServeDir::new(folder));
    }
    if let Some(folder) = pages {
        // Nobody keeps a page that has a newer version.
        let fresh = HeaderValue::from_static("no-cache");
        let fresh = SetResponseHeaderLayer::overriding(CACHE_CONTROL, fresh);
        // Vite names the files in there by their content.
        let forever = SetResponseHeaderLayer::overriding(CACHE_CONTROL, |answer: &Response| {
            let found = answer.status().is_success();
            found.then_some(HeaderValue::from_static("public, max-age=31536000, immutable"))
        });
        let policy = Policy::Console.header(url);
        let policy = SetResponseHeaderLayer::overriding(CONTENT_SECURITY_POLICY, policy);
        let page =
            Router::new().route_service("/", ServeFile::new(folder.join(CONSOLE))).layer(fresh);
        let assets = ServeDir::new(folder.join("assets"));
        let assets = Router::new().nest_service("/assets", assets).layer(forever);
        router = router.merge(page.merge(assets).layer(policy));
    }
    router
}

/// The FHIR files of a folder, by name; what is none is left out.
fn list(folder: &Path) -> Vec<Sample> {
    let sample = |path: PathBuf| {
        let title = resource::title(&resource::parse(&std::fs::read(&path).ok()?).ok()?);
        Some(Sample { file: path.file_name()?.to_str()?.to_owned(), title })
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut samples: Vec<_> = entries.filter_map(|entry| sample(entry.ok()?.path())).collect();
    samples.sort_by(|one, other| one.file.cmp(&other.file));
    samples
}
