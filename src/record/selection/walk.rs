//! Which elements of a record's claims are shown.

use litemap::LiteMap;
use serde_json::{Map, Value};

use super::super::claims::DECOYS;
use super::Selection;
use crate::error::Error;
use crate::fhir::{identifying, modifier};

/// Claims that say whose record it is, that it is whole, and in format 1 what there is in it.
const CLAIMS: [&str; 4] = ["sub", "case", "order", DECOYS];

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

/// What was chosen of an element, and of the other half where it is one of FHIR's arrays `x` and `_x`.
#[derive(Clone, Copy, Default)]
struct Choice<'a> {
    own: Option<&'a Chosen>,
    half: Option<&'a Chosen>,
}

impl<'a> Choice<'a> {
    /// Of member `name` of an object of which `chosen` was.
    fn of_member(chosen: Option<&'a Chosen>, name: &str) -> Self {
        let Some(below) = chosen.map(|chosen| &chosen.below).filter(|below| !below.is_empty())
        else {
            return Self::default();
        };
        let half = match name.strip_prefix('_') {
            Some(name) => below.get(name),
            None => below.get(format!("_{name}").as_str()),
        };
        Self { own: below.get(name), half }
    }

    /// Of an array's element.
    fn of_element(self, index: usize) -> Self {
        let index = index.to_string();
        let at = |chosen: Option<&'a Chosen>| chosen.and_then(|chosen| chosen.below.get(&index));
        Self { own: at(self.own), half: at(self.half) }
    }

    fn is_here(self) -> bool {
        self.own.is_some_and(|own| own.here)
    }

    /// Whether some, but not all of it was chosen, itself or by its other half.
    fn is_divided(self) -> bool {
        let divided = |chosen: &Chosen| !chosen.here && !chosen.below.is_empty();
        self.own.is_some_and(divided) || (self.own.is_none() && self.half.is_some_and(divided))
    }
}

/// What holds for an element because of those that it is in.
#[derive(Clone, Copy)]
struct State {
    shown: bool,
    /// Whether what leads to a person is left out.
    bare: bool,
}

/// Goes over the claims element by element, as [`super::Position`] counts them.
pub(super) struct Walk {
    /// Whether chosen places are shown, and not what else there is.
    shows: bool,
    /// Which elements of the claims are shown.
    pub(super) shown: Vec<bool>,
    /// The elements that are to be left out themselves.
    pub(super) left_out: Vec<usize>,
    /// Whether something is left out of what stays that may turn it into its opposite.
    tears: bool,
}

impl Walk {
    /// [`Error::CommandMalformed`] when something is to be left out without which the rest could mean
    /// something else.
    pub(super) fn over(
        claims: &Value,
        selection: Selection<'_>,
        chosen: &[String],
    ) -> Result<Self, Error> {
        let shows = !matches!(selection, Selection::AllBut(_));
        let state = State { shown: !shows, bare: matches!(selection, Selection::Bare(_)) };
        let mut walk = Self { shows, shown: Vec::new(), left_out: Vec::new(), tears: false };
        let chosen = Chosen::of(chosen);
        walk.element(claims, "", Choice { own: Some(&chosen), half: None }, state);
        if walk.tears { Err(Error::CommandMalformed) } else { Ok(walk) }
    }

    /// An element that stands in a resource of type `resource`.
    fn element(&mut self, value: &Value, resource: &str, choice: Choice<'_>, mut state: State) {
        if choice.is_here() {
            state.shown = self.shows;
            if !self.shows {
                self.left_out.push(self.shown.len());
            }
        }
        let leads_to_chosen = choice.own.is_some() || choice.is_divided();
        self.shown.push(state.shown || (self.shows && leads_to_chosen));
        match value {
            Value::Object(members) => self.object(members, resource, choice.own, state),
            Value::Array(elements) => self.array(elements, resource, choice, state),
            _ => {}
        }
    }

    fn array(&mut self, elements: &[Value], resource: &str, choice: Choice<'_>, state: State) {
        // Beside a half that is shown whole, this one has to be.
        let whole = self.shows && choice.own.is_some() && choice.half.is_some_and(|it| it.here);
        for (index, element) in elements.iter().enumerate() {
            let of_element = choice.of_element(index);
            let paired = of_element.half.is_some_and(|half| self.shows || half.here);
            let shown = if paired || whole { self.shows } else { state.shown };
            let choice = Choice { own: of_element.own, half: None };
            self.element(element, resource, choice, State { shown, ..state });
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
        let is_divided = Choice { own: chosen, half: None }.is_divided();
        for (name, value) in members {
            let choice = Choice::of_member(chosen, name);
            let leads = || match resource {
                "" => CLAIMS.contains(&name.as_str()),
                _ => identifying::reason(resource, own.is_some(), members, name, value).is_some(),
            };
            let modifies = !resource.is_empty() && modifier::is_modifier(name);
            self.tears |= modifies && !self.shows && state.shown && choice.is_here();
            let is_left_out = state.bare && leads();
            // What leads to a person does so as a whole: of its parts nobody asks any more.
            let mut state = if is_left_out { State { shown: false, bare: false } } else { state };
            state.shown |= self.shows && is_divided && modifies && !is_left_out;
            self.element(value, resource, choice, state);
        }
    }
}
