//! How little must be taken away to change an answer.

mod gap;

use std::collections::BTreeMap;

use gap::Gap;

use super::independence::Evidence;
use super::params::{LensParams, View};
use super::resolve::{resolve_view, sort_out};
use super::{Answer, Candidate, Lens, Status};
use crate::identity::{AgentId, ClaimId};
use crate::object::{Object, Value};

/// Claims that [`fragility`] looks at before it gives bounds instead of the size: each set that is tried costs as many as
/// there are candidates.
pub const FRAGILITY_WORK_MAX: usize = 400_000;

/// Something that can be taken away from a question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Removable {
    /// All claims of a source.
    Source(String),
    /// All claims that an agent wrote, its votes, signatures and co-signatures.
    Agent(AgentId),
    /// The vote of one agent on one claim.
    Vote {
        /// The claim.
        claim: ClaimId,
        /// Who voted.
        agent: AgentId,
    },
}

/// How little must be taken away to change an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Fragility {
    /// No smaller set changes the answer.
    pub at_least: usize,
    /// A set that changes it, ascending; a smallest one if its size is [`at_least`](Fragility::at_least).
    pub removals: Vec<Removable>,
    /// The answer's value without them.
    pub becomes: Option<Object>,
    /// The answer's status without them.
    pub status: Status,
    /// How many sets were tried.
    pub tried: usize,
}

impl Fragility {
    /// The size of a smallest set that changes the answer, where it is proven.
    pub fn exact(&self) -> Option<usize> {
        (self.at_least == self.removals.len()).then_some(self.at_least)
    }
}

/// A smallest set of sources, agents and single votes without which the lens gives another value (for [`Lens::Skeptic`]:
/// another status); `None` when nothing is considered.
///
/// Exact as far as [`FRAGILITY_WORK_MAX`] goes, which is some tens of milliseconds; beyond, bounds. The same whatever the order of the
/// candidates.
pub fn fragility(lens: Lens, candidates: &[Candidate], params: &LensParams) -> Option<Fragility> {
    fragility_with(lens, candidates, params, &Evidence::default())
}

/// [`fragility`] with what is known about who copies whom.
pub fn fragility_with(
    lens: Lens,
    candidates: &[Candidate],
    params: &LensParams,
    evidence: &Evidence,
) -> Option<Fragility> {
    fragility_within(lens, candidates, params, evidence, FRAGILITY_WORK_MAX)
}

/// [`fragility_with`] and a bound on its work, in claims looked at.
pub fn fragility_within(
    lens: Lens,
    candidates: &[Candidate],
    params: &LensParams,
    evidence: &Evidence,
    work_max: usize,
) -> Option<Fragility> {
    let view = View::new(params, evidence);
    let base = resolve_view(lens, candidates, &view);
    if base.considered == 0 {
        return None;
    }
    let removables = removables(candidates, &view);
    let gap = Gap::of(&base, candidates, &view, &removables);
    let mut search = Search {
        lens,
        candidates,
        params,
        evidence,
        base: &base,
        all: &removables,
        gap,
        tried: 0,
        work_left: work_max,
    };
    let mut best = search.upper_bound();
    let mut at_least = search.gap.as_ref().map_or(1, Gap::at_least).clamp(1, best.len());
    while at_least < best.len() {
        match search.of_size(at_least) {
            Searched::Found(set) => best = set,
            Searched::None => at_least += 1,
            Searched::GaveUp => break,
        }
    }
    let removals: Vec<&Removable> = best.iter().filter_map(|index| removables.get(*index)).collect();
    let changed = resolve_view(lens, candidates, &View::without(params, evidence, &removals));
    Some(Fragility {
        at_least,
        removals: removals.into_iter().cloned().collect(),
        becomes: changed.value,
        status: changed.status,
        tried: search.tried,
    })
}

/// Everything that can be taken away: ascending, each once. An agent who only cast one vote is left out in favour of the
/// vote.
fn removables(candidates: &[Candidate], view: &View<'_>) -> Vec<Removable> {
    let (considered, _) = sort_out(candidates, view);
    let mut sources: Vec<&str> = Vec::new();
    // By agent: whether it does more than vote, and how many votes it has.
    let mut agents: BTreeMap<AgentId, (bool, usize)> = BTreeMap::new();
    let mut votes: Vec<(ClaimId, AgentId)> = Vec::new();
    for candidate in considered.iter().filter_map(|index| candidates.get(*index)) {
        sources.push(&candidate.assertion.source);
        for agent in view.agents(candidate) {
            agents.entry(*agent).or_default().0 = true;
        }
        for vote in candidate.votes.iter().filter(|vote| view.counts_vote(&candidate.id, &vote.agent)) {
            agents.entry(vote.agent).or_default().1 += 1;
            votes.push((candidate.id, vote.agent));
        }
    }
    sources.sort_unstable();
    sources.dedup();
    votes.sort_unstable();
    votes.dedup();
    let agents = agents.into_iter().filter(|(_, (speaks, votes))| *speaks || *votes > 1);
    let sources = sources.into_iter().map(|source| Removable::Source(source.to_owned()));
    let votes = votes.into_iter().map(|(claim, agent)| Removable::Vote { claim, agent });
    sources.chain(agents.map(|(agent, _)| Removable::Agent(agent))).chain(votes).collect()
}

/// Whether an answer is another one.
fn is_changed(base: &Answer, other: &Answer, params: &LensParams) -> bool {
    if base.lens == Lens::Skeptic {
        return base.status != other.status;
    }
    let (Some(was), Some(is)) = (&base.value, &other.value) else {
        return base.value.is_some() != other.value.is_some();
    };
    match (was.value(), is.value(), params.effective_tolerance()) {
        (Value::Number(was), Value::Number(is), Some(tolerance)) => !tolerance.is_near(&was, &is),
        (was, is, _) => was != is,
    }
}

enum Searched {
    Found(Vec<usize>),
    None,
    GaveUp,
}

struct Search<'a> {
    lens: Lens,
    candidates: &'a [Candidate],
    params: &'a LensParams,
    evidence: &'a Evidence,
    base: &'a Answer,
    all: &'a [Removable],
    gap: Option<Gap>,
    tried: usize,
    work_left: usize,
}

impl Search<'_> {
    /// Whether the answer changes without these removables.
    fn changes(&mut self, set: &[usize]) -> bool {
        self.tried += 1;
        self.work_left = self.work_left.saturating_sub(self.candidates.len());
        let removed: Vec<&Removable> = set.iter().filter_map(|index| self.all.get(*index)).collect();
        let view = View::without(self.params, self.evidence, &removed);
        is_changed(self.base, &resolve_view(self.lens, self.candidates, &view), self.params)
    }

    /// A set that changes the answer, without members that it does not need as far as a part of the work allows to find out.
    fn upper_bound(&mut self) -> Vec<usize> {
        // Without all its sources a question has no answer, so one of these always changes it.
        let everything: Vec<usize> = self.sources(|_| true);
        let mut best = everything;
        for first in self.first_guesses() {
            if first.is_empty() || first.len() >= best.len() {
                continue;
            }
            if self.changes(&first) {
                best = first;
            }
        }
        if let Some(order) = self.gap.as_ref().map(Gap::strongest_first) {
            best = self.shortest_prefix(&order, best);
        }
        self.thinned(best)
    }

    /// The sources of a value that must go, in several ways.
    fn first_guesses(&self) -> Vec<Vec<usize>> {
        let of_value = |value: &super::ValueSupport, index: usize| value.claims.contains(&index);
        if self.lens != Lens::Skeptic {
            // The answer's value is gone without the claims of its value.
            let winner = self.base.winners.first();
            let winner = self.candidates.iter().position(|candidate| Some(&candidate.id) == winner);
            let value =
                self.base.values.iter().find(|value| winner.is_some_and(|index| of_value(value, index)));
            return value.map(|value| self.sources(|index| of_value(value, index))).into_iter().collect();
        }
        // Leaving one value alone makes it unanimous; leaving the two best ones may make them agree or not.
        let keep = |count: usize| {
            let kept = self.base.values.iter().take(count);
            self.sources(|index| !kept.clone().any(|value| of_value(value, index)))
        };
        let mut guesses = vec![keep(1), keep(2)];
        guesses.extend(self.base.values.first().map(|value| self.sources(|index| of_value(value, index))));
        guesses
    }

    /// The sources of the considered claims that are wanted, as indices of removables.
    fn sources(&self, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        let claims = self.base.values.iter().flat_map(|value| &value.claims).filter(|index| wanted(**index));
        let mut sources: Vec<usize> = claims
            .filter_map(|index| {
                let source = &self.candidates.get(*index)?.assertion.source;
                // Sources come first, ascending.
                self.all.binary_search_by(|other| other.cmp(&Removable::Source(source.clone()))).ok()
            })
            .collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// The shortest beginning of `order` that changes the answer, found by bisection, if it is shorter than `best`.
    fn shortest_prefix(&mut self, order: &[usize], best: Vec<usize>) -> Vec<usize> {
        let prefix = |length: usize| {
            let mut set: Vec<usize> = order.iter().take(length).copied().collect();
            set.sort_unstable();
            set
        };
        // Invariant: the beginning of `high` members changes the answer, or is as long as `best`.
        let (mut low, mut high) = (0, best.len().min(order.len() + 1));
        let mut found = None;
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            let set = prefix(middle);
            if self.changes(&set) {
                (high, found) = (middle, Some(set));
            } else {
                low = middle;
            }
        }
        found.unwrap_or(best)
    }

    /// Leaves out one member after the other where the rest still changes the answer.
    fn thinned(&mut self, mut set: Vec<usize>) -> Vec<usize> {
        // At most half of the work: the search needs some as well.
        let reserve = self.work_left / 2;
        let mut at = 0;
        while at < set.len() && set.len() > 1 && self.work_left > reserve {
            let mut rest = set.clone();
            rest.remove(at);
            if self.changes(&rest) {
                set = rest;
            } else {
                at += 1;
            }
        }
        set
    }

    /// The first set of this size that changes the answer.
    fn of_size(&mut self, size: usize) -> Searched {
        let mut chosen = Vec::with_capacity(size);
        self.extend(&mut chosen, 0, size)
    }

    fn extend(&mut self, chosen: &mut Vec<usize>, from: usize, size: usize) -> Searched {
        if chosen.len() == size {
            if self.work_left < self.candidates.len() {
                return Searched::GaveUp;
            }
            return if self.changes(chosen) { Searched::Found(chosen.clone()) } else { Searched::None };
        }
        let missing = size - chosen.len();
        // Enough must be left behind for the set to become full.
        for next in from..(self.all.len() + 1).saturating_sub(missing) {
            chosen.push(next);
            let hopeless = self.gap.as_ref().is_some_and(|gap| !gap.can_close(chosen, missing - 1));
            let searched = match (hopeless, self.work_left) {
                (true, 0) => Searched::GaveUp,
                (true, _) => {
                    // Much cheaper than a try, but there may be very many.
                    self.work_left -= 1;
                    Searched::None
                }
                (false, _) => self.extend(chosen, next + 1, size),
            };
            if !matches!(searched, Searched::None) {
                return searched;
            }
            chosen.pop();
        }
        Searched::None
    }
}
