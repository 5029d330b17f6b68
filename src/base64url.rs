//! base64url (RFC 4648 section 5), as JOSE writes bytes, and digests in it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// base64url without padding (RFC 7515 section 2).
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes behind canonical, unpadded base64url; `None` for anything else.
pub fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// base64url of the SHA-256 of `bytes`: 43 characters.
pub fn digest(bytes: impl AsRef<[u8]>) -> String {
    use sha2::Digest;
    encode(sha2::Sha256::digest(bytes))
}
