//! Cards as strangers send them. What is accepted certifies itself, from its first key on, and is of
//! use today.
#![no_main]

use futures_lite::future::block_on;
use hdms::card::VerifiedCard;
use hdms_fuzz::spelling::token;
use hdms_fuzz::{NOW, Trusting, world};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = String::from_utf8(input.to_vec()).map(|raw| verify(&raw));
    if let Some(jwt) = token(input) {
        verify(&jwt);
    }
});

fn verify(jwt: &str) {
    let verifying = VerifiedCard::verify(jwt, &world().trust, NOW, &Trusting);
    if let Ok(verified) = block_on(verifying) {
        let card = verified.card();
        let changes = verified.keys().changes();
        let first = changes.first().map_or(&card.signing_key, |change| &change.former_signing_key);
        assert_eq!(first.thumbprint(), card.sub.as_ref());
        assert!(card.exp > NOW.seconds());
    }
}
