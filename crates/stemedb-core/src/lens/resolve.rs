//! From candidates to an answer.

use std::cmp::Reverse;

use super::decay::{age_us, decayed};
use super::layers::{cross_class_conflict, layers};
use super::support::{Supporters, conflict_score, share, status, values};
use super::{Answer, Candidate, ClaimArithmetic, Explanation, Lens, SetAside, ValueSupport};
use crate::identity::ClaimId;
use crate::model::{Micros, Nano};

/// What an evaluation depends on besides the claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LensParams {
    /// The instant the question is asked for: decides validity and ages.
    pub evaluated_at: Micros,
    /// Whether confidences fade with age.
    pub decay: bool,
}

/// Answers a question: a pure function of the *set* of candidates, whatever their order.
///
/// The candidates must be about one subject and predicate and differ in their ids. Costs O(n log n) comparisons and
/// a handful of allocations.
pub fn resolve(lens: Lens, candidates: &[Candidate], params: LensParams) -> Answer {
    let (considered, set_aside) = sort_out(candidates, params.evaluated_at);
    let mut supporters = Supporters::default();
    let mut values = values(candidates, &considered, &mut supporters);
    let total = Nano(values.iter().map(|value| value.support.0).sum());
    for value in &mut values {
        value.share = share(value.support, total);
    }
    let second = values.get(1).map_or(0, |value| value.support.0);
    let lead = values.first().map_or(0, |value| value.support.0 - second);
    let arithmetic = arithmetic(candidates, &considered, &values, params);

    let mut answer = Answer {
        lens,
        value: None,
        winners: Vec::new(),
        confidence: Nano::ZERO,
        margin: share(Nano(lead), total),
        conflict_score: conflict_score(values.iter().map(|value| value.support), total),
        status: status(values.iter().map(|value| value.support), total),
        values,
        considered: considered.len(),
        set_aside,
        layers: Vec::new(),
        cross_class_conflict: 0.0,
        explanation: Explanation { total_support: total, claims: arithmetic },
    };
    match lens {
        Lens::Recency => by_recency(&mut answer, candidates),
        Lens::Consensus => by_consensus(&mut answer, candidates),
        Lens::Confidence => by_confidence(&mut answer, candidates),
        Lens::Authority => by_authority(&mut answer, candidates),
        Lens::Skeptic => {}
        Lens::Layered => by_layers(&mut answer, candidates, &mut supporters),
    }
    answer
}

/// The claims that take part and those that do not, each from the newest to the oldest.
fn sort_out(candidates: &[Candidate], evaluated_at: Micros) -> (Vec<usize>, Vec<(usize, SetAside)>) {
    let mut considered = Vec::with_capacity(candidates.len());
    let mut set_aside = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        match candidate.reason_set_aside(evaluated_at) {
            Some(reason) => set_aside.push((index, reason)),
            None => considered.push(index),
        }
    }
    let newest_first = |a: usize, b: usize| match (candidates.get(a), candidates.get(b)) {
        (Some(a), Some(b)) => a.cmp_newest_first(b),
        _ => a.cmp(&b),
    };
    considered.sort_unstable_by(|a, b| newest_first(*a, *b));
    set_aside.sort_unstable_by(|a, b| newest_first(a.0, b.0));
    (considered, set_aside)
}

fn arithmetic(
    candidates: &[Candidate],
    considered: &[usize],
    values: &[ValueSupport],
    params: LensParams,
) -> Vec<ClaimArithmetic> {
    let mut value_of = vec![0; candidates.len()];
    for (value_index, value) in values.iter().enumerate() {
        for claim in &value.claims {
            if let Some(slot) = value_of.get_mut(*claim) {
                *slot = value_index;
            }
        }
    }
    let one = |index: &usize| {
        let candidate = candidates.get(*index)?;
        let time = candidate.time();
        let said = candidate.assertion.confidence.unwrap_or(Nano::ONE);
        let confidence =
            if params.decay { decayed(said, candidate.class, time, params.evaluated_at) } else { said };
        // At most 10^18: both are at most 10^9.
        let product = candidate.trust.0.saturating_mul(confidence.0);
        Some(ClaimArithmetic {
            candidate: *index,
            value: value_of.get(*index).copied()?,
            time,
            age_us: age_us(time, params.evaluated_at),
            confidence,
            trust: candidate.trust,
            score: Nano(product.div_euclid(Nano::ONE.0)),
        })
    };
    considered.iter().filter_map(one).collect()
}

fn by_recency(answer: &mut Answer, candidates: &[Candidate]) {
    let newness = |claim: &ClaimArithmetic| candidates.get(claim.candidate).map(Candidate::newness);
    if let Some(deciding) = best(answer, newness, |_| true) {
        decide(answer, candidates, deciding, |_| true);
        answer.confidence = deciding.confidence;
    }
}

fn by_consensus(answer: &mut Answer, candidates: &[Candidate]) {
    let Some(top) = answer.values.first() else { return };
    answer.confidence = Nano::ratio(top.support.0, answer.explanation.total_support.0);
    answer.value = Some(top.object.clone());
    answer.winners = ids(candidates, top.claims.iter().copied()).collect();
}

fn by_confidence(answer: &mut Answer, candidates: &[Candidate]) {
    if let Some(deciding) = best(answer, |claim| claim.confidence, |_| true) {
        decide(answer, candidates, deciding, |_| true);
        answer.confidence = deciding.confidence;
    }
}

fn by_authority(answer: &mut Answer, candidates: &[Candidate]) {
    let class_of = |index: usize| candidates.get(index).map(|candidate| candidate.class);
    let claims = &answer.explanation.claims;
    let Some(best_class) = claims.iter().filter_map(|claim| class_of(claim.candidate)).min() else { return };
    let of_best_class = |index: usize| class_of(index) == Some(best_class);
    if let Some(deciding) = best(answer, |claim| claim.score, of_best_class) {
        decide(answer, candidates, deciding, of_best_class);
        answer.confidence = deciding.score;
    }
}

fn by_layers<'a>(answer: &mut Answer, candidates: &'a [Candidate], supporters: &mut Supporters<'a>) {
    answer.layers = layers(candidates, &answer.values, supporters);
    answer.cross_class_conflict = cross_class_conflict(&answer.layers);
    if let Some(best) = answer.layers.first() {
        answer.value = Some(best.value.clone());
        answer.winners = best.winners.clone();
        answer.confidence = Nano::ratio(best.support.0, best.total_support.0);
    }
}

/// The claim with the greatest rank among those allowed; ties by the support of its value, then by newness, then by
/// the smaller id.
fn best<Rank: Ord>(
    answer: &Answer,
    rank: impl Fn(&ClaimArithmetic) -> Rank,
    allowed: impl Fn(usize) -> bool,
) -> Option<ClaimArithmetic> {
    let support = |claim: &ClaimArithmetic| answer.values.get(claim.value).map(|value| value.support);
    // min_by_key keeps the first of equals, and the claims are listed by newness, then id.
    let claims = answer.explanation.claims.iter().filter(|claim| allowed(claim.candidate));
    claims.min_by_key(|claim| Reverse((rank(claim), support(claim)))).copied()
}

/// Makes the value of `deciding` the answer, with the claims allowed of that value.
fn decide(
    answer: &mut Answer,
    candidates: &[Candidate],
    deciding: ClaimArithmetic,
    allowed: impl Fn(usize) -> bool,
) {
    let Some(candidate) = candidates.get(deciding.candidate) else { return };
    answer.value = Some(candidate.assertion.object.clone());
    answer.winners.push(candidate.id);
    if let Some(value) = answer.values.get(deciding.value) {
        let others =
            value.claims.iter().copied().filter(|index| *index != deciding.candidate && allowed(*index));
        answer.winners.extend(ids(candidates, others));
    }
}

fn ids(candidates: &[Candidate], claims: impl Iterator<Item = usize>) -> impl Iterator<Item = ClaimId> {
    claims.filter_map(|index| candidates.get(index).map(|candidate| candidate.id))
}
