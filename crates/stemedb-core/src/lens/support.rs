//! Values, who stands behind them, and how much they disagree.

use super::{Candidate, Status, ValueSupport};
use crate::identity::AgentId;
use crate::model::Nano;
use crate::object::Value;

/// One who speaks for a value. Agents and sources are different name spaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Voice<'a> {
    Agent(&'a AgentId),
    Source(&'a str),
}

/// Computes supports; keeps its scratch space between values.
#[derive(Default)]
pub(super) struct Supporters<'a> {
    voices: Vec<Voice<'a>>,
}

impl<'a> Supporters<'a> {
    /// `max(0, number of distinct voices + sum of the live votes)` over claims of one value.
    ///
    /// A claim's voices are its author, its signers and co-signers; the source speaks only for a claim that no agent
    /// stands behind.
    pub(super) fn support(&mut self, candidates: &'a [Candidate], claims: &[usize]) -> Nano {
        self.voices.clear();
        let mut weights = 0_i64;
        for candidate in claims.iter().filter_map(|index| candidates.get(*index)) {
            let claim = &candidate.assertion;
            weights += candidate.votes.iter().map(|vote| vote.weight.0).sum::<i64>();
            let before = self.voices.len();
            self.voices.extend(claim.author.as_ref().map(Voice::Agent));
            self.voices.extend(claim.signatures.iter().map(|signature| Voice::Agent(&signature.agent)));
            self.voices.extend(candidate.cosigners.iter().map(Voice::Agent));
            if self.voices.len() == before {
                self.voices.push(Voice::Source(&claim.source));
            }
        }
        self.voices.sort_unstable();
        self.voices.dedup();
        let voices = i64::try_from(self.voices.len()).unwrap_or(i64::MAX);
        Nano(voices.saturating_mul(Nano::ONE.0).saturating_add(weights).max(0))
    }
}

/// Groups claims by value. `considered` are indices from the newest to the oldest; the groups come out by support
/// descending, then by their newest claim. Shares are left at zero.
pub(super) fn values<'a>(
    candidates: &'a [Candidate],
    considered: &[usize],
    supporters: &mut Supporters<'a>,
) -> Vec<ValueSupport> {
    let value_at = |index: &usize| candidates.get(*index).map(|candidate| candidate.assertion.object.value());
    let keys: Vec<Option<Value<'_>>> = considered.iter().map(value_at).collect();
    let mut by_value: Vec<usize> = (0..considered.len()).collect();
    // Stable: inside a value the claims stay in their order, the newest first.
    by_value.sort_by(|a, b| keys.get(*a).cmp(&keys.get(*b)));
    let runs = by_value.chunk_by(|a, b| keys.get(*a) == keys.get(*b));

    let mut values: Vec<(usize, ValueSupport)> = Vec::with_capacity(considered.len());
    for run in runs {
        let claims: Vec<usize> = run.iter().filter_map(|place| considered.get(*place).copied()).collect();
        let newest = claims.first().and_then(|index| candidates.get(*index));
        if let (Some(place), Some(newest)) = (run.first(), newest) {
            let support = supporters.support(candidates, &claims);
            let object = newest.assertion.object.clone();
            values.push((*place, ValueSupport { object, support, share: 0.0, claims }));
        }
    }
    // The place of a value's newest claim settles ties, and no two values share one.
    values
        .sort_unstable_by(|(place_a, a), (place_b, b)| b.support.cmp(&a.support).then(place_a.cmp(place_b)));
    values.into_iter().map(|(_, value)| value).collect()
}

/// `part / whole`, zero when the whole is zero, rounded to 10⁻⁹.
pub(super) fn share(part: Nano, whole: Nano) -> f64 {
    if whole.0 > 0 { round_to_nano(part.0 as f64 / whole.0 as f64) } else { 0.0 }
}

/// `H(shares) / ln k` for k > 1 supports, else 0: Shannon entropy in units of the greatest possible one.
///
/// `supports` must come in an order that depends on their values alone, because a sum of floats depends on it.
pub(super) fn conflict_score(supports: impl ExactSizeIterator<Item = Nano>, total: Nano) -> f64 {
    let k = supports.len();
    if k < 2 || total.0 <= 0 {
        return 0.0;
    }
    let mut entropy = 0.0;
    for support in supports.filter(|support| support.0 > 0) {
        let share = support.0 as f64 / total.0 as f64;
        entropy -= share * share.ln();
    }
    round_to_nano(entropy / (k as f64).ln()).clamp(0.0, 1.0)
}

/// `supports`: the largest first.
pub(super) fn status(supports: impl ExactSizeIterator<Item = Nano>, total: Nano) -> Status {
    let k = supports.len();
    let top = supports.max().map_or(0, |support| i128::from(support.0));
    match k {
        0 => Status::Unknown,
        1 => Status::Unanimous,
        _ if total.0 > 0 && 10 * top >= 8 * i128::from(total.0) => Status::Agreed,
        _ => Status::Contested,
    }
}

fn round_to_nano(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}
