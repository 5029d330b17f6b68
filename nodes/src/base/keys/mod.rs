//! Keys and primitives of a native node, by `aws-lc-rs`, and the file that keeps the private keys.

mod aws;
mod change;
mod es256;
mod file;
mod log;
mod node;
mod passphrase;
mod public;
mod sealed;

pub use aws::{AwsKeys, AwsPrimitives, Work, private_work};
pub use change::{change, renew_encryption_key, retire_encryption_keys};
pub use es256::Es256Key;
pub use file::{KEY_FILE, LOG_KEY_FILE, open_or_make, open_or_make_es256, open_or_make_log};
pub use log::NotaryKeys;
pub use passphrase::Passphrase;
