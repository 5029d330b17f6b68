//! The store suite over the native stores; the browser's runs in `worker/`.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_lite::future::block_on;
use hdms::memory::MemoryStore;
use hdms::provider::{Store, Table, Write};
use hdms_nodes::base::store::SqliteStore;

#[test]
fn memory_is_a_store() {
    block_on(hdms_vectors::store::store_suite(
        async || MemoryStore::default(),
        async |store: MemoryStore| store,
    ));
}

#[test]
fn sqlite_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    let path = || dir.path().join(format!("{}.sqlite", count.load(Ordering::Relaxed)));
    block_on(hdms_vectors::store::store_suite(
        async || {
            count.fetch_add(1, Ordering::Relaxed);
            SqliteStore::open(&path()).unwrap()
        },
        async |store: SqliteStore| {
            drop(store);
            SqliteStore::open(&path()).unwrap()
        },
    ));
}

/// What a later version must open: a database that version 1 wrote.
#[test]
fn a_database_of_version_1_opens_with_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.sqlite");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/sqlite-1.sqlite"), &path).unwrap();
    block_on(async {
        let store = SqliteStore::open(&path).unwrap();
        for table in Table::ALL {
            let kept = store.read(table, "key").await.unwrap();
            assert_eq!(kept.as_deref(), Some(table.name().as_bytes()));
        }
        let write = Write::Put { table: Table::Meta, key: "new".into(), value: b"1".into() };
        store.commit(vec![write]).await.unwrap();
    });
}
