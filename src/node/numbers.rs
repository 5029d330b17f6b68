//! The numbers that a notary has given a case's entries: none twice, and which of them are not here.

use std::ops::RangeInclusive;

use super::{Node, Platform, put};
use crate::error::Error;
use crate::ids::CaseId;
use crate::json;
use crate::ledger::{Receipt, VerifiedReceipt};
use crate::provider::{Store, Table, Write};

/// Rows read at a time.
const PAGE: usize = 500;

impl<P: Platform> Node<P> {
    /// That no other entry of the case has the number of this receipt, neither here nor among `others` that
    /// came with it: [`Error::NumberTaken`], and then both receipts are kept, as they prove together that
    /// their notary is false.
    pub(super) async fn expect_free_number<'a>(
        &self,
        case: &CaseId,
        receipt: &VerifiedReceipt,
        mut others: impl Iterator<Item = &'a VerifiedReceipt>,
    ) -> Result<(), Error> {
        let said = receipt.receipt();
        let Some(number) = said.number else { return Ok(()) };
        let key = format!("{}{number:020}", numbers(case));
        let is_other = |by: &str| by != said.entry.as_ref();
        let kept = self.read_text(Table::Receipts, &key).await?.filter(|by| is_other(by));
        let other = match kept {
            Some(by) => self.read_text(Table::Receipts, &format!("{case}/{by}")).await?,
            None => {
                let same = |other: &Receipt| {
                    other.number == Some(number) && is_other(other.entry.as_ref())
                };
                let other = others.find(|other| same(other.receipt()));
                let Some(other) = other else { return Ok(()) };
                Some(other.text().to_owned())
            }
        };
        let evidence = json::write(&[Some(receipt.text().to_owned()), other])?;
        let evidence = put(Table::Receipts, format!("{case}/{}/taken", said.entry), evidence);
        self.platform.store().commit(vec![evidence]).await?;
        Err(Error::NumberTaken)
    }

    /// The numbers of a case that no entry here has, although one with a later number does: what is logged
    /// there may be under way, or is kept back.
    pub async fn missing_numbers(&self, case: &CaseId) -> Result<Vec<RangeInclusive<u64>>, Error> {
        let (prefix, mut after) = (numbers(case), String::new());
        let (mut missing, mut next) = (Vec::new(), 1);
        loop {
            let rows = self.platform.store().scan(Table::Receipts, &prefix, &after, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(missing) };
            after.clone_from(last);
            for (key, _) in rows {
                let number: u64 = key[prefix.len()..].parse().map_err(|_| Error::StoreCorrupt)?;
                if next < number {
                    missing.push(next..=number - 1);
                }
                next = number.saturating_add(1);
            }
        }
    }
}

/// What keeps which entry has the number of this receipt.
pub(super) fn numbered(case: &CaseId, said: &Receipt) -> Option<Write> {
    let key = format!("{}{:020}", numbers(case), said.number?);
    Some(put(Table::Receipts, key, said.entry.as_ref().into()))
}

/// Rows of [`Table::Receipts`]: an entry's id, by its number.
fn numbers(case: &CaseId) -> String {
    format!("{case}/number/")
}
