//! Web push as nodes see it: where a node wants to be woken, and what wakes it. The push services
//! of the browsers (RFC 8030) carry it, encrypted for the browser (RFC 8291); the mailbox holds
//! every message all the same, so that a push which never comes changes nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base64url::{decode, digest};
use crate::error::Error;
use crate::json;

/// Most bytes of a push before its encryption: with padding and the header of RFC 8188 they fill
/// the 4,096 bytes that push services accept (RFC 8291 section 4).
pub const MAX_PAYLOAD: usize = 3993;

/// Most subscriptions of one node, one for each of its browsers; the oldest makes room.
pub const MAX_SUBSCRIPTIONS: usize = 8;

/// Longest endpoint or token, bytes.
const MAX_ADDRESS: usize = 2048;

/// Where a browser can be woken: body of `POST /mailbox/subscriptions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Subscription {
    /// By the browser's own push service, as its `PushSubscription` says.
    WebPush {
        /// The push resource (RFC 8030 section 2).
        endpoint: String,
        /// The browser's P-256 point, uncompressed, base64url of 65 bytes (RFC 8291 section 3.1).
        p256dh: String,
        /// The authentication secret, base64url of 16 bytes (RFC 8291 section 3.2).
        auth: String,
        /// When it expires, seconds, where the browser says so.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        expires: Option<u64>,
    },
    /// By Firebase Cloud Messaging.
    Firebase {
        /// The registration token of the Firebase SDK.
        token: String,
    },
}

impl Subscription {
    /// Its name: base64url SHA-256 of the endpoint or token.
    pub fn id(&self) -> String {
        digest(self.address())
    }

    /// [`Error::PushSubscriptionRefused`] unless the keys have their sizes and the address is a
    /// short one. Whether the address is one to send to is the server's decision.
    pub fn check(&self) -> Result<(), Error> {
        let sized = |text: &str, bytes| decode(text).is_some_and(|found| found.len() == bytes);
        let keys = match self {
            Subscription::WebPush { p256dh, auth, .. } => sized(p256dh, 65) && sized(auth, 16),
            Subscription::Firebase { .. } => true,
        };
        let length = self.address().len();
        let fits = keys && length > 0 && length <= MAX_ADDRESS;
        if fits { Ok(()) } else { Err(Error::PushSubscriptionRefused) }
    }

    fn address(&self) -> &str {
        match self {
            Subscription::WebPush { endpoint, .. } => endpoint,
            Subscription::Firebase { token } => token,
        }
    }
}

/// Body of `POST /mailbox/subscriptions/removal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct SubscriptionRemoval {
    /// See [`Subscription::id`].
    pub id: String,
}

/// What a push brings: a message that fits, sealed as ever, or only the word that one waits.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct PushMessage {
    /// The message's place in the mailbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The compact JWE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<String>,
}

impl PushMessage {
    /// The payload for a message at the place `seq`: with the envelope if that is at hand and fits
    /// [`MAX_PAYLOAD`], else without.
    pub fn payload(seq: u64, envelope: Option<String>) -> Result<Vec<u8>, Error> {
        let bytes = json::write(&Self { seq: Some(seq), envelope })?;
        if bytes.len() <= MAX_PAYLOAD {
            return Ok(bytes);
        }
        json::write(&Self { seq: Some(seq), envelope: None })
    }

    /// Reads what came. A Firebase message, or anything else that is not of this protocol, is a
    /// wake-up like any other: the node looks into its mailbox.
    pub fn read(payload: &[u8]) -> Self {
        let Ok(value) = json::parse(payload) else { return Self::default() };
        let envelope = value.get("envelope").and_then(Value::as_str).map(str::to_owned);
        Self { seq: value.get("seq").and_then(Value::as_u64), envelope }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_PAYLOAD, PushMessage, Subscription};
    use crate::Error;
    use serde_json::json;

    #[test]
    fn a_message_travels_in_the_push_while_it_fits_and_is_announced_beyond() {
        let overhead = br#"{"seq":7,"envelope":""}"#.len();
        for (length, fits) in [(MAX_PAYLOAD - overhead, true), (MAX_PAYLOAD - overhead + 1, false)]
        {
            let envelope = "e".repeat(length);
            let payload = PushMessage::payload(7, Some(envelope.clone())).unwrap();
            assert!(payload.len() <= MAX_PAYLOAD);
            let read = PushMessage::read(&payload);
            assert_eq!(read, PushMessage { seq: Some(7), envelope: fits.then_some(envelope) });
        }
    }

    #[test]
    fn whatever_else_comes_only_wakes() {
        let firebase = r#"{"data":{"wake":"0190"},"from":"1","priority":"high"}"#;
        for payload in [firebase, "", "null", "{\"seq\":-1,\"envelope\":{}}", "\u{0}"] {
            assert_eq!(PushMessage::read(payload.as_bytes()), PushMessage::default());
        }
    }

    #[test]
    fn subscriptions_are_named_by_their_address_and_keys_have_their_sizes() {
        let of = |p256dh: &str, auth: &str| -> Subscription {
            let json = json!({"kind": "webpush", "endpoint": "https://push.example/1", "p256dh": p256dh, "auth": auth});
            serde_json::from_value(json).unwrap()
        };
        let (p256dh, auth) = ("A".repeat(87), "A".repeat(22));
        let good = of(&p256dh, &auth);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(good.id(), of("x", "y").id());
        assert_eq!(good.id().len(), 43);
        assert_eq!(of("AAAA", &auth).check(), Err(Error::PushSubscriptionRefused));
        assert_eq!(of(&p256dh, "AAAA").check(), Err(Error::PushSubscriptionRefused));
        let long = Subscription::Firebase { token: "t".repeat(3000) };
        assert_eq!(long.check(), Err(Error::PushSubscriptionRefused));
    }
}
