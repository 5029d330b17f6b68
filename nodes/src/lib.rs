//! The native nodes: what the core leaves to the machine it runs on.

// What all nodes stand on: HTTP, keys, databases, transparency logs, clock and limits.
pub mod base;
// A hospital's or a research institute's node, and the interface of its information system.
pub mod institution;
// Whole networks on one machine, to try, to play scenarios in and to measure.
pub mod local;
// Being a member of the network: card, documents it goes by, and what others may cost it.
pub mod member;
// The notary: deposits and queries, its log, what it witnesses of others, and the audit from outside.
pub mod notary;
// The HDMS server: Doorman, Network Map and Message Queue, and what its operator decides.
pub mod server;
