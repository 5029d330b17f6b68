//! A browser, as far as a sender depends on it: its keys, its subscription, and what it reads of
//! what comes, by other code than the sender's.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use hdms::push::{PushMessage, Subscription};
use hdms_push_services::{PushRequest, PushService};

/// A subscribed browser.
pub struct Browser {
    key: PrivateKey,
    secret: [u8; 16],
    /// The last part of the endpoint.
    pub name: String,
    pub subscription: Subscription,
}

impl Browser {
    /// Subscribes at `service`, whose endpoints begin with `base`, for the sender with this key.
    pub fn subscribe(service: &PushService, base: &str, sender: &str) -> Self {
        let key = PrivateKey::generate(&ECDH_P256).unwrap();
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).unwrap();
        let name = service.subscribed(sender).unwrap();
        let subscription = Subscription::WebPush {
            endpoint: format!("{base}/{name}"),
            p256dh: hdms::base64url::encode(key.compute_public_key().unwrap()),
            auth: hdms::base64url::encode(secret),
            expires: None,
        };
        Self { key, secret, name, subscription }
    }

    pub fn id(&self) -> String {
        self.subscription.id()
    }

    /// The same with an expiry in seconds.
    pub fn expiring(&self, at: u64) -> Subscription {
        let mut subscription = self.subscription.clone();
        if let Subscription::WebPush { expires, .. } = &mut subscription {
            *expires = Some(at);
        }
        subscription
    }

    /// What came to this browser and was taken, oldest first.
    pub fn received(&self, service: &PushService) -> Vec<PushRequest> {
        let requests = service.requests().into_iter();
        requests.filter(|one| one.subscription == self.name && one.status == 201).collect()
    }

    /// What each of them says.
    pub fn read(&self, service: &PushService) -> Vec<PushMessage> {
        let read = |one: PushRequest| PushMessage::read(&self.decrypt(&one.body));
        self.received(service).into_iter().map(read).collect()
    }

    /// RFC 8291 section 3.4 and RFC 8188 section 2, for a single record.
    fn decrypt(&self, body: &[u8]) -> Vec<u8> {
        let (salt, rest) = body.split_at(16);
        let (size, rest) = rest.split_at(4);
        let (sender, record) = rest[1..].split_at(rest[0].into());
        assert!(u32::from_be_bytes(size.try_into().unwrap()) as usize >= record.len());
        let own = self.key.compute_public_key().unwrap();
        let sender_key = UnparsedPublicKey::new(&ECDH_P256, sender);
        let shared = agree(&self.key, sender_key, (), |shared| Ok(shared.to_vec())).unwrap();
        let info = [b"WebPush: info\0", own.as_ref(), sender];
        let secret: [u8; 32] = expand(&extract(&self.secret, &shared), &info);
        let key = extract(salt, &secret);
        let content: [u8; 16] = expand(&key, &[b"Content-Encoding: aes128gcm\0"]);
        let nonce: [u8; 12] = expand(&key, &[b"Content-Encoding: nonce\0"]);
        let content = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content).unwrap());
        let mut record = record.to_vec();
        let plain = content.open_in_place(Nonce::from(&nonce), Aad::empty(), &mut record).unwrap();
        let end = plain.iter().rposition(|byte| *byte != 0).unwrap();
        assert_eq!(plain[end], 2, "the last record");
        plain[..end].to_vec()
    }
}

fn extract(salt: &[u8], secret: &[u8]) -> Prk {
    Salt::new(HKDF_SHA256, salt).extract(secret)
}

fn expand<const N: usize>(key: &Prk, info: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    key.expand(info, Length(N)).unwrap().fill(&mut out).unwrap();
    out
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
