//! Whole networks on this machine, for people to try, for scenarios and for measurements. Everything
//! else stands below.

pub mod demo;
pub mod network;
pub mod personal;
pub mod scenario;
