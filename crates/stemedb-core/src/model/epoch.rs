//! Periods of knowledge: switching from one to the next is one record.

use super::text::{NAME_MAX_BYTES, check_interval, check_name};
use super::{Micros, ModelError, Problem};

/// A named period that claims can belong to (a study, an edition, a model's version). An epoch that supersedes
/// another sets all claims of that other aside at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The epoch's name: 1–512 bytes of UTF-8 without control characters.
    pub name: String,
    /// The epoch it takes the place of: same rules.
    pub supersedes: Option<String>,
    /// First instant of the period.
    pub from: Option<Micros>,
    /// First instant after the period.
    pub to: Option<Micros>,
}

impl Epoch {
    /// An epoch without bounds that supersedes nothing.
    pub fn new(name: impl Into<String>) -> Epoch {
        Epoch { name: name.into(), supersedes: None, from: None, to: None }
    }

    /// Checks every rule of the model.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn validate(&self) -> Result<(), ModelError> {
        check_name("/name", &self.name, NAME_MAX_BYTES)?;
        if let Some(old) = &self.supersedes {
            check_name("/supersedes", old, NAME_MAX_BYTES)?;
            if *old == self.name {
                return Err(ModelError::at("/supersedes", Problem::SelfReference));
            }
        }
        check_interval("/to", self.from, self.to)
    }
}

/// Whether a claim of epoch `claimed` is out of the epoch asked for.
///
/// A claim without an epoch is never out. If the question names an epoch, claims of every other one are out; if it
/// names none, claims of superseded epochs are. `is_superseded` says whether any epoch record visible to the
/// question supersedes the epoch of that name; it is asked at most once.
pub fn is_out_of_epoch(
    claimed: Option<&str>,
    asked: Option<&str>,
    is_superseded: impl FnOnce(&str) -> bool,
) -> bool {
    match (claimed, asked) {
        (None, _) => false,
        (Some(claimed), Some(asked)) => claimed != asked,
        (Some(claimed), None) => is_superseded(claimed),
    }
}
