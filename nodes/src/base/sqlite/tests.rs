use super::{Database, Failure, Schema, connect};
use hdms::Error;
use rusqlite::OpenFlags;
use std::path::Path;
use std::time::Duration;

const ONE: Schema = Schema {
    application: 7,
    migrations: &["CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE) STRICT"],
};
const TWO: Schema = Schema {
    application: 7,
    migrations: &[ONE.migrations[0], "ALTER TABLE t ADD COLUMN w TEXT DEFAULT 'new'"],
};

fn open(dir: &Path, schema: &Schema) -> Result<Database, Error> {
    Database::open(&dir.join("node/db.sqlite"), schema)
}

async fn insert(database: &Database, value: &str) -> Result<(), Error> {
    let value = value.to_owned();
    database
        .write(move |tx| Ok(tx.execute("INSERT INTO t (v) VALUES (?1)", [value]).map(drop)?))
        .await
}

async fn values(database: &Database) -> Vec<String> {
    database
        .read(|connection| {
            let mut statement = connection.prepare("SELECT v FROM t ORDER BY id")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_failing_job_in_a_group_takes_nobody_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path(), &ONE).unwrap();
    let refused = database.write(|tx| {
        tx.execute("INSERT INTO t (v) VALUES ('refused')", [])?;
        Err::<(), _>(Failure::Refused(Error::MailboxFull))
    });
    let (a, refused, twice, b) = tokio::join!(
        insert(&database, "a"),
        refused,
        async {
            insert(&database, "twice").await.unwrap();
            insert(&database, "twice").await
        },
        insert(&database, "b"),
    );
    assert_eq!((a, b), (Ok(()), Ok(())));
    assert_eq!(refused, Err(Error::MailboxFull));
    assert_eq!(twice, Err(Error::StoreFailed));
    let mut values = values(&database).await;
    values.sort();
    assert_eq!(values, ["a", "b", "twice"]);
}

#[tokio::test]
async fn work_goes_on_when_the_one_who_asked_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path(), &ONE).unwrap();
    for n in 0..100 {
        // Polled once, which hands the work over, and dropped.
        let value = n.to_string();
        let asked = insert(&database, &value);
        tokio::select! { biased; _ = asked => {} () = std::future::ready(()) => {} }
    }
    insert(&database, "last").await.unwrap();
    assert_eq!(values(&database).await.len(), 101);
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), &ONE).unwrap();
    insert(&first, "kept").await.unwrap();
    assert_eq!(open(dir.path(), &ONE).err(), Some(Error::StoreBusy));
    let operator = Database::join(&dir.path().join("node/db.sqlite"), &ONE).unwrap();
    insert(&operator, "by the operator").await.unwrap();
    assert_eq!(values(&first).await, ["kept", "by the operator"]);
    drop((first, operator));
    let again = open(dir.path(), &ONE).unwrap();
    assert_eq!(values(&again).await, ["kept", "by the operator"]);
}

#[tokio::test]
async fn migrations_keep_data_and_newer_foreign_or_damaged_databases_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    insert(&open(dir.path(), &ONE).unwrap(), "old").await.unwrap();
    assert_eq!(values(&open(dir.path(), &TWO).unwrap()).await, ["old"]);
    assert_eq!(open(dir.path(), &ONE).err(), Some(Error::StoreNewer));
    let foreign = Schema { application: 8, ..TWO };
    assert_eq!(open(dir.path(), &foreign).err(), Some(Error::StoreCorrupt));
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("db.sqlite");
    assert!(Database::join(&path, &ONE).is_err());
    std::fs::write(&path, "this is no database, and it is long enough".repeat(100)).unwrap();
    assert_eq!(Database::open(&path, &ONE).err(), Some(Error::StoreCorrupt));
}

#[tokio::test]
async fn a_full_disk_fails_the_write_and_leaves_everything_else_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path(), &ONE).unwrap();
    insert(&database, "before").await.unwrap();
    database.write(|tx| Ok(tx.pragma_update(None, "max_page_count", 4)?)).await.unwrap();
    assert_eq!(insert(&database, &"x".repeat(100_000)).await, Err(Error::StoreFull));
    assert_eq!(values(&database).await, ["before"]);
    database.write(|tx| Ok(tx.pragma_update(None, "max_page_count", 10_000)?)).await.unwrap();
    insert(&database, "after").await.unwrap();
    assert_eq!(values(&database).await, ["before", "after"]);
}

#[tokio::test]
async fn what_was_deleted_or_replaced_is_in_none_of_the_files_some_time_after() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &ONE).unwrap());
    let path = dir.path().join("node/db.sqlite");
    let writer = connect(&path, OpenFlags::default()).unwrap();
    let database = Database::start(&path, writer, None, Duration::from_secs(2)).unwrap();
    let secret = "a sealed envelope, ".repeat(2000);
    for _ in 0..3 {
        insert(&database, &secret).await.unwrap();
        let gone = "UPDATE t SET v = NULL WHERE v IS NOT NULL";
        database.write(move |tx| Ok(tx.execute(gone, []).map(drop)?)).await.unwrap();
    }
    insert(&database, "a sealed envelope, short").await.unwrap();
    database.write(|tx| Ok(tx.execute("DELETE FROM t", []).map(drop)?)).await.unwrap();
    let files = || {
        let entries = std::fs::read_dir(dir.path().join("node")).unwrap();
        entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
    };
    let found = |text: &[u8]| text.windows(17).any(|part| part == b"a sealed envelope");
    assert!(files().any(|file| found(&file)), "nothing would be shown by what follows");
    for _ in 0..100 {
        if !files().any(|file| found(&file)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody has emptied the WAL");
}

#[tokio::test]
async fn every_file_is_its_owners_alone_also_where_it_was_there_before() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("node");
    let first = open(dir.path(), &ONE).unwrap();
    insert(&first, "kept").await.unwrap();
    let entries = || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let others = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o077;
    assert_eq!(entries().count(), 4, "with -wal, -shm and .lock");
    assert!(entries().all(|path| others(&path) == 0));
    // As after a kill -9 of a version that made them for all to read.
    let copies: Vec<_> = entries().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
    drop(first);
    for (content, path) in copies {
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let again = open(dir.path(), &ONE).unwrap();
    assert_eq!(values(&again).await, ["kept"]);
    insert(&again, "more").await.unwrap();
    assert!(others(&folder) == 0 && entries().all(|path| others(&path) == 0));
}
