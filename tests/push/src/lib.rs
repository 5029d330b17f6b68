//! Push services on this machine, for tests: what Mozilla's, Google's and Firebase's are to real
//! browsers and to servers that send, with the checks that make a sender's mistakes visible. They
//! take encrypted messages (RFC 8030, 8291) signed by the sender (RFC 8292) and keep them until the
//! browser has acknowledged them.

mod check;
mod firefox;
pub mod google;
mod jwt;
mod serve;
mod service;

pub use axum::http::StatusCode;
pub use check::Refusal;
pub use firefox::Firefox;
pub use google::Google;
pub use service::{PushRequest, PushService, encrypt};
