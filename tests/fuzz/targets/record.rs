//! Records as strangers send them, raw and with mutated claims and disclosures. What verifies keeps
//! its verification key whatever is disclosed, can be shown in part, and forgets all when told to.
#![no_main]

use futures_lite::future::block_on;
use hdms::record::{self, Record, Selection};
use hdms_fuzz::{Trusting, spelling, world};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = String::from_utf8(input.to_vec()).map(|raw| verify(&raw));
    if let Some(compact) = spelling::record(input) {
        verify(&compact);
    }
});

fn verify(compact: &str) {
    let keys = world().hospital.keys();
    let Ok(verified) = block_on(record::verify(compact, keys, &Trusting)) else { return };
    let (record, none) = (verified.record(), Selection::Whole(&[]));
    assert_eq!(record.select(Selection::All).as_ref().map(Record::compact), Ok(compact));
    let bare = record.select(none).map(|record| record.verification_key());
    assert_eq!(bare, Ok(verified.verification_key()));
    let content = ["/fhir".to_owned()];
    for selection in [Selection::Whole(&content), Selection::Bare(&content)] {
        let shown = record.select(selection).map(String::from).unwrap_or_default();
        assert!(block_on(record::verify(&shown, keys, &Trusting)).is_ok());
    }
    // All content is no disclosure, and so can't be left out; the patient can.
    assert!(record.select(Selection::AllBut(&content)).is_err());
    if let Ok(shown) = record.select(Selection::AllBut(&["/sub".to_owned()])) {
        let shown = block_on(record::verify(shown.compact(), keys, &Trusting));
        assert_eq!(shown.map(|shown| shown.subject().is_none()), Ok(true));
    }
    assert_eq!(record.forget().verification_key(), verified.verification_key());
    assert!(!record.forget().compact().trim_end_matches('~').contains('~'));
}
