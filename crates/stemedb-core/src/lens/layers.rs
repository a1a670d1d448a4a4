//! The layered lens: each class of sources answers for itself.

use std::cmp::Reverse;

use super::support::{Supporters, conflict_score, share};
use super::{Candidate, LayerAnswer, ValueSupport};
use crate::model::{Nano, SourceClass};

/// The answer of every class that has claims, the best class first, by consensus inside the class.
pub(super) fn layers<'a>(
    candidates: &'a [Candidate],
    values: &[ValueSupport],
    supporters: &mut Supporters<'a>,
) -> Vec<LayerAnswer> {
    SourceClass::ALL.into_iter().filter_map(|class| layer(class, candidates, values, supporters)).collect()
}

/// A value inside one class: its index, its support there, its claims there from the newest to the oldest.
struct Entry<'a> {
    value_index: usize,
    support: Nano,
    claims: Vec<usize>,
    newest: &'a Candidate,
}

fn layer<'a>(
    class: SourceClass,
    candidates: &'a [Candidate],
    values: &[ValueSupport],
    supporters: &mut Supporters<'a>,
) -> Option<LayerAnswer> {
    let in_class = |index: &usize| candidates.get(*index).is_some_and(|candidate| candidate.class == class);
    let mut entries: Vec<Entry<'a>> = Vec::new();
    for (value_index, value) in values.iter().enumerate() {
        let claims: Vec<usize> = value.claims.iter().copied().filter(in_class).collect();
        if let Some(newest) = claims.first().and_then(|index| candidates.get(*index)) {
            let support = supporters.support(candidates, &claims);
            entries.push(Entry { value_index, support, claims, newest });
        }
    }
    entries
        .sort_unstable_by(|a, b| b.support.cmp(&a.support).then_with(|| a.newest.cmp_newest_first(b.newest)));
    let winner = entries.first()?;
    let total = Nano(entries.iter().map(|entry| entry.support.0).sum());
    Some(LayerAnswer {
        class,
        value: winner.newest.assertion.object.clone(),
        value_index: winner.value_index,
        support: winner.support,
        total_support: total,
        share: share(winner.support, total),
        conflict_score: conflict_score(entries.iter().map(|entry| entry.support), total),
        considered: entries.iter().map(|entry| entry.claims.len()).sum(),
        winners: winner
            .claims
            .iter()
            .filter_map(|index| candidates.get(*index).map(|candidate| candidate.id))
            .collect(),
    })
}

/// Conflict between the classes: each gives one voice to the value that won inside it.
pub(super) fn cross_class_conflict(layers: &[LayerAnswer]) -> f64 {
    // At most six layers: counting each value's voices by hand is cheaper than a map.
    let mut voices: Vec<(usize, i64)> = Vec::with_capacity(layers.len());
    for layer in layers {
        match voices.iter_mut().find(|(value, _)| *value == layer.value_index) {
            Some((_, count)) => *count += 1,
            None => voices.push((layer.value_index, 1)),
        }
    }
    voices.sort_unstable_by_key(|(_, count)| Reverse(*count));
    let total = i64::try_from(layers.len()).unwrap_or(i64::MAX);
    conflict_score(voices.iter().map(|(_, count)| Nano(*count)), Nano(total))
}
