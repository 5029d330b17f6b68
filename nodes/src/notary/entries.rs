//! The logged entries in the notary's database: ids and keys as bytes, and what blinds them in the
//! log. Ids of cases begin with their time (UUIDv7), so that their index grows near its end.

use hdms::Error;
use hdms::base64url::{decode, encode};
use hdms::ids::{CaseId, EntryId, NodeId};
use hdms::json;
use hdms::ledger::{
    CaseSecret, Commitment, Entry, EntryKind, Leaf, LeafOpening, Place, Salt, VerificationKey,
};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use uuid::Uuid;

use crate::base::sqlite::Failure;

/// SQL of the table as it was at first. `place` is the leaf's index; `previous` is empty for a case's
/// first entry.
pub const TABLE: &str = "
    CREATE TABLE entries (
        place INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        id BLOB NOT NULL UNIQUE,
        case_id BLOB NOT NULL,
        previous BLOB NOT NULL,
        author BLOB NOT NULL,
        counterparty BLOB NOT NULL,
        verification_key BLOB NOT NULL,
        document_salt BLOB NOT NULL,
        parties_salt BLOB NOT NULL,
        UNIQUE (case_id, previous)
    ) STRICT;
";

/// SQL of what version 2 of the protocol added: the secret of the entry's case; none in those of
/// before.
pub const SECRETS: &str = "ALTER TABLE entries ADD COLUMN secret BLOB;";

/// SQL of the patient's part of the draw, JSON, in a case's first entry.
pub const DRAWS: &str = "ALTER TABLE entries ADD COLUMN draw BLOB;";

/// SQL of the table in which a case's entries have numbers; those of before version 2 have none. The last
/// line of defence against two entries in one place is the database itself.
pub const NUMBERS: &str = "
    CREATE TABLE numbered (
        place INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        id BLOB NOT NULL UNIQUE,
        case_id BLOB NOT NULL,
        number INTEGER,
        previous BLOB NOT NULL,
        author BLOB NOT NULL,
        counterparty BLOB NOT NULL,
        verification_key BLOB NOT NULL,
        document_salt BLOB NOT NULL,
        parties_salt BLOB NOT NULL,
        secret BLOB,
        draw BLOB,
        UNIQUE (case_id, number)
    ) STRICT;
    INSERT INTO numbered
        SELECT place, time, kind, id, case_id, NULL, previous, author, counterparty,
            verification_key, document_salt, parties_salt, secret, draw FROM entries;
    DROP TABLE entries;
    ALTER TABLE numbered RENAME TO entries;
";

const COLUMNS: &str = "place, time, kind, id, case_id, previous, author, counterparty, \
                       verification_key, document_salt, parties_salt, secret, draw, number";

/// An entry as it is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEntry {
    /// Its leaf's index.
    pub index: u64,
    /// When it was logged, seconds.
    pub time: u64,
    /// The entry.
    pub entry: Entry,
    /// Of its document's and of its parties' commitment.
    pub salts: [Salt; 2],
    /// Where it stands in its case.
    pub place: Place,
}

impl LoggedEntry {
    /// The bytes that the log hashes.
    pub fn leaf(&self) -> Vec<u8> {
        Leaf::of(&self.entry, self.salts, self.place, self.time).to_bytes()
    }

    /// What opens the leaf, for the entry's participants.
    pub fn opening(&self) -> LeafOpening {
        LeafOpening::of(&self.entry, self.salts, self.place, self.time)
    }

    /// Adds it to the table.
    pub fn insert(&self, tx: &Connection) -> Result<(), Failure> {
        let entry = &self.entry;
        let sql = format!(
            "INSERT INTO entries ({COLUMNS}) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
        );
        let secret = match &self.place {
            Place::Numbered(secret, _) => Some(secret.0),
            Place::Former => None,
        };
        let previous = entry.previous.as_ref().map(uuid).transpose()?;
        let row = (
            self.index,
            self.time,
            kind_number(entry.kind),
            uuid(&entry.id)?,
            uuid(&entry.case)?,
            previous.as_ref().map_or(&[][..], |id| id),
            hash(&entry.author)?,
            hash(&entry.counterparty)?,
            hash(&entry.verification_key)?,
            self.salts[0].0,
            self.salts[1].0,
            secret,
            entry.draw.as_ref().map(json::write).transpose()?,
            self.place.number(),
        );
        tx.prepare_cached(&sql)?.execute(row)?;
        Ok(())
    }

    fn read(row: &Row<'_>) -> Result<Self, Failure> {
        let previous: Vec<u8> = row.get(5)?;
        let previous = match previous.as_slice() {
            [] => None,
            bytes => Some(id(bytes.try_into().map_err(|_| Error::StoreCorrupt)?)?),
        };
        let secret = row.get::<_, Option<[u8; 32]>>(11)?.map(CaseSecret);
        let place = match (secret, row.get::<_, Option<u64>>(13)?) {
            (Some(secret), Some(number)) => Place::Numbered(secret, number),
            (None, None) => Place::Former,
            _ => return Err(Error::StoreCorrupt.into()),
        };
        let draw = row.get::<_, Option<Vec<u8>>>(12)?;
        Ok(Self {
            index: row.get(0)?,
            time: row.get(1)?,
            entry: Entry {
                kind: if row.get::<_, bool>(2)? { EntryKind::Result } else { EntryKind::Request },
                id: id(row.get(3)?)?,
                case: id(row.get(4)?)?,
                case_secret: secret
                    .filter(|_| place.number() == Some(1))
                    .map(Commitment::to_secret),
                previous,
                author: node(row.get(6)?)?,
                counterparty: node(row.get(7)?)?,
                verification_key: verification_key(row.get(8)?)?,
                draw: draw.map(|draw| json::stored(&draw)).transpose()?,
            },
            salts: [Salt(row.get(9)?), Salt(row.get(10)?)],
            place,
        })
    }
}

/// How many there are.
pub fn count(connection: &Connection) -> Result<u64, Failure> {
    let sql = "SELECT coalesce(max(place) + 1, 0) FROM entries";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// When the last one was logged, seconds; 0 if there is none.
pub fn last_time(connection: &Connection) -> Result<u64, Failure> {
    let last = count(connection)?.checked_sub(1).map(|last| at(connection, last)).transpose()?;
    Ok(last.flatten().map_or(0, |last| last.time))
}

/// The entry at this place of the log.
pub fn at(connection: &Connection, index: u64) -> Result<Option<LoggedEntry>, Failure> {
    one(connection, "place = ?1", [index])
}

/// The entry with this id.
pub fn with_id(connection: &Connection, id: &EntryId) -> Result<Option<LoggedEntry>, Failure> {
    one(connection, "id = ?1", [uuid(id)?])
}

/// The entry of this case that was logged last.
pub fn last_of(connection: &Connection, case: &CaseId) -> Result<Option<LoggedEntry>, Failure> {
    one(connection, "case_id = ?1 ORDER BY number DESC LIMIT 1", [uuid(case)?])
}

/// The leaves at these places, as far as there are any.
pub fn leaves(
    connection: &Connection,
    places: std::ops::Range<u64>,
) -> Result<Vec<Vec<u8>>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM entries WHERE place >= ?1 AND place < ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((places.start, places.end))?;
    let mut leaves = Vec::new();
    while let Some(row) = rows.next()? {
        leaves.push(LoggedEntry::read(row)?.leaf());
    }
    Ok(leaves)
}

fn one(
    connection: &Connection,
    which: &str,
    key: impl Params,
) -> Result<Option<LoggedEntry>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM entries WHERE {which}");
    let mut statement = connection.prepare_cached(&sql)?;
    let read = |row: &Row<'_>| Ok(LoggedEntry::read(row));
    statement.query_row(key, read).optional()?.transpose()
}

fn kind_number(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::Request => 0,
        EntryKind::Result => 1,
    }
}

fn uuid(id: &impl AsRef<str>) -> Result<[u8; 16], Error> {
    Uuid::try_parse(id.as_ref()).map(Uuid::into_bytes).map_err(|_| Error::EntryMalformed)
}

fn id<T: TryFrom<String, Error = Error>>(bytes: [u8; 16]) -> Result<T, Error> {
    Uuid::from_bytes(bytes).hyphenated().to_string().try_into().map_err(|_| Error::StoreCorrupt)
}

fn hash(text: &impl AsRef<str>) -> Result<[u8; 32], Error> {
    let bytes = decode(text.as_ref()).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(Error::EntryMalformed)
}

fn node(bytes: [u8; 32]) -> Result<NodeId, Error> {
    encode(bytes).parse().map_err(|_| Error::StoreCorrupt)
}

fn verification_key(bytes: [u8; 32]) -> Result<VerificationKey, Error> {
    VerificationKey::try_from(encode(bytes)).map_err(|_| Error::StoreCorrupt)
}
