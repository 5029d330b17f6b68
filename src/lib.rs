//! The protocol of HDMS, a distributed-ledger based health data management system after two papers
//! by Moon and Kim: what every node shares, native and in the browser. No sockets, no clock, no
//! disk and no browser in here; they come in through the traits of [`provider`].

pub mod error;
pub mod jose;
pub mod json;
pub mod provider;
pub mod software;
pub mod testing;

pub use error::Error;
