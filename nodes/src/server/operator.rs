//! What the network's operator decides, on the database of a server that may be running: it takes
//! notice within a second.

use std::path::Path;

use hdms::Error;
use hdms::card::Role;
use hdms::ids::NodeId;

use super::nodes::{self, Status};
use crate::sqlite::Database;

/// A node that waits for the operator's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// The node.
    pub id: NodeId,
    /// What it wants to be.
    pub role: Role,
    /// How it wants to be called.
    pub name: String,
    /// Base URL at which it is reached.
    pub endpoint: String,
}

/// The operator of the server with the folder `data`.
#[derive(Clone, Debug)]
pub struct Operator(Database);

impl Operator {
    /// Errors as [`Database::join`]: there is none before the server's first start.
    pub fn of(data: &Path) -> Result<Self, Error> {
        Database::join(&data.join(nodes::FILE), &nodes::SCHEMA).map(Self)
    }

    /// Every node that waits.
    pub async fn pending(&self) -> Result<Vec<Applicant>, Error> {
        let nodes = self.0.read(nodes::pending).await?;
        let applicants = nodes.into_iter().map(|node| Applicant {
            id: node.request.iss,
            role: node.request.role,
            name: node.request.name,
            endpoint: node.request.endpoint.unwrap_or_default(),
        });
        Ok(applicants.collect())
    }

    /// Admits a node that has asked, also one that was revoked. [`Error::NodeUnknown`].
    pub async fn admit(&self, id: NodeId) -> Result<(), Error> {
        self.0.write(move |tx| nodes::set_status(tx, &id, Status::Admitted)).await
    }

    /// Revokes a node's card, whatever its role. [`Error::NodeUnknown`].
    pub async fn revoke(&self, id: NodeId) -> Result<(), Error> {
        self.0.write(move |tx| nodes::set_status(tx, &id, Status::Revoked)).await
    }
}
