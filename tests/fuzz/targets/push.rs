//! What pushes bring, and subscriptions as strangers send them. Whatever comes is at least a wake-up;
//! what is read is what is written again.
#![no_main]

use hdms::json;
use hdms::push::{MAX_PAYLOAD, PushMessage, Subscription};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    message(input);
    if let Ok(subscription) = serde_json::from_slice::<Subscription>(input) {
        stands(&subscription);
    }
});

fn message(input: &[u8]) {
    let PushMessage { seq, envelope } = PushMessage::read(input);
    let Some(seq) = seq else { return };
    if let Ok(payload) = PushMessage::payload(seq, envelope.clone()) {
        assert!(payload.len() <= MAX_PAYLOAD);
        let again = PushMessage::read(&payload);
        assert_eq!(again.seq, Some(seq));
        assert!(again.envelope.is_none() || again.envelope == envelope);
    }
}

fn stands(subscription: &Subscription) {
    assert_eq!(subscription.id().len(), 43);
    if subscription.check().is_ok()
        && let Ok(written) = json::write(subscription)
    {
        let read: Result<Subscription, _> = json::stored(&written);
        assert_eq!(read.as_ref(), Ok(subscription));
    }
}
