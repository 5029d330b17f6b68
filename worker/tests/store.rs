//! IndexedDB as the node's store, in a service worker.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hdms::Error;
use hdms::provider::{Store, Table, Write};
use hdms_worker::store::{IndexedDb, SCHEMA};
use rexie::{ObjectStore, Rexie};
use support::fresh_name;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_service_worker);

#[wasm_bindgen(inline_js = "
    const durabilities = [];
    export function watch_durability() {
        const open = IDBDatabase.prototype.transaction;
        IDBDatabase.prototype.transaction = function (...args) {
            const transaction = open.apply(this, args);
            if (transaction.mode === 'readwrite') durabilities.push(transaction.durability);
            return transaction;
        };
    }
    export const durabilities_seen = () => durabilities.join(' ');
")]
extern "C" {
    fn watch_durability();
    fn durabilities_seen() -> String;
}

#[wasm_bindgen_test]
async fn every_write_waits_for_the_disk() {
    let store = IndexedDb::open(&fresh_name("strict")).await.unwrap();
    watch_durability();
    store.commit(vec![put(Table::Cases, "a", b"1"), put(Table::Outbox, "b", b"2")]).await.unwrap();
    store.keep_key("key", &"key".into()).await.unwrap();
    store.mark("mark").await.unwrap();
    store.clear().await.unwrap();
    assert_eq!(durabilities_seen(), "strict strict strict strict");
}

#[wasm_bindgen_test]
async fn a_table_that_was_filled_and_is_empty_is_missed() {
    let name = fresh_name("lost");
    let store = IndexedDb::open(&name).await.unwrap();
    store.commit(vec![put(Table::Cases, "a", b"1"), put(Table::Outbox, "b", b"2")]).await.unwrap();
    let sent = Write::Delete { table: Table::Outbox, key: "b".into() };
    store.commit(vec![sent]).await.unwrap();
    let store = IndexedDb::open(&name).await.unwrap();
    assert_eq!(store.has_lost_rows().await, Ok(false));
    let gone = Write::Delete { table: Table::Cases, key: "a".into() };
    store.commit(vec![gone]).await.unwrap();
    let store = IndexedDb::open(&name).await.unwrap();
    assert_eq!(store.has_lost_rows().await, Ok(true));
    store.clear().await.unwrap();
    assert_eq!(IndexedDb::open(&name).await.unwrap().has_lost_rows().await, Ok(false));
}

#[wasm_bindgen_test]
async fn marks_are_kept_with_what_they_mark() {
    let name = fresh_name("marks");
    let store = IndexedDb::open(&name).await.unwrap();
    store.mark("made").await.unwrap();
    store.commit(vec![put(Table::Records, "a", b"1")]).await.unwrap();
    let store = IndexedDb::open(&name).await.unwrap();
    assert!(store.is_marked("made") && store.is_marked("records"));
    assert!(!store.is_marked("mad") && !store.is_marked("cases"));
    store.fail_next_commit();
    assert!(store.commit(vec![put(Table::Cases, "a", b"1")]).await.is_err());
    assert!(!IndexedDb::open(&name).await.unwrap().is_marked("cases"));
}

#[wasm_bindgen_test]
async fn indexed_db_passes_the_suite_of_all_stores() {
    let open = async |name: String| IndexedDb::open(&name).await.unwrap();
    let reopen = async |store: IndexedDb| open(store.name()).await;
    hdms_vectors::store::store_suite(async || open(fresh_name("suite")).await, reopen).await;
}

#[wasm_bindgen_test]
async fn storage_of_a_newer_version_is_refused_and_left_alone() {
    let name = fresh_name("newer");
    let newer = Rexie::builder(&name).version(SCHEMA + 1).add_object_store(ObjectStore::new("x"));
    newer.build().await.unwrap().close();
    assert_eq!(IndexedDb::open(&name).await.err(), Some(Error::StoreNewer));
    let again = Rexie::builder(&name).version(SCHEMA + 1).add_object_store(ObjectStore::new("x"));
    assert_eq!(again.build().await.unwrap().store_names(), ["x"]);
}

#[wasm_bindgen_test]
async fn a_store_whose_commit_failed_stops_until_it_is_opened_anew() {
    let name = fresh_name("failed");
    let store = IndexedDb::open(&name).await.unwrap();
    store.commit(vec![put(Table::Meta, "kept", b"1")]).await.unwrap();
    store.fail_next_commit();
    let lost = vec![put(Table::Meta, "kept", b"2"), put(Table::Cases, "lost", b"1")];
    assert_eq!(store.commit(lost).await, Err(Error::StoreFailed));
    assert_eq!(store.read(Table::Meta, "kept").await, Err(Error::NodeStopped));
    assert_eq!(store.commit(vec![put(Table::Meta, "a", b"")]).await, Err(Error::NodeStopped));
    assert_eq!(store.key("node").await.err(), Some(Error::NodeStopped));

    let store = IndexedDb::open(&name).await.unwrap();
    assert_eq!(store.read(Table::Meta, "kept").await, Ok(Some(b"1".to_vec())));
    assert_eq!(store.read(Table::Cases, "lost").await, Ok(None));
}

#[wasm_bindgen_test]
async fn a_database_that_is_being_deleted_is_let_go_and_the_node_stops() {
    let name = fresh_name("deleted");
    let store = IndexedDb::open(&name).await.unwrap();
    Rexie::delete(&name).await.unwrap();
    let answer = store.commit(vec![put(Table::Meta, "a", b"")]).await;
    assert_eq!(answer, Err(Error::StoreFailed));
    assert_eq!(store.read(Table::Meta, "a").await, Err(Error::NodeStopped));
}

fn put(table: Table, key: &str, value: &[u8]) -> Write {
    Write::Put { table, key: key.into(), value: value.into() }
}
