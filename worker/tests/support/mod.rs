//! What the tests in the service worker share.

/// A database name that no other test uses.
pub fn fresh_name(purpose: &str) -> String {
    format!("test-{purpose}-{}", js_sys::Math::random())
}
