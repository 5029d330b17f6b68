//! Static pages: what `--pages` names, with the headers that a service worker needs.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::handler::HandlerWithoutStateExt;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::base::http::headers::{self, Policy};
use crate::base::http::problem;

/// Vite names the files in here by their content.
const FOREVER: &str = "/assets/";

/// Serves the files of `folder` at every address that `router` does not have.
pub(super) fn behind(router: Router, folder: &Path, url: &str) -> Router {
    let files = ServeDir::new(folder).fallback(problem::not_found.into_service());
    let files = Router::new().fallback_service(files).layer(middleware::from_fn(with_headers));
    let policy =
        SetResponseHeaderLayer::overriding(CONTENT_SECURITY_POLICY, Policy::Patient.header(url));
    router.fallback_service(headers::on_all(files.layer(policy), url))
}

/// A worker may control the whole origin, and nobody keeps a page that has a newer version.
async fn with_headers(request: Request, next: Next) -> Response {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return problem::not_found().await.into_response();
    }
    let forever = request.uri().path().starts_with(FOREVER);
    let mut response = next.run(request).await;
    let keep = if forever && response.status().is_success() {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    let scope = HeaderName::from_static("service-worker-allowed");
    headers.insert(scope, HeaderValue::from_static("/"));
    response
}
