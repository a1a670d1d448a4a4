//! What values hold in memory.

use stemedb_core::{Answer, Assertion, ClaimId, Object, lens::Candidate};

/// What a map needs for an entry beside key and value, and the allocator beside what it gives: rounded up.
pub(super) const ENTRY_BYTES: usize = 96;

fn of_object(object: &Object) -> usize {
    match object {
        Object::Text(text)
        | Object::Number(text)
        | Object::Time(text)
        | Object::Reference(text)
        | Object::Json(text) => text.capacity(),
        Object::Integer(_) | Object::Boolean(_) => 0,
    }
}

fn of_list<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

fn of_assertion(claim: &Assertion) -> usize {
    claim.subject.capacity()
        + claim.predicate.capacity()
        + of_object(&claim.object)
        + claim.source.capacity()
        + claim.epoch.as_ref().map_or(0, String::capacity)
        + of_list(&claim.parents)
        + of_list(&claim.signatures)
}

/// Of candidates and their list.
pub(super) fn of_candidates(candidates: &Vec<Candidate>) -> usize {
    let one = |candidate: &Candidate| {
        of_assertion(&candidate.assertion) + of_list(&candidate.cosigners) + of_list(&candidate.votes)
    };
    of_list(candidates) + candidates.iter().map(one).sum::<usize>()
}

/// Of an answer.
pub(super) fn of_answer(answer: &Answer) -> usize {
    let values = answer.values.iter().map(|value| of_object(&value.object) + of_list(&value.claims));
    let layers = answer.layers.iter().map(|layer| of_object(&layer.value) + of_list(&layer.winners));
    size_of::<Answer>()
        + answer.value.as_ref().map_or(0, of_object)
        + of_list(&answer.winners)
        + of_list(&answer.values)
        + values.sum::<usize>()
        + of_list(&answer.set_aside)
        + of_list(&answer.layers)
        + layers.sum::<usize>()
}

/// Of pairs of claims.
pub(super) fn of_pairs(pairs: &Vec<(ClaimId, ClaimId)>) -> usize {
    of_list(pairs)
}
