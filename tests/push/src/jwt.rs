//! JSON Web Tokens as the services check them: signed by VAPID's ES256 or by a service account's
//! RS256.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

/// A token in its parts.
pub struct Jwt<'a> {
    header: Value,
    claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// The compact form; `None` when it is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let object = |part| serde_json::from_slice(&decode(part)?).ok();
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            signed,
            signature: decode(signature)?,
        })
    }

    /// Whether the holder of `key` has signed it with the algorithm called `name`.
    pub fn is_signed(
        &self,
        name: &str,
        algorithm: &'static dyn VerificationAlgorithm,
        key: &[u8],
    ) -> bool {
        let key = UnparsedPublicKey::new(algorithm, key);
        self.header["alg"] == name && key.verify(self.signed.as_bytes(), &self.signature).is_ok()
    }

    /// A claim that is a text; empty when it is missing.
    pub fn claim(&self, name: &str) -> &str {
        self.claims[name].as_str().unwrap_or_default()
    }

    /// Whether it is valid now, and for `most` seconds at the longest.
    pub fn is_current(&self, most: u64) -> bool {
        let expiry = self.claims["exp"].as_u64().unwrap_or_default();
        (now() + 1..=now() + most).contains(&expiry)
    }
}

/// What base64url, without padding, stands for.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_secs())
}
