//! What every [`Store`] must do, run over all of them: memory, SQLite, IndexedDB.

use hdms::provider::{Store, Table, Write};

/// Runs the whole suite; panics at the first thing that a store gets wrong. `make` answers a new,
/// empty store each time; `reopen` closes a store and answers what a node finds when it starts
/// again (for a store that forgets, the same one).
pub async fn store_suite<S: Store>(make: impl AsyncFn() -> S, reopen: impl AsyncFn(S) -> S) {
    values_are_read_as_they_were_written(&make().await).await;
    a_later_write_replaces_and_a_delete_removes(&make().await).await;
    writes_of_one_commit_apply_in_their_order(&make().await).await;
    tables_do_not_share_keys(&make().await).await;
    a_scan_keeps_to_its_prefix_and_order(&make().await).await;
    a_scan_goes_on_where_the_last_page_ended(&make().await).await;
    many_rows_fit_one_commit(&make().await).await;
    what_was_committed_is_there_after_reopening(make().await, reopen).await;
}

fn put(table: Table, key: &str, value: &[u8]) -> Write {
    Write::Put { table, key: key.into(), value: value.into() }
}

fn delete(table: Table, key: &str) -> Write {
    Write::Delete { table, key: key.into() }
}

async fn commit(store: &impl Store, writes: impl Into<Vec<Write>>) {
    store.commit(writes.into()).await.expect("committed");
}

async fn read(store: &impl Store, table: Table, key: &str) -> Option<Vec<u8>> {
    store.read(table, key).await.expect("read")
}

async fn keys(store: &impl Store, prefix: &str, after: &str, limit: usize) -> Vec<String> {
    let rows = store.scan(Table::Entries, prefix, after, limit).await.expect("scanned");
    for (key, value) in &rows {
        assert_eq!(value, key.as_bytes(), "the value of {key}");
    }
    rows.into_iter().map(|(key, _)| key).collect()
}

async fn fill(store: &impl Store, keys: &[&str]) {
    let writes: Vec<_> = keys.iter().map(|key| put(Table::Entries, key, key.as_bytes())).collect();
    commit(store, writes).await;
}

async fn values_are_read_as_they_were_written(store: &impl Store) {
    assert_eq!(read(store, Table::Meta, "absent").await, None);
    let large: Vec<u8> = (0..1_500_000_u32).map(|n| (n % 251) as u8).collect();
    let values: [(&str, &[u8]); 4] = [
        ("empty", b""),
        ("bytes", b"\x00\xff\x80\n'"),
        ("text", "ångström".as_bytes()),
        ("large", &large),
    ];
    for (key, value) in values {
        commit(store, [put(Table::Records, key, value)]).await;
    }
    for (key, value) in values {
        assert!(read(store, Table::Records, key).await.as_deref() == Some(value), "{key}");
    }
    commit(store, []).await;
}

async fn a_later_write_replaces_and_a_delete_removes(store: &impl Store) {
    commit(store, [put(Table::Cases, "a", b"1"), put(Table::Cases, "b", b"1")]).await;
    commit(store, [put(Table::Cases, "a", b"22")]).await;
    assert_eq!(read(store, Table::Cases, "a").await.as_deref(), Some(&b"22"[..]));
    commit(store, [delete(Table::Cases, "a"), delete(Table::Cases, "never")]).await;
    assert_eq!(read(store, Table::Cases, "a").await, None);
    assert_eq!(read(store, Table::Cases, "b").await.as_deref(), Some(&b"1"[..]));
}

async fn writes_of_one_commit_apply_in_their_order(store: &impl Store) {
    let table = Table::Outbox;
    commit(
        store,
        [
            put(table, "kept", b"old"),
            delete(table, "kept"),
            put(table, "kept", b"new"),
            put(table, "gone", b"x"),
            delete(table, "gone"),
        ],
    )
    .await;
    assert_eq!(read(store, table, "kept").await.as_deref(), Some(&b"new"[..]));
    assert_eq!(read(store, table, "gone").await, None);
}

async fn tables_do_not_share_keys(store: &impl Store) {
    let name = |table: Table| table.name().as_bytes();
    commit(store, Table::ALL.map(|table| put(table, "key", name(table)))).await;
    for table in Table::ALL {
        assert_eq!(read(store, table, "key").await.as_deref(), Some(name(table)));
        assert_eq!(store.scan(table, "", "", 9).await.expect("scanned").len(), 1);
    }
}

async fn a_scan_keeps_to_its_prefix_and_order(store: &impl Store) {
    assert!(keys(store, "", "", 10).await.is_empty());
    fill(store, &["b/2", "a", "b/10", "B/1", "b/1", "b", "b0", "c/1", "b/~", "a/9"]).await;
    // Bytewise: capitals before small letters, `/` before digits, 10 before 2.
    let all = ["B/1", "a", "a/9", "b", "b/1", "b/10", "b/2", "b/~", "b0", "c/1"];
    assert_eq!(keys(store, "", "", 100).await, all);
    assert_eq!(keys(store, "b/", "", 100).await, ["b/1", "b/10", "b/2", "b/~"]);
    assert_eq!(keys(store, "b", "", 2).await, ["b", "b/1"]);
    assert_eq!(keys(store, "d", "", 100).await, [""; 0]);
    assert_eq!(keys(store, "b/", "", 0).await, [""; 0]);
}

async fn a_scan_goes_on_where_the_last_page_ended(store: &impl Store) {
    fill(store, &["a/1", "b/1", "b/2", "b/3", "c/1"]).await;
    assert_eq!(keys(store, "b/", "b/1", 1).await, ["b/2"]);
    assert_eq!(keys(store, "b/", "b/2", 9).await, ["b/3"]);
    assert_eq!(keys(store, "b/", "b/3", 9).await, [""; 0]);
    assert_eq!(keys(store, "b/", "b/15", 9).await, ["b/2", "b/3"], "after an absent key");
    assert_eq!(
        keys(store, "b/", "a/1", 9).await,
        ["b/1", "b/2", "b/3"],
        "after the prefix's start"
    );
    assert_eq!(keys(store, "b/", "c/1", 9).await, [""; 0], "after the prefix's end");
}

async fn many_rows_fit_one_commit(store: &impl Store) {
    let names: Vec<_> = (0..3000).map(|n| format!("{n:05}")).collect();
    fill(store, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(keys(store, "", "", usize::MAX).await, names);
    let halves: Vec<_> = names.iter().step_by(2).map(|key| delete(Table::Entries, key)).collect();
    commit(store, halves).await;
    assert_eq!(keys(store, "", "", usize::MAX).await.len(), 1500);
}

async fn what_was_committed_is_there_after_reopening<S: Store>(
    store: S,
    reopen: impl AsyncFn(S) -> S,
) {
    commit(&store, [put(Table::Meta, "a", b"1"), put(Table::Inbox, "b", b"2")]).await;
    let store = reopen(store).await;
    commit(&store, [put(Table::Meta, "c", b"3"), delete(Table::Inbox, "b")]).await;
    let store = reopen(store).await;
    assert_eq!(read(&store, Table::Meta, "a").await.as_deref(), Some(&b"1"[..]));
    assert_eq!(read(&store, Table::Meta, "c").await.as_deref(), Some(&b"3"[..]));
    assert_eq!(read(&store, Table::Inbox, "b").await, None);
}
