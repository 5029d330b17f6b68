//! What every answer tells a browser to leave undone, refusals among them: pages of a node are shown
//! in no other page's frame, nothing is taken for another media type, no address is passed on, and
//! what a node answers is kept nowhere.

use std::future::ready;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::map_response;
use axum::response::Response;

/// Of what is no page: it shows and fetches nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// What pages may not use of the device; they need none of it.
const DEVICE: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), \
                      gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()";

/// On all answers alike.
const ALWAYS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("permissions-policy"), DEVICE),
    // Whoever may read an answer from another origin does so by CORS.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// On those that say nothing else.
const OTHERWISE: [(HeaderName, &str); 2] =
    [(CONTENT_SECURITY_POLICY, NOTHING), (CACHE_CONTROL, "no-store")];

/// A year: browsers speak to this name by TLS alone.
const BY_TLS: &str = "max-age=31536000";

/// What pages may load, and whom they may talk to.
#[derive(Clone, Copy, Debug)]
pub enum Policy {
    /// The patient's: its worker runs WebAssembly, and talks to every institution and notary.
    Patient,
    /// The console's: it talks to its own institution.
    Console,
}

impl Policy {
    /// The header's value for pages of a node with the base URL `url`; in a network without TLS,
    /// as on one machine, others are reached without it too.
    pub fn header(self, url: &str) -> HeaderValue {
        let (scripts, others) = match self {
            Self::Patient if is_by_tls(url) => (" 'wasm-unsafe-eval'", " https:"),
            Self::Patient => (" 'wasm-unsafe-eval'", " https: http:"),
            Self::Console => ("", ""),
        };
        let policy = format!(
            "default-src 'self'; script-src 'self'{scripts}; img-src 'self' data:; \
             connect-src 'self'{others}; object-src 'none'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static(NOTHING))
    }
}

/// Gives every answer of `router`, that of a node with the base URL `url`, these headers.
pub fn on_all(router: Router, url: &str) -> Router {
    let by_tls = is_by_tls(url);
    router.layer(map_response(move |mut response: Response| {
        add(response.headers_mut(), by_tls);
        ready(response)
    }))
}

fn add(headers: &mut HeaderMap, by_tls: bool) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in OTHERWISE {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if by_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(BY_TLS));
    }
}

fn is_by_tls(url: &str) -> bool {
    url.starts_with("https://")
}
