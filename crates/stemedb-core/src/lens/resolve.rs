//! From candidates to an answer.

use smallvec::SmallVec;

use super::decay::decayed;
use super::independence::Evidence;
use super::layers::{cross_class_conflict, layers};
use super::params::View;
use super::stages::each_restaged;
use super::support::{INLINE, conflict_score, share, status, values};
use super::{Answer, Candidate, Lens, LensParams, SetAside, ValueSupport};
use crate::identity::ClaimId;
use crate::model::{Nano, SourceClass};

/// Answers a question: a pure function of the *set* of candidates, whatever their order.
///
/// The candidates must be about one subject and predicate and differ in their ids. Costs O(n log n) comparisons and
/// two allocations a value. The arithmetic behind an answer is computed on request ([`explain`](fn@super::explain)).
pub fn resolve(lens: Lens, candidates: &[Candidate], params: &LensParams) -> Answer {
    resolve_with(lens, candidates, params, &Evidence::default())
}

/// [`resolve`] with what is known about who copies whom; it counts where [`LensParams::independent`] is set.
pub fn resolve_with(
    lens: Lens,
    candidates: &[Candidate],
    params: &LensParams,
    evidence: &Evidence,
) -> Answer {
    resolve_view(lens, candidates, &View::new(params, evidence))
}

pub(super) fn resolve_view(lens: Lens, candidates: &[Candidate], view: &View<'_>) -> Answer {
    let (considered, set_aside) = sort_out(candidates, view);
    let mut values = values(view, candidates, &considered);
    let total = Nano(values.iter().map(|value| value.support.0).sum());
    for value in &mut values {
        value.share = share(value.support, total);
    }
    let second = values.get(1).map_or(0, |value| value.support.0);
    let lead = values.first().map_or(0, |value| value.support.0 - second);

    let mut answer = Answer {
        lens,
        value: None,
        winners: Vec::new(),
        confidence: Nano::ZERO,
        margin: share(Nano(lead), total),
        conflict_score: conflict_score(values.iter().map(|value| value.support), total),
        status: status(values.iter().map(|value| value.support), total),
        values,
        total_support: total,
        considered: considered.len(),
        set_aside,
        layers: Vec::new(),
        cross_class_conflict: 0.0,
    };
    match lens {
        Lens::Recency => by_recency(&mut answer, candidates, &considered, view.params),
        Lens::Consensus => by_consensus(&mut answer, candidates),
        Lens::Confidence => by_confidence(&mut answer, candidates, view.params),
        Lens::Authority => by_authority(&mut answer, candidates, view.params),
        Lens::Skeptic => {}
        Lens::Layered => by_layers(&mut answer, candidates, view),
    }
    answer
}

/// Indices of the claims that take part.
pub(super) type Considered = SmallVec<[usize; INLINE]>;

/// The claims that take part and those that do not, each from the newest to the oldest.
pub(super) fn sort_out(candidates: &[Candidate], view: &View<'_>) -> (Considered, Vec<(usize, SetAside)>) {
    let mut considered = Considered::new();
    let mut set_aside: Vec<(usize, SetAside)> = Vec::new();
    let mut restaged: SmallVec<[bool; INLINE]> = SmallVec::new();
    // Where no claim states a stage, none has been replaced by another.
    if candidates.iter().any(|candidate| candidate.assertion.lifecycle.is_some()) && candidates.len() > 1 {
        restaged.resize(candidates.len(), false);
        each_restaged(candidates, |index| {
            restaged.iter_mut().skip(index).take(1).for_each(|one| *one = true)
        });
    }
    for (index, candidate) in candidates.iter().enumerate() {
        let mut reason = candidate.reason_set_aside(view.params.evaluated_at);
        if restaged.get(index) == Some(&true) {
            reason = Some(reason.map_or(SetAside::Restaged, |other| other.min(SetAside::Restaged)));
        } else if reason.is_none() && view.excludes(candidate) {
            reason = Some(SetAside::Excluded);
        }
        match reason {
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

/// The confidence that counts: as said, 1 if nothing is said, faded with age if asked for.
pub(super) fn confidence(candidate: &Candidate, params: &LensParams) -> Nano {
    let said = candidate.assertion.confidence.unwrap_or(Nano::ONE);
    if params.decay { decayed(said, candidate.class, candidate.time(), params.evaluated_at) } else { said }
}

/// Trust × confidence, rounded down.
pub(super) fn score(candidate: &Candidate, confidence: Nano) -> Nano {
    // At most 10^18: both are at most 10^9.
    Nano(candidate.trust.0.saturating_mul(confidence.0).div_euclid(Nano::ONE.0))
}

fn by_recency(answer: &mut Answer, candidates: &[Candidate], considered: &[usize], params: &LensParams) {
    let newness = |index: &usize| candidates.get(*index).map(Candidate::newness);
    let Some(greatest) = considered.first().and_then(newness) else { return };
    // Of several claims of the greatest newness each comes first in its value, and the values are listed by support.
    let of_greatest = |value: &ValueSupport| value.claims.first().and_then(newness) == Some(greatest);
    let Some(place) = answer.values.iter().position(of_greatest) else { return };
    let Some(newest) = answer.values.get(place).and_then(|value| value.claims.first()).copied() else {
        return;
    };
    decide(answer, candidates, (place, newest), None);
    answer.confidence = candidates.get(newest).map_or(Nano::ZERO, |candidate| confidence(candidate, params));
}

fn by_consensus(answer: &mut Answer, candidates: &[Candidate]) {
    let Some(top) = answer.values.first() else { return };
    // With a tolerance the anchor speaks for its group; without one the newest claim is as good as any and comes first.
    let spelled =
        |index: &&usize| candidates.get(**index).is_some_and(|claim| claim.assertion.object == top.object);
    let Some(newest) = top.claims.iter().find(spelled).copied() else { return };
    answer.confidence = Nano::ratio(top.support.0, answer.total_support.0);
    decide(answer, candidates, (0, newest), None);
}

fn by_confidence(answer: &mut Answer, candidates: &[Candidate], params: &LensParams) {
    let rank = |candidate: &Candidate| confidence(candidate, params);
    if let Some((deciding, confidence)) = best(answer, candidates, None, rank) {
        decide(answer, candidates, deciding, None);
        answer.confidence = confidence;
    }
}

fn by_authority(answer: &mut Answer, candidates: &[Candidate], params: &LensParams) {
    let claims = answer.values.iter().flat_map(|value| &value.claims);
    let class = claims.filter_map(|index| candidates.get(*index)).map(|candidate| candidate.class).min();
    let rank = |candidate: &Candidate| score(candidate, confidence(candidate, params));
    if let Some((deciding, score)) = best(answer, candidates, class, rank) {
        decide(answer, candidates, deciding, class);
        answer.confidence = score;
    }
}

fn by_layers(answer: &mut Answer, candidates: &[Candidate], view: &View<'_>) {
    answer.layers = layers(view, candidates, &answer.values);
    answer.cross_class_conflict = cross_class_conflict(&answer.layers);
    if let Some(best) = answer.layers.first() {
        answer.value = Some(best.value.clone());
        answer.winners = best.winners.clone();
        answer.confidence = Nano::ratio(best.support.0, best.total_support.0);
    }
}

/// A claim's place, its rank with the support of its value, and the claim.
type Best<'a> = ((usize, usize), (Nano, Nano), &'a Candidate);

/// The claim with the greatest rank (of one class, if given), as (value, claim); ties by the support of its value, then by
/// newness, then by the smaller id.
fn best(
    answer: &Answer,
    candidates: &[Candidate],
    class: Option<SourceClass>,
    rank: impl Fn(&Candidate) -> Nano,
) -> Option<((usize, usize), Nano)> {
    let mut best: Option<Best<'_>> = None;
    for (place, value) in answer.values.iter().enumerate() {
        for index in &value.claims {
            let Some(candidate) = candidates.get(*index) else { continue };
            if class.is_some_and(|class| class != candidate.class) {
                continue;
            }
            let rank = (rank(candidate), value.support);
            let better = best.as_ref().is_none_or(|(_, other, holder)| {
                other.cmp(&rank).then_with(|| candidate.cmp_newest_first(holder)).is_lt()
            });
            if better {
                best = Some(((place, *index), rank, candidate));
            }
        }
    }
    best.map(|(deciding, (rank, _), _)| (deciding, rank))
}

/// Makes the value of the deciding claim the answer, with the claims of that value (of one class, if given).
fn decide(
    answer: &mut Answer,
    candidates: &[Candidate],
    (value, deciding): (usize, usize),
    class: Option<SourceClass>,
) {
    let (Some(value), Some(candidate)) = (answer.values.get(value), candidates.get(deciding)) else { return };
    let mut winners: Vec<ClaimId> = Vec::with_capacity(value.claims.len());
    winners.push(candidate.id);
    let others =
        value.claims.iter().filter(|index| **index != deciding).filter_map(|index| candidates.get(*index));
    winners
        .extend(others.filter(|other| class.is_none_or(|class| class == other.class)).map(|other| other.id));
    answer.value = Some(candidate.assertion.object.clone());
    answer.winners = winners;
}
