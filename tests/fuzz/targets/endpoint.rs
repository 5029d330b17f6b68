//! Endpoints as strangers send them. What is accepted is what it looks like: a scheme, a host, a port
//! and a path, and nothing else in it.
#![no_main]

use hdms::endpoint::{Endpoint, MAX_ENDPOINT};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(endpoint) = text.parse::<Endpoint>() else { return };
    assert_eq!(endpoint.as_ref(), text);
    assert!(text.len() <= MAX_ENDPOINT && text.is_ascii());
    assert!(!text.contains(['@', '?', '#', '\\', '%', ' ']) && !text.ends_with('/'));
    assert!(text.starts_with("https://") || endpoint.is_loopback());
    let (_, rest) = text.split_once("://").unwrap_or_default();
    let rest = rest.strip_prefix(endpoint.host());
    let end = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']));
    assert!(end, "the host is not what stands there");
});
