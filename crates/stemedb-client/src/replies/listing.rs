//! Pages of listings.

use serde::Deserialize;

use super::StoredAssertion;
use crate::names::Status;

#[derive(Debug, Deserialize)]
pub(crate) struct ClaimPage {
    pub claims: Vec<StoredAssertion>,
    pub cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct QuestionPage {
    pub questions: Vec<QuestionSummary>,
    pub cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ConflictPage {
    pub conflicts: Vec<Conflict>,
    pub knowledge: Knowledge,
    pub cursor: Option<String>,
}

/// A question that claims answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct QuestionSummary {
    /// What it is about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
    /// How many claims answer it.
    pub claims: u64,
    /// Where the newest of them stands.
    pub newest_lsn: u64,
}

/// A question whose claims disagree.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Conflict {
    /// What it is about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
    /// How much, 0 to 1.
    pub conflict_score: f64,
    /// How far they agree.
    pub status: Status,
    /// Number of values.
    pub values: u32,
    /// Sum of their supports.
    pub support: f64,
    /// Claims that were counted.
    pub considered: u32,
}

/// How all questions stand together.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Knowledge {
    /// Questions that a claim answers.
    pub questions: u64,
    /// Those with one value.
    pub unanimous: u64,
    /// Those where one value has most of the support.
    pub agreed: u64,
    /// Those where none has.
    pub open_conflicts: u64,
    /// Claims that were counted.
    pub claims: u64,
    /// The part of the questions that one source alone answers.
    pub single_source_share: f64,
    /// The part of the claims that nobody signed.
    pub unsigned_share: f64,
}
