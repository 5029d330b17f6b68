//! IndexedDB as the node's store, in a service worker.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hdms::Error;
use hdms::provider::{Store, Table, Write};
use hdms_worker::store::{IndexedDb, SCHEMA};
use rexie::{ObjectStore, Rexie};
use support::fresh_name;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_service_worker);

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
