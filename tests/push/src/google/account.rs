//! A service account of Google's, and the OAuth endpoint that gives it access tokens (RFC 7523).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::firebase::Firebase;
use crate::check::Refusal;
use crate::jwt::Jwt;
use crate::service::unique;

/// The Firebase project.
pub const PROJECT: &str = "hdms-stand-in";

const EMAIL: &str = "sender@hdms-stand-in.iam.gserviceaccount.com";

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Either of them lets an account send messages.
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
];

/// How long assertions may be valid, in seconds.
const MAX_AHEAD: u64 = 60 * 60;

/// A service account and the access tokens that it was given.
#[derive(Debug)]
pub struct Account {
    keys: KeyPair,
    token_uri: String,
    given: Mutex<HashSet<String>>,
}

impl Account {
    /// A new one, whose tokens are given at `token_uri`.
    ///
    /// Errors: that of key generation.
    pub fn generate(token_uri: String) -> std::io::Result<Self> {
        let keys = KeyPair::generate(KeySize::Rsa2048).map_err(std::io::Error::other)?;
        Ok(Self { keys, token_uri, given: Mutex::default() })
    }

    /// The key file of the account, as Google's console hands it out.
    ///
    /// Errors: that of the key's encoding.
    pub fn key_file(&self) -> std::io::Result<Value> {
        let key: Pkcs8V1Der<'_> = self.keys.as_der().map_err(std::io::Error::other)?;
        let key = BASE64_STANDARD.encode(key.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
        Ok(json!({"type": "service_account", "project_id": PROJECT, "private_key": pem,
            "client_email": EMAIL, "token_uri": self.token_uri}))
    }

    /// Whether this access token stands.
    pub fn has_given(&self, token: &str) -> bool {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).contains(token)
    }

    fn give(&self, assertion: &str) -> Result<String, Refusal> {
        let refused = Refusal::new(StatusCode::BAD_REQUEST, "invalid_grant");
        let assertion = Jwt::parse(assertion).ok_or(refused)?;
        let key = self.keys.public_key().as_ref();
        let may = assertion.is_signed("RS256", &RSA_PKCS1_2048_8192_SHA256, key)
            && assertion.claim("iss") == EMAIL
            && assertion.claim("aud") == self.token_uri
            && assertion.claim("scope").split(' ').any(|scope| SCOPES.contains(&scope))
            && assertion.is_current(MAX_AHEAD);
        if !may {
            return Err(refused);
        }
        let token = unique()?;
        self.given.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone());
        Ok(token)
    }
}

/// Where access tokens are given.
pub fn routes(firebase: Arc<Firebase>) -> Router {
    Router::new().route("/token", post(token)).with_state(firebase)
}

#[derive(Deserialize)]
struct Grant {
    grant_type: String,
    assertion: String,
}

async fn token(
    State(firebase): State<Arc<Firebase>>,
    Form(grant): Form<Grant>,
) -> Result<Json<Value>, Refusal> {
    if grant.grant_type != GRANT {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "unsupported_grant_type"));
    }
    let token = firebase.account.give(&grant.assertion)?;
    Ok(Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600})))
}
