//! Envelopes as strangers send them, raw and with mutated contents. What opens comes from whom it
//! says, and from somebody who may send it.
#![no_main]

use futures_lite::future::block_on;
use hdms::Error;
use hdms::envelope::{Opened, Opening, Sealed};
use hdms::jose::jwe;
use hdms::testing::SeededRandomness;
use hdms_fuzz::spelling::token;
use hdms_fuzz::{NOW, Trusting, world};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = block_on(open(input));
    let Some(signed) = token(input) else { return };
    let Ok(recipient) = world().hospital.encryption_key() else { return };
    let randomness = SeededRandomness::new(0);
    let sealing = jwe::encrypt(signed.into_bytes(), Some("JWT"), recipient, &Trusting, &randomness);
    let sealed = block_on(sealing).unwrap_or_default();
    if let Ok(opened) = block_on(open(sealed.as_bytes())) {
        assert!(opened.kind().senders().contains(&opened.sender().card().role));
    }
});

async fn open(envelope: &[u8]) -> Result<Opened, Error> {
    let me = &world().hospital;
    let opening = Opening { me, trust: &world().trust, received: NOW };
    let decrypted = Sealed::parse(envelope)?.decrypt(&Trusting, &Trusting).await?;
    let sender = decrypted.claimed_sender().clone();
    let opened = decrypted.verify(Some(world().patient.jwt()), opening, &Trusting).await?;
    assert_eq!(opened.sender().id(), &sender);
    Ok(opened)
}
