//! Answers, by the set of candidates that they were made from.

use stemedb_core::{
    Answer, Lens, LensParams, Micros,
    lens::{Candidate, fingerprint, resolve},
};

use super::{
    CandidateSet,
    map::Measured,
    sizes::{ENTRY_BYTES, of_answer},
};

/// A lens with everything that an answer depends on besides candidates and clock. The one place where that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LensKey {
    lens: Lens,
    /// Of the parameters, where they are not the plain ones.
    fingerprint: Option<[u8; 32]>,
}

impl LensKey {
    /// `None` if the answer depends on the clock everywhere, or on more than this question's candidates.
    fn of(lens: Lens, params: &LensParams) -> Option<LensKey> {
        let LensParams { evaluated_at: _, decay, tolerance, counterfactual, independent } = params;
        let is_plain = tolerance.is_none() && counterfactual.is_empty();
        let fingerprint = (!is_plain).then(|| fingerprint(lens, params));
        (!decay && !independent).then_some(LensKey { lens, fingerprint })
    }
}

/// Sets are numbered, and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AnswerKey {
    set: u64,
    lens: LensKey,
}

impl AnswerKey {
    pub fn of(set: &CandidateSet, lens: Lens, params: &LensParams) -> Option<AnswerKey> {
        Some(AnswerKey { set: set.number()?, lens: LensKey::of(lens, params)? })
    }
}

/// An answer, and the instants for which it is right.
#[derive(Debug)]
pub(super) struct KeptAnswer {
    answer: Answer,
    /// The first instant; `None` = it has always been.
    from: Option<Micros>,
    /// The first instant behind; `None` = for ever.
    until: Option<Micros>,
    bytes: usize,
}

impl KeptAnswer {
    pub fn new(answer: &Answer, candidates: &[Candidate], params: &LensParams) -> KeptAnswer {
        let (from, until) = steady(candidates, params.evaluated_at);
        let answer = answer.clone();
        let bytes = of_answer(&answer) + size_of::<KeptAnswer>() + size_of::<AnswerKey>() + ENTRY_BYTES;
        KeptAnswer { answer, from, until, bytes }
    }

    /// True if the answer at `instant` is the same.
    pub fn holds_at(&self, instant: Micros) -> bool {
        self.from.is_none_or(|from| from <= instant) && self.until.is_none_or(|until| instant < until)
    }

    /// The answer, for an instant at which it holds.
    pub fn answer(&self) -> Answer {
        self.answer.clone()
    }
}

impl Measured for KeptAnswer {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The instants around `now` at which the same claims are valid.
fn steady(candidates: &[Candidate], now: Micros) -> (Option<Micros>, Option<Micros>) {
    let bounds = candidates.iter().flat_map(|candidate| {
        [candidate.assertion.valid_from, candidate.assertion.valid_to].into_iter().flatten()
    });
    let (mut from, mut until) = (None, None);
    for bound in bounds {
        match bound <= now {
            true => from = from.max(Some(bound)),
            false => until = Some(until.map_or(bound, |until: Micros| until.min(bound))),
        }
    }
    (from, until)
}

/// The answer, without a cache.
pub(super) fn fresh(lens: Lens, candidates: &[Candidate], params: &LensParams) -> Answer {
    resolve(lens, candidates, params)
}

#[cfg(test)]
mod tests {
    use stemedb_core::{Assertion, Nano, Object};

    use super::*;

    fn candidates() -> Vec<Candidate> {
        let claim = |n: i64, valid: (Option<i64>, Option<i64>)| {
            let mut claim = Assertion::new("s", "p", Object::Integer(n % 3), format!("source {n}"));
            claim.confidence = Some(Nano(100_000_000 * n));
            (claim.valid_from, claim.valid_to) = (valid.0.map(Micros), valid.1.map(Micros));
            Candidate::new(claim, n as u64, 0, Micros(10 * n))
        };
        vec![
            claim(1, (None, None)),
            claim(2, (Some(100), Some(200))),
            claim(3, (None, Some(150))),
            claim(4, (Some(120), None)),
            claim(5, (None, None)),
        ]
    }

    #[test]
    fn within_its_bounds_a_kept_answer_is_what_the_lens_says_at_any_instant() {
        let candidates = candidates();
        for lens in Lens::ALL {
            for made in 0..250 {
                let params = |at: i64| LensParams::at(Micros(at));
                let kept =
                    KeptAnswer::new(&fresh(lens, &candidates, &params(made)), &candidates, &params(made));
                assert!(kept.holds_at(Micros(made)));
                for asked in (0..250).step_by(7).chain([99, 100, 119, 120, 149, 150, 199, 200]) {
                    if kept.holds_at(Micros(asked)) {
                        let expected = fresh(lens, &candidates, &params(asked));
                        assert_eq!(kept.answer(), expected, "{lens} made {made}, asked {asked}");
                    }
                }
            }
        }
    }

    #[test]
    fn it_ends_where_a_claim_begins_or_ends_to_be_valid() {
        let candidates = candidates();
        let of = |at: i64| steady(&candidates, Micros(at));
        assert_eq!(of(99), (None, Some(Micros(100))));
        assert_eq!(of(100), (Some(Micros(100)), Some(Micros(120))));
        assert_eq!(of(149), (Some(Micros(120)), Some(Micros(150))));
        assert_eq!(of(200), (Some(Micros(200)), None));
        assert_eq!(steady(&[], Micros(3)), (None, None));
    }
}
