//! The layered lens: each class of sources answers for itself.

use std::cmp::Reverse;

use smallvec::SmallVec;

use super::params::View;
use super::support::{INLINE, conflict_score, share, tally};
use super::{Candidate, LayerAnswer, ValueSupport};
use crate::model::{Nano, SourceClass};

/// The answer of every class that has claims, the best class first, by consensus inside the class.
pub(super) fn layers(view: &View<'_>, candidates: &[Candidate], values: &[ValueSupport]) -> Vec<LayerAnswer> {
    let mut present = [false; SourceClass::COUNT];
    for index in values.iter().flat_map(|value| &value.claims) {
        if let Some(candidate) = candidates.get(*index)
            && let Some(slot) = present.get_mut(usize::from(candidate.class.number()))
        {
            *slot = true;
        }
    }
    let classes = SourceClass::ALL.into_iter().zip(present).filter(|(_, present)| *present);
    classes.filter_map(|(class, _)| layer(class, view, candidates, values)).collect()
}

/// A value inside one class: its index, its support there, its claims there from the newest to the oldest.
pub(super) struct Entry<'a> {
    pub(super) value_index: usize,
    pub(super) support: Nano,
    claims: SmallVec<[usize; 8]>,
    newest: &'a Candidate,
}

/// The values that have claims of the class, by support there, then by their newest claim there.
pub(super) fn entries<'a>(
    class: SourceClass,
    view: &View<'_>,
    candidates: &'a [Candidate],
    values: &[ValueSupport],
) -> SmallVec<[Entry<'a>; INLINE]> {
    let in_class = |index: &usize| candidates.get(*index).is_some_and(|candidate| candidate.class == class);
    let mut entries: SmallVec<[Entry<'a>; INLINE]> = SmallVec::new();
    for (value_index, value) in values.iter().enumerate() {
        let claims: SmallVec<[usize; 8]> = value.claims.iter().copied().filter(in_class).collect();
        if let Some(newest) = claims.first().and_then(|index| candidates.get(*index)) {
            // All claims of the value: what supports it is known.
            let support = if claims.len() == value.claims.len() {
                value.support
            } else {
                tally(view, candidates, &claims).support
            };
            entries.push(Entry { value_index, support, claims, newest });
        }
    }
    entries
        .sort_unstable_by(|a, b| b.support.cmp(&a.support).then_with(|| a.newest.cmp_newest_first(b.newest)));
    entries
}

fn layer(
    class: SourceClass,
    view: &View<'_>,
    candidates: &[Candidate],
    values: &[ValueSupport],
) -> Option<LayerAnswer> {
    let entries = entries(class, view, candidates, values);
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
    let mut voices: SmallVec<[(usize, i64); SourceClass::COUNT]> = SmallVec::new();
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
