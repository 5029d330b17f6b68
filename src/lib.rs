//! The protocol of HDMS, a distributed-ledger based health data management system after two papers
//! by Moon and Kim: what every node shares, native and in the browser. No sockets, no clock, no
//! disk and no browser in here; they come in through the traits of [`provider`].
//!
//! - what all is written with: [`json`], [`base64url`], [`jwk`], [`ids`]
//! - who: [`card`], [`endpoint`], [`network`], [`doorman`]
//! - what travels: [`jose`], [`envelope`], [`proof`], [`mailbox`], [`push`], [`answers`]
//! - what is kept: [`record`] over [`fhir`], [`ledger`], [`notary`], [`log`]
//! - what happens: [`treatment`], driven by [`node`]

pub mod answers;
pub mod base64url;
pub mod card;
pub mod doorman;
pub mod endpoint;
pub mod envelope;
pub mod error;
pub mod fhir;
pub mod ids;
pub mod jose;
pub mod json;
pub mod jwk;
pub mod ledger;
pub mod log;
pub mod mailbox;
pub mod memory;
pub mod network;
pub mod node;
pub mod notary;
pub mod padding;
pub mod proof;
pub mod provider;
pub mod push;
pub mod record;
pub mod software;
pub mod testing;
pub mod treatment;

pub use error::Error;
