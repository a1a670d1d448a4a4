//! What retracting a claim would touch: everything that derives from it, counted before anybody does it.
//!
//! ```text
//! claim ─ probe: its children ─ probe: theirs ─ … ─▶ few claims: done
//!                                └ many: one scan over the whole family ─▶ adjacency in memory ─▶ walk
//! claims reached ─ lookups (few) or one scan over all claims (many) ─▶ questions
//! ```
//!
//! Which way is the cheaper one depends on how much derives from the claim and how much there is at all, and neither is known
//! beforehand. A scan is therefore tried with an allowance of rows that grows with the probes already paid for, and given up
//! beyond it: together it never costs more than a few times the cheaper way alone.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use stemedb_core::ClaimId;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::reader::{ClaimReader, QuestionKey};
use crate::{
    Result,
    keys::{self, Family, Position},
};

/// Claims that are counted at most; beyond them an impact is not complete.
pub const IMPACT_MAX: usize = 5_000_000;

/// Claims that are named.
const NEAREST_MAX: usize = 100;
/// Keys that are looked up together.
const LOOKUPS_TOGETHER: usize = 256;

/// What derives from a claim, directly or through others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impact {
    /// The claim.
    pub claim: ClaimId,
    /// Claims that name it as a parent.
    pub direct: u64,
    /// Claims that derive from it in any way.
    pub total: u64,
    /// The greatest number of steps from the claim to one of them, each by its shortest way.
    pub depth: u32,
    /// Questions that one of them answers.
    pub questions: u64,
    /// The nearest of them with their questions, by steps and then by id; at most 100.
    pub nearest: Vec<(ClaimId, QuestionKey)>,
    /// False if more than [`IMPACT_MAX`] claims derive from it: the figures are then those of the nearest ones.
    pub complete: bool,
    /// Rows that were read to find out.
    pub rows_read: u64,
    /// Keys that were looked for, each on its own or in a batch.
    pub lookups: u64,
}

/// How much is tried before another way is taken.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Probes before the first scan is tried.
    probes: u64,
    /// Rows of a scan that cost as much as a probe, about.
    rows_per_probe: u64,
    /// Rows of the family of derived claims that are held in memory at most: 32 bytes each.
    adjacency_rows: u64,
    /// Claims whose questions are looked up one by one; more are found by a scan.
    lookups: usize,
    claims: usize,
}

const EFFORT: Effort = Effort {
    probes: 2048,
    rows_per_probe: 128,
    adjacency_rows: 4 << 20,
    lookups: 16 << 10,
    claims: IMPACT_MAX,
};

/// After a scan that was given up: how many times the probes there have been are made before the next one.
const PATIENCE: u64 = 4;

/// A claim's id is a hash already: any eight bytes of it are as good as all.
#[derive(Clone, Copy, Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length in front of the bytes says nothing.
    fn write_usize(&mut self, _: usize) {}
}

/// Of bytes that somebody may have chosen.
#[derive(Debug, Default)]
struct BytesHasher(u64);

impl Hasher for BytesHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Children by parent. A parent is named by a writer and need not be a claim, so that its bytes may be chosen: they are hashed
/// again. Children are claims of this database.
#[derive(Debug, Default)]
struct Adjacency {
    spans: HashMap<ClaimId, (u32, u32), BuildHasherDefault<BytesHasher>>,
    children: Vec<ClaimId>,
}

impl Adjacency {
    fn of(&self, parent: ClaimId) -> &[ClaimId] {
        let Some((start, end)) = self.spans.get(&parent) else { return &[] };
        self.children.get(*start as usize..*end as usize).unwrap_or_default()
    }
}

struct Walk<'a, S> {
    reader: &'a ClaimReader<S>,
    effort: Effort,
    /// Every claim met, also those that were not known at the moment asked for.
    met: HashSet<ClaimId, BuildHasherDefault<IdHasher>>,
    adjacency: Option<Adjacency>,
    /// Probes at which a scan is tried next.
    next_scan: u64,
    probes: u64,
    /// Subject, NUL and predicate of the questions.
    questions: HashSet<Box<[u8]>, BuildHasherDefault<BytesHasher>>,
    rows_read: u64,
    lookups: u64,
    /// True once a claim was left out because there are too many.
    full: bool,
}

impl<S: KvSnapshot> ClaimReader<S> {
    /// What derives from a claim, directly or through others; `None` if there is no such claim.
    ///
    /// Cost: about one filtered probe and one lookup a claim that derives from it, or one scan over all derivations and one over
    /// all claims where that is less. Memory: about 150 bytes a claim reached, and at most 128 MiB for the derivations. In the
    /// past one more lookup a claim.
    pub fn impact(&self, id: ClaimId) -> Result<Option<Impact>> {
        self.impact_by(id, EFFORT)
    }

    fn impact_by(&self, id: ClaimId, effort: Effort) -> Result<Option<Impact>> {
        if self.claim(id)?.is_none() {
            return Ok(None);
        }
        let mut walk = Walk {
            reader: self,
            effort,
            met: HashSet::default(),
            adjacency: None,
            next_scan: effort.probes,
            probes: 0,
            questions: HashSet::default(),
            rows_read: 0,
            lookups: 0,
            full: false,
        };
        walk.run(id).map(Some)
    }

    /// True if the view shows more than what was known at the moment asked for.
    fn is_past(&self) -> bool {
        self.lsn() < self.snapshot().lsn()
    }
}

impl<S: KvSnapshot> Walk<'_, S> {
    fn run(&mut self, claim: ClaimId) -> Result<Impact> {
        let mut impact = Impact {
            claim,
            direct: 0,
            total: 0,
            depth: 0,
            questions: 0,
            nearest: Vec::new(),
            complete: true,
            rows_read: 0,
            lookups: 0,
        };
        let mut nearest = Vec::new();
        self.met.insert(claim);
        let mut generation = vec![claim];
        while !self.full {
            let mut next = Vec::new();
            for parent in generation {
                self.children(parent, &mut next)?;
                if self.full {
                    break;
                }
            }
            // In the order of the keys neighbours lie in one block; from memory the order does not matter.
            if self.adjacency.is_none() || nearest.len() < NEAREST_MAX {
                next.sort_unstable();
            }
            if self.reader.is_past() {
                next = self.known(next)?;
            }
            if next.is_empty() {
                break;
            }
            impact.depth += 1;
            if impact.depth == 1 {
                impact.direct = next.len() as u64;
            }
            impact.total += next.len() as u64;
            nearest.extend(next.iter().copied().take(NEAREST_MAX - nearest.len()));
            generation = next;
        }
        if !self.reader.is_past() {
            self.met.remove(&claim);
            self.find_questions()?;
        }
        impact.complete = !self.full;
        impact.questions = self.questions.len() as u64;
        for id in nearest {
            if let Some(stored) = self.reader.claim(id)? {
                let (subject, predicate) = (stored.assertion.subject, stored.assertion.predicate);
                impact.nearest.push((id, QuestionKey { subject, predicate }));
            }
        }
        (impact.rows_read, impact.lookups) = (self.rows_read, self.lookups + self.probes);
        Ok(impact)
    }

    /// Appends the children of a claim that were not met before.
    fn children(&mut self, parent: ClaimId, next: &mut Vec<ClaimId>) -> Result<()> {
        if self.adjacency.is_none() && self.probes >= self.next_scan {
            self.try_to_hold_all()?;
        }
        if let Some(adjacency) = self.adjacency.take() {
            for child in adjacency.of(parent) {
                self.meet(*child, next);
            }
            self.adjacency = Some(adjacency);
            return Ok(());
        }
        self.probes += 1;
        let range = KeyRange::prefix(keys::id_prefix(Family::Derived, &parent.0));
        let mut rows = self.reader.snapshot().scan(&range, Direction::Forward);
        while rows.advance()? {
            self.rows_read += 1;
            let (_, child) = keys::parse_derived(rows.key())?;
            self.meet(ClaimId(*child), next);
        }
        Ok(())
    }

    fn meet(&mut self, child: ClaimId, next: &mut Vec<ClaimId>) {
        // The claim that is asked about is among those met.
        if self.met.len() > self.effort.claims {
            self.full |= !self.met.contains(&child);
        } else if self.met.insert(child) {
            next.push(child);
        }
    }

    /// Reads the whole family into memory, unless that takes more rows than what has been paid for probes allows.
    fn try_to_hold_all(&mut self) -> Result<()> {
        let allowed = self.probes.saturating_mul(self.effort.rows_per_probe).min(self.effort.adjacency_rows);
        let is_last = allowed == self.effort.adjacency_rows;
        self.next_scan = if is_last { u64::MAX } else { self.probes.saturating_mul(PATIENCE) };
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(Family::Derived)) };
        let mut rows = self.reader.snapshot().scan(&range, Direction::Forward);
        let mut adjacency = Adjacency::default();
        let (mut parent, mut start) = (None, 0);
        let mut read: u32 = 0;
        loop {
            let found = rows.advance()?;
            let family = if found { Some(keys::parse_derived(rows.key())?) } else { None };
            let now = family.map(|(parent, _)| ClaimId(*parent));
            if now != parent {
                if let Some(parent) = parent {
                    adjacency.spans.insert(parent, (start, read));
                }
                (parent, start) = (now, read);
            }
            let Some((_, child)) = family else { break };
            if u64::from(read) == allowed {
                return Ok(());
            }
            self.rows_read += 1;
            read += 1;
            adjacency.children.push(ClaimId(*child));
        }
        self.adjacency = Some(adjacency);
        Ok(())
    }

    /// Those that were known at the moment asked for; their questions are noted on the way.
    fn known(&mut self, ids: Vec<ClaimId>) -> Result<Vec<ClaimId>> {
        let mut known = Vec::new();
        for chunk in ids.chunks(LOOKUPS_TOGETHER) {
            for (id, place) in chunk.iter().zip(self.places(chunk)?) {
                let Some(place) = place else { continue };
                let (at, ..) = keys::parse_by_id_value(&place)?;
                if at.lsn <= self.reader.lsn() {
                    self.note_question(&place);
                    known.push(*id);
                }
            }
        }
        Ok(known)
    }

    fn places(&mut self, ids: &[ClaimId]) -> Result<Vec<Option<Value>>> {
        self.lookups += ids.len() as u64;
        let keys: Vec<Vec<u8>> = ids.iter().map(|id| keys::by_id(&id.0)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        Ok(self.reader.snapshot().multi_get(&keys)?)
    }

    /// The questions of all claims met: one by one, or by going over all claims if they are many.
    fn find_questions(&mut self) -> Result<()> {
        if self.met.len() > self.effort.lookups && self.scan_questions()? {
            return Ok(());
        }
        let mut ids: Vec<ClaimId> = self.met.iter().copied().collect();
        ids.sort_unstable();
        for chunk in ids.chunks(LOOKUPS_TOGETHER) {
            for place in self.places(chunk)?.into_iter().flatten() {
                self.note_question(&place);
            }
        }
        Ok(())
    }

    /// False if there are so many claims that looking up those met is cheaper.
    fn scan_questions(&mut self) -> Result<bool> {
        let mut allowed = (self.met.len() as u64).saturating_mul(self.effort.rows_per_probe);
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(Family::ById)) };
        let mut rows = self.reader.snapshot().scan(&range, Direction::Forward);
        let mut missing = self.met.len();
        while missing > 0 && rows.advance()? {
            if allowed == 0 {
                return Ok(false);
            }
            allowed -= 1;
            self.rows_read += 1;
            if self.met.contains(&keys::parse_by_id(rows.key())?) {
                missing -= 1;
                self.note_question(rows.value());
            }
        }
        Ok(true)
    }

    /// Notes the question in the value of a by_id row.
    fn note_question(&mut self, place: &[u8]) {
        let question = place.get(Position::BYTES..).unwrap_or_default();
        if !self.questions.contains(question) {
            self.questions.insert(question.into());
        }
    }
}

#[cfg(test)]
mod tests;
