//! Candidates, tallies and answers in memory: bounded, and never stale. See `docs/design/caches.md`.
//!
//! ```text
//! engine ─ about_to_show ─▶ ChangeBoard ◀─ is it exact? ─ candidates of a question ◀─ ClaimReader::question
//!                                       ◀─────────────── tallies of claims
//!                                                        answers, by number of the set ◀─ ClaimCache::answer
//! ```

mod answers;
mod board;
mod map;
mod set;
mod sizes;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use answers::{AnswerKey, KeptAnswer, fresh};
use board::{ChangeBoard, Dependencies};
use map::Bounded;
pub use set::CandidateSet;
use set::KeptTally;
pub(crate) use set::Tally;
use stemedb_core::{Answer, ClaimId, Lens, LensParams, lens::Candidate};
use stemedb_env::Lsn;
use stemedb_lsm::WriteBatch;

use crate::{Result, claims::Used, derive::AppliedRows};

/// Part of all bytes that the board takes.
const BOARD_PART: u64 = 32;

/// The caches of one database. It must be an observer of the engine ([`crate::Observers`]) from the engine's first moment on: what it
/// is not told of, it does not know to be changed.
#[derive(Debug)]
pub struct ClaimCache {
    board: ChangeBoard,
    sets: Bounded<Box<[u8]>, CandidateSet>,
    tallies: Bounded<ClaimId, KeptTally>,
    answers: Bounded<AnswerKey, KeptAnswer>,
    last_number: AtomicU64,
}

/// A moment's counters of the caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Candidates of questions.
    pub candidates: CacheCounts,
    /// Votes, cosignatures and supersessions of claims.
    pub tallies: CacheCounts,
    /// Answers.
    pub answers: CacheCounts,
    /// What knows of changes.
    pub board_bytes: u64,
}

/// What the candidates of a question and its answer hold in memory, in bytes. Cost: a walk over them.
pub fn memory_of_answer(candidates: &CandidateSet, answer: &Answer) -> usize {
    candidates.heap_bytes() + sizes::of_answer(answer)
}

impl CacheStats {
    /// Each with its name in metrics.
    pub fn by_name(&self) -> [(&'static str, CacheCounts); 3] {
        [("candidates", self.candidates), ("tallies", self.tallies), ("answers", self.answers)]
    }

    /// What all of it holds.
    pub fn bytes(&self) -> u64 {
        self.board_bytes + self.by_name().iter().map(|(_, counts)| counts.bytes).sum::<u64>()
    }
}

/// Counters of one cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Asked for, and given.
    pub hits: u64,
    /// Asked for, and not there.
    pub misses: u64,
    /// Asked for, and there, but not for the moment asked about.
    pub stale: u64,
    /// Values kept now.
    pub entries: u64,
    /// What they hold.
    pub bytes: u64,
    /// What they may hold.
    pub capacity_bytes: u64,
}

impl CacheCounts {
    /// Part of the questions that it has answered, 0 to 1; 0 before the first.
    pub fn hit_rate(&self) -> f64 {
        let asked = self.hits + self.misses + self.stale;
        self.hits as f64 / asked.max(1) as f64
    }
}

impl ClaimCache {
    /// Caches of `bytes` all together. `seed` should be random: then nobody can foresee which names share a place.
    pub fn new(bytes: u64, seed: u64) -> ClaimCache {
        let board = ChangeBoard::new(usize::try_from(bytes / BOARD_PART).unwrap_or(usize::MAX), seed);
        let rest = bytes.saturating_sub(board.bytes() as u64);
        ClaimCache {
            board,
            sets: Bounded::new(rest / 2, seed),
            tallies: Bounded::new(rest / 8, seed),
            answers: Bounded::new(rest / 8 * 3, seed),
            last_number: AtomicU64::new(0),
        }
    }

    /// Counters.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            candidates: self.sets.counts(),
            tallies: self.tallies.counts(),
            answers: self.answers.counts(),
            board_bytes: self.board.bytes() as u64,
        }
    }

    /// What a lens answers from these candidates: the kept answer, or a fresh one, which is kept if it does not depend on the clock.
    pub fn answer(&self, lens: Lens, set: &CandidateSet, params: &LensParams) -> Answer {
        let Some(key) = AnswerKey::of(set, lens, params) else { return fresh(lens, set, params) };
        if let Some(kept) = self.answers.get(&key, |kept| kept.holds_at(params.evaluated_at)) {
            return kept.answer();
        }
        let answer = fresh(lens, set, params);
        self.answers.put(key, Arc::new(KeptAnswer::new(&answer, set, params)));
        answer
    }

    /// The set of a question as of a moment. The caller's snapshot shows that moment.
    pub(crate) fn set(&self, question: &QuestionName, moment: Lsn) -> Option<Arc<CandidateSet>> {
        let is_right = |set: &CandidateSet| self.board.is_exact(&set.dependencies, set.moment, moment);
        self.sets.get(&*question.bytes, is_right)
    }

    /// The tally of a claim as of a moment. The caller's snapshot shows that moment.
    pub(crate) fn tally(&self, id: &ClaimId, moment: Lsn) -> Option<Tally> {
        let is_right = |kept: &KeptTally| self.board.is_claim_exact(id, kept.moment, moment);
        self.tallies.get(id, is_right).map(|kept| kept.tally.clone())
    }

    pub(crate) fn keep_tally(&self, id: &ClaimId, moment: Lsn, tally: &Tally) {
        if !self.tallies.has(id, |there| there.moment > moment) {
            self.tallies.put(*id, Arc::new(KeptTally { tally: tally.clone(), moment }));
        }
    }
}

impl AppliedRows for ClaimCache {
    fn begins_at(&self, lsn: Lsn) {
        self.board.begin_at(lsn);
    }

    fn about_to_show(&self, lsn: Lsn, rows: &WriteBatch) {
        self.board.note(lsn, rows);
    }
}

/// A question with its epoch, as bytes.
#[derive(Debug)]
pub(crate) struct QuestionName {
    bytes: Vec<u8>,
    prefix_bytes: usize,
}

impl QuestionName {
    /// From the prefix of its claims' keys, which ends each name with a NUL: what follows cannot be part of one.
    pub fn new(prefix: Vec<u8>, epoch: Option<&str>) -> QuestionName {
        let (prefix_bytes, mut bytes) = (prefix.len(), prefix);
        if let Some(epoch) = epoch {
            bytes.push(1);
            bytes.extend_from_slice(epoch.as_bytes());
        }
        QuestionName { bytes, prefix_bytes }
    }

    /// The prefix of its claims' keys.
    pub fn prefix(&self) -> &[u8] {
        self.bytes.get(..self.prefix_bytes).unwrap_or_default()
    }
}

/// Candidates on their way into a set.
#[derive(Debug)]
pub(crate) struct Gathering<'a> {
    /// Where the set will be kept, if anywhere.
    pub cache: Option<&'a ClaimCache>,
    moment: Lsn,
    candidates: Vec<Candidate>,
    successors: Vec<(ClaimId, ClaimId)>,
    dependencies: Dependencies,
}

impl<'a> Gathering<'a> {
    pub fn new(cache: Option<&'a ClaimCache>, moment: Lsn) -> Gathering<'a> {
        Gathering {
            cache,
            moment,
            candidates: Vec::new(),
            successors: Vec::new(),
            dependencies: Dependencies::default(),
        }
    }

    /// One more candidate, with the claims behind it that were looked at. Room for a few is made with the first: most questions
    /// have a few.
    pub fn push(&mut self, candidate: Candidate, ancestors: &[ClaimId]) {
        if self.candidates.is_empty() {
            self.candidates.reserve(8);
        }
        if let Some(cache) = self.cache {
            let Gathering { dependencies, .. } = self;
            dependencies.add(cache.board.claim(&candidate.id));
            if candidate.assertion.source_class.is_none() {
                dependencies.add(cache.board.source(&candidate.assertion.source));
            }
            ancestors.iter().for_each(|id| dependencies.add(cache.board.claim(id)));
        }
        self.candidates.push(candidate);
    }

    /// Lets somebody complete all candidates at once, who says which of them have successors.
    pub fn complete(
        &mut self,
        complete: impl FnOnce(&mut [Candidate]) -> Result<Vec<(ClaimId, ClaimId)>>,
    ) -> Result<()> {
        self.successors = complete(&mut self.candidates)?;
        Ok(())
    }

    /// The set, kept if a cache is there and nothing newer.
    pub fn finish(self, question: &QuestionName, used: Option<Used>) -> Arc<CandidateSet> {
        let Gathering { cache, moment, mut candidates, successors, mut dependencies } = self;
        let key = question.bytes.as_slice();
        let Some(cache) = cache.filter(|cache| !cache.sets.has(key, |there| there.moment > moment)) else {
            return Arc::new(CandidateSet::new(moment, candidates, successors, used));
        };
        candidates.shrink_to_fit();
        dependencies.add(cache.board.question(question.prefix()));
        dependencies.finish();
        let number = cache.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let set = CandidateSet::new(moment, candidates, successors, used);
        let set = Arc::new(set.numbered(number, dependencies, key.len()));
        cache.sets.put(key.into(), Arc::clone(&set));
        set
    }

    /// The candidates alone.
    pub fn into_candidates(self) -> Vec<Candidate> {
        self.candidates
    }
}
