//! What of a record is shown: which disclosures go along.

mod walk;

use serde_json::{Map, Value};

use super::Record;
use super::claims::{DECOYS, processed, unverified};
use super::sdjwt::{self, Parts, Position, Processed};
use crate::error::Error;
use walk::Walk;

/// What of a record to disclose. Places are JSON pointers (RFC 6901) into its claims, as
/// [`super::VerifiedRecord`] shows them: `/sub`, `/case`, `/fhir` or `/fhir/entry/3`. With a chosen place
/// go what holds it, the order of what is shown, what may turn that into its opposite
/// ([`crate::fhir::modifier`]), and of FHIR's paired arrays `x` and `_x` the other half.
///
/// The seed of the decoys, which says that nothing is withheld, goes along where nothing but the case is.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// Everything.
    All,
    /// Everything but these places with what is below them; each has to be a disclosure of its own.
    AllBut(&'a [String]),
    /// Each place with everything below it.
    Whole(&'a [String]),
    /// Each place with what is below it, but nothing that leads to a person ([`crate::fhir::identifying`])
    /// unless it was chosen itself: of `/fhir/entry/3` a laboratory value without whose it is.
    Bare(&'a [String]),
}

impl Record {
    /// The record with only the disclosures of `selection`. [`Error::RecordMalformed`] when this is
    /// no sound record, [`Error::CommandMalformed`] when a place is not in it, or is to be left out and
    /// can't be: since it is no disclosure, or since what stays could mean something else without it.
    pub fn select(&self, selection: Selection<'_>) -> Result<Record, Error> {
        let chosen = match selection {
            Selection::All => return Ok(self.clone()),
            Selection::AllBut(chosen) | Selection::Whole(chosen) | Selection::Bare(chosen) => {
                chosen
            }
        };
        let Processed { claims, positions, .. } = self.processed()?;
        let mut chosen = chosen.to_vec();
        if matches!(selection, Selection::AllBut(_)) {
            chosen.extend(seed_to_leave_out(&claims, &chosen));
        }
        let claims = Value::Object(claims);
        if chosen.iter().any(|place| claims.pointer(place).is_none()) {
            return Err(Error::CommandMalformed);
        }
        self.with(Walk::over(&claims, selection, &chosen)?, &positions)
    }

    /// The record with the disclosures of what is shown. [`Error::CommandMalformed`].
    fn with(&self, walk: Walk, positions: &[Position]) -> Result<Record, Error> {
        let Walk { shown, left_out, .. } = walk;
        let (mut ordered, mut concealed) = (vec![false; shown.len()], vec![false; shown.len()]);
        for position in positions {
            if let Some(element) = position.element {
                concealed[element] = true;
            }
            ordered[position.within] |= position.element.is_some_and(|element| shown[element]);
        }
        if left_out.iter().any(|element| !concealed[*element]) {
            return Err(Error::CommandMalformed);
        }
        let goes_along = |position: &Position| {
            position.element.map_or(ordered[position.within], |element| shown[element])
        };
        let disclosures = Parts::parse(self.compact())?.disclosures().zip(positions);
        let disclosures = disclosures.filter(|(_, position)| goes_along(position));
        Record::try_from(sdjwt::compact(self.jwt(), disclosures.map(|(disclosure, _)| disclosure)))
    }

    /// Its claims as far as disclosed, unverified. [`Error::RecordMalformed`], [`Error::RecordForged`].
    fn processed(&self) -> Result<Processed, Error> {
        let (format, signed) = unverified(self.jwt())?;
        let (_, Value::Object(payload)) = signed.into_parts() else {
            return Err(Error::RecordMalformed);
        };
        processed(format, payload, self)
    }
}

/// The place of the seed, unless the case alone is left out: with it, who gets less would learn how much
/// that is.
fn seed_to_leave_out(claims: &Map<String, Value>, left_out: &[String]) -> Option<String> {
    let is_part = left_out.iter().any(|place| place != "/case");
    (is_part && claims.contains_key(DECOYS)).then(|| format!("/{DECOYS}"))
}
