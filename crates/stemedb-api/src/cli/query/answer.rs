//! The parts of an answer that are shown, read from its JSON.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::{failure::Failure, paint};

/// An answer. Fields as in `GET /v1/query`.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct AnswerView {
    pub subject: String,
    pub predicate: String,
    pub lens: String,
    pub value: Option<Box<RawValue>>,
    pub confidence: f64,
    pub margin: f64,
    pub conflict_score: f64,
    pub status: String,
    pub winners: Vec<String>,
    pub values: Vec<ValueView>,
    pub candidates: Vec<CandidateView>,
    pub considered: u64,
    pub set_aside: Vec<SetAsideView>,
    #[serde(default)]
    pub layers: Vec<LayerView>,
    pub cross_class_conflict: Option<f64>,
    pub lsn: u64,
    pub evaluated_at: String,
    pub epoch: Option<String>,
    pub decay: bool,
    pub tolerance: Option<String>,
    #[serde(default)]
    pub without: Vec<String>,
    pub max_class: Option<u8>,
    #[serde(default)]
    pub independent: bool,
    pub fragility: Option<FragilityView>,
    pub explain: Option<ExplainView>,
    pub known: Option<KnownView>,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct KnownView {
    pub known_at: String,
    pub latest_lsn_used: Option<u64>,
    pub latest_recorded_at: Option<String>,
}

impl fmt::Display for KnownView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.latest_lsn_used, &self.latest_recorded_at) {
            (Some(lsn), Some(at)) => {
                write!(f, "known at {}: the newest used is LSN {lsn}, recorded at {at}", self.known_at)
            }
            _ => write!(f, "known at {}: nothing was", self.known_at),
        }
    }
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct FragilityView {
    pub at_least: u64,
    pub at_most: u64,
    pub removals: Vec<RemovalView>,
    pub becomes: Option<Box<RawValue>>,
    pub status: String,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum RemovalView {
    Source { source: String },
    Agent { agent: String },
    Vote { assertion: String, agent: String },
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct ValueView {
    pub value: Box<RawValue>,
    pub share: f64,
    pub support: f64,
    pub voices: u64,
    pub independent_voices: Option<u64>,
    pub claims: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct CandidateView {
    pub id: String,
    pub object: Box<RawValue>,
    pub source: String,
    pub source_class: u8,
    pub tainted_by: Option<String>,
    #[serde(default)]
    pub lineage_cut: bool,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct SetAsideView {
    pub id: String,
    pub reason: String,
    pub by: Option<String>,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct LayerView {
    pub class: u8,
    pub value: Box<RawValue>,
    pub share: f64,
    pub conflict_score: f64,
    pub considered: u64,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct ExplainView {
    pub lens_version: u32,
    pub total_support: f64,
    pub claims: Vec<ArithmeticView>,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct ArithmeticView {
    pub id: String,
    pub value: usize,
    pub age_seconds: f64,
    pub source_class: u8,
    pub half_life_days: Option<u32>,
    pub said_confidence: f64,
    pub confidence: f64,
    pub score: f64,
    pub voices: Vec<String>,
    pub votes: f64,
}

impl AnswerView {
    /// Reads the JSON of an answer.
    pub fn parse(json: &[u8]) -> Result<AnswerView, Failure> {
        serde_json::from_slice(json)
            .map_err(|error| Failure::new(error).context("the answer is not what this version understands"))
    }

    /// The claims by their ids.
    pub fn by_id(&self) -> BTreeMap<&str, &CandidateView> {
        self.candidates.iter().map(|candidate| (candidate.id.as_str(), candidate)).collect()
    }
}

/// A claimed value as people write it: texts without quotes, the rest as claimed.
pub fn plain(value: &RawValue) -> String {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Typed<'a> {
        #[serde(rename = "type")]
        kind: String,
        #[serde(borrow)]
        value: &'a RawValue,
    }
    let json = value.get();
    if let Ok(text) = serde_json::from_str::<String>(json) {
        return paint::visible(&text);
    }
    match serde_json::from_str::<Typed<'_>>(json) {
        Ok(Typed { kind, value }) => match serde_json::from_str::<String>(value.get()) {
            Ok(text) => format!("{} ({kind})", paint::visible(&text)),
            Err(_) => format!("{} ({kind})", value.get()),
        },
        Err(_) => json.to_owned(),
    }
}

/// The beginning of an id, enough for a person to tell claims of one question apart.
pub fn short_id(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_without_their_json() {
        let shown = |json: &str| plain(&RawValue::from_string(json.to_owned()).unwrap());
        assert_eq!(shown("373.150"), "373.150");
        assert_eq!(shown("\"a \\\"b\\\"\""), "a \"b\"");
        assert_eq!(shown(r#"{"type":"time","value":"2024-01-01T00:00:00Z"}"#), "2024-01-01T00:00:00Z (time)");
        assert_eq!(shown(r#"{"type":"number","value":5}"#), "5 (number)");
        assert_eq!(shown(r#"{"a":1}"#), r#"{"a":1}"#);
    }
}
