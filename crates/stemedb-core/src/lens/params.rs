//! What an answer depends on besides the claims.

use super::{Candidate, Lens, Removable, Tolerance, independence::Evidence};
use crate::identity::{AgentId, ClaimId};
use crate::model::{Micros, SourceClass};

/// What an evaluation depends on besides the claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LensParams {
    /// The instant the question is asked for: decides validity and ages.
    pub evaluated_at: Micros,
    /// Whether confidences fade with age.
    pub decay: bool,
    /// How far apart numbers may be and still be one value; `None`: equal numbers only.
    pub tolerance: Option<Tolerance>,
    /// What is left out, to see what the answer would be without it.
    pub counterfactual: Counterfactual,
    /// Whether voices that copy each other count once ([`Evidence`] says which do).
    pub independent: bool,
}

impl LensParams {
    /// The plain question at an instant: no decay, no tolerance, everything counts.
    pub const fn at(evaluated_at: Micros) -> LensParams {
        let counterfactual =
            Counterfactual { without_sources: Vec::new(), without_agents: Vec::new(), max_class: None };
        LensParams { evaluated_at, decay: false, tolerance: None, counterfactual, independent: false }
    }

    /// The same question with confidences that fade with age, or not.
    #[must_use]
    pub fn with_decay(self, decay: bool) -> LensParams {
        LensParams { decay, ..self }
    }

    /// The tolerance, if it makes a difference.
    pub(super) fn effective_tolerance(&self) -> Option<&Tolerance> {
        self.tolerance.as_ref().filter(|tolerance| !tolerance.is_zero())
    }
}

/// What an answer leaves out, as if it had never spoken. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counterfactual {
    /// Claims of these sources are [`SetAside::Excluded`](super::SetAside::Excluded). In any order.
    pub without_sources: Vec<String>,
    /// Claims that these agents wrote are excluded; their votes, signatures and co-signatures do not count. In any
    /// order.
    pub without_agents: Vec<AgentId>,
    /// Claims of a worse class are excluded.
    pub max_class: Option<SourceClass>,
}

impl Counterfactual {
    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.without_sources.is_empty() && self.without_agents.is_empty() && self.max_class.is_none()
    }
}

/// What a fingerprint is hashed under.
const FINGERPRINT_DOMAIN: &[u8] = b"stemedb lens v1\0";

/// The hash of a lens with its version and parameters: answers with one fingerprint were made by the same rules.
///
/// What has no effect has no trace (the order of exclusions, a tolerance of zero, a class that excludes nothing), and
/// [`LensParams::evaluated_at`] is not part of it. The bytes are specified in `docs/design/lenses.md`. Costs one hash.
pub fn fingerprint(lens: Lens, params: &LensParams) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(FINGERPRINT_DOMAIN);
    text(&mut hasher, lens.name());
    hasher.update(&Lens::VERSION.to_be_bytes());
    hasher.update(&[u8::from(params.decay)]);
    match params.effective_tolerance() {
        None => hasher.update(&[0]),
        Some(Tolerance::Absolute(width)) => text(hasher.update(&[1]), &width.to_string()),
        Some(Tolerance::Relative(width)) => text(hasher.update(&[2]), &width.to_string()),
    };
    let Counterfactual { without_sources, without_agents, max_class } = &params.counterfactual;
    let sources = sorted(without_sources);
    hasher.update(&length(sources.len()));
    for source in sources {
        text(&mut hasher, source);
    }
    let agents = sorted(without_agents);
    hasher.update(&length(agents.len()));
    for agent in agents {
        hasher.update(&agent.0);
    }
    match max_class {
        Some(class) if *class < SourceClass::ANECDOTAL => hasher.update(&[1, class.number()]),
        _ => hasher.update(&[0]),
    };
    hasher.update(&[u8::from(params.independent)]);
    *hasher.finalize().as_bytes()
}

fn sorted<T: Ord>(list: &[T]) -> Vec<&T> {
    let mut list: Vec<&T> = list.iter().collect();
    list.sort_unstable();
    list.dedup();
    list
}

fn text<'a>(hasher: &'a mut blake3::Hasher, text: &str) -> &'a mut blake3::Hasher {
    hasher.update(&length(text.len()));
    hasher.update(text.as_bytes())
}

/// Nothing that is in memory twice over has four thousand million members or bytes; a length that did would only be
/// hashed as the greatest.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// A question as the arithmetic sees it: the parameters, the evidence, and what fragility takes away to see what happens.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) params: &'a LensParams,
    /// Who copies whom; `None` where every voice counts.
    pub(super) evidence: Option<&'a Evidence>,
    removed: &'a [&'a Removable],
    /// Whether nothing is left out: then nobody needs to be looked for.
    whole: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(params: &'a LensParams, evidence: &'a Evidence) -> View<'a> {
        View::without(params, evidence, &[])
    }

    pub(super) fn without(
        params: &'a LensParams,
        evidence: &'a Evidence,
        removed: &'a [&'a Removable],
    ) -> View<'a> {
        let whole = removed.is_empty() && params.counterfactual.is_empty();
        View { params, evidence: params.independent.then_some(evidence), removed, whole }
    }

    /// Whether a claim is left out.
    #[inline]
    pub(super) fn excludes(&self, candidate: &Candidate) -> bool {
        !self.whole && self.excludes_something(candidate)
    }

    fn excludes_something(&self, candidate: &Candidate) -> bool {
        let claim = &candidate.assertion;
        let Counterfactual { without_sources, max_class, .. } = &self.params.counterfactual;
        max_class.is_some_and(|max| candidate.class > max)
            || without_sources.contains(&claim.source)
            || self
                .removed
                .iter()
                .any(|one| matches!(one, Removable::Source(source) if *source == claim.source))
            || claim.author.is_some_and(|author| self.lacks(&author))
    }

    fn lacks(&self, agent: &AgentId) -> bool {
        self.params.counterfactual.without_agents.contains(agent)
            || self.removed.iter().any(|one| matches!(one, Removable::Agent(removed) if removed == agent))
    }

    /// Whether the vote of an agent on a claim counts.
    #[inline]
    pub(super) fn counts_vote(&self, claim: &ClaimId, agent: &AgentId) -> bool {
        let removed = |one: &&Removable| matches!(one, Removable::Vote { claim: c, agent: a } if c == claim && a == agent);
        self.whole || !(self.lacks(agent) || self.removed.iter().any(removed))
    }

    /// The agents behind a claim: author, signers, co-signers. One may come more than once.
    #[inline]
    pub(super) fn agents<'c>(
        &self,
        candidate: &'c Candidate,
    ) -> impl Iterator<Item = &'c AgentId> + use<'c, 'a> {
        let claim = &candidate.assertion;
        let signers = claim.signatures.iter().map(|signature| &signature.agent);
        let view = *self;
        let all = claim.author.iter().chain(signers).chain(&candidate.cosigners);
        all.filter(move |agent| view.whole || !view.lacks(agent))
    }

    /// The sum of the live votes on a claim.
    #[inline]
    pub(super) fn votes(&self, candidate: &Candidate) -> i64 {
        if candidate.votes.is_empty() {
            return 0;
        }
        let counting = candidate.votes.iter().filter(|vote| self.counts_vote(&candidate.id, &vote.agent));
        counting.map(|vote| vote.weight.0).sum()
    }
}
