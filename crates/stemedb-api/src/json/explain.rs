//! The arithmetic behind an answer, in JSON.

use serde::Serialize;
use stemedb_core::{
    Candidate, Lens,
    lens::{ClaimArithmetic, Copied, Explanation, ValueArithmetic, Voice, explain},
};

use crate::database::Resolved;

#[derive(Serialize)]
pub(super) struct ExplainJson {
    /// Of the arithmetic: another version may answer differently from the same claims.
    lens_version: u32,
    total_support: f64,
    values: Vec<ValueArithmeticJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<LayerArithmeticJson>,
    claims: Vec<ArithmeticJson>,
}

/// In the order of the answer's `values`.
#[derive(Serialize)]
struct ValueArithmeticJson {
    voices: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    independent_voices: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    copies: Vec<CopyJson>,
    votes: f64,
    support: f64,
}

#[derive(Serialize)]
struct CopyJson {
    voice: String,
    of: String,
    by: &'static str,
}

#[derive(Serialize)]
struct LayerArithmeticJson {
    class: u8,
    supports: Vec<LayerSupportJson>,
}

#[derive(Serialize)]
struct LayerSupportJson {
    /// Index into `values`.
    value: usize,
    support: f64,
}

#[derive(Serialize)]
struct ArithmeticJson {
    id: String,
    /// Index into `values`.
    value: usize,
    /// Observed, else recorded; with LSN and ordinal it makes the newness.
    time: String,
    lsn: u64,
    ordinal: u32,
    age_seconds: f64,
    source_class: u8,
    half_life_days: Option<u32>,
    said_confidence: f64,
    /// After decay.
    confidence: f64,
    trust: f64,
    /// Trust × confidence after decay, rounded down to 10⁻⁹: what the authority lens compares.
    score: f64,
    voices: Vec<String>,
    votes: f64,
}

pub(super) fn explanation(resolved: &Resolved) -> ExplainJson {
    let Resolved { answer, candidates, params, evidence, .. } = resolved;
    let Explanation { total_support, claims, values, layers } = explain(answer, candidates, params, evidence);
    let layers = layers.into_iter().map(|layer| LayerArithmeticJson {
        class: layer.class.number(),
        supports: layer
            .supports
            .into_iter()
            .map(|(value, support)| LayerSupportJson { value, support: support.to_f64() })
            .collect(),
    });
    ExplainJson {
        lens_version: Lens::VERSION,
        total_support: total_support.to_f64(),
        values: values.into_iter().map(value_json).collect(),
        layers: layers.collect(),
        claims: claims
            .into_iter()
            .filter_map(|claim| Some(claim_json(candidates.get(claim.candidate)?, claim)))
            .collect(),
    }
}

fn value_json(value: ValueArithmetic) -> ValueArithmeticJson {
    let copy = |Copied { voice, of, by }: &Copied| CopyJson {
        voice: voice_text(voice),
        of: voice_text(of),
        by: by.name(),
    };
    ValueArithmeticJson {
        voices: value.voices,
        independent_voices: value.independent_voices,
        copies: value.copies.iter().map(copy).collect(),
        votes: value.votes.to_f64(),
        support: value.support.to_f64(),
    }
}

fn claim_json(candidate: &Candidate, claim: ClaimArithmetic) -> ArithmeticJson {
    ArithmeticJson {
        id: candidate.id.to_string(),
        value: claim.value,
        time: claim.time.to_string(),
        lsn: candidate.lsn,
        ordinal: candidate.ordinal,
        age_seconds: claim.age_us as f64 / 1e6,
        source_class: claim.class.number(),
        half_life_days: claim.half_life_days,
        said_confidence: claim.said.to_f64(),
        confidence: claim.confidence.to_f64(),
        trust: claim.trust.to_f64(),
        score: claim.score.to_f64(),
        voices: claim.voices.iter().map(voice_text).collect(),
        votes: claim.votes.to_f64(),
    }
}

fn voice_text(voice: &Voice) -> String {
    match voice {
        Voice::Agent(agent) => format!("agent:{agent}"),
        Voice::Source(source) => format!("source:{source}"),
    }
}
