//! Answers in JSON.

use serde::{Serialize, Serializer};
use stemedb_core::{
    Answer, Candidate, ClaimId, Lens, Micros, Nano, SignedReceipt,
    lens::{LayerAnswer, ValueSupport},
};

use super::{
    ObjectJson, ReceiptJson,
    asked::AskedJson,
    claim::rfc3339,
    explain::{ExplainJson, explanation},
    fragility::FragilityJson,
};
use crate::database::Resolved;

/// The answer to `GET /v1/query`. All fractions are rounded to 10⁻⁹.
#[derive(Clone, Copy, Debug)]
pub struct AnswerJson<'a> {
    resolved: &'a Resolved,
    explain: bool,
    receipt: Option<&'a SignedReceipt>,
}

impl<'a> AnswerJson<'a> {
    /// The answer in full, with the arithmetic behind it if `explain`.
    pub fn new(resolved: &'a Resolved, explain: bool) -> AnswerJson<'a> {
        AnswerJson { resolved, explain, receipt: None }
    }

    /// Adds the receipt.
    #[must_use]
    pub fn with_receipt(self, receipt: Option<&'a SignedReceipt>) -> AnswerJson<'a> {
        AnswerJson { receipt, ..self }
    }
}

impl Serialize for AnswerJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Resolved { query, answer, candidates, .. } = self.resolved;
        let layered = answer.lens == Lens::Layered;
        Whole {
            subject: &query.subject,
            predicate: &query.predicate,
            lens: answer.lens.name(),
            value: answer.value.as_ref().map(|value| ObjectJson(value.as_ref())),
            confidence: answer.confidence.to_f64(),
            margin: answer.margin,
            conflict_score: answer.conflict_score,
            status: answer.status.name(),
            winners: answer.winners.iter().map(ClaimId::to_string).collect(),
            values: answer.values.iter().map(|value| value_json(value, candidates)).collect(),
            candidates: candidates.iter().map(candidate_json).collect(),
            considered: answer.considered,
            set_aside: set_aside(self.resolved),
            layers: layered.then(|| layers(answer)),
            cross_class_conflict: layered.then_some(answer.cross_class_conflict),
            lsn: self.resolved.lsn.0,
            evaluated_at: self.resolved.evaluated_at.to_string(),
            epoch: query.epoch.as_deref(),
            decay: query.decay,
            asked: AskedJson::new(self.resolved),
            fragility: self.resolved.fragility.as_ref().map(FragilityJson::new),
            explain: self.explain.then(|| explanation(self.resolved)),
            known: known(self.resolved),
            receipt: self.receipt.map(ReceiptJson),
        }
        .serialize(serializer)
    }
}

/// The answer to `GET /v1/skeptic`: what is claimed, and how much it disagrees.
#[derive(Clone, Copy, Debug)]
pub struct SkepticJson<'a>(pub &'a Resolved);

impl Serialize for SkepticJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Resolved { query, answer, candidates, .. } = self.0;
        Skeptic {
            subject: &query.subject,
            predicate: &query.predicate,
            status: answer.status.name(),
            conflict_score: answer.conflict_score,
            margin: answer.margin,
            values: answer.values.iter().map(|value| value_json(value, candidates)).collect(),
            considered: answer.considered,
            set_aside: set_aside(self.0),
            tainted: tainted(self.0),
            lsn: self.0.lsn.0,
            evaluated_at: self.0.evaluated_at.to_string(),
            known: known(self.0),
            asked: AskedJson::new(self.0),
        }
        .serialize(serializer)
    }
}

/// The answer to `GET /v1/layered`: what each class of sources says.
#[derive(Clone, Copy, Debug)]
pub struct LayeredJson<'a>(pub &'a Resolved);

impl Serialize for LayeredJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Resolved { query, answer, .. } = self.0;
        Layered {
            subject: &query.subject,
            predicate: &query.predicate,
            value: answer.value.as_ref().map(|value| ObjectJson(value.as_ref())),
            confidence: answer.confidence.to_f64(),
            status: answer.status.name(),
            conflict_score: answer.conflict_score,
            cross_class_conflict: answer.cross_class_conflict,
            layers: layers(answer),
            considered: answer.considered,
            set_aside: set_aside(self.0),
            tainted: tainted(self.0),
            lsn: self.0.lsn.0,
            evaluated_at: self.0.evaluated_at.to_string(),
            known: known(self.0),
            asked: AskedJson::new(self.0),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    subject: &'a str,
    predicate: &'a str,
    lens: &'static str,
    value: Option<ObjectJson<'a>>,
    confidence: f64,
    margin: f64,
    conflict_score: f64,
    status: &'static str,
    winners: Vec<String>,
    values: Vec<ValueJson<'a>>,
    candidates: Vec<CandidateJson<'a>>,
    considered: usize,
    set_aside: Vec<SetAsideJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<LayerJson<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cross_class_conflict: Option<f64>,
    lsn: u64,
    evaluated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
    decay: bool,
    #[serde(flatten)]
    asked: AskedJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    fragility: Option<FragilityJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<ExplainJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<KnownJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptJson<'a>>,
}

/// That nothing later was used, for a question that asked for it.
#[derive(Serialize)]
struct KnownJson {
    /// The bound.
    known_at: String,
    /// The newest entry of which a row was used: a claim, vote, supersession, co-signature, source or epoch.
    latest_lsn_used: Option<u64>,
    /// The latest time at which a row that was used had been recorded.
    latest_recorded_at: Option<String>,
}

fn known(resolved: &Resolved) -> Option<KnownJson> {
    Some(KnownJson {
        known_at: resolved.query.known_at?.to_string(),
        latest_lsn_used: resolved.used.map(|used| used.lsn.0),
        latest_recorded_at: resolved.used.map(|used| Micros(used.recorded_at.0).to_string()),
    })
}

#[derive(Serialize)]
struct Skeptic<'a> {
    subject: &'a str,
    predicate: &'a str,
    status: &'static str,
    conflict_score: f64,
    margin: f64,
    values: Vec<ValueJson<'a>>,
    considered: usize,
    set_aside: Vec<SetAsideJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tainted: Vec<TaintedJson>,
    lsn: u64,
    evaluated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<KnownJson>,
    #[serde(flatten)]
    asked: AskedJson,
}

#[derive(Serialize)]
struct Layered<'a> {
    subject: &'a str,
    predicate: &'a str,
    value: Option<ObjectJson<'a>>,
    confidence: f64,
    status: &'static str,
    conflict_score: f64,
    cross_class_conflict: f64,
    layers: Vec<LayerJson<'a>>,
    considered: usize,
    set_aside: Vec<SetAsideJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tainted: Vec<TaintedJson>,
    lsn: u64,
    evaluated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<KnownJson>,
    #[serde(flatten)]
    asked: AskedJson,
}

#[derive(Serialize)]
struct ValueJson<'a> {
    value: ObjectJson<'a>,
    share: f64,
    support: f64,
    voices: u32,
    /// How many of them copy nobody, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    independent_voices: Option<u32>,
    sources: Vec<&'a str>,
    claims: Vec<String>,
}

fn value_json<'a>(value: &'a ValueSupport, candidates: &'a [Candidate]) -> ValueJson<'a> {
    let claims = || value.claims.iter().filter_map(|index| candidates.get(*index));
    let mut sources: Vec<&str> = claims().map(|claim| claim.assertion.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    ValueJson {
        value: ObjectJson(value.object.as_ref()),
        share: value.share,
        support: value.support.to_f64(),
        voices: value.voices,
        independent_voices: value.independent_voices,
        sources,
        claims: claims().map(|claim| claim.id.to_string()).collect(),
    }
}

#[derive(Serialize)]
struct CandidateJson<'a> {
    id: String,
    object: ObjectJson<'a>,
    /// As the claim says it; 1 when it does not.
    confidence: f64,
    source: &'a str,
    source_class: u8,
    lsn: u64,
    recorded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    votes: Vec<VoteJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signers: Vec<String>,
    /// The nearest retracted claim that it derives from.
    #[serde(skip_serializing_if = "Option::is_none")]
    tainted_by: Option<String>,
    /// It derives from more claims than were looked at.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lineage_cut: bool,
}

#[derive(Serialize)]
struct VoteJson {
    agent: String,
    weight: f64,
}

fn candidate_json(candidate: &Candidate) -> CandidateJson<'_> {
    let claim = &candidate.assertion;
    let signers =
        claim.signatures.iter().map(|signature| signature.agent).chain(candidate.cosigners.iter().copied());
    CandidateJson {
        id: candidate.id.to_string(),
        object: ObjectJson(claim.object.as_ref()),
        confidence: claim.confidence.unwrap_or(Nano::ONE).to_f64(),
        source: &claim.source,
        source_class: candidate.class.number(),
        lsn: candidate.lsn,
        recorded_at: candidate.recorded_at.to_string(),
        observed_at: claim.observed_at.map(rfc3339),
        author: claim.author.map(|author| author.to_string()),
        epoch: claim.epoch.as_deref(),
        lifecycle: claim.lifecycle.map(|stage| stage.name()),
        valid_from: claim.valid_from.map(rfc3339),
        valid_to: claim.valid_to.map(rfc3339),
        votes: candidate
            .votes
            .iter()
            .map(|vote| VoteJson { agent: vote.agent.to_string(), weight: vote.weight.to_f64() })
            .collect(),
        signers: signers.map(|agent| agent.to_string()).collect(),
        tainted_by: candidate.tainted.map(|id| id.to_string()),
        lineage_cut: candidate.lineage_cut,
    }
}

#[derive(Serialize)]
struct SetAsideJson {
    id: String,
    reason: &'static str,
    /// The claim that took its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

fn set_aside(resolved: &Resolved) -> Vec<SetAsideJson> {
    let one = |(index, reason): &(usize, stemedb_core::SetAside)| {
        let id = resolved.candidates.get(*index)?.id;
        let by = resolved.successors.iter().find(|(old, _)| *old == id).map(|(_, new)| new.to_string());
        Some(SetAsideJson { id: id.to_string(), reason: reason.name(), by })
    };
    resolved.answer.set_aside.iter().filter_map(one).collect()
}

#[derive(Serialize)]
struct TaintedJson {
    id: String,
    /// The nearest retracted claim that it derives from.
    by: String,
}

/// The claims that derive from a retracted one, where the candidates themselves are not shown.
fn tainted(resolved: &Resolved) -> Vec<TaintedJson> {
    let one = |candidate: &Candidate| {
        Some(TaintedJson { id: candidate.id.to_string(), by: candidate.tainted?.to_string() })
    };
    resolved.candidates.iter().filter_map(one).collect()
}

#[derive(Serialize)]
struct LayerJson<'a> {
    class: u8,
    value: ObjectJson<'a>,
    share: f64,
    support: f64,
    conflict_score: f64,
    considered: usize,
    winners: Vec<String>,
}

fn layers(answer: &Answer) -> Vec<LayerJson<'_>> {
    answer.layers.iter().map(layer_json).collect()
}

fn layer_json(layer: &LayerAnswer) -> LayerJson<'_> {
    LayerJson {
        class: layer.class.number(),
        value: ObjectJson(layer.value.as_ref()),
        share: layer.share,
        support: layer.support.to_f64(),
        conflict_score: layer.conflict_score,
        considered: layer.considered,
        winners: layer.winners.iter().map(ClaimId::to_string).collect(),
    }
}
