//! What the server knows of a node.

use hdms::Error;
use hdms::card::{LIFETIME, Role};
use hdms::doorman::AdmissionRequest;
use hdms::network::NotaryLog;

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waits for the operator.
    Pending,
    /// Is what it asked to be.
    Admitted,
    /// Was refused what it asked to be; may still be what it was before.
    Refused,
    /// Is no longer a member.
    Revoked,
}

impl Status {
    /// As it is kept.
    pub fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Admitted => "admitted",
            Status::Refused => "refused",
            Status::Revoked => "revoked",
        }
    }

    /// As it was kept. [`Error::StoreCorrupt`].
    pub fn from_name(name: &str) -> Result<Self, Error> {
        let all = [Status::Pending, Status::Admitted, Status::Refused, Status::Revoked];
        all.into_iter().find(|status| status.name() == name).ok_or(Error::StoreCorrupt)
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// What it asked to be last, proven to come from it.
    pub request: AdmissionRequest,
    /// Where it stands.
    pub status: Status,
    /// Why it was refused or revoked.
    pub reason: Option<String>,
    /// Its newest card.
    pub card: Option<IssuedCard>,
    /// When it was revoked, seconds.
    pub until: Option<u64>,
    /// Since when its cards of before its last change of keys don't count, seconds.
    pub superseded: Option<u64>,
    /// What it was before it asked for that.
    pub admitted: Option<AdmissionRequest>,
}

/// A card as the Doorman keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuedCard {
    /// The signed document.
    pub jwt: String,
    /// Digest of what it says, its times left out.
    pub claims: String,
    /// When it expires, seconds.
    pub expires: u64,
    /// Thumbprint of the encryption key that it names; empty in one that named none by its statement.
    pub kid: String,
}

impl IssuedCard {
    /// When it was issued, seconds.
    pub fn issued(&self) -> u64 {
        self.expires.saturating_sub(LIFETIME)
    }
}

impl Known {
    /// Whether the operator has refused whatever it asked to be.
    pub fn was_only_refused(&self) -> bool {
        self.status == Status::Refused && self.admitted_as().is_none()
    }

    /// What it was admitted as last, if it ever was.
    pub fn admitted_as(&self) -> Option<&AdmissionRequest> {
        if self.status == Status::Admitted { Some(&self.request) } else { self.admitted.as_ref() }
    }

    /// Before when its next card is not dated, seconds: of two cards the later one counts.
    pub fn next_card_from(&self) -> Option<u64> {
        let last = self.card.as_ref().map(|card| card.issued() + 1);
        self.superseded.max(last)
    }

    /// Whether it is listed as a notary, where it is.
    pub fn is_notary(&self) -> bool {
        self.admitted_as().unwrap_or(&self.request).role == Role::Notary
    }

    /// The log of a notary that is or was a member.
    pub fn log(&self) -> Option<NotaryLog> {
        let notary = self.request.iss.clone();
        Some(NotaryLog { notary, keys: self.admitted_as()?.log?, until: self.until })
    }
}
