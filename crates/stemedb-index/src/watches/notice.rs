//! What is told.

use stemedb_core::{
    Answer, ClaimId, Lens, Micros, Nano, Object, Status, Value,
    lens::{Candidate, resolve},
};
use stemedb_env::Lsn;

use super::Watch;

/// An answer in short.
#[derive(Clone, Debug, PartialEq)]
pub struct Brief {
    /// The winning value; `None` without one.
    pub value: Option<Object>,
    /// The claim that decided.
    pub winner: Option<ClaimId>,
    /// How sure the answer is.
    pub confidence: Nano,
    /// Largest share minus second largest.
    pub margin: f64,
    /// How much the claims disagree, 0 to 1.
    pub conflict_score: f64,
    /// The same in one word.
    pub status: Status,
}

impl Brief {
    /// What a watch's lens says of these claims at an instant.
    pub fn of(watch: &Watch, candidates: &[Candidate], evaluated_at: Micros) -> Brief {
        let Answer { value, winners, confidence, margin, conflict_score, status, .. } =
            resolve(watch.lens, candidates, &watch.params(evaluated_at));
        Brief { value, winner: winners.first().copied(), confidence, margin, conflict_score, status }
    }
}

/// A line between two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Crossed {
    /// Another value wins, or none does any more, or one does now. Spellings of one value are one value.
    Value,
    /// The status is another. Of [`Lens::Skeptic`] only, which has no winner.
    Status,
    /// The margin fell below the watch's line, or does not lie below it any more.
    Margin,
    /// The conflict score rose above the watch's line, or does not lie above it any more.
    Conflict,
}

impl Crossed {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Crossed::Value => "value",
            Crossed::Status => "status",
            Crossed::Margin => "margin",
            Crossed::Conflict => "conflict",
        }
    }

    /// The lines of a watch that lie between two answers; empty if there is nothing to tell.
    pub fn between(watch: &Watch, before: &Brief, after: &Brief) -> Vec<Crossed> {
        let mut crossed = Vec::new();
        if watch.lens == Lens::Skeptic {
            if before.status != after.status {
                crossed.push(Crossed::Status);
            }
        } else {
            let same = match (&before.value, &after.value) {
                (Some(a), Some(b)) => Value::of(a.as_ref()) == Value::of(b.as_ref()),
                (None, None) => true,
                _ => false,
            };
            if !same {
                crossed.push(Crossed::Value);
            }
        }
        if let Some(line) = watch.margin_below
            && (nano(before.margin) < line) != (nano(after.margin) < line)
        {
            crossed.push(Crossed::Margin);
        }
        if let Some(line) = watch.conflict_above
            && (nano(before.conflict_score) > line) != (nano(after.conflict_score) > line)
        {
            crossed.push(Crossed::Conflict);
        }
        crossed
    }
}

/// Scores lie in 0..=1 and are rounded to 10⁻⁹ already.
fn nano(score: f64) -> Nano {
    Nano((score * 1e9).round() as i64)
}

/// An answer crossed a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The watch's id.
    pub watch: String,
    /// The entry that did it, or the first one that was recorded after time did.
    pub lsn: Lsn,
    /// When it was recorded: the instant of the later answer.
    pub recorded_at: Micros,
    /// The lines, in the order of [`Crossed`]. Never empty.
    pub crossed: Vec<Crossed>,
    /// The answer at the entry before.
    pub before: Brief,
    /// The answer at this entry.
    pub after: Brief,
}
