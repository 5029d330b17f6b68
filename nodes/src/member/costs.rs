//! What others may cost a node that serves: how often a verified one is heard, and how much of it is
//! kept for ever.

use crate::base::http::connections::Limits;

/// See the module.
#[derive(Clone, Debug)]
pub struct Costs {
    /// How long it waits for others, for how many, and whom it believes who they are.
    pub limits: Limits,
    /// Messages of one personal node that are taken in a minute; ten times as many of others.
    pub messages: u32,
    /// Treatments that one personal node may ask an institution for a day: each is a case for good.
    pub treatments: u32,
    /// Messages of one node a day that only say again what it has said: their ids are remembered.
    pub repeats: u32,
    /// Requests for treatment that wait to be decided at an institution, of patients that it does not
    /// know: of all, and of one address.
    pub undecided: usize,
    /// See [`Costs::undecided`].
    pub undecided_of_address: usize,
    /// Requests of one patient, whoever it is, that wait to be decided.
    pub undecided_of_patient: usize,
    /// Entries that one personal node may have logged a day; a hundred times as many of others.
    pub entries: u32,
    /// Entries between two nodes that may be logged a day.
    pub entries_of_pair: u32,
}

impl Costs {
    /// Where one patient does what many do elsewhere: in scenarios and measurements.
    pub fn unlimited() -> Self {
        let most = u32::MAX;
        Self {
            messages: most,
            treatments: most,
            repeats: most,
            undecided: usize::MAX,
            undecided_of_address: usize::MAX,
            undecided_of_patient: usize::MAX,
            entries: most,
            entries_of_pair: most,
            ..Self::default()
        }
    }
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            messages: 600,
            treatments: 100,
            repeats: 100,
            undecided: 5_000,
            undecided_of_address: 500,
            undecided_of_patient: 20,
            entries: 2_000,
            entries_of_pair: 1_000,
        }
    }
}
