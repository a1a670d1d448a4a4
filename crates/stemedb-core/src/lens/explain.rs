//! The arithmetic behind an answer: every number needed to redo it by hand.

use super::decay::age_us;
use super::independence::{Copied, Evidence, count_voices};
use super::layers::entries;
use super::params::View;
use super::resolve::{confidence, score};
use super::support::{VoiceRef, each_voice};
use super::{Answer, Candidate, Lens, LensParams, Voice};
use crate::model::{Micros, Nano, SourceClass};

/// The arithmetic behind an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Sum of the supports of all values.
    pub total_support: Nano,
    /// One entry per claim that took part, from the newest to the oldest.
    pub claims: Vec<ClaimArithmetic>,
    /// One entry per value, in the order of [`Answer::values`].
    pub values: Vec<ValueArithmetic>,
    /// One entry per class with claims, the best first. For [`Lens::Layered`] only.
    pub layers: Vec<LayerArithmetic>,
}

/// What entered the answer from one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimArithmetic {
    /// The claim, as an index into the candidates.
    pub candidate: usize,
    /// Its value, as an index into [`Answer::values`].
    pub value: usize,
    /// When it was observed, else recorded. With LSN and ordinal: its newness.
    pub time: Micros,
    /// Age at the evaluation in microseconds, not below zero.
    pub age_us: i64,
    /// Its class.
    pub class: SourceClass,
    /// Days in which its confidence halves; `None` where it does not fade.
    pub half_life_days: Option<u32>,
    /// Confidence as said; 1 when it is not.
    pub said: Nano,
    /// Confidence after decay.
    pub confidence: Nano,
    /// Trust in its author.
    pub trust: Nano,
    /// Trust × confidence after decay, rounded down: what [`Lens::Authority`] compares.
    pub score: Nano,
    /// Who speaks for it, ascending.
    pub voices: Vec<Voice>,
    /// Sum of the votes on it.
    pub votes: Nano,
}

/// What made the support of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueArithmetic {
    /// How many speak for it.
    pub voices: u32,
    /// How many of them copy nobody, where that counts.
    pub independent_voices: Option<u32>,
    /// The voices that do not count because they copy another, ascending.
    pub copies: Vec<Copied>,
    /// Sum of the votes on its claims.
    pub votes: Nano,
    /// `max(0, voices + votes)`, with independent voices where that counts.
    pub support: Nano,
}

/// The values inside one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerArithmetic {
    /// The class.
    pub class: SourceClass,
    /// Each value that has claims of the class, as an index into [`Answer::values`], with its support inside the class; the
    /// winner first.
    pub supports: Vec<(usize, Nano)>,
}

/// Explains an answer: `answer` must be what the same candidates, parameters and evidence gave. Costs a little more than
/// answering.
pub fn explain(
    answer: &Answer,
    candidates: &[Candidate],
    params: &LensParams,
    evidence: &Evidence,
) -> Explanation {
    let view = View::new(params, evidence);
    let mut claims = Vec::with_capacity(answer.considered);
    let mut values = Vec::with_capacity(answer.values.len());
    for (place, value) in answer.values.iter().enumerate() {
        let of_value = || value.claims.iter().filter_map(|index| Some((*index, candidates.get(*index)?)));
        claims.extend(of_value().map(|(index, candidate)| claim(&view, index, candidate, place)));
        let copies =
            view.evidence.map(|evidence| count_voices(&view, evidence, candidates, &value.claims).copies());
        values.push(ValueArithmetic {
            voices: value.voices,
            independent_voices: value.independent_voices,
            copies: copies.unwrap_or_default(),
            votes: Nano(of_value().map(|(_, candidate)| view.votes(candidate)).sum()),
            support: value.support,
        });
    }
    claims.sort_by(|a, b| match (candidates.get(a.candidate), candidates.get(b.candidate)) {
        (Some(a), Some(b)) => a.cmp_newest_first(b),
        _ => a.candidate.cmp(&b.candidate),
    });
    let mut layers = Vec::new();
    if answer.lens == Lens::Layered {
        for layer in &answer.layers {
            let entries = entries(layer.class, &view, candidates, &answer.values);
            let supports = entries.iter().map(|entry| (entry.value_index, entry.support)).collect();
            layers.push(LayerArithmetic { class: layer.class, supports });
        }
    }
    Explanation { total_support: answer.total_support, claims, values, layers }
}

fn claim(view: &View<'_>, index: usize, candidate: &Candidate, value: usize) -> ClaimArithmetic {
    let params = view.params;
    let confidence = confidence(candidate, params);
    let mut voices = Vec::new();
    each_voice(view, candidate, |voice| voices.push(voice.to_voice()));
    voices.sort_unstable();
    voices.dedup();
    ClaimArithmetic {
        candidate: index,
        value,
        time: candidate.time(),
        age_us: age_us(candidate.time(), params.evaluated_at),
        class: candidate.class,
        half_life_days: candidate.class.half_life_days(),
        said: candidate.assertion.confidence.unwrap_or(Nano::ONE),
        confidence,
        trust: candidate.trust,
        score: score(candidate, confidence),
        voices,
        votes: Nano(view.votes(candidate)),
    }
}

impl VoiceRef<'_> {
    pub(super) fn to_voice(self) -> Voice {
        match self {
            VoiceRef::Agent(agent) => Voice::Agent(*agent),
            VoiceRef::Source(source) => Voice::Source(source.to_owned()),
        }
    }
}
