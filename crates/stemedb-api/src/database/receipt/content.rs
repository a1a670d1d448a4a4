//! From an answer to what its receipt says of it.

use std::cmp::Reverse;

use stemedb_core::{
    Candidate, ClaimId, Lens, Nano,
    lens::{ClaimArithmetic, LayerAnswer, ValueSupport, explain},
    receipt::{ClaimStanding, Figures, ReceiptAnswer, ReceiptClaim, ReceiptLayer, ReceiptValue},
};

use crate::database::Resolved;

/// The answer, and the claims it was made from, the newest entry first.
pub(super) fn of(resolved: &Resolved) -> (ReceiptAnswer, Vec<ReceiptClaim>) {
    let Resolved { answer, candidates, .. } = resolved;
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let position = |index: &usize| candidates.get(*index).map(|one| (one.lsn, one.ordinal));
    order.sort_unstable_by_key(|index| Reverse(position(index)));
    let mut standings = standings(resolved);
    let claims: Vec<ReceiptClaim> = order
        .iter()
        .filter_map(|index| Some(claim(candidates.get(*index)?, standings.get_mut(*index)?.take())))
        .collect();
    let places: std::collections::BTreeMap<ClaimId, u32> = claims
        .iter()
        .enumerate()
        .filter_map(|(place, claim)| Some((claim.id, u32::try_from(place).ok()?)))
        .collect();
    let places = |ids: &[ClaimId]| ids.iter().filter_map(|id| places.get(id).copied()).collect::<Vec<u32>>();
    let mut figures = vec![
        ("confidence", answer.confidence),
        ("conflict_score", nano(answer.conflict_score)),
        ("margin", nano(answer.margin)),
        ("total_support", answer.total_support),
    ];
    if answer.lens == Lens::Layered {
        figures.push(("cross_class_conflict", nano(answer.cross_class_conflict)));
    }
    let answer = ReceiptAnswer {
        status: answer.status.name().to_owned(),
        value: answer.value.clone(),
        figures: named(figures),
        values: answer.values.iter().map(value).collect(),
        winners: places(&answer.winners),
        layers: answer.layers.iter().map(|one| layer(one, places(&one.winners))).collect(),
    };
    (answer, claims)
}

/// What became of each candidate.
fn standings(resolved: &Resolved) -> Vec<Option<ClaimStanding>> {
    let Resolved { answer, candidates, params, evidence, .. } = resolved;
    let mut standings: Vec<Option<ClaimStanding>> = vec![None; candidates.len()];
    for arithmetic in &explain(answer, candidates, params, evidence).claims {
        let index = arithmetic.candidate;
        if let (Some(slot), Some(candidate)) = (standings.get_mut(index), candidates.get(index)) {
            *slot = Some(counts(candidate, arithmetic));
        }
    }
    for (index, reason) in &answer.set_aside {
        if let Some(slot) = standings.get_mut(*index) {
            *slot = Some(ClaimStanding::SetAside(reason.name().to_owned()));
        }
    }
    standings
}

fn claim(candidate: &Candidate, standing: Option<ClaimStanding>) -> ReceiptClaim {
    ReceiptClaim {
        id: candidate.id,
        lsn: candidate.lsn,
        ordinal: candidate.ordinal,
        recorded_at: candidate.recorded_at,
        source: candidate.assertion.source.clone(),
        class: candidate.class,
        // A lens accounts for every candidate; one that it forgot is said to be so.
        standing: standing.unwrap_or_else(|| ClaimStanding::SetAside("not_considered".to_owned())),
    }
}

fn counts(candidate: &Candidate, arithmetic: &ClaimArithmetic) -> ClaimStanding {
    ClaimStanding::Counted {
        value: u32::try_from(arithmetic.value).unwrap_or(u32::MAX),
        figures: named(vec![
            ("confidence", arithmetic.confidence),
            ("score", arithmetic.score),
            ("trust", arithmetic.trust),
            ("votes", Nano(candidate.votes.iter().map(|vote| vote.weight.0).sum())),
        ]),
    }
}

fn value(value: &ValueSupport) -> ReceiptValue {
    ReceiptValue {
        object: value.object.clone(),
        figures: named(vec![("share", nano(value.share)), ("support", value.support)]),
    }
}

fn layer(layer: &LayerAnswer, winners: Vec<u32>) -> ReceiptLayer {
    ReceiptLayer {
        class: layer.class,
        value: u32::try_from(layer.value_index).unwrap_or(u32::MAX),
        figures: named(vec![
            ("conflict_score", nano(layer.conflict_score)),
            ("share", nano(layer.share)),
            ("support", layer.support),
            ("total_support", layer.total_support),
        ]),
        winners,
    }
}

/// Figures in the order of their names.
fn named(mut figures: Vec<(&str, Nano)>) -> Figures {
    figures.sort_unstable_by_key(|(name, _)| *name);
    figures.into_iter().map(|(name, amount)| (name.to_owned(), amount)).collect()
}

/// Shares, margins and scores lie in 0..=1 and are rounded to 10⁻⁹ already: the integer is exact.
fn nano(rounded: f64) -> Nano {
    Nano((rounded * 1e9).round() as i64)
}
