//! The protocol reference shows what the code does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use futures_lite::future::block_on;
use hdms_simulation::docs::{EXAMPLES, PAGE, Reference};

#[test]
fn the_examples_of_the_protocol_reference_are_what_the_code_makes() {
    let reference = block_on(Reference::new()).unwrap();
    assert_eq!(reference.fill(PAGE).unwrap(), PAGE, "run `make docs`");
    assert_eq!(reference.full().unwrap(), EXAMPLES, "run `make docs`");
}
