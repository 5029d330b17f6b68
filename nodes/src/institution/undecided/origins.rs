//! From which networks the requests came that wait, kept over restarts: no longer than they wait, and
//! for nobody else to see.

use std::collections::HashMap;
use std::net::IpAddr;

use hdms::Error;
use hdms::ids::CaseId;
use hdms::provider::{Store, Table, Write};

/// Rows of [`Table::Meta`], by case.
const ORIGINS: &str = "asked-from/";

/// Rows read at a time.
const PAGE: usize = 500;

/// What keeps that a request came from this network.
pub fn keep(case: &CaseId, network: IpAddr) -> Write {
    let (key, value) = (format!("{ORIGINS}{case}"), network.to_string().into_bytes());
    Write::Put { table: Table::Meta, key, value }
}

/// All that is kept.
pub async fn read(store: &impl Store) -> Result<HashMap<CaseId, IpAddr>, Error> {
    let (mut origins, mut after) = (HashMap::new(), String::new());
    loop {
        let rows = store.scan(Table::Meta, ORIGINS, &after, PAGE).await?;
        let Some((last, _)) = rows.last() else { return Ok(origins) };
        after.clone_from(last);
        for (key, row) in rows {
            let network = std::str::from_utf8(&row).ok().and_then(|row| row.parse().ok());
            origins.insert(key[ORIGINS.len()..].parse()?, network.ok_or(Error::StoreCorrupt)?);
        }
    }
}

/// Lets what is known of these cases go.
pub async fn forget(store: &impl Store, cases: &[CaseId]) -> Result<(), Error> {
    for cases in cases.chunks(PAGE) {
        let key = |case| format!("{ORIGINS}{case}");
        let delete = |case| Write::Delete { table: Table::Meta, key: key(case) };
        store.commit(cases.iter().map(delete).collect()).await?;
    }
    Ok(())
}
