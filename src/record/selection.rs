//! What of a record is shown: which disclosures go along.

use litemap::LiteMap;
use serde_json::{Map, Value};

use super::Record;
use super::claims::{processed, unverified};
use super::sdjwt::{self, Parts, Processed};
use crate::error::Error;
use crate::fhir::identifying;

/// What of a record to disclose. Places are JSON pointers (RFC 6901) into its claims, as
/// [`super::VerifiedRecord`] shows them: `/sub`, `/case`, `/fhir` or `/fhir/entry/3`. What holds a chosen
/// place always goes along, and so does the order of what is shown.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// Everything.
    All,
    /// Everything but these places with what is below them; each has to be a disclosure of its own.
    AllBut(&'a [String]),
    /// Each place with everything below it.
    Whole(&'a [String]),
    /// Each place with what is below it, but nothing that leads to a person ([`identifying`]) unless it
    /// was chosen itself: of `/fhir/entry/3` a laboratory value without whose it is.
    Bare(&'a [String]),
}

impl Record {
    /// The record with only the disclosures of `selection`. [`Error::RecordMalformed`] when this is
    /// no sound record, [`Error::CommandMalformed`] when a place is not in it, or is to be left out and
    /// can't be.
    pub fn select(&self, selection: Selection<'_>) -> Result<Record, Error> {
        let chosen = match selection {
            Selection::All => return Ok(self.clone()),
            Selection::AllBut(chosen) | Selection::Whole(chosen) | Selection::Bare(chosen) => {
                chosen
            }
        };
        let Processed { claims, places } = self.processed()?;
        let claims = Value::Object(claims);
        if chosen.iter().any(|place| claims.pointer(place).is_none()) {
            return Err(Error::CommandMalformed);
        }
        let Walk { shown, chosen, .. } = Walk::over(&claims, selection, chosen);
        let (mut ordered, mut concealed) = (vec![false; shown.len()], vec![false; shown.len()]);
        for place in &places {
            if let Some(element) = place.element {
                concealed[element] = true;
            }
            ordered[place.within] |= place.element.is_some_and(|element| shown[element]);
        }
        if matches!(selection, Selection::AllBut(_)) && chosen.iter().any(|at| !concealed[*at]) {
            return Err(Error::CommandMalformed);
        }
        let goes_along = |place: &sdjwt::Place| {
            place.element.map_or(ordered[place.within], |element| shown[element])
        };
        let disclosures = Parts::parse(self.compact())?.disclosures().zip(&places);
        let disclosures = disclosures.filter(|(_, place)| goes_along(place));
        Record::try_from(sdjwt::compact(self.jwt(), disclosures.map(|(disclosure, _)| disclosure)))
    }

    /// Its claims as far as disclosed, unverified. [`Error::RecordMalformed`], [`Error::RecordForged`].
    pub(super) fn processed(&self) -> Result<Processed, Error> {
        let (format, signed) = unverified(self.jwt())?;
        let (_, Value::Object(payload)) = signed.into_parts() else {
            return Err(Error::RecordMalformed);
        };
        processed(format, payload, self)
    }
}

/// Claims that say whose record it is, and in format 1 what there is in it.
const CLAIMS: [&str; 3] = ["sub", "case", "order"];

/// The chosen places, by the names that lead to them.
#[derive(Default)]
struct Chosen {
    here: bool,
    below: LiteMap<String, Chosen>,
}

impl Chosen {
    fn of(places: &[String]) -> Self {
        let mut chosen = Self::default();
        for place in places {
            let mut at = &mut chosen;
            for token in place.split('/').skip(1) {
                let name = token.replace("~1", "/").replace("~0", "~");
                at = at.below.entry(name).or_insert_with(Self::default);
            }
            at.here = true;
        }
        chosen
    }
}

/// What holds for an element because of those that it is in.
#[derive(Clone, Copy)]
struct State {
    shown: bool,
    /// Whether what leads to a person is left out.
    bare: bool,
}

/// Goes over the claims element by element, as [`sdjwt::Place`] counts them.
struct Walk {
    /// Whether chosen places are shown, and not what else there is.
    shows: bool,
    /// Which elements of the claims are shown.
    shown: Vec<bool>,
    /// The elements that were chosen themselves.
    chosen: Vec<usize>,
}

impl Walk {
    fn over(claims: &Value, selection: Selection<'_>, chosen: &[String]) -> Self {
        let shows = !matches!(selection, Selection::AllBut(_));
        let state = State { shown: !shows, bare: matches!(selection, Selection::Bare(_)) };
        let mut walk = Self { shows, shown: Vec::new(), chosen: Vec::new() };
        walk.element(claims, "", Some(&Chosen::of(chosen)), state);
        walk
    }

    /// An element that stands in a resource of type `resource`.
    fn element(
        &mut self,
        value: &Value,
        resource: &str,
        chosen: Option<&Chosen>,
        mut state: State,
    ) {
        if chosen.is_some_and(|chosen| chosen.here) {
            state.shown = self.shows;
            self.chosen.push(self.shown.len());
        }
        self.shown.push(state.shown || (self.shows && chosen.is_some()));
        match value {
            Value::Object(members) => self.object(members, resource, chosen, state),
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    let chosen = chosen.and_then(|chosen| chosen.below.get(&index.to_string()));
                    self.element(element, resource, chosen, state);
                }
            }
            _ => {}
        }
    }

    fn object(
        &mut self,
        members: &Map<String, Value>,
        resource: &str,
        chosen: Option<&Chosen>,
        state: State,
    ) {
        let own = members.get("resourceType").and_then(Value::as_str);
        let resource = own.unwrap_or(resource);
        for (name, value) in members {
            let chosen = chosen.and_then(|chosen| chosen.below.get(name));
            let leads = || match resource {
                "" => CLAIMS.contains(&name.as_str()),
                _ => identifying::reason(resource, own.is_some(), members, name, value).is_some(),
            };
            let is_left_out = state.bare && leads();
            // What leads to a person does so as a whole: of its parts nobody asks any more.
            let state = if is_left_out { State { shown: false, bare: false } } else { state };
            self.element(value, resource, chosen, state);
        }
    }
}
