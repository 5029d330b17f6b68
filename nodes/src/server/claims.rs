//! What a node asks to be, as an operator reads it and the trail keeps it.

use hdms::Error;
use hdms::base64url::digest;
use hdms::card::Role;
use hdms::doorman::{About, AdmissionRequest};
use hdms::ids::NodeId;
use hdms::json;
use hdms::network::LogKeys;
use serde::Serialize;

/// An admission request without what only machines need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// What it wants to be.
    pub role: Role,
    /// How it wants to be called.
    pub name: String,
    /// Base URL at which it is reached; empty for a personal node.
    pub endpoint: String,
    /// What it says of itself; none in requests of before it had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// Thumbprint of its signing key.
    pub signing_key: String,
    /// Thumbprint of its encryption key; empty in requests that state no subkeys.
    pub encryption_key: String,
    /// How often it has changed its keys.
    pub key_changes: usize,
    /// A notary's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogKeys>,
}

impl Claims {
    /// What this request says.
    pub fn of(request: &AdmissionRequest) -> Self {
        Self {
            role: request.role,
            name: request.name.clone(),
            endpoint: request.endpoint.clone().map(String::from).unwrap_or_default(),
            about: request.about.clone(),
            signing_key: request.signing_key.thumbprint(),
            encryption_key: request
                .stated_subkeys()
                .map_or_else(|_| String::new(), |stated| stated.encryption.thumbprint()),
            key_changes: request.changes.len(),
            log: request.log,
        }
    }

    /// Digest of what the node with this id says so.
    pub fn digest(&self, id: &NodeId) -> Result<String, Error> {
        Ok(digest(json::write(&(id, self))?))
    }

    /// Each as a label and a text, for people.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let about = |part: fn(&About) -> &String| self.about.as_ref().map(part).cloned();
        let log = |part: fn(LogKeys) -> _| self.log.map(|log| String::from(part(log)));
        let lines = [
            ("role", Some(role_name(self.role).to_owned())),
            ("name", Some(self.name.clone())),
            ("registry number", about(|about| &about.registry_number)),
            ("address", about(|about| &about.address)),
            ("contact", about(|about| &about.contact)),
            ("endpoint", Some(self.endpoint.clone())),
            ("signing key", Some(self.signing_key.clone())),
            ("encryption key", Some(self.encryption_key.clone())),
            ("changes of keys", Some(self.key_changes.to_string())),
            ("log key", log(|log| log.log_key)),
            ("witness key", log(|log| log.witness_key)),
        ];
        lines.into_iter().filter_map(|(label, text)| Some((label, text?))).collect()
    }
}

/// The name of a role on the wire.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Personal => "personal",
        Role::Institution => "institution",
        Role::Notary => "notary",
    }
}
