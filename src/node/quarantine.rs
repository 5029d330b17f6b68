//! What was refused: kept with its reason, to be looked at and never acted on. What may become good
//! has room of its own and is tried again by itself.

mod room;

use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::{Contents, Node, Platform, Taken, put};
use crate::base64url::digest;
use crate::error::Error;
use crate::ids::NodeId;
use crate::json;
use crate::mailbox::{MAX_PAGE, Refused};
use crate::provider::{Store, Table, Timestamp, Write};

pub(super) use room::Room;
use room::{Admission, QuarantinePlace};
pub use room::{DELIVERERS, KEPT, MOST_REFUSALS, MOST_REFUSED_BYTES};

/// Rows read at a time.
const PAGE: usize = 100;

/// Most envelopes tried again in one go.
const TRIES: usize = 100;

/// Rows of [`Table::Inbox`], by digest of the envelope: a stroke for each time that it was begun to take it
/// in.
pub(super) const BEGUN: &str = "begun/";

/// Rows of [`Table::Meta`]: what is counted of each refusal, by digest of the envelope, and that those
/// of versions before this are among them; and what is given up and the server has to be told, by place
/// in the mailbox.
const PLACES: &str = "refused/";
const ADOPTED: &str = "refused-adopted";
const GIVEN_UP: &str = "given-up/";

/// An envelope that was refused: neither acted on nor, unless its deliverer overdoes it, lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// When it came.
    pub received: Timestamp,
    /// The code of the refusal.
    pub code: String,
    /// As it came; empty when it was larger than an envelope may be, or when enough of its
    /// deliverer was kept before.
    pub envelope: String,
}

/// Who brought an envelope, as far as the node that takes it in can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deliverer {
    /// A node: the server names it in a mailbox.
    Node {
        /// Which.
        id: NodeId,
        /// The place in the mailbox.
        seq: u64,
    },
    /// Whoever is at this address, or in this network, as the node that serves writes it; unless the
    /// envelope's sender is verified.
    Address(String),
    /// Nobody says.
    #[default]
    Unknown,
}

impl Deliverer {
    fn seq(&self) -> Option<u64> {
        if let Self::Node { seq, .. } = self { Some(*seq) } else { None }
    }

    fn address(&self) -> Option<&String> {
        if let Self::Address(address) = self { Some(address) } else { None }
    }

    /// What is kept of it with a message of a verified sender: where to tell what became of it.
    pub(super) fn to_keep(&self) -> Self {
        if let Self::Address(_) = self { Self::Unknown } else { self.clone() }
    }

    /// By which its refusals are counted.
    fn label(&self, sender: Option<&NodeId>) -> String {
        if let (Self::Node { id: node, .. }, _) | (_, Some(node)) = (self, sender) {
            return node.to_string();
        }
        self.address().map_or("unknown", String::as_str).to_owned()
    }
}

/// Why an envelope was refused, and who has sent it, if that was verified by then.
pub(super) struct Refusal {
    pub(super) why: Error,
    pub(super) sender: Option<NodeId>,
}

impl From<Error> for Refusal {
    fn from(why: Error) -> Self {
        Self { why, sender: None }
    }
}

impl<P: Platform> Node<P> {
    /// What was refused, by digest of the envelope.
    pub async fn quarantined(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Quarantined)>, Error> {
        let rows = self.platform.store().scan(Table::Quarantine, "", after, limit).await?;
        rows.into_iter().map(|(key, value)| Ok((key, json::stored(&value)?))).collect()
    }

    /// Whether an envelope that was refused just now is kept until it may be taken in.
    pub fn hopes_for(&self, envelope: &[u8]) -> bool {
        let room = &*self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.as_ref().is_some_and(|room| room.hopes_for(&digest(envelope)))
    }

    /// What the acknowledgement of an envelope is to say of it, by what came of [`Node::receive_from`]:
    /// why it was refused, unless it is kept until it may be taken in.
    ///
    /// Errors: those that [are transient](Error::is_transient): it must not be acknowledged.
    pub fn to_report(
        &self,
        envelope: &[u8],
        taken: Result<&Taken, Error>,
    ) -> Result<Option<Error>, Error> {
        match taken {
            Ok(_) => Ok(None),
            Err(why) if why.is_transient() => Err(why),
            Err(why) => Ok(Some(why).filter(|_| !self.hopes_for(envelope))),
        }
    }

    /// What was acknowledged as kept until it may be taken in, and is given up: for an acknowledgement,
    /// at most [`MAX_PAGE`].
    pub async fn given_up(&self) -> Result<Vec<Refused>, Error> {
        let rows = self.platform.store().scan(Table::Meta, GIVEN_UP, "", MAX_PAGE).await?;
        rows.into_iter().map(|(_, row)| json::stored(&row)).collect()
    }

    /// The server was told so, if there was anything, and all else that the mailbox has is acknowledged: what
    /// was begun and is not kept does not come again.
    pub async fn told_given_up(&self, told: &[Refused]) -> Result<(), Error> {
        let mut writes = self.begun_and_not_kept().await?;
        writes.extend(told.iter().map(|one| delete(Table::Meta, given_up(one.seq))));
        if writes.is_empty() { Ok(()) } else { self.platform.store().commit(writes).await }
    }

    /// Gives some of what [may become good](Error::may_become_good) another try, what was tried least
    /// first: now and then, and once the node trusts newer documents. Answers what was taken in; what
    /// is refused for another reason stays with that. Lets what was kept long enough go.
    ///
    /// Errors: those that [are transient](Error::is_transient).
    pub async fn retry_hopeful<F: Contents>(&self) -> Result<Vec<Taken>, Error> {
        let mut taken = Vec::new();
        for key in self.next_hopeful().await? {
            taken.extend(self.retry::<F>(&key).await?);
        }
        Ok(taken)
    }

    /// The first half of [`Node::retry_hopeful`]: lets what was kept long enough go, and answers what is to
    /// be tried now, for [`Node::retry`].
    pub async fn next_hopeful(&self) -> Result<Vec<String>, Error> {
        let now = self.now();
        let old = self.in_room(|room| room.take_old(now)).await?;
        let writes = self.dropping(&old).await?;
        self.keep_in_room(writes).await?;
        self.in_room(|room| room.next_to_try(TRIES)).await
    }

    /// The second half: tries one again. Errors: those that [are transient](Error::is_transient).
    pub async fn retry<F: Contents>(&self, key: &str) -> Result<Option<Taken>, Error> {
        let Some(row) = self.platform.store().read(Table::Quarantine, key).await? else {
            self.in_room(|room| room.forget(key)).await?;
            return Ok(None);
        };
        let mut kept: Quarantined = json::stored(&row)?;
        let (envelope, by) = (kept.envelope.as_bytes(), self.in_room(|room| room.by(key)).await?);
        let taken = self.try_to_take_in::<F>(envelope, self.now(), &by).await;
        let why = match self.let_held_follow::<F>(envelope, taken).await {
            Ok(taken) => {
                self.in_room(|room| room.forget(key)).await?;
                self.platform.store().commit(dropped(key).into()).await?;
                return Ok(Some(taken));
            }
            Err(refusal) => refusal.why,
        };
        // A quota is its sender's affair, and holds nobody else's up.
        if why.status() == Error::TooManyRequests.status() {
            return Ok(None);
        }
        if why.is_transient() {
            return Err(why);
        }
        let mut writes = Vec::new();
        if why.code() != kept.code {
            why.code().clone_into(&mut kept.code);
            writes.push(put(Table::Quarantine, key.to_owned(), json::write(&kept)?));
        }
        if !why.may_become_good()
            && let Some(place) = self.in_room(|room| room.give_up(key)).await?
        {
            writes.push(counted(key, &place)?);
            writes.extend(place.seq.map(|seq| to_tell(seq, &kept.code)).transpose()?);
        }
        self.keep_in_room(writes).await?;
        Ok(None)
    }

    /// Keeps a refusal, if there is room for it.
    pub(super) async fn quarantine(
        &self,
        envelope: &[u8],
        received: Timestamp,
        refusal: &Refusal,
        by: &Deliverer,
    ) -> Result<(), Error> {
        let (store, key) = (self.platform.store(), digest(envelope));
        if store.read(Table::Quarantine, &key).await?.is_some() {
            return Ok(());
        }
        let fits = refusal.why != Error::EnvelopeTooLarge;
        let hopeful = refusal.why.may_become_good();
        let place = QuarantinePlace {
            by: by.label(refusal.sender.as_ref()),
            received,
            bytes: if fits { envelope.len() as u64 } else { 0 },
            hopeful,
            seq: by.seq(),
            from: by.address().filter(|_| hopeful).cloned(),
        };
        let Admission { place, gone } = self.in_room(|room| room.admit(&key, place)).await?;
        let mut writes = self.dropping(&gone).await?;
        if let Some(place) = place {
            let envelope = if place.bytes > 0 { envelope } else { &[] };
            let quarantined = Quarantined {
                received,
                code: refusal.why.code().to_owned(),
                envelope: String::from_utf8_lossy(envelope).into_owned(),
            };
            writes.push(counted(&key, &place)?);
            writes.push(put(Table::Quarantine, key, json::write(&quarantined)?));
        }
        self.keep_in_room(writes).await
    }

    /// What has the server tell who delivered an envelope that was refused after it was acknowledged,
    /// unless there is still hope for it.
    pub(super) fn telling(
        &self,
        envelope: &[u8],
        why: Error,
        by: &Deliverer,
    ) -> Result<Option<Write>, Error> {
        let seq = by.seq().filter(|_| !self.hopes_for(envelope));
        seq.map(|seq| to_tell(seq, why.code())).transpose()
    }

    /// Lets these go; who delivered what was hoped for is to be told.
    async fn dropping(&self, gone: &[(String, QuarantinePlace)]) -> Result<Vec<Write>, Error> {
        let mut writes = Vec::new();
        for (key, place) in gone {
            writes.extend(dropped(key));
            let Some(seq) = place.seq.filter(|_| place.is_hoped_for()) else { continue };
            let row = self.platform.store().read(Table::Quarantine, key).await;
            if let Some(row) = row.inspect_err(|_| self.read_room_anew())? {
                let kept: Quarantined = json::stored(&row)?;
                writes.push(to_tell(seq, &kept.code)?);
            }
        }
        Ok(writes)
    }

    /// What was refused before is taken in, and [`dropped`] on stable storage.
    pub(super) fn forget_refusal(&self, envelope: &[u8]) {
        let room = &mut *self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = room {
            room.forget(&digest(envelope));
        }
    }

    /// Commits what the room was changed for. When that fails it is looked at anew.
    async fn keep_in_room(&self, writes: Vec<Write>) -> Result<(), Error> {
        if writes.is_empty() {
            return Ok(());
        }
        let kept = self.platform.store().commit(writes).await;
        kept.inspect_err(|_| self.read_room_anew())
    }

    fn read_room_anew(&self) {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What failed to be kept by somebody else meanwhile is read anew first.
    async fn in_room<T>(&self, look: impl FnOnce(&mut Room) -> T) -> Result<T, Error> {
        loop {
            self.look_into_room().await?;
            if let Some(room) = &mut *self.room.lock().unwrap_or_else(PoisonError::into_inner) {
                return Ok(look(room));
            }
        }
    }

    /// Reads what is kept, when the node has not done so yet.
    async fn look_into_room(&self) -> Result<(), Error> {
        if self.room.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        self.adopt_earlier().await?;
        let (mut read, mut after) = (Room::default(), String::new());
        loop {
            let rows = self.platform.store().scan(Table::Meta, PLACES, &after, PAGE).await?;
            let Some((last, _)) = rows.last() else { break };
            after = last.clone();
            for (key, row) in rows {
                read.count(key[PLACES.len()..].to_owned(), json::stored(&row)?);
            }
        }
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.get_or_insert(read);
        Ok(())
    }

    /// Counts what versions before this have kept.
    async fn adopt_earlier(&self) -> Result<(), Error> {
        let store = self.platform.store();
        if store.read(Table::Meta, ADOPTED).await?.is_some() {
            return Ok(());
        }
        let mut after = String::new();
        loop {
            let page = self.quarantined(&after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = last.clone();
            let counted = page.iter().map(|(key, kept)| {
                let hopeful = Error::from_code(&kept.code).is_some_and(Error::may_become_good);
                let (by, bytes) = ("earlier".to_owned(), kept.envelope.len() as u64);
                let place = QuarantinePlace {
                    by,
                    received: kept.received,
                    bytes,
                    hopeful,
                    seq: None,
                    from: None,
                };
                counted(key, &place)
            });
            store.commit(counted.collect::<Result<_, _>>()?).await?;
        }
        store.commit(vec![put(Table::Meta, ADOPTED.to_owned(), Vec::new())]).await
    }
}

fn counted(key: &str, place: &QuarantinePlace) -> Result<Write, Error> {
    Ok(put(Table::Meta, place_of(key), json::write(place)?))
}

fn to_tell(seq: u64, code: &str) -> Result<Write, Error> {
    let refused = Refused { seq, code: code.to_owned() };
    Ok(put(Table::Meta, given_up(seq), json::write(&refused)?))
}

fn given_up(seq: u64) -> String {
    format!("{GIVEN_UP}{seq:020}")
}

fn delete(table: Table, key: String) -> Write {
    Write::Delete { table, key }
}

/// The row of [`Table::Meta`] that counts what is kept of an envelope.
pub(super) fn place_of(key: &str) -> String {
    format!("{PLACES}{key}")
}

/// What is kept of an envelope that was refused, or begun and not ended, goes.
pub(super) fn dropped(key: &str) -> [Write; 3] {
    [
        delete(Table::Quarantine, key.to_owned()),
        delete(Table::Meta, place_of(key)),
        delete(Table::Inbox, begun(key)),
    ]
}

/// The key of what was begun.
pub(super) fn begun(digest: &str) -> String {
    format!("{BEGUN}{digest}")
}
