//! Cards as strangers send them. What is accepted certifies itself and is of use today.
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
        assert_eq!(card.signing_key.thumbprint(), card.sub.as_ref());
        assert!(card.exp > NOW.seconds());
    }
}
