//! Web Push to a browser (RFC 8030), encrypted so that only it can read it (RFC 8291).

use hdms::Error;
use hdms::base64url::decode;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use web_push_native::p256::PublicKey;
use web_push_native::{Auth, encrypt};

use super::answer::PushOutcome;
use super::endpoints::Route;
use super::{TOPIC, URGENCY};

/// The keys of a browser's subscription.
#[derive(Debug)]
pub struct Browser {
    key: PublicKey,
    secret: Auth,
}

impl Browser {
    /// From `p256dh` and `auth` as the browser names them, base64url.
    ///
    /// Errors: [`Error::PushSubscriptionRefused`] when they are no point and no secret.
    pub fn new(p256dh: &str, auth: &str) -> Result<Self, Error> {
        let refused = Error::PushSubscriptionRefused;
        let key = decode(p256dh).ok_or(refused)?;
        let secret: [u8; 16] = decode(auth).and_then(|auth| auth.try_into().ok()).ok_or(refused)?;
        let key = PublicKey::from_sec1_bytes(&key).map_err(|_| refused)?;
        Ok(Self { key, secret: Auth::from(secret) })
    }

    /// Sends `payload`, which may wait for `ttl` seconds at the push service; what only `wakes`
    /// takes the place of what woke before and waits there still.
    pub async fn push(
        &self,
        way: &Route<'_>,
        authorization: String,
        ttl: u64,
        (payload, wakes): (Vec<u8>, bool),
    ) -> Result<PushOutcome, Error> {
        let body = encrypt(payload, &self.key, &self.secret).map_err(|_| Error::CryptoFailed)?;
        let mut request = way
            .client
            .post(way.url.clone())
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("TTL", ttl)
            .header("Urgency", URGENCY);
        if wakes {
            request = request.header("Topic", TOPIC);
        }
        let request = request.body(body).build().map_err(|_| Error::PushSubscriptionRefused)?;
        Ok(PushOutcome::of(way.client.open(request).await).await)
    }
}
