//! How often the server may be asked.

use serde::{Deserialize, Serialize};

/// How often may be asked, in any minute, and listened, at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rates {
    /// Admission requests from one address.
    pub admissions: u32,
    /// Admission requests that one signing key has signed.
    #[serde(alias = "admissions_of_node")]
    pub admissions_of_key: u32,
    /// Requests whose proof fails, from one address.
    pub failures: u32,
    /// Requests of one personal node; an institution or a notary may send ten times as many.
    pub requests: u32,
    /// Live streams of one node at a time: its devices, and some that it lost without a word.
    pub streams: usize,
    /// Manifests that are signed an hour: everybody keeps them for ever.
    pub manifests: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            admissions: 600,
            admissions_of_key: 60,
            failures: 600,
            requests: 6000,
            streams: 8,
            manifests: 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rates;

    #[test]
    fn what_was_stored_under_a_former_name_counts() {
        let stored: Rates = serde_json::from_str(r#"{"admissions_of_node":7}"#).unwrap();
        assert_eq!(stored, Rates { admissions_of_key: 7, ..Rates::default() });
    }
}
