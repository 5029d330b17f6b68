//! The secrets of the Doorman's challenges. None is kept: each follows from the request and the
//! server's own key, so that any number of strangers may ask and nobody is locked out.

use aws_lc_rs::{constant_time, hmac};
use hdms::Error;
use hdms::base64url::{self, digest};
use hdms::doorman::{AdmissionRequest, ChallengeAnswer, expected_answer};
use hdms::provider::Randomness;

use super::nodes;
use crate::base::sqlite::{Database, Failure};
use crate::base::system::SystemRandomness;

/// The server's own value that keeps the key.
const KEY: &str = "challenge-key";

const LABEL: &str = "hdms-challenge-secret/v2";

/// Makes and recognises secrets.
#[derive(Debug)]
pub struct Challenges(hmac::Key);

impl Challenges {
    /// With the key that the database keeps, or a new one. Errors: those of the database,
    /// [`Error::RandomnessFailed`].
    pub async fn open(database: &Database) -> Result<Self, Error> {
        let mut new = [0; 32];
        SystemRandomness.fill(&mut new)?;
        let kept = database.write(move |tx| {
            let kept = nodes::setting(tx, KEY)?;
            if let Some(text) = kept {
                return Ok(base64url::decode(text).ok_or(Error::StoreCorrupt)?);
            }
            nodes::set_setting(tx, KEY, &base64url::encode(new))?;
            Ok::<_, Failure>(new.to_vec())
        });
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &kept.await?)))
    }

    /// The secret of a challenge for this request, 32 octets as base64url.
    pub fn secret(&self, request: &str, expires: u64) -> String {
        let text = format!("{LABEL}\n{}\n{expires}", digest(request));
        base64url::encode(hmac::sign(&self.0, text.as_bytes()))
    }

    /// Whether this answers a challenge of this server for the request that comes with it.
    pub fn is_right(&self, answer: &ChallengeAnswer) -> bool {
        let Ok(node) = AdmissionRequest::claimed_node(&answer.request) else { return false };
        let expected = expected_answer(&node, &self.secret(&answer.request, answer.expires));
        let (expected, given) = (expected.as_bytes(), answer.answer.as_bytes());
        constant_time::verify_slices_are_equal(expected, given).is_ok()
    }
}
