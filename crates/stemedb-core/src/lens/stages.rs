//! Stages of one statement: a new lifecycle is a new assertion, and the newest stage speaks.

use std::cmp::Ordering;

use super::Candidate;
use crate::object::Object;

/// Calls `each` with the index of every claim that a newer stage of its statement has replaced.
///
/// A statement is all claims that are equal in everything but lifecycle, time of observation and signatures. Costs
/// O(n log n).
pub(super) fn each_restaged(candidates: &[Candidate], mut each: impl FnMut(usize)) {
    let mut order: Vec<(usize, &Candidate)> = candidates.iter().enumerate().collect();
    order.sort_unstable_by(|(_, a), (_, b)| cmp_statement(a, b).then_with(|| a.cmp_newest_first(b)));
    for statement in order.chunk_by(|(_, a), (_, b)| cmp_statement(a, b).is_eq()) {
        let mut staged = false;
        for (index, candidate) in statement {
            if staged {
                each(*index);
            }
            staged |= candidate.assertion.lifecycle.is_some();
        }
    }
}

/// Equal for stages of one statement about the same question.
fn cmp_statement(a: &Candidate, b: &Candidate) -> Ordering {
    let (a, b) = (&a.assertion, &b.assertion);
    let short = |claim: &'_ crate::Assertion| {
        (
            claim.author,
            claim.confidence,
            claim.source_class,
            claim.valid_from,
            claim.valid_to,
            claim.excerpt_hash,
        )
    };
    a.source
        .cmp(&b.source)
        .then_with(|| cmp_object(&a.object, &b.object))
        .then_with(|| short(a).cmp(&short(b)))
        .then_with(|| a.epoch.cmp(&b.epoch))
        .then_with(|| a.parents.cmp(&b.parents))
}

/// By type and text as written.
fn cmp_object(a: &Object, b: &Object) -> Ordering {
    fn parts(object: &Object) -> (u8, i64, &str) {
        match object {
            Object::Text(text) => (1, 0, text),
            Object::Number(text) => (2, 0, text),
            Object::Integer(integer) => (3, *integer, ""),
            Object::Boolean(truth) => (4, i64::from(*truth), ""),
            Object::Time(text) => (5, 0, text),
            Object::Reference(text) => (6, 0, text),
            Object::Json(text) => (7, 0, text),
        }
    }
    parts(a).cmp(&parts(b))
}
