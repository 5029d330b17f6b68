//! The server's database.

use std::path::Path;

use hdms::Error;

use super::{
    mailbox, manifests, marks, nodes, quota, refusals, reports, rivals, strangers, superseded,
    waiting_changes,
};
use crate::base::log::tiles;
use crate::base::sqlite::{Database, Schema};

/// File name of the database within the server's folder.
pub const FILE: &str = "server.sqlite";

/// See the comments within.
pub const SCHEMA: Schema = Schema {
    application: 0x4844_4d02,
    migrations: &[
        "
    -- The server's own few values, JSON.
    CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

    -- Every node that proved possession of its keys. `request` is what it asked to be last, `card`
    -- the newest one issued to it, `claims` a digest of what that says.
    CREATE TABLE nodes (
        id TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'admitted', 'revoked')),
        request TEXT NOT NULL,
        card TEXT,
        claims TEXT,
        expires INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX nodes_listed ON nodes (id) WHERE role <> 'personal';
    CREATE INDEX nodes_revoked ON nodes (id) WHERE status = 'revoked';

    -- The signed network documents. `content` tells whether a new one is needed.
    CREATE TABLE documents (
        kind TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        issued INTEGER NOT NULL,
        content TEXT NOT NULL,
        jwt TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- One row for each mailbox that ever got a message; counts what waits in it.
    CREATE TABLE mailboxes (
        node TEXT PRIMARY KEY,
        last INTEGER NOT NULL,
        acknowledged INTEGER NOT NULL DEFAULT 0,
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- Acknowledged messages lose their envelope and stay until they expire, so that a delivery
    -- that is repeated late does not come a second time.
    CREATE TABLE messages (
        recipient TEXT NOT NULL,
        seq INTEGER NOT NULL,
        sender TEXT NOT NULL,
        id TEXT NOT NULL,
        expires INTEGER NOT NULL,
        envelope TEXT,
        UNIQUE (recipient, seq),
        UNIQUE (recipient, sender, id)
    ) STRICT;
    CREATE INDEX messages_expiry ON messages (expires);
    ",
        "
    -- What waits of each sender: in each mailbox, and under the recipient '' in all together.
    CREATE TABLE senders (
        sender TEXT NOT NULL,
        recipient TEXT NOT NULL,
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (sender, recipient)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO senders
        SELECT sender, recipient, count(*), sum(octet_length(envelope)) FROM messages
        WHERE envelope IS NOT NULL GROUP BY sender, recipient;
    INSERT INTO senders SELECT sender, '', sum(messages), sum(bytes) FROM senders GROUP BY sender;
    ",
        "
    -- Where nodes are woken, in the order in which they said so; `id` is the digest of the address.
    -- What lies in the mailbox up to `pushed` was announced there.
    CREATE TABLE subscriptions (
        place INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        node TEXT NOT NULL,
        subscription TEXT NOT NULL,
        expires INTEGER,
        pushed INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX subscriptions_node ON subscriptions (node);
    CREATE INDEX subscriptions_expiry ON subscriptions (expires) WHERE expires IS NOT NULL;
    ",
        "
    -- A node may be refused too. `admitted` is what it was admitted as, while it has asked to be
    -- something else or is no longer a member; `until` is when it was revoked, `reason` why it was
    -- refused or revoked.
    CREATE TABLE renewed (
        id TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'admitted', 'refused', 'revoked')),
        request TEXT NOT NULL,
        admitted TEXT,
        reason TEXT,
        until INTEGER,
        card TEXT,
        claims TEXT,
        expires INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    INSERT INTO renewed
        SELECT id, role, status, request, iif(status = 'revoked', request, NULL), NULL,
            iif(status = 'revoked', unixepoch(), NULL), card, claims, expires FROM nodes;
    DROP TABLE nodes;
    ALTER TABLE renewed RENAME TO nodes;
    CREATE INDEX nodes_listed ON nodes (id) WHERE role <> 'personal';
    CREATE INDEX nodes_revoked ON nodes (id) WHERE status = 'revoked';

    -- What happened; see the module. It only grows.
    CREATE TABLE trail (
        number INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        act TEXT NOT NULL,
        node TEXT,
        detail TEXT NOT NULL,
        before TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER trail_is_not_changed BEFORE UPDATE ON trail
        BEGIN SELECT raise(ABORT, 'the trail only grows'); END;
    CREATE TRIGGER trail_is_not_cut BEFORE DELETE ON trail
        BEGIN SELECT raise(ABORT, 'the trail only grows'); END;
    CREATE TRIGGER trail_goes_on BEFORE INSERT ON trail
        WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM trail)
        BEGIN SELECT raise(ABORT, 'the trail only grows'); END;
    ",
        "
    -- What became of messages, for those who delivered them; `outcome` is 'fetched', 'expired' or the
    -- code of a refusal. Of what was fetched there is one row for each mailbox.
    CREATE TABLE reports (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        sender TEXT NOT NULL,
        recipient TEXT NOT NULL,
        seq INTEGER NOT NULL,
        outcome TEXT NOT NULL
    ) STRICT;
    CREATE INDEX reports_sender ON reports (sender, number);
    CREATE UNIQUE INDEX reports_fetched ON reports (sender, recipient) WHERE outcome = 'fetched';
    ",
        tiles::TABLES,
        manifests::TABLE,
        nodes::BARRED,
        "
    -- Since when the cards that a node had before it changed its keys don't count, seconds.
    ALTER TABLE nodes ADD COLUMN superseded INTEGER;
    UPDATE nodes SET superseded = expires - 90 * 24 * 3600
        WHERE expires > 0 AND CASE WHEN json_valid(request)
            THEN coalesce(json_array_length(request, '$.changes'), 0) > 0 ELSE 0 END;
    CREATE INDEX nodes_superseded ON nodes (superseded) WHERE superseded IS NOT NULL;
    ",
        "
    -- Whether its recipient has said that it was not taken in: once, also after it was acknowledged.
    ALTER TABLE messages ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
    ",
        "
    -- Personal nodes of version 1 said how their people are called. Their cards say so too: that there is
    -- one and how long is kept, and a new one, which the next request of a node brings, says nothing.
    UPDATE nodes SET
        request = json_remove(request, '$.name'),
        admitted = iif(json_valid(admitted), json_remove(admitted, '$.name'), admitted),
        card = iif(card IS NULL, NULL, ''),
        claims = iif(claims IS NULL, NULL, '')
        WHERE role = 'personal'
            AND CASE WHEN json_valid(request) THEN request ->> '$.name' IS NOT NULL ELSE 0 END;
    ",
        strangers::COLUMNS,
        "
    -- Requests of version 1 name an encryption key without the node's statement about it.
    ALTER TABLE nodes ADD COLUMN kid TEXT NOT NULL DEFAULT '';
    UPDATE nodes SET
        request = iif(json_valid(request),
            json_set(json_remove(request, '$.encryption_key'), '$.encryption', ''), request),
        admitted = iif(json_valid(admitted),
            json_set(json_remove(admitted, '$.encryption_key'), '$.encryption', ''), admitted);
    ",
        reports::COUNTS,
        mailbox::REMEMBERING,
        superseded::UNKNOWN_KEYS,
        quota::NUMBERS,
        quota::OF_PAIRS,
        marks::MARKS,
        waiting_changes::CHANGES,
        waiting_changes::ORIGINS,
        refusals::TABLE,
        "
    -- Requests named an encryption key by a statement that named no request key.
    UPDATE nodes SET
        request = iif(json_valid(request),
            json_set(json_remove(request, '$.encryption'), '$.subkeys', ''), request),
        admitted = iif(json_valid(admitted),
            json_set(json_remove(admitted, '$.encryption'), '$.subkeys', ''), admitted);
    ",
    ],
};

/// Opens or makes the database in the folder `data` for this process alone. Errors as
/// [`Database::open`].
pub fn hold(data: &Path) -> Result<Database, Error> {
    Database::open_with(&data.join(FILE), &SCHEMA, rivals::note_all)
}

/// Opens or makes the database in the folder `data`, or joins a running server that [holds](hold) it.
/// Errors as [`Database::open`].
pub fn open(data: &Path) -> Result<Database, Error> {
    match hold(data) {
        Err(Error::StoreBusy) => Database::join(&data.join(FILE), &SCHEMA),
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{FILE, SCHEMA, marks, quota};
    use crate::base::sqlite::{Database, Schema};
    use crate::server::quota::{MailboxPlace, Quota, Quotas, take_place};

    /// What version 3 left behind: a node of each status.
    const LEFT: &str = "
        INSERT INTO nodes VALUES
            ('a', 'notary', 'admitted', 'r', 'c', 'd', 9),
            ('b', 'institution', 'pending', 's', NULL, NULL, 0),
            ('c', 'personal', 'revoked', 't', 'e', 'f', 8);
        INSERT INTO settings VALUES ('certified', '{}');
    ";

    /// A mailbox with a message that was fetched and one of each sender's that waits, of before there
    /// were numbers; and all that is known of another mailbox.
    const UNNUMBERED: &str = "
        INSERT INTO mailboxes VALUES ('p', 3, 1, 2, 12);
        INSERT INTO messages (recipient, seq, sender, id, expires, envelope) VALUES
            ('p', 1, 'h', 'a', 9, NULL), ('p', 2, 'g', 'b', 9, '1234567'), ('p', 3, 'h', 'c', 9, '12345');
        INSERT INTO senders VALUES
            ('g', '', 1, 7), ('g', 'p', 1, 7), ('g', 'q', 0, 0), ('h', '', 1, 5), ('h', 'p', 1, 5);
        INSERT INTO reports (sender, recipient, seq, outcome) VALUES
            ('h', 'p', 1, 'fetched'), ('h', 'q', 7, 'fetched');
    ";

    /// A database of the first `version` migrations with what it `left`.
    fn left(version: usize, left: &'static str) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let migrations: Vec<_> =
            SCHEMA.migrations[..version].iter().copied().chain([left]).collect();
        let before = Schema { migrations: migrations.leak(), ..SCHEMA };
        drop(Database::open(&path, &before).unwrap());
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        dir
    }

    /// The same, opened today.
    fn reopened(version: usize, what: &'static str) -> (TempDir, Database) {
        let dir = left(version, what);
        let database = Database::open(&dir.path().join(FILE), &SCHEMA).unwrap();
        (dir, database)
    }

    /// Whichever command opens it first: an operator's may come before the server's next start.
    #[tokio::test]
    async fn by_what_members_may_be_taken_for_others_is_known_once_it_is_open() {
        let version = SCHEMA.migrations.iter().position(|sql| *sql == marks::MARKS).unwrap();
        let id = hdms::base64url::digest("a member");
        let request = serde_json::json!({
            "iss": id, "iat": 1, "jti": "018f0000-0000-7000-8000-000000000001",
            "role": "institution", "name": "Hospital", "endpoint": "https://hospital.example",
            "about": { "registry_number": "1", "address": "2", "contact": "3" },
            "signing_key": hdms::jwk::RsaJwk::from_modulus(vec![0xff; 256]).unwrap(),
            "encryption": "",
        });
        let member = format!(
            "INSERT INTO nodes (id, role, status, request) \
             VALUES ('{id}', 'institution', 'admitted', '{request}')"
        );
        let dir = left(version, member.leak());
        let database = super::open(dir.path()).unwrap();
        let kinds = database.read(|connection| {
            let mut statement = connection.prepare("SELECT kind FROM marks ORDER BY kind")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<Vec<String>, _>>()?)
        });
        assert_eq!(kinds.await.unwrap(), ["endpoint", "look", "name"]);
    }

    #[tokio::test]
    async fn nodes_of_earlier_versions_stay_what_they_are() {
        let (_dir, database) = reopened(3, LEFT);
        let rows = database.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT concat_ws(' ', id, role, status, request, admitted, card, claims, expires), \
                 until IS NOT NULL FROM nodes ORDER BY id",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<Vec<(String, bool)>, _>>()?)
        });
        let expected = [
            ("a notary admitted r c d 9".to_owned(), false),
            ("b institution pending s 0".to_owned(), false),
            ("c personal revoked t t e f 8".to_owned(), true),
        ];
        assert_eq!(rows.await.unwrap(), expected);
    }

    #[tokio::test]
    async fn what_waits_of_a_sender_stays_counted_and_its_numbers_go_on() {
        let numbers = SCHEMA.migrations.iter().position(|sql| *sql == quota::NUMBERS).unwrap();
        let (_dir, database) = reopened(numbers, UNNUMBERED);
        let rows = database.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT concat_ws(' ', sender, recipient, messages, bytes, last) FROM senders \
                 UNION ALL SELECT concat_ws(' ', 'message', seq, number) FROM messages",
            )?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<Vec<String>, _>>()?)
        });
        let senders = ["g  1 7 0", "g p 1 7 2", "h  1 5 0", "h p 1 5 3", "h q 0 0 7"];
        let messages = ["message 1 1", "message 2 2", "message 3 3"];
        assert_eq!(rows.await.unwrap(), [&senders[..], &messages[..]].concat());

        let sender_in_mailbox = Quota { messages: 2, bytes: 1000 };
        let quotas = Quotas { sender_in_mailbox, ..Quotas::default() };
        let taken = database.write(move |tx| {
            let take = |to| take_place(tx, "h", to, 1, quotas);
            Ok([take("p")?, take("p")?, take("q")?])
        });
        let place = |seq, number| Ok(MailboxPlace { seq, number });
        let expected = [place(4, 4), Err(hdms::Error::SenderQuota), place(1, 8)];
        assert_eq!(taken.await.unwrap(), expected);
    }
}
