//! Answers to questions.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    names::{Lens, Lifecycle, Status},
    value::Value,
};

/// One value that is claimed, and who stands behind it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ValueSupport {
    /// The value.
    pub value: Value,
    /// Its part of all support, 0 to 1.
    pub share: f64,
    /// Its support.
    pub support: f64,
    /// Distinct agents and sources.
    #[serde(default)]
    pub voices: u32,
    /// Those that copy nobody, if that was asked.
    pub independent_voices: Option<u32>,
    /// The sources.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The claims.
    #[serde(default)]
    pub claims: Vec<String>,
}

/// A vote as a candidate has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct VoteOn {
    /// Who votes.
    pub agent: String,
    /// -1 to 1.
    pub weight: f64,
}

/// A claim that was looked at.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// What it claims.
    pub object: Value,
    /// As it says; 1 if it does not.
    pub confidence: f64,
    /// Who says it.
    pub source: String,
    /// As it counts.
    pub source_class: u8,
    /// Where it stands.
    pub lsn: u64,
    /// When it was recorded.
    pub recorded_at: String,
    /// When it was observed.
    pub observed_at: Option<String>,
    /// Who claims it.
    pub author: Option<String>,
    /// Its epoch.
    pub epoch: Option<String>,
    /// Its stage.
    pub lifecycle: Option<Lifecycle>,
    /// From when on it holds.
    pub valid_from: Option<String>,
    /// Until when.
    pub valid_to: Option<String>,
    /// The votes on it.
    #[serde(default)]
    pub votes: Vec<VoteOn>,
    /// Who signed it.
    #[serde(default)]
    pub signers: Vec<String>,
    /// The nearest retracted claim that it derives from.
    pub tainted_by: Option<String>,
    /// It derives from more claims than were looked at.
    #[serde(default)]
    pub lineage_cut: bool,
}

/// A claim that was not counted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SetAside {
    /// The claim.
    pub id: String,
    /// Why: `superseded`, `excluded`, …
    pub reason: String,
    /// What took its place.
    pub by: Option<String>,
}

/// A claim that derives from a retracted one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Tainted {
    /// The claim.
    pub id: String,
    /// The retracted one.
    pub by: String,
}

/// What one class of sources says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Layer {
    /// The class.
    pub class: u8,
    /// Its value.
    pub value: Value,
    /// The value's part of the class's support.
    pub share: f64,
    /// The value's support.
    pub support: f64,
    /// How much the class disagrees, 0 to 1.
    pub conflict_score: f64,
    /// Claims that were counted.
    pub considered: u64,
    /// The claims behind the value.
    pub winners: Vec<String>,
}

/// What was used of what was known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Known {
    /// The bound that was asked for.
    pub known_at: String,
    /// The newest entry that was used.
    pub latest_lsn_used: Option<u64>,
    /// When the newest was recorded.
    pub latest_recorded_at: Option<String>,
}

/// What can be taken away.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Removal {
    /// `source`, `agent` or `vote`.
    pub kind: String,
    /// The source.
    pub source: Option<String>,
    /// The agent, also of a vote.
    pub agent: Option<String>,
    /// The claim of a vote.
    pub assertion: Option<String>,
}

/// How little must be taken away to change the answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Fragility {
    /// The size of a smallest set; none if it was not proven.
    pub exact: Option<u64>,
    /// Not fewer than these.
    pub at_least: u64,
    /// Not more than these.
    pub at_most: u64,
    /// A set that changes the answer.
    pub removals: Vec<Removal>,
    /// What the answer is without them.
    pub becomes: Option<Value>,
    /// With which status.
    pub status: Status,
}

/// A receipt, as the server signed it. `stemedb-api verify-receipt` checks it without the server.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Receipt(Box<RawValue>);

impl Receipt {
    /// The document: keep it as it is.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }
}

/// The answer of `query`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Answer {
    /// What was asked about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
    /// Through which lens.
    pub lens: Lens,
    /// The value; none if nothing is claimed, or the lens names none.
    pub value: Option<Value>,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// How far the first value is before the second, 0 to 1.
    pub margin: f64,
    /// How much the claims disagree, 0 to 1.
    pub conflict_score: f64,
    /// How far they agree.
    pub status: Status,
    /// The claims behind the value.
    pub winners: Vec<String>,
    /// Every value, the best first.
    pub values: Vec<ValueSupport>,
    /// The claims that were looked at.
    pub candidates: Vec<Candidate>,
    /// How many of them were counted.
    pub considered: u64,
    /// Those that were not.
    #[serde(default)]
    pub set_aside: Vec<SetAside>,
    /// By class, of the layered lens.
    pub layers: Option<Vec<Layer>>,
    /// How much the classes disagree, of the layered lens.
    pub cross_class_conflict: Option<f64>,
    /// The entry that the answer is of.
    pub lsn: u64,
    /// When age and validity were measured.
    pub evaluated_at: String,
    /// The epoch that was asked for.
    pub epoch: Option<String>,
    /// Whether confidence faded.
    #[serde(default)]
    pub decay: bool,
    /// Of the arithmetic.
    #[serde(default)]
    pub lens_version: u32,
    /// Of lens, version and parameters: with one hash and one LSN two answers are the same.
    #[serde(default)]
    pub lens_hash: String,
    /// If it was asked for.
    pub fragility: Option<Fragility>,
    /// The arithmetic, if it was asked for.
    pub explain: Option<serde_json::Value>,
    /// Of a question with `known_at`.
    pub known: Option<Known>,
    /// If it was asked for.
    pub receipt: Option<Receipt>,
}

/// The answer of `skeptic`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Disagreement {
    /// What was asked about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
    /// How far the claims agree.
    pub status: Status,
    /// How much they disagree, 0 to 1.
    pub conflict_score: f64,
    /// How far the first value is before the second.
    pub margin: f64,
    /// Every value, the best first.
    pub values: Vec<ValueSupport>,
    /// Claims that were counted.
    pub considered: u64,
    /// Those that were not.
    #[serde(default)]
    pub set_aside: Vec<SetAside>,
    /// Those that derive from a retracted claim.
    #[serde(default)]
    pub tainted: Vec<Tainted>,
    /// The entry that the answer is of.
    pub lsn: u64,
    /// When validity was measured.
    pub evaluated_at: String,
    /// Of a question with `known_at`.
    pub known: Option<Known>,
}

/// The answer of `layered`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Layers {
    /// What was asked about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
    /// The value of the best class that has one.
    pub value: Option<Value>,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// How far the claims agree.
    pub status: Status,
    /// How much they disagree, 0 to 1.
    pub conflict_score: f64,
    /// How much the classes disagree, 0 to 1.
    pub cross_class_conflict: f64,
    /// Each class that says something.
    pub layers: Vec<Layer>,
    /// Claims that were counted.
    pub considered: u64,
    /// Those that were not.
    #[serde(default)]
    pub set_aside: Vec<SetAside>,
    /// Those that derive from a retracted claim.
    #[serde(default)]
    pub tainted: Vec<Tainted>,
    /// The entry that the answer is of.
    pub lsn: u64,
    /// When validity was measured.
    pub evaluated_at: String,
    /// Of a question with `known_at`.
    pub known: Option<Known>,
}
