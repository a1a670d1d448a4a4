//! What is watched.

use stemedb_core::{
    Lens, LensParams, Micros, Nano,
    lens::{Counterfactual, Tolerance},
};
use stemedb_env::Lsn;

use crate::QuestionKey;

/// Longest id of a watch, in bytes.
pub const WATCH_ID_MAX_BYTES: usize = 200;

/// An answer that somebody wants to be told about.
///
/// Answers that fade with age are no answers to watch: they change with every instant. Nor are those in which copies count once:
/// they hang on questions that are not watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Chosen by whoever registers it: 1 to [`WATCH_ID_MAX_BYTES`] bytes, no control characters.
    pub id: String,
    /// The question.
    pub question: QuestionKey,
    /// The epoch asked about; `None` = whatever has not been superseded.
    pub epoch: Option<String>,
    /// Through which lens.
    pub lens: Lens,
    /// How far apart numbers may be and still be one value.
    pub tolerance: Option<Tolerance>,
    /// What is left out. Its lists ascend, without repetitions.
    pub counterfactual: Counterfactual,
    /// Told when the margin falls below this, and when it does not lie below it any more.
    pub margin_below: Option<Nano>,
    /// Told when the conflict score rises above this, and when it does not lie above it any more.
    pub conflict_above: Option<Nano>,
}

impl Watch {
    /// A watch on the winner alone; of [`Lens::Skeptic`], which has none, on the status.
    pub fn new(id: impl Into<String>, question: QuestionKey, lens: Lens) -> Watch {
        Watch {
            id: id.into(),
            question,
            epoch: None,
            lens,
            tolerance: None,
            counterfactual: Counterfactual::default(),
            margin_below: None,
            conflict_above: None,
        }
    }

    /// What the lens is told at an instant.
    pub fn params(&self, evaluated_at: Micros) -> LensParams {
        LensParams {
            tolerance: self.tolerance,
            counterfactual: self.counterfactual.clone(),
            ..LensParams::at(evaluated_at)
        }
    }

    /// Whether both hang on the same answer, whatever their lines.
    pub(super) fn asks_as(&self, other: &Watch) -> bool {
        self.lens == other.lens
            && self.tolerance == other.tolerance
            && self.epoch == other.epoch
            && self.counterfactual == other.counterfactual
            && self.question == other.question
    }
}

/// A watch and the moment from which on it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// What is watched.
    pub watch: Watch,
    /// The last entry that is not told: the newest one when it was registered.
    pub since: Lsn,
}
