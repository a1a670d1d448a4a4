//! What a set of removables can at most do to the lead of a consensus.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Removable;
use crate::identity::{AgentId, ClaimId};
use crate::lens::params::View;
use crate::lens::{Answer, Candidate, Lens};
use crate::model::Nano;

/// The lead of the winner, and for each removable a bound on how much it can take from it.
///
/// Taking something away changes `voices + votes` of a value by no more than the sum of the bounds of its members, in whatever
/// order and company, and a support is that sum or zero; so a set whose bounds do not add up to the lead changes nothing.
pub(super) struct Gap {
    lead: i64,
    /// By removable: what it can take from the winner plus the most it can give any other value.
    reach: Vec<i64>,
    /// By removable: the greatest reach from there on.
    greatest_from: Vec<i64>,
}

/// What one removable can do to one value at most: (take away, give).
type Effects<'a> = BTreeMap<(What<'a>, usize), (i64, i64)>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What<'a> {
    Source(&'a str),
    Agent(AgentId),
    Vote(ClaimId, AgentId),
}

impl Gap {
    /// `None` for a lens or parameters for which the bound does not hold.
    pub(super) fn of(
        base: &Answer,
        candidates: &[Candidate],
        view: &View<'_>,
        removables: &[Removable],
    ) -> Option<Gap> {
        if base.lens != Lens::Consensus
            || view.evidence.is_some()
            || view.params.effective_tolerance().is_some()
        {
            return None;
        }
        let second = base.values.get(1).map_or(0, |value| value.support.0);
        let lead = base.values.first()?.support.0 - second;
        let effects = effects(base, candidates, view);
        let reach: Vec<i64> = removables
            .iter()
            .map(|removable| {
                let what = match removable {
                    Removable::Source(source) => What::Source(source),
                    Removable::Agent(agent) => What::Agent(*agent),
                    Removable::Vote { claim, agent } => What::Vote(*claim, *agent),
                };
                let of_it = effects.range((what, 0)..=(what, usize::MAX));
                let (mut taken, mut given) = (0, 0);
                for ((_, value), (take, give)) in of_it {
                    if *value == 0 {
                        taken = *take;
                    } else {
                        given = given.max(*give);
                    }
                }
                taken + given
            })
            .collect();
        let mut greatest_from = reach.clone();
        let mut greatest = 0;
        for slot in greatest_from.iter_mut().rev() {
            greatest = greatest.max(*slot);
            *slot = greatest;
        }
        Some(Gap { lead, reach, greatest_from })
    }

    /// No set of fewer removables can close the gap.
    pub(super) fn at_least(&self) -> usize {
        let mut reach = self.reach.clone();
        reach.sort_unstable_by_key(|reach| Reverse(*reach));
        let (mut sum, mut size) = (0, 0);
        for one in reach {
            if sum >= self.lead {
                break;
            }
            sum += one;
            size += 1;
        }
        size.max(1)
    }

    /// Whether these and `more` that come after the last of them could close the gap.
    pub(super) fn can_close(&self, chosen: &[usize], more: usize) -> bool {
        let sum: i64 = chosen.iter().filter_map(|index| self.reach.get(*index)).sum();
        let next = chosen.last().map_or(0, |last| last + 1);
        let greatest = self.greatest_from.get(next).copied().unwrap_or(0);
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        sum.saturating_add(greatest.saturating_mul(more)) >= self.lead
    }

    /// The removables that can do something, the strongest first.
    pub(super) fn strongest_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> =
            (0..self.reach.len()).filter(|index| self.reach.get(*index) > Some(&0)).collect();
        order.sort_by_key(|index| Reverse(self.reach.get(*index).copied()));
        order
    }
}

fn effects<'a>(base: &Answer, candidates: &'a [Candidate], view: &View<'_>) -> Effects<'a> {
    let one = Nano::ONE.0;
    let mut effects = Effects::new();
    for (value, support) in base.values.iter().enumerate() {
        let mut agents_of_value: Vec<AgentId> = Vec::new();
        for candidate in support.claims.iter().filter_map(|index| candidates.get(*index)) {
            let mut agents: Vec<AgentId> = view.agents(candidate).copied().collect();
            agents.sort_unstable();
            agents.dedup();
            agents_of_value.extend(&agents);
            let mut add = |what: What<'a>, take: i64, give: i64| {
                let effect = effects.entry((what, value)).or_default();
                effect.0 += take;
                effect.1 += give;
            };
            let (mut positive, mut negative) = (0, 0);
            for vote in candidate.votes.iter().filter(|vote| view.counts_vote(&candidate.id, &vote.agent)) {
                let (up, down) = (vote.weight.0.max(0), -vote.weight.0.min(0));
                (positive, negative) = (positive + up, negative + down);
                add(What::Vote(candidate.id, vote.agent), up, down);
                // Its own claims are counted whole below.
                if candidate.assertion.author != Some(vote.agent) {
                    add(What::Agent(vote.agent), up, down);
                }
            }
            // A claim that goes takes its voices along: those it has, or that of its source.
            let voices = one.saturating_mul(agents.len().max(1) as i64);
            add(What::Source(&candidate.assertion.source), voices + positive, negative);
            for agent in agents {
                if candidate.assertion.author == Some(agent) {
                    add(What::Agent(agent), voices + positive, negative);
                } else {
                    // Where it was the last agent, the source speaks instead.
                    add(What::Agent(agent), 0, one);
                }
            }
        }
        agents_of_value.sort_unstable();
        agents_of_value.dedup();
        for agent in agents_of_value {
            effects.entry((What::Agent(agent), value)).or_default().0 += one;
        }
    }
    effects
}
