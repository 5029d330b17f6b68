//! How the server says to push services who it is: VAPID (RFC 8292).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hdms::Error;
use hdms::base64url::encode;
use serde_json::json;

use crate::base::keys::Es256Key;

/// How long a token is good for, seconds: half of what push services accept.
const LIFETIME: u64 = 12 * 3600;

/// How long before its end it is no longer used, seconds: clocks differ, requests take their time.
const MARGIN: u64 = 3600;

/// Origins whose tokens are remembered.
const REMEMBERED: usize = 1000;

/// Signs tokens, and uses each for as long as it is good.
#[derive(Debug)]
pub struct Vapid {
    key: Es256Key,
    contact: String,
    tokens: Mutex<HashMap<String, Token>>,
}

#[derive(Debug)]
struct Token {
    authorization: String,
    until: u64,
}

impl Vapid {
    /// For a sender with this key, whose operator is reached at `contact`, a `mailto:` or `https:`
    /// URL (RFC 8292 section 2.1).
    pub fn new(key: Es256Key, contact: String) -> Self {
        Self { key, contact, tokens: Mutex::default() }
    }

    /// The public key: the uncompressed point, base64url.
    pub fn public(&self) -> String {
        self.key.public()
    }

    /// The header `Authorization` for requests to the push service with this origin, at the time
    /// `now` in seconds.
    pub fn authorization(&self, origin: &str, now: u64) -> Result<String, Error> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = tokens.get(origin).filter(|token| token.until > now + MARGIN) {
            return Ok(token.authorization.clone());
        }
        let token = self.sign(origin, now + LIFETIME)?;
        if tokens.len() >= REMEMBERED {
            tokens.clear();
        }
        let authorization = token.authorization.clone();
        tokens.insert(origin.to_owned(), token);
        Ok(authorization)
    }

    fn sign(&self, origin: &str, until: u64) -> Result<Token, Error> {
        let part = |value: serde_json::Value| encode(value.to_string());
        let header = part(json!({"typ": "JWT", "alg": "ES256"}));
        let claims = part(json!({"aud": origin, "exp": until, "sub": self.contact}));
        let signed = format!("{header}.{claims}");
        let signature = encode(self.key.sign(signed.as_bytes())?);
        let authorization = format!("vapid t={signed}.{signature}, k={}", self.public());
        Ok(Token { authorization, until })
    }
}

#[cfg(test)]
mod tests {
    use super::{LIFETIME, MARGIN, Vapid};
    use crate::base::keys::{Passphrase, open_or_make_es256};

    #[test]
    fn a_token_is_used_until_it_nears_its_end_and_each_origin_has_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let key = open_or_make_es256(dir.path(), &Passphrase::of_no_secret("p")).unwrap();
        let vapid = Vapid::new(key, "mailto:operator@example.org".into());
        let at = |origin, now| vapid.authorization(origin, now).unwrap();
        let first = at("https://one.example", 1000);
        assert_eq!(at("https://one.example", 1000 + LIFETIME - MARGIN - 1), first);
        assert_ne!(at("https://one.example", 1000 + LIFETIME - MARGIN), first);
        assert_ne!(at("https://two.example", 1000), at("https://one.example", 1000));
    }
}
