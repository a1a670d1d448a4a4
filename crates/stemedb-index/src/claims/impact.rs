//! What retracting a claim would touch: everything that derives from it, counted before anybody does it.
//!
//! ```text
//! claim ─ probe: its children ─ probe: theirs ─ … ─▶ few claims: done
//!                  └ many: beside the probes one scan over the whole family, piece by piece ─▶ graph in memory ─▶ walk
//! claims reached ─ lookups (few) or one scan over all claims (many) ─▶ questions
//! ```
//!
//! Which way is the cheaper one depends on how much derives from the claim and how much there is at all, and neither is known
//! beforehand. The scan therefore goes as far as the probes already paid for allow, and waits for more of them: together it never
//! costs more than about twice the cheaper way alone. No row is scanned twice.

mod graph;

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
};

use stemedb_core::ClaimId;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::graph::{Bits, Graph, GraphBuilder, ROWS_MAX};
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
    /// Probes before the scan begins; the rows that they read count too.
    probes: u64,
    /// What probes must cost between two pieces of the scan, in probes.
    probes_together: u64,
    /// Rows that cost as much as a probe, about.
    rows_per_probe: u64,
    /// Rows of the family of derived claims that are held in memory at most: 130 bytes each while they are sorted, and 40 more where
    /// each has another parent.
    graph_rows: usize,
    /// Claims whose questions are looked up one by one; more are found by a scan.
    lookups: usize,
    claims: usize,
}

const EFFORT: Effort = Effort {
    probes: 2048,
    probes_together: 256,
    rows_per_probe: 256,
    graph_rows: 4 << 20,
    lookups: 16 << 10,
    claims: IMPACT_MAX,
};

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

/// The scan over all derivations, as far as it is.
struct Scan<I> {
    rows: I,
    graph: GraphBuilder,
}

struct Walk<'a, S: KvSnapshot> {
    reader: &'a ClaimReader<S>,
    effort: Effort,
    impact: Impact,
    nearest: Vec<ClaimId>,
    /// Claims met, also those that were not known at the moment asked for, and the one asked about.
    met: usize,
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
    /// all claims where that is less. Memory: about 100 bytes a claim reached and the questions; or 130 bytes a derivation that there
    /// is, at most 700 MiB for all, because of more than 4 Mi none is held. In the past one more lookup a claim.
    pub fn impact(&self, id: ClaimId) -> Result<Option<Impact>> {
        self.impact_by(id, EFFORT)
    }

    fn impact_by(&self, id: ClaimId, effort: Effort) -> Result<Option<Impact>> {
        if self.claim(id)?.is_none() {
            return Ok(None);
        }
        let impact = Impact {
            claim: id,
            direct: 0,
            total: 0,
            depth: 0,
            questions: 0,
            nearest: Vec::new(),
            complete: true,
            rows_read: 0,
            lookups: 0,
        };
        let walk = Walk {
            reader: self,
            effort,
            impact,
            nearest: Vec::new(),
            met: 1,
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
    fn run(mut self, claim: ClaimId) -> Result<Impact> {
        let met = match self.by_probes(claim)? {
            Met::Ids(met) => met,
            Met::Graph(graph) => {
                // From the start again: a step over the graph costs less than finding out where the probes have been.
                (self.met, self.full) = (1, false);
                self.nearest.clear();
                (self.impact.direct, self.impact.total, self.impact.depth) = (0, 0, 0);
                self.in_memory(claim, graph)?
            }
        };
        // In the past they were noted on the way.
        if !self.reader.is_past() {
            self.find_questions(&met)?;
        }
        drop(met);
        let Walk { reader, mut impact, nearest, .. } = self;
        impact.complete = !self.full;
        impact.questions = self.questions.len() as u64;
        (impact.rows_read, impact.lookups) = (self.rows_read, self.lookups);
        for id in nearest {
            if let Some(stored) = reader.claim(id)? {
                let (subject, predicate) = (stored.assertion.subject, stored.assertion.predicate);
                impact.nearest.push((id, QuestionKey { subject, predicate }));
            }
        }
        Ok(impact)
    }

    /// Generation by generation, a probe for each claim, until there are no more or all derivations are in memory.
    fn by_probes(&mut self, claim: ClaimId) -> Result<Met> {
        let mut met: HashSet<ClaimId, BuildHasherDefault<IdHasher>> = HashSet::default();
        met.insert(claim);
        let mut scan = None;
        // In probes.
        let (mut paid, mut next_piece) = (0, self.effort.probes);
        let mut read: u64 = 0;
        let mut generation = vec![claim];
        while !generation.is_empty() && !self.full {
            let mut next = Vec::new();
            for parent in &generation {
                if paid >= next_piece {
                    let allowed = paid.max(1).saturating_mul(self.effort.rows_per_probe);
                    next_piece = paid.saturating_add(self.effort.probes_together);
                    match self.scan_on(claim, scan.take(), allowed)? {
                        Piece::Done(graph) => return Ok(Met::Graph(graph)),
                        Piece::More(more) => scan = Some(more),
                        Piece::TooMany => next_piece = u64::MAX,
                    }
                }
                self.lookups += 1;
                let range = KeyRange::prefix(keys::id_prefix(Family::Derived, &parent.0));
                let mut rows = self.reader.snapshot().scan(&range, Direction::Forward);
                while !self.full && rows.advance()? {
                    read += 1;
                    self.rows_read += 1;
                    let (_, child) = keys::parse_derived(rows.key())?;
                    let child = ClaimId(*child);
                    if !self.has_room() {
                        self.full |= !met.contains(&child);
                    } else if met.insert(child) {
                        self.met += 1;
                        next.push(child);
                    }
                }
                if self.full {
                    break;
                }
                paid = self.lookups + read / self.effort.rows_per_probe;
            }
            // In the order of the keys neighbours lie in one block.
            next.sort_unstable();
            generation = self.count(next)?;
        }
        met.remove(&claim);
        let mut met: Vec<ClaimId> = met.into_iter().collect();
        met.sort_unstable();
        Ok(Met::Ids(met))
    }

    /// The walk over all derivations; returns whom it met, in the order of ids.
    fn in_memory(&mut self, claim: ClaimId, graph: Graph) -> Result<Vec<ClaimId>> {
        let (mut met, mut all) = (Bits::default(), Bits::default());
        let mut generation: Vec<u32> = graph.number(&claim).into_iter().collect();
        for number in &generation {
            all.insert(*number);
        }
        while !generation.is_empty() && !self.full {
            let mut next = Vec::new();
            'generation: for parent in &generation {
                for child in graph.children(*parent) {
                    if !self.has_room() {
                        if !all.contains(*child) {
                            self.full = true;
                            break 'generation;
                        }
                    } else if all.insert(*child) {
                        met.insert(*child);
                        self.met += 1;
                        next.push(*child);
                    }
                }
            }
            if self.nearest.len() < NEAREST_MAX || self.reader.is_past() {
                // The order of numbers is that of ids.
                next.sort_unstable();
                let ids = next.iter().filter_map(|number| graph.id(*number)).collect();
                let known = self.count(ids)?;
                if known.len() < next.len() {
                    next = known.iter().filter_map(|id| graph.number(id)).collect();
                }
            } else {
                self.count_generation(next.len());
            }
            generation = next;
        }
        Ok(graph.into_ids(&met))
    }

    fn has_room(&self) -> bool {
        // The claim that is asked about is among those met.
        self.met <= self.effort.claims
    }

    /// Counts a generation, in the order of ids; returns those of it that were known at the moment asked for.
    fn count(&mut self, mut generation: Vec<ClaimId>) -> Result<Vec<ClaimId>> {
        if self.reader.is_past() {
            generation = self.known(generation)?;
        }
        self.count_generation(generation.len());
        self.nearest.extend(generation.iter().copied().take(NEAREST_MAX - self.nearest.len()));
        Ok(generation)
    }

    fn count_generation(&mut self, claims: usize) {
        if claims > 0 {
            self.impact.depth += 1;
            if self.impact.depth == 1 {
                self.impact.direct = claims as u64;
            }
            self.impact.total += claims as u64;
        }
    }

    /// Begins the scan over the family or goes on with it, as far as `allowed` rows from its start.
    fn scan_on(
        &mut self,
        claim: ClaimId,
        scan: Option<Scan<S::Iter>>,
        allowed: u64,
    ) -> Result<Piece<S::Iter>> {
        let mut scan = scan.unwrap_or_else(|| {
            let range =
                KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(Family::Derived)) };
            let rows = self.reader.snapshot().scan(&range, Direction::Forward);
            Scan { rows, graph: GraphBuilder::new(claim) }
        });
        let most = self.effort.graph_rows.min(ROWS_MAX);
        while (scan.graph.rows() as u64) < allowed {
            if !scan.rows.advance()? {
                return Ok(Piece::Done(scan.graph.finish()));
            }
            self.rows_read += 1;
            if scan.graph.rows() >= most {
                return Ok(Piece::TooMany);
            }
            let (parent, child) = keys::parse_derived(scan.rows.key())?;
            scan.graph.push(parent, child);
        }
        Ok(Piece::More(scan))
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

    /// The questions of claims, which come in the order of ids: one by one, or by going over all claims if they are many.
    fn find_questions(&mut self, ids: &[ClaimId]) -> Result<()> {
        if ids.len() > self.effort.lookups && self.scan_questions(ids)? {
            return Ok(());
        }
        for chunk in ids.chunks(LOOKUPS_TOGETHER) {
            for place in self.places(chunk)?.into_iter().flatten() {
                self.note_question(&place);
            }
        }
        Ok(())
    }

    /// False if there are so many claims that looking up these is cheaper.
    fn scan_questions(&mut self, ids: &[ClaimId]) -> Result<bool> {
        let mut allowed = (ids.len() as u64).saturating_mul(self.effort.rows_per_probe);
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(Family::ById)) };
        let mut rows = self.reader.snapshot().scan(&range, Direction::Forward);
        // The rows are in the order of ids as well.
        let mut missing = ids.iter().peekable();
        while missing.peek().is_some() && rows.advance()? {
            if allowed == 0 {
                return Ok(false);
            }
            allowed -= 1;
            self.rows_read += 1;
            let id = keys::parse_by_id(rows.key())?;
            while missing.next_if(|missing| **missing < id).is_some() {}
            if missing.next_if(|missing| **missing == id).is_some() {
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

/// How far probes have come.
enum Met {
    /// To the end: whom they met, in the order of ids.
    Ids(Vec<ClaimId>),
    /// All derivations are in memory.
    Graph(Graph),
}

/// What a piece of the scan has come to.
enum Piece<I> {
    /// Everything is in memory.
    Done(Graph),
    /// There is more.
    More(Scan<I>),
    /// There is more than may be held.
    TooMany,
}

#[cfg(test)]
mod tests;
