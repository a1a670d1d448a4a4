//! How one question stands, and how all of them stand together.

use stemedb_core::{
    Micros, Status,
    lens::{Candidate, Lens, LensParams, resolve},
};

/// How a question stands at one moment: what the skeptic lens says of it, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The conflict in one word.
    pub status: Status,
    /// The conflict score in units of 10⁻⁹.
    pub score: u32,
    /// Sum of the supports of all values, in units of 10⁻⁹.
    pub support: i64,
    /// Number of values.
    pub values: u32,
    /// Number of claims that take part.
    pub considered: u32,
    /// Of these, those that nobody signed.
    pub unsigned: u32,
    /// Whether all of these are of one source.
    pub single_source: bool,
    /// The first instant after the evaluation at which a claim begins or ceases to hold.
    pub next_change: Option<Micros>,
}

impl Standing {
    /// A question without claims.
    pub const NOTHING: Standing = Standing {
        status: Status::Unknown,
        score: 0,
        support: 0,
        values: 0,
        considered: 0,
        unsigned: 0,
        single_source: false,
        next_change: None,
    };

    /// How the question stands that these candidates answer.
    pub fn of(candidates: &[Candidate], evaluated_at: Micros) -> Standing {
        if candidates.is_empty() {
            return Standing::NOTHING;
        }
        let answer = resolve(Lens::Skeptic, candidates, &LensParams::at(evaluated_at));
        let considered = || {
            let claims = answer.values.iter().flat_map(|value| &value.claims);
            claims.filter_map(|index| candidates.get(*index))
        };
        let unsigned = considered()
            .filter(|claim| claim.assertion.signatures.is_empty() && claim.cosigners.is_empty())
            .count();
        let first = considered().next().map(|claim| claim.assertion.source.as_str());
        let borders = candidates
            .iter()
            .flat_map(|claim| [claim.assertion.valid_from, claim.assertion.valid_to].into_iter().flatten());
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Standing {
            status: answer.status,
            // Scores lie in 0..=1 and are rounded to 10⁻⁹ already.
            score: (answer.conflict_score * 1e9).round() as u32,
            support: answer.total_support.0,
            values: count(answer.values.len()),
            considered: count(answer.considered),
            unsigned: count(unsigned),
            single_source: first
                .is_some_and(|first| considered().all(|claim| claim.assertion.source == first)),
            next_change: borders.filter(|border| *border > evaluated_at).min(),
        }
    }
}

/// How all questions stand together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// Questions that a claim answers.
    pub questions: u64,
    /// Of these, those whose claims all give one value.
    pub unanimous: u64,
    /// Those where one of several values has at least 80 % of the support.
    pub agreed: u64,
    /// Those where none has: the open conflicts.
    pub contested: u64,
    /// Questions whose claims are all of one source.
    pub single_source: u64,
    /// Claims that take part in the answers.
    pub claims: u64,
    /// Of these, those that nobody signed.
    pub unsigned_claims: u64,
}

impl Knowledge {
    pub(super) fn add(&mut self, standing: &Standing) {
        self.change(standing, |total, n| *total = total.saturating_add(n));
    }

    pub(super) fn remove(&mut self, standing: &Standing) {
        self.change(standing, |total, n| *total = total.saturating_sub(n));
    }

    fn change(&mut self, standing: &Standing, change: impl Fn(&mut u64, u64)) {
        let of_status = match standing.status {
            Status::Unknown => return,
            Status::Unanimous => &mut self.unanimous,
            Status::Agreed => &mut self.agreed,
            Status::Contested => &mut self.contested,
        };
        change(of_status, 1);
        change(&mut self.questions, 1);
        change(&mut self.single_source, u64::from(standing.single_source));
        change(&mut self.claims, u64::from(standing.considered));
        change(&mut self.unsigned_claims, u64::from(standing.unsigned));
    }

    /// Part of the questions whose claims are all of one source; 0 without questions.
    pub fn single_source_share(&self) -> f64 {
        share(self.single_source, self.questions)
    }

    /// Part of the claims that nobody signed; 0 without claims.
    pub fn unsigned_share(&self) -> f64 {
        share(self.unsigned_claims, self.claims)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
