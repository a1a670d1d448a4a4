//! What a lens is given: the claims that answer a question, with everything known about each.

use std::cmp::Ordering;
use std::fmt;

use crate::identity::{AgentId, ClaimId};
use crate::model::{Assertion, Lifecycle, Micros, Nano, SourceClass};

/// A claim about the subject and predicate asked for, as it was known at one LSN.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The claim's id.
    pub id: ClaimId,
    /// The LSN of the entry that brought it.
    pub lsn: u64,
    /// Its place in that entry.
    pub ordinal: u32,
    /// When that entry was recorded.
    pub recorded_at: Micros,
    /// The claim.
    pub assertion: Assertion,
    /// The claim's own class, else that of its source, else the lowest: stages of one statement never differ in it.
    pub class: SourceClass,
    /// Trust in the claim, 0 to 1: the least of the trusts in the authors of the claim and of all that it derives from,
    /// each one half if nothing is known.
    pub trust: Nano,
    /// The nearest claim that it derives from and that is retracted; of several equally near the one with the smaller id.
    /// The claim takes part all the same: whoever asks is told.
    pub tainted: Option<ClaimId>,
    /// True if it derives from more claims than were looked at for `trust` and `tainted`: they tell of the nearest ones.
    pub lineage_cut: bool,
    /// Agents who co-signed it, beyond the signatures it came with.
    pub cosigners: Vec<AgentId>,
    /// The live vote of each agent ([`fold_votes`](super::fold_votes)).
    pub votes: Vec<LiveVote>,
    /// Why it is set aside as far as other records decide that (retracted, superseded, out of epoch). What the claim
    /// itself decides is found by the lens.
    pub set_aside: Option<SetAside>,
}

impl Candidate {
    /// A claim about which nothing else is known: no votes, no co-signatures, its own class or the lowest, and the
    /// trust of an unknown agent. Computes the claim's id.
    pub fn new(assertion: Assertion, lsn: u64, ordinal: u32, recorded_at: Micros) -> Candidate {
        Candidate {
            id: assertion.id(),
            lsn,
            ordinal,
            recorded_at,
            class: assertion.source_class.unwrap_or(SourceClass::ANECDOTAL),
            assertion,
            trust: Nano::HALF,
            tainted: None,
            lineage_cut: false,
            cosigners: Vec::new(),
            votes: Vec::new(),
            set_aside: None,
        }
    }

    /// When the claim was observed; when it was recorded if it does not say.
    pub fn time(&self) -> Micros {
        self.assertion.observed_at.unwrap_or(self.recorded_at)
    }

    /// Greater is newer: the time, then the place in the journal.
    pub fn newness(&self) -> (Micros, u64, u32) {
        (self.time(), self.lsn, self.ordinal)
    }

    /// The newest first, then the smaller id, so that no two claims are equal.
    pub(super) fn cmp_newest_first(&self, other: &Candidate) -> Ordering {
        other.newness().cmp(&self.newness()).then_with(|| self.id.cmp(&other.id))
    }

    /// Why the claim does not take part in any answer, as far as the claim itself and other records decide that; of
    /// several reasons the first in the order of [`SetAside`]. Whether a newer stage has replaced it depends on the
    /// other candidates, and whether it is excluded on the question.
    pub fn reason_set_aside(&self, evaluated_at: Micros) -> Option<SetAside> {
        let claim = &self.assertion;
        let own = if claim.lifecycle == Some(Lifecycle::Rejected) {
            Some(SetAside::Rejected)
        } else if claim.valid_from.is_some_and(|from| from > evaluated_at) {
            Some(SetAside::NotYetValid)
        } else if claim.valid_to.is_some_and(|to| to <= evaluated_at) {
            Some(SetAside::NoLongerValid)
        } else {
            None
        };
        match (self.set_aside, own) {
            (Some(known), Some(own)) => Some(known.min(own)),
            (known, own) => known.or(own),
        }
    }
}

/// The vote of one agent that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LiveVote {
    /// Who voted.
    pub agent: AgentId,
    /// −1 to 1.
    pub weight: Nano,
}

/// Why a claim does not take part in an answer. Where several reasons apply, the first of this order is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetAside {
    /// Withdrawn without a successor.
    Retracted,
    /// Another claim took its place.
    Superseded,
    /// A newer stage of the same statement was asserted.
    Restaged,
    /// Its lifecycle says rejected.
    Rejected,
    /// It belongs to another epoch than the one asked for, or to one that is superseded.
    OutOfEpoch,
    /// It holds only later.
    NotYetValid,
    /// It held only earlier.
    NoLongerValid,
    /// The question leaves it out ([`Counterfactual`](super::Counterfactual)).
    Excluded,
}

impl SetAside {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            SetAside::Retracted => "retracted",
            SetAside::Superseded => "superseded",
            SetAside::Restaged => "restaged",
            SetAside::Rejected => "rejected",
            SetAside::OutOfEpoch => "out_of_epoch",
            SetAside::NotYetValid => "not_yet_valid",
            SetAside::NoLongerValid => "no_longer_valid",
            SetAside::Excluded => "excluded",
        }
    }
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
