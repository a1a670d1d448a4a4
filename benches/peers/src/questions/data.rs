//! Claims to be asked about: real ones, or as many as wanted about subjects of very different fame.
//!
//! To both, votes and supersessions are added that no data set brings: one claim in fifty is voted on by one to three
//! agents, and where a batch has two claims of one question from equally good sources, one in ten of the older ones is
//! replaced by the newer one. Everything is the same in every run.

use std::collections::{BTreeMap, HashSet};

use stemedb_core::{
    AgentId, Assertion, ClaimId, Command, Micros, Nano, Object, Source, SourceClass, Supersession,
    SupersessionKind, Vote,
};

use crate::{
    engine::Result,
    random::SplitMix64,
    workloads::claims::{self, Files},
};

/// Recorded time of the first batch, 2026-01-01; each one comes a second later.
const FIRST_RECORDED_US: i64 = 1_767_225_600_000_000;
/// Claims that are recorded together.
pub const BATCH_CLAIMS: usize = 1000;
const VOTED_EACH: u64 = 50;
const REPLACED_EACH: u64 = 10;
const AGENTS: u64 = 1000;
const GENERATED_SOURCES: u64 = 60;
const GENERATED_PREDICATES: u64 = 12;

/// What is recorded together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Its place in the journal, from 1.
    pub lsn: u64,
    /// When.
    pub recorded_at: Micros,
    /// Records in their order, claims with their ids.
    pub commands: Vec<(Command, Option<ClaimId>)>,
}

/// A subject and a predicate that claims were made about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Question {
    /// The subject.
    pub subject: String,
    /// The predicate.
    pub predicate: String,
}

/// Which claims.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum Origin {
    /// Those of a file, at most so many, each once.
    File(Files, Option<u64>),
    /// So many, about subjects of which a few have very many claims (Zipf, exponent 1).
    Generated(u64),
}

/// The moment of a batch.
pub fn recorded_at(lsn: u64) -> Micros {
    Micros(FIRST_RECORDED_US + lsn as i64 * 1_000_000)
}

/// Gives the batches to `take`, sources first.
pub fn each_batch(origin: &Origin, take: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
    let mut batches = Batches { batch: Batch::default(), classes: BTreeMap::new(), claims: 0, take };
    match origin {
        Origin::File(files, limit) => {
            for source in claims::sources(files)? {
                batches.source(source)?;
            }
            // Eight bytes of a hash tell ten million claims apart, and take little of the memory that is measured.
            let mut seen = HashSet::new();
            for line in claims::lines(files)? {
                if limit.is_some_and(|limit| seen.len() as u64 >= limit) {
                    break;
                }
                let claim = claims::parse_claim(&line?, 0)?;
                let id = claim.id();
                if seen.insert(number_of(&id)) {
                    batches.claim(claim, id)?;
                }
            }
        }
        Origin::Generated(count) => {
            for number in 0..GENERATED_SOURCES {
                let class = SourceClass::new((number % 6) as u8).unwrap_or(SourceClass::ANECDOTAL);
                batches.source(Source::new(generated_source(number), class))?;
            }
            generate(*count, &mut batches)?;
        }
    }
    batches.end()
}

fn generated_source(number: u64) -> String {
    format!("source:{number:02}")
}

/// Questions come with one to sixteen claims, eight in the mean; how many questions a subject has falls with its rank as
/// Zipf's law says, cut at 2000.
fn generate(count: u64, batches: &mut Batches<'_>) -> Result<()> {
    let mut random = SplitMix64::of(0xC1A1);
    // Claims of one question are told at different times: a window of questions is open at once.
    let mut open: Vec<(Question, u64, u64)> = Vec::new();
    let (mut rank, mut left, mut made) = (0_u64, 0_u64, 0_u64);
    while made < count {
        while open.len() < 4096 {
            if left == 0 {
                rank += 1;
                left = (200_000 / rank).clamp(1, 2000);
            }
            left -= 1;
            let subject = format!("subject:{:07}", SplitMix64::of(rank).word() % 10_000_000);
            let predicate = format!("property_{:02}/{:04}", left % GENERATED_PREDICATES, left);
            let claims = 1 + random.below(16);
            open.push((
                Question { subject: format!("{subject}-{rank}"), predicate },
                claims,
                random.below(GENERATED_SOURCES),
            ));
        }
        let at = random.below(open.len() as u64) as usize;
        let Some((question, claims, source)) = open.get_mut(at) else { break };
        *claims -= 1;
        // Each claim of a question is another source's, so none is told twice.
        let source_number = (*source + *claims * 7) % GENERATED_SOURCES;
        let value = match random.below(4) {
            0 => Object::Number(format!("{}.{}", 100 + random.below(3), random.below(10))),
            _ => Object::Integer(100 + random.below(4) as i64),
        };
        let claim =
            Assertion::new(&question.subject, &question.predicate, value, generated_source(source_number));
        if *claims == 0 {
            open.swap_remove(at);
        }
        let id = claim.id();
        batches.claim(claim, id)?;
        made += 1;
    }
    Ok(())
}

struct Batches<'a> {
    batch: Batch,
    classes: BTreeMap<String, SourceClass>,
    claims: usize,
    take: &'a mut dyn FnMut(&Batch) -> Result<()>,
}

impl Batches<'_> {
    fn source(&mut self, source: Source) -> Result<()> {
        self.classes.insert(source.id.clone(), source.class);
        self.batch.commands.push((Command::Source(source), None));
        Ok(())
    }

    fn claim(&mut self, claim: Assertion, id: ClaimId) -> Result<()> {
        self.batch.commands.push((Command::Assert(claim), Some(id)));
        self.claims += 1;
        if self.claims >= BATCH_CLAIMS { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<()> {
        if self.batch.commands.is_empty() {
            return Ok(());
        }
        self.add_votes();
        self.add_supersessions();
        self.batch.lsn += 1;
        self.batch.recorded_at = recorded_at(self.batch.lsn);
        (self.take)(&self.batch)?;
        self.batch.commands.clear();
        self.claims = 0;
        Ok(())
    }

    fn ids(&self) -> Vec<ClaimId> {
        self.batch.commands.iter().filter_map(|(_, id)| *id).collect()
    }

    fn add_votes(&mut self) {
        for id in self.ids() {
            let mut random = SplitMix64::of(number_of(&id));
            if random.below(VOTED_EACH) != 0 {
                continue;
            }
            let first = random.below(AGENTS);
            for place in 0..=random.below(3) {
                let mut agent = [0; 32];
                SplitMix64::of((first + place) % AGENTS).fill(&mut agent);
                let weight = Nano(random.below(2_000_000_001) as i64 - 1_000_000_000);
                self.batch.commands.push((Command::Vote(Vote::new(id, AgentId(agent), weight)), None));
            }
        }
    }

    fn add_supersessions(&mut self) {
        let mut newest: BTreeMap<(&str, &str), (ClaimId, Option<SourceClass>)> = BTreeMap::new();
        let mut found = Vec::new();
        for (command, id) in &self.batch.commands {
            let (Command::Assert(claim), Some(id)) = (command, id) else { continue };
            let class = self.classes.get(&claim.source).copied();
            let before = newest.insert((&claim.subject, &claim.predicate), (*id, class));
            if let Some((old, old_class)) = before
                && class == old_class
                && SplitMix64::of(number_of(&old)).word().is_multiple_of(REPLACED_EACH)
            {
                found.push(Supersession::replace(old, *id, SupersessionKind::Replaces));
            }
        }
        self.batch.commands.extend(found.into_iter().map(|found| (Command::Supersede(found), None)));
    }
}

fn number_of(id: &ClaimId) -> u64 {
    id.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(origin: &Origin) -> (usize, Vec<(u64, usize)>, Vec<ClaimId>, usize, usize) {
        let (mut sizes, mut ids, mut votes, mut replaced) = (Vec::new(), Vec::new(), 0, 0);
        each_batch(origin, &mut |batch| {
            sizes.push((batch.lsn, batch.commands.len()));
            for (command, id) in &batch.commands {
                match command {
                    Command::Vote(_) => votes += 1,
                    Command::Supersede(_) => replaced += 1,
                    _ => ids.extend(*id),
                }
            }
            Ok(())
        })
        .unwrap();
        (ids.len(), sizes, ids, votes, replaced)
    }

    #[test]
    fn generated_claims_are_all_different_and_the_same_in_every_run() {
        let first = all(&Origin::Generated(20_000));
        assert_eq!(first, all(&Origin::Generated(20_000)));
        assert_eq!(first.0, 20_000);
        assert_eq!(first.2.iter().collect::<HashSet<_>>().len(), 20_000);
        assert!(first.3 > 300 && first.4 > 10, "{} votes, {} supersessions", first.3, first.4);
    }

    #[test]
    fn the_sample_is_told_once() {
        let (claims, sizes, ids, ..) = all(&Origin::File(Files::default(), Some(2500)));
        assert_eq!((claims, ids.iter().collect::<HashSet<_>>().len()), (2500, 2500));
        assert_eq!(sizes.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
