//! What is delivered, on its way into a mailbox.

use hdms::Error;
use hdms::envelope;
use hdms::ids::NodeId;
use hdms::mailbox::Delivery;
use rusqlite::{Connection, OptionalExtension};

use crate::base::sqlite::Failure;
use crate::server::nodes;
use crate::server::quota::{self, MailboxPlace, Quotas};

/// Why a delivery was not kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DeliveryRefusal {
    /// For this.
    Code(Error),
    /// It is sealed to another key than the one that this card names.
    FormerKey(String),
}

impl From<Error> for DeliveryRefusal {
    fn from(error: Error) -> Self {
        Self::Code(error)
    }
}

/// Keeps a delivery; one that was kept before is where it was then.
pub(super) fn keep(
    tx: &Connection,
    sender: &NodeId,
    delivery: &Delivery,
    now: u64,
    quotas: Quotas,
) -> Result<Result<MailboxPlace, DeliveryRefusal>, Failure> {
    let (to, id) = (delivery.to.as_ref(), delivery.id.as_ref());
    let sql = "SELECT seq, number FROM messages WHERE recipient = ?1 AND sender = ?2 AND id = ?3";
    let kept = tx.prepare_cached(sql)?.query_row((to, sender.as_ref(), id), |row| {
        Ok(MailboxPlace { seq: row.get(0)?, number: row.get(1)? })
    });
    if let Some(place) = kept.optional()? {
        return Ok(Ok(place));
    }
    if let Err(refusal) = check(tx, delivery)? {
        return Ok(Err(refusal));
    }
    let bytes = delivery.envelope.len() as u64;
    let place = match quota::take_place(tx, sender.as_ref(), to, bytes, quotas)? {
        Ok(place) => place,
        Err(error) => return Ok(Err(error.into())),
    };
    let sql = "INSERT INTO messages (recipient, seq, number, sender, id, expires, envelope) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let expires = now + envelope::LIFETIME;
    let row = (to, place.seq, place.number, sender.as_ref(), id, expires, &delivery.envelope);
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(Ok(place))
}

/// Whether it may be kept, but for the room that it takes.
fn check(tx: &Connection, delivery: &Delivery) -> Result<Result<(), DeliveryRefusal>, Failure> {
    if let Err(error) = check_form(&delivery.envelope) {
        return Ok(Err(error.into()));
    }
    let Some(kid) = nodes::present_kid(tx, &delivery.to)? else {
        return Ok(Err(Error::NodeUnknown.into()));
    };
    if !kid.is_empty()
        && envelope::addressed_key(&delivery.envelope).is_ok_and(|addressed| addressed != kid)
        && let Some(card) = nodes::find(tx, &delivery.to)?.and_then(|known| known.card)
    {
        return Ok(Err(DeliveryRefusal::FormerKey(card.jwt)));
    }
    Ok(Ok(()))
}

/// Whether it looks like a compact JWE; only its recipient can tell more.
fn check_form(envelope: &str) -> Result<(), Error> {
    if envelope.len() > envelope::MAX_BYTES {
        return Err(Error::EnvelopeTooLarge);
    }
    let is_compact = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let parts = envelope.split('.').count();
    if parts == 5 && envelope.bytes().all(is_compact) {
        Ok(())
    } else {
        Err(Error::EnvelopeMalformed)
    }
}
