//! What changed between two moments.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    names::{Lens, Status},
    value::Value,
};

/// An answer in short.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Brief {
    /// The value.
    pub value: Option<Value>,
    /// The claims behind it, of a difference.
    #[serde(default)]
    pub winners: Vec<String>,
    /// The claim behind it, of a notice.
    pub winner: Option<String>,
    /// How far the claims agree.
    pub status: Status,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// How far the first value is before the second.
    pub margin: f64,
    /// How much the claims disagree.
    pub conflict_score: f64,
    /// Claims that were counted, of a difference.
    pub considered: Option<u64>,
}

/// One lens before and after.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct AnswerChange {
    /// The lens.
    pub lens: Lens,
    /// Whether the answer is another.
    pub changed: bool,
    /// The earlier one.
    pub before: Brief,
    /// The later one.
    pub after: Brief,
}

/// A question by its names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct QuestionRef {
    /// What it is about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
}

/// What changed about one question.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct QuestionChange {
    /// What it is about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
    /// Its answers.
    pub answers: Vec<AnswerChange>,
    /// Claims that came.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Votes that came.
    #[serde(default)]
    pub votes: Vec<Json>,
    /// Supersessions that came.
    #[serde(default)]
    pub supersessions: Vec<Json>,
    /// Co-signatures that came.
    #[serde(default)]
    pub cosignatures: Vec<Json>,
}

/// What changed between two moments: one page of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Difference {
    /// The earlier moment.
    pub from: u64,
    /// The later moment.
    pub to: u64,
    /// When age and validity were measured, on both sides.
    pub evaluated_at: String,
    /// Questions that were asked.
    pub examined: u64,
    /// Those about which something is to be told.
    pub changes: Vec<QuestionChange>,
    /// Behind which question to go on.
    pub next: Option<QuestionRef>,
}
