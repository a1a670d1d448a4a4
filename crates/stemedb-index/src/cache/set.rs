//! What is kept of questions and of claims.

use std::ops::Deref;

use stemedb_core::{
    AgentId, ClaimId,
    lens::{Candidate, LiveVote, SetAside},
};
use stemedb_env::Lsn;

use super::{
    board::Dependencies,
    map::Measured,
    sizes::{ENTRY_BYTES, of_candidates, of_pairs},
};
use crate::claims::Used;

/// The candidates of a question as they were known at one moment. Never changes.
#[derive(Debug)]
pub struct CandidateSet {
    /// 0 = not kept.
    pub(super) number: u64,
    pub(super) moment: Lsn,
    candidates: Vec<Candidate>,
    successors: Vec<(ClaimId, ClaimId)>,
    used: Option<Used>,
    pub(super) dependencies: Dependencies,
    bytes: usize,
}

impl CandidateSet {
    pub(super) fn new(
        moment: Lsn,
        candidates: Vec<Candidate>,
        successors: Vec<(ClaimId, ClaimId)>,
        used: Option<Used>,
    ) -> CandidateSet {
        CandidateSet {
            number: 0,
            moment,
            candidates,
            successors,
            used,
            dependencies: Dependencies::default(),
            bytes: 0,
        }
    }

    /// Gives it a number, and counts what it holds together with a key of so many bytes.
    pub(super) fn numbered(
        mut self,
        number: u64,
        dependencies: Dependencies,
        key_bytes: usize,
    ) -> CandidateSet {
        self.number = number;
        self.dependencies = dependencies;
        self.bytes = size_of::<CandidateSet>()
            + of_candidates(&self.candidates)
            + of_pairs(&self.successors)
            + self.dependencies.heap_bytes()
            + key_bytes
            + ENTRY_BYTES;
        self
    }

    pub(super) fn heap_bytes(&self) -> usize {
        of_candidates(&self.candidates) + of_pairs(&self.successors)
    }

    pub(super) fn number(&self) -> Option<u64> {
        (self.number > 0).then_some(self.number)
    }

    /// The claim that took the place of a superseded one last, if one did.
    pub fn successor(&self, id: ClaimId) -> Option<ClaimId> {
        self.successors.iter().find(|(old, _)| *old == id).map(|(_, new)| *new)
    }

    /// The newest of what the set was made from.
    pub fn used(&self) -> Option<Used> {
        self.used
    }

    /// All of them, newest first.
    pub fn into_candidates(self) -> Vec<Candidate> {
        self.candidates
    }
}

/// Candidates that were found elsewhere, newest first, for whoever renders or weighs them as an answer of this database. No cache keeps
/// the set.
impl From<Vec<Candidate>> for CandidateSet {
    fn from(candidates: Vec<Candidate>) -> CandidateSet {
        CandidateSet::new(Lsn(0), candidates, Vec::new(), None)
    }
}

impl Deref for CandidateSet {
    type Target = [Candidate];

    fn deref(&self) -> &[Candidate] {
        &self.candidates
    }
}

/// Two sets are equal if they have the same candidates.
impl PartialEq for CandidateSet {
    fn eq(&self, other: &CandidateSet) -> bool {
        self.candidates == other.candidates && self.successors == other.successors
    }
}

impl Measured for CandidateSet {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What other records say about a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The newest vote of each agent, by agent.
    pub votes: Vec<LiveVote>,
    /// Who signed it after it was asserted, by agent.
    pub cosigners: Vec<AgentId>,
    /// Retracted or superseded.
    pub set_aside: Option<SetAside>,
    /// If superseded: the claim that took its place last.
    pub successor: Option<ClaimId>,
    /// The newest of what it was made from.
    pub used: Option<Used>,
}

/// A tally as it was known at one moment.
#[derive(Debug)]
pub(super) struct KeptTally {
    pub tally: Tally,
    pub moment: Lsn,
}

impl Measured for KeptTally {
    fn bytes(&self) -> usize {
        let Tally { votes, cosigners, .. } = &self.tally;
        size_of::<KeptTally>()
            + size_of::<ClaimId>()
            + votes.capacity() * size_of::<LiveVote>()
            + cosigners.capacity() * size_of::<AgentId>()
            + ENTRY_BYTES
    }
}
