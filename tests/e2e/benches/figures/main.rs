//! The figures that the project is held to, each beside its target, in one run: `make bench`.

mod browser;
mod hand_ins;
mod native;
mod padding;
mod push;
mod receipts;
mod records;
mod table;

use table::Table;

#[tokio::main]
async fn main() -> hdms_tests::Result<()> {
    let mut table = Table::default();
    native::operations(&mut table).await?;
    browser::envelopes(&mut table).await?;
    browser::worker_start(&mut table).await?;
    receipts::checks(&mut table).await?;
    padding::overhead(&mut table).await?;
    records::sizes(&mut table).await?;
    hand_ins::costs(&mut table).await?;
    push::wakes(&mut table).await?;
    browser::size(&mut table)?;
    native::scenario(&mut table).await?;
    println!("\n{table}");
    Ok(())
}
