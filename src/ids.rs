//! The names of things: node ids, and UUIDs (RFC 9562): of version 7 for cases and messages, which are in
//! the order of their time, and of version 4 for entries, which say nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base64url::decode;
use crate::error::Error;
use crate::provider::{Clock, Randomness};

/// RFC 7638 SHA-256 thumbprint of a node's signing key: 43 characters of base64url.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

impl TryFrom<String> for NodeId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        match decode(&text) {
            Some(bytes) if bytes.len() == 32 => Ok(Self(text)),
            _ => Err(Error::KeyMalformed),
        }
    }
}

macro_rules! uuids {
    ($($(#[$doc:meta])* $name:ident of $($version:literal)|+;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = Error;

            /// Accepts the lower-case hyphenated form of a UUID of its version and no other.
            fn try_from(text: String) -> Result<Self, Error> {
                match uuid::Uuid::try_parse(&text) {
                    Ok(uuid)
                        if matches!(uuid.get_version_num(), $($version)|+)
                            && uuid.hyphenated().to_string() == text => Ok(Self(text)),
                    _ => Err(Error::CommandMalformed),
                }
            }
        }

        texts!($name);
    )+};
}

macro_rules! timed {
    ($($name:ident)+) => {$(
        impl $name {
            /// A new one: 48 bits of time, 74 of randomness.
            pub fn new(clock: &impl Clock, randomness: &impl Randomness) -> Result<Self, Error> {
                let mut random = [0; 10];
                randomness.fill(&mut random)?;
                let uuid = uuid::Builder::from_unix_timestamp_millis(clock.now().0, &random);
                Ok(Self(uuid.into_uuid().hyphenated().to_string()))
            }
        }
    )+};
}

macro_rules! texts {
    ($name:ident) => {
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::try_from(text.to_owned())
            }
        }
    };
}

texts!(NodeId);

uuids! {
    /// Names a case: all that one patient and one hospital do about one treatment.
    CaseId of 7;
    /// Names a ledger entry. Those of version 1 tell their time.
    EntryId of 4 | 7;
    /// Names a message (`jti`), a request for data or a hand-in.
    MessageId of 7;
}

timed!(CaseId MessageId);

impl EntryId {
    /// A new one: 122 bits of randomness.
    pub fn new(randomness: &impl Randomness) -> Result<Self, Error> {
        let mut random = [0; 16];
        randomness.fill(&mut random)?;
        let uuid = uuid::Builder::from_random_bytes(random).into_uuid();
        Ok(Self(uuid.hyphenated().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::{CaseId, EntryId, NodeId};

    #[test]
    fn only_canonical_ids_are_accepted() {
        assert!("0192f0c1-2345-7abc-89ab-0123456789ab".parse::<CaseId>().is_ok());
        for text in [
            "0192F0C1-2345-7ABC-89AB-0123456789AB",
            "0192f0c123457abc89ab0123456789ab",
            "0192f0c1-2345-4abc-89ab-0123456789ab",
            "../0192f0c1",
            "",
        ] {
            assert!(text.parse::<CaseId>().is_err(), "{text}");
        }
        assert!("0192f0c1-2345-4abc-89ab-0123456789ab".parse::<EntryId>().is_ok());
        assert!("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".parse::<NodeId>().is_ok());
        assert!("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9X".parse::<NodeId>().is_err());
    }
}
