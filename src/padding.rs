//! Sizes that say little (docs/protocol.md section 7.1): what is sealed is padded to one of few
//! sizes, so that whoever carries it does not read a message's kind or the length of its texts off
//! its size. The classes are those of Padmé (Nikitin and others, "Reducing Metadata Leakage from
//! Encrypted Files and Communication with PURBs", PoPETs 2019), with a floor for small messages and
//! a last class for those that only just fit an envelope.

/// The smallest class, bytes: a message of this size still travels in a push.
pub const FLOOR: usize = 1024;

/// The last class, bytes: whatever the sizes of the keys, it still fits an envelope.
pub const LAST: usize = 588_000;

/// To what size `length` bytes are padded.
pub fn class(length: usize) -> usize {
    match length {
        ..FLOOR => FLOOR,
        LAST.. => length,
        _ => padme(length).min(LAST),
    }
}

/// Adds spaces to the text of a JSON document, which may end in any number of them.
pub fn pad(mut json: Vec<u8>) -> Vec<u8> {
    json.resize(class(json.len()), b' ');
    json
}

/// With a length's exponent *E*, all but the first ⌊log₂ *E*⌋ + 1 bits below its highest are zero.
fn padme(length: usize) -> usize {
    let exponent = length.ilog2();
    let free = exponent - (exponent.ilog2() + 1);
    length.next_multiple_of(1 << free)
}

#[cfg(test)]
mod tests {
    use super::{FLOOR, LAST, class, pad};
    use crate::json;
    use std::collections::BTreeSet;

    #[test]
    fn every_size_falls_into_one_of_few_classes_that_is_hardly_larger() {
        let mut classes = BTreeSet::new();
        for length in 1..=LAST {
            let class = class(length);
            assert!(class >= length && super::class(class) == class, "{length}");
            assert!(length < FLOOR || (class - length) * 100 <= length * 7, "{length}");
            classes.insert(class);
        }
        assert_eq!((classes.first(), classes.last()), (Some(&FLOOR), Some(&LAST)));
        assert_eq!(classes.len(), 197);
        assert_eq!(class(LAST + 1), LAST + 1, "it is too large anyhow, or its keys are small");
    }

    #[test]
    fn the_examples_of_the_protocol_page_hold() {
        let examples = [(1, 1024), (1024, 1024), (1025, 1088), (3000, 3072), (9999, 10_240)];
        for (length, padded) in examples {
            assert_eq!(class(length), padded, "{length}");
        }
        assert_eq!((class(100_000), class(586_000)), (100_352, LAST));
    }

    #[test]
    fn a_padded_document_reads_as_before() {
        let padded = pad(br#"{"a":1}"#.to_vec());
        assert_eq!(padded.len(), FLOOR);
        assert_eq!(json::parse(&padded), json::parse(br#"{"a":1}"#));
    }
}
