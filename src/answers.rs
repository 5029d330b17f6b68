//! How large the answers of others may be: nobody reads more, whatever comes.

use crate::envelope;
use crate::log::MAX_TEXT;
use crate::network;

/// Largest answer that is small: a challenge, a card, what became of an envelope, a refusal, bytes.
pub const SMALL: usize = 64 * 1024;

/// The network's documents, bytes.
pub const DOCUMENTS: usize = network::MAX_DOCUMENT;

/// A manifest with its checkpoint, bytes.
pub const MANIFEST: usize = network::MAX_MANIFEST;

/// What a witness has co-signed of all logs, and its alarms, bytes.
pub const WITNESSED: usize = 32 * 1024 * 1024;

/// The answer to queries, an envelope, bytes.
pub const ANSWER: usize = envelope::MAX_BYTES;

/// The answers to the deposits in one envelope, bytes.
pub const RECEIPTS: usize = 4 * 1024 * 1024;

/// The answers to deliveries, each of which may be a card with all changes of a node's keys, bytes.
pub const DELIVERED: usize = 8 * 1024 * 1024;

/// Bytes of envelopes after which a page of a mailbox ends.
pub const PAGE_ENVELOPES: usize = 4 * envelope::MAX_BYTES;

/// A page of a mailbox, bytes: with one more envelope, and what stands around them.
pub const PAGE: usize = PAGE_ENVELOPES + 2 * envelope::MAX_BYTES;

/// A witness's answer, bytes.
pub const NOTE: usize = MAX_TEXT;
