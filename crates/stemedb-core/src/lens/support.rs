//! Values, who stands behind them, and how much they disagree.

use smallvec::SmallVec;

use super::independence::count_voices;
use super::key::{Key, Keys};
use super::params::View;
use super::{Candidate, Status, Tolerance, ValueSupport};
use crate::identity::AgentId;
use crate::model::Nano;
use crate::object::{Decimal, Value};

/// As many claims, keys or voices as a question has without going to the heap.
pub(super) const INLINE: usize = 16;
/// Up to here comparing with every key is cheaper than sorting.
const SCAN_MAX: usize = 32;

/// One who speaks for a value. Agents and sources are different name spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum VoiceRef<'a> {
    Agent(&'a AgentId),
    Source(&'a str),
}

/// What supports a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) support: Nano,
    pub(super) voices: u32,
    pub(super) independent: Option<u32>,
}

/// Who speaks for a claim: the agents behind it; only if there are none, its source.
pub(super) fn each_voice<'a>(view: &View<'_>, candidate: &'a Candidate, mut each: impl FnMut(VoiceRef<'a>)) {
    let mut silent = true;
    for agent in view.agents(candidate) {
        silent = false;
        each(VoiceRef::Agent(agent));
    }
    if silent {
        each(VoiceRef::Source(&candidate.assertion.source));
    }
}

/// `max(0, number of distinct voices + sum of the live votes)` over claims of one value; independent voices only, where
/// there is evidence of who copies whom.
pub(super) fn tally(view: &View<'_>, candidates: &[Candidate], claims: &[usize]) -> Tally {
    let mut voices: SmallVec<[VoiceRef<'_>; INLINE]> = SmallVec::new();
    let mut votes = 0_i64;
    for candidate in claims.iter().filter_map(|index| candidates.get(*index)) {
        votes += view.votes(candidate);
        each_voice(view, candidate, |voice| {
            if voices.len() >= INLINE || !voices.contains(&voice) {
                voices.push(voice);
            }
        });
    }
    if voices.len() > INLINE {
        voices.sort_unstable();
        voices.dedup();
    }
    let voices = u32::try_from(voices.len()).unwrap_or(u32::MAX);
    let independent =
        view.evidence.map(|evidence| count_voices(view, evidence, candidates, claims).independent);
    let speaking = i64::from(independent.unwrap_or(voices));
    let support = Nano(speaking.saturating_mul(Nano::ONE.0).saturating_add(votes).max(0));
    Tally { support, voices, independent }
}

/// Groups claims by value, and near numbers where there is a tolerance. `considered` are indices from the newest to the
/// oldest; the values come out by support descending, then by their newest claim. Shares are left at zero.
pub(super) fn values(view: &View<'_>, candidates: &[Candidate], considered: &[usize]) -> Vec<ValueSupport> {
    let mut values: Vec<ValueSupport> = Vec::with_capacity(considered.len().min(INLINE));
    let mut push = |claims: Vec<usize>| {
        if let Some(newest) = claims.first().and_then(|index| candidates.get(*index)) {
            values.push(value(view, candidates, newest.assertion.object.clone(), claims));
        }
    };
    if considered.len() <= SCAN_MAX {
        group_by_scan(candidates, considered).into_iter().for_each(|(_, claims)| push(claims));
    } else {
        group_by_sort(candidates, considered).into_iter().for_each(&mut push);
    }
    list(candidates, &mut values);
    if let Some(tolerance) = view.params.effective_tolerance()
        && values.len() > 1
    {
        values = merge_near(view, candidates, values, tolerance);
        list(candidates, &mut values);
    }
    values
}

fn value(
    view: &View<'_>,
    candidates: &[Candidate],
    object: crate::object::Object,
    claims: Vec<usize>,
) -> ValueSupport {
    let Tally { support, voices, independent } = tally(view, candidates, &claims);
    ValueSupport { object, support, share: 0.0, voices, independent_voices: independent, claims }
}

/// By support, then the newer newest claim; no two values share that claim.
fn list(candidates: &[Candidate], values: &mut [ValueSupport]) {
    let newest = |value: &ValueSupport| value.claims.first().and_then(|index| candidates.get(*index));
    values.sort_unstable_by(|a, b| {
        b.support.cmp(&a.support).then_with(|| match (newest(a), newest(b)) {
            (Some(a), Some(b)) => a.cmp_newest_first(b),
            _ => std::cmp::Ordering::Equal,
        })
    });
}

type Groups<'a> = SmallVec<[(Key<'a>, Vec<usize>); 8]>;

fn group_by_scan<'a>(candidates: &'a [Candidate], considered: &[usize]) -> Groups<'a> {
    let (mut keys, mut groups) = (Keys::default(), Groups::new());
    for index in considered {
        let Some(candidate) = candidates.get(*index) else { continue };
        let key = keys.of(candidate.assertion.object.as_ref());
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, claims)) => claims.push(*index),
            None => groups.push((key, vec![*index])),
        }
    }
    groups
}

fn group_by_sort(candidates: &[Candidate], considered: &[usize]) -> Vec<Vec<usize>> {
    let mut keys = Keys::default();
    let keyed = |index: &usize| Some((keys.of(candidates.get(*index)?.assertion.object.as_ref()), *index));
    let mut keyed: Vec<(Key<'_>, usize)> = considered.iter().filter_map(keyed).collect();
    // Stable: inside a value the claims stay in their order, the newest first.
    keyed.sort_by_key(|(key, _)| *key);
    let runs = keyed.chunk_by(|(a, _), (b, _)| a == b);
    runs.map(|run| run.iter().map(|(_, index)| *index).collect()).collect()
}

/// A number among the values, linked to its neighbours by size that have no group yet.
struct Neighbour {
    number: Decimal,
    value: usize,
    smaller: Option<usize>,
    larger: Option<usize>,
    taken: bool,
}

/// Groups of near numbers: in the order of the list each number without a group becomes an anchor and takes those near it.
/// Costs O(k log k) comparisons of numbers for k values.
fn merge_near(
    view: &View<'_>,
    candidates: &[Candidate],
    values: Vec<ValueSupport>,
    tolerance: &Tolerance,
) -> Vec<ValueSupport> {
    let mut numbers: Vec<(Decimal, usize)> = Vec::new();
    for (at, value) in values.iter().enumerate() {
        if let Value::Number(number) = value.object.value() {
            numbers.push((number, at));
        }
    }
    numbers.sort_unstable();
    let count = numbers.len();
    let link = |(at, (number, value)): (usize, (Decimal, usize))| Neighbour {
        number,
        value,
        smaller: at.checked_sub(1),
        larger: Some(at + 1).filter(|next| *next < count),
        taken: false,
    };
    let mut line: Vec<Neighbour> = numbers.into_iter().enumerate().map(link).collect();
    let mut place_of = vec![None; values.len()];
    for (place, neighbour) in line.iter().enumerate() {
        if let Some(slot) = place_of.get_mut(neighbour.value) {
            *slot = Some(place);
        }
    }
    // The values that each anchor takes; an empty list for those that were taken.
    let mut takes: Vec<Option<Vec<usize>>> = Vec::with_capacity(values.len());
    for place in place_of {
        takes.push(match place {
            None => Some(Vec::new()),
            Some(place) => take_near(&mut line, place, tolerance),
        });
    }
    let mut pool: Vec<Option<ValueSupport>> = values.into_iter().map(Some).collect();
    let mut merged = Vec::with_capacity(pool.len());
    for (at, others) in takes.into_iter().enumerate() {
        let Some(others) = others else { continue };
        let Some(anchor) = pool.get_mut(at).and_then(Option::take) else { continue };
        if others.is_empty() {
            merged.push(anchor);
            continue;
        }
        let mut claims = anchor.claims;
        for other in others {
            claims.extend(
                pool.get_mut(other).and_then(Option::take).into_iter().flat_map(|value| value.claims),
            );
        }
        claims.sort_unstable_by(|a, b| match (candidates.get(*a), candidates.get(*b)) {
            (Some(a), Some(b)) => a.cmp_newest_first(b),
            _ => a.cmp(b),
        });
        merged.push(value(view, candidates, anchor.object, claims));
    }
    merged
}

/// Takes the number at `anchor` and all untaken ones near it out of the line; the values of the others, or `None` if the
/// anchor was taken before.
fn take_near(line: &mut [Neighbour], anchor: usize, tolerance: &Tolerance) -> Option<Vec<usize>> {
    let start = line.get_mut(anchor).filter(|neighbour| !neighbour.taken)?;
    start.taken = true;
    let (number, mut smaller, mut larger) = (start.number, start.smaller, start.larger);
    let mut taken = Vec::new();
    let mut take = |line: &mut [Neighbour], at: usize| -> Option<(Option<usize>, Option<usize>)> {
        let neighbour = line.get_mut(at).filter(|neighbour| tolerance.is_near(&number, &neighbour.number))?;
        neighbour.taken = true;
        taken.push(neighbour.value);
        Some((neighbour.smaller, neighbour.larger))
    };
    // The near ones are neighbours of the anchor: the first that is not near ends each side.
    while let Some((next, _)) = smaller.and_then(|at| take(line, at)) {
        smaller = next;
    }
    while let Some((_, next)) = larger.and_then(|at| take(line, at)) {
        larger = next;
    }
    if let Some(neighbour) = smaller.and_then(|at| line.get_mut(at)) {
        neighbour.larger = larger;
    }
    if let Some(neighbour) = larger.and_then(|at| line.get_mut(at)) {
        neighbour.smaller = smaller;
    }
    Some(taken)
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
    // Equal supports follow each other: their term is computed once.
    let mut last = (0_i64, 0.0);
    for support in supports.filter(|support| support.0 > 0) {
        if support.0 != last.0 {
            let share = support.0 as f64 / total.0 as f64;
            last = (support.0, share * share.ln());
        }
        entropy -= last.1;
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
