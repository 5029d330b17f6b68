//! The kept transcript is what the code still says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use futures_lite::future::block_on;
use hdms_simulation::transcript;

#[test]
fn the_treatment_is_what_it_was_byte_for_byte() {
    assert_eq!(block_on(transcript::treatment()).unwrap(), transcript::KNOWN);
}
