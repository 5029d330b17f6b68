//! HL7 FHIR R4 as far as a node must understand it: what is a resource, what it is about, which of its
//! elements identify a person or turn others around, and how a hospital's Bundles become records.

pub mod date;
pub mod facts;
pub mod identifying;
pub mod intake;
pub mod modifier;
pub mod reference;
pub mod resource;
