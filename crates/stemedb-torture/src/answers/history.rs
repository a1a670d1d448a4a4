//! A database that is told a long history, and the oracle that hears the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use stemedb_core::{Assertion, AuthorityPolicy, Command};
use stemedb_env::{Clock, Env, Lsn, Micros, fs::sim::Profile};
use stemedb_hybrid::{ClaimEngine, FallbackMode, HybridOptions};
use stemedb_index::{ClaimCache, ClaimReader, Claims, Submission};
use stemedb_lsm::{KvStore, LsmStore};
use stemedb_oracle::World;

use super::{corpus::Corpus, records::Records, told};
use crate::{
    Dice,
    machine::Machine,
    violation::{Promise, Violation},
};

const DIR: &str = "/db/stemedb";
/// Records that are drawn for each question.
const EVENTS_PER_QUESTION: usize = 8;
/// Of each of two kinds of submissions that supersede there is one in so many records.
const EVENTS_PER_SUPERSESSION: usize = 20;
/// About so many submissions, each as large as it must be.
const SUBMISSIONS: usize = 3_000;
const CACHE_BYTES: u64 = 48 << 20;

type Reader = ClaimReader<
    stemedb_hybrid::ViewSnapshot<
        <LsmStore as KvStore>::Snapshot,
        <stemedb_hybrid::RedbStore as KvStore>::Snapshot,
    >,
>;

/// The database, the oracle, and when each entry was recorded.
pub struct History {
    machine: Machine,
    options: HybridOptions,
    engine: Option<ClaimEngine>,
    pub cache: Arc<ClaimCache>,
    pub world: World,
    /// By LSN, from 1.
    pub recorded: Vec<i64>,
    /// How many records of each kind there are.
    pub kinds: BTreeMap<&'static str, u64>,
    known: Vec<Assertion>,
    asked_about: BTreeSet<(String, String)>,
}

fn wrong(error: impl std::fmt::Display) -> Violation {
    Violation::new(Promise::Live, error.to_string())
}

impl History {
    /// An empty database, with memtables that are filled a few dozen times by `claims`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(corpus: &Corpus) -> Result<History, Violation> {
        let mut options = HybridOptions { fallback: FallbackMode::Off, ..HybridOptions::tiny() };
        options.journal.segment_bytes = 4 << 20;
        options.lsm.memtable_bytes = (corpus.said.len() * 16).clamp(32 << 10, 4 << 20);
        options.lsm.block_bytes = 4 << 10;
        options.lsm.block_cache_bytes = 32 << 20;
        options.lsm.target_table_bytes = 4 << 20;
        let machine = Machine::plain(Machine::disk(Profile::Adversarial));
        let mut history = History {
            machine,
            options,
            engine: None,
            cache: Arc::new(ClaimCache::new(CACHE_BYTES, 1)),
            world: World::default(),
            recorded: Vec::new(),
            kinds: BTreeMap::new(),
            known: Vec::new(),
            asked_about: corpus.questions.iter().cloned().collect(),
        };
        let (env, options) = history.life();
        let engine = ClaimEngine::create(&env, Path::new(DIR), Claims, &options).map_err(wrong)?;
        history.engine = Some(engine);
        Ok(history)
    }

    /// What an engine is opened with: caches belong to one life.
    fn life(&mut self) -> (Env, HybridOptions) {
        self.cache = Arc::new(ClaimCache::new(CACHE_BYTES, self.recorded.len() as u64));
        let mut options = self.options.clone();
        options.observers.add(Arc::<ClaimCache>::clone(&self.cache));
        (self.machine.env.clone(), options)
    }

    fn engine(&self) -> Result<&ClaimEngine, Violation> {
        self.engine.as_ref().ok_or_else(|| wrong("the engine is not running"))
    }

    /// Closed, or killed, and opened again.
    ///
    /// # Errors
    /// When the database does not open with all that it had.
    pub fn reopen(&mut self, kill: bool) -> Result<(), Violation> {
        if let Some(engine) = self.engine.take() {
            if kill { drop(engine) } else { engine.close().map_err(wrong)? }
        }
        let (env, options) = self.life();
        let (engine, _) = ClaimEngine::open(&env, Path::new(DIR), Claims, &options).map_err(wrong)?;
        self.machine.settle();
        if engine.published_lsn().0 != self.recorded.len() as u64 {
            let detail = format!("entry {} of {}", engine.published_lsn(), self.recorded.len());
            return Err(Violation::new(Promise::Durable, detail));
        }
        self.engine = Some(engine);
        Ok(())
    }

    /// Merges all tables.
    ///
    /// # Errors
    /// When that fails.
    pub fn compact(&self) -> Result<(), Violation> {
        self.engine()?.compact().map_err(wrong)
    }

    /// The last entry.
    pub fn last(&self) -> u64 {
        self.recorded.len() as u64
    }

    /// Of a moment: after an entry, or after the last one recorded by a time. With the caches.
    ///
    /// # Errors
    /// When the engine cannot be read.
    pub fn reader(&self, lsn: u64, by_time: Option<i64>) -> Result<Reader, Violation> {
        let snapshot = self.engine()?.snapshot().map_err(wrong)?;
        let reader = match by_time {
            None => ClaimReader::as_of(snapshot, Lsn(lsn)).map_err(wrong)?,
            Some(time) => {
                let newest = ClaimReader::new(snapshot);
                let found = newest.lsn_at(Micros(time)).map_err(wrong)?;
                let reader = ClaimReader::as_of(newest.snapshot().clone(), found).map_err(wrong)?;
                reader.recorded_by(Micros(time))
            }
        };
        Ok(reader.with_cache(Some(Arc::clone(&self.cache))))
    }

    /// Tells everything, in three lives: the second begins with a close, the third with a kill. `pause` is called now and then.
    ///
    /// # Errors
    /// What does not work, and whatever `pause` finds.
    pub fn tell_all(
        &mut self,
        corpus: &Corpus,
        dice: &mut Dice,
        mut pause: impl FnMut(&History, &mut Dice) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let events = corpus.questions.len() * EVENTS_PER_QUESTION;
        let submissions = SUBMISSIONS.min(corpus.said.len()).max(30);
        // A few hundred: every question about the past goes through all of them.
        let rare = (events as u64 / 300).max(16);
        // Of most sources something is known from the beginning; of the others when they are drawn.
        let mut sources = Records { dice, now_us: 0, sources: &corpus.sources, rare, known: &[] };
        let first = sources.first_sources();
        self.commit(first, AuthorityPolicy::Off)?;
        let claims_each = corpus.said.len().div_ceil(submissions);
        for (at, said) in corpus.said.chunks(claims_each).enumerate() {
            self.machine.clock.advance(Duration::from_secs(60 * dice.below(24 * 60)));
            let now_us = self.machine.clock.wall().0;
            let History { known, asked_about, .. } = self;
            let mut records = Records { dice, now_us, sources: &corpus.sources, rare, known };
            let mut commands = Vec::with_capacity(said.len());
            for one in said {
                commands.push(match asked_about.contains(&one.question()) {
                    true => records.claim(one),
                    false => plain(one),
                });
            }
            for _ in 0..drawn(events, submissions, records.dice) {
                commands.extend(records.command());
            }
            let (mut of_agents, mut by_anybody) = (Vec::new(), Vec::new());
            for list in [&mut of_agents, &mut by_anybody] {
                for _ in 0..drawn(events, submissions * EVENTS_PER_SUPERSESSION, records.dice) {
                    list.push(records.supersessions());
                }
            }
            self.commit(commands, AuthorityPolicy::Enforce)?;
            for commands in of_agents {
                self.commit(commands, AuthorityPolicy::Enforce)?;
            }
            for commands in by_anybody {
                self.commit(commands, AuthorityPolicy::Off)?;
            }
            if at == submissions / 3 {
                self.reopen(false)?;
            } else if at == submissions / 2 {
                self.compact()?;
            } else if at == submissions * 2 / 3 {
                self.reopen(true)?;
            } else if at % (submissions / 30) == 0 {
                pause(self, dice)?;
            }
        }
        self.recorded_as_told()
    }

    /// The engine stamped the entries with the times that the oracle was told.
    fn recorded_as_told(&self) -> Result<(), Violation> {
        let reader = self.reader(self.last(), None)?;
        for (lsn, told) in (1..).zip(&self.recorded) {
            let found = reader.recorded_at(Lsn(lsn)).map_err(wrong)?;
            if found.map(|at| at.0) != Some(*told) {
                return Err(wrong(format!("entry {lsn} is recorded at {found:?}, not {told}")));
            }
        }
        Ok(())
    }

    fn commit(&mut self, commands: Vec<Command>, authority: AuthorityPolicy) -> Result<(), Violation> {
        if commands.is_empty() {
            return Ok(());
        }
        self.machine.clock.advance(Duration::from_secs(1));
        let now_us = self.machine.clock.wall().0;
        let mut submission = Submission::new().under(authority);
        for command in &commands {
            submission.push(command).map_err(wrong)?;
        }
        let engine = self.engine()?;
        let before = engine.published_lsn().0;
        let outcomes = match engine.commit(submission) {
            Ok(outcomes) => outcomes,
            Err(stemedb_hybrid::Error::Index(
                stemedb_index::Error::AuthorityTooLow { .. } | stemedb_index::Error::SupersessionCycle { .. },
            )) => {
                *self.kinds.entry("refused").or_default() += 1;
                return Ok(());
            }
            Err(error) => return Err(wrong(error)),
        };
        let lsn = engine.published_lsn().0;
        self.machine.settle();
        if lsn == before {
            // Nothing of it was new.
            return Ok(());
        }
        self.recorded.push(now_us);
        if lsn != self.last() {
            return Err(wrong(format!("entry {lsn} in the place of {}", self.last())));
        }
        for (command, outcome) in commands.iter().zip(&outcomes) {
            if let Command::Assert(claim) = command
                && outcome.created
                && self.asked_about.contains(&(claim.subject.clone(), claim.predicate.clone()))
            {
                self.known.push(claim.clone());
            }
            let kind = told::tell(&mut self.world, command, outcome, lsn, now_us);
            *self.kinds.entry(kind).or_default() += 1;
        }
        Ok(())
    }
}

/// A count that is `part / whole` on average.
fn drawn(part: usize, whole: usize, dice: &mut Dice) -> usize {
    (part + dice.size(whole)) / whole
}

/// What nobody asks about needs nothing more than what was said.
fn plain(said: &super::corpus::Said) -> Command {
    Command::Assert(Assertion::new(
        &*said.subject,
        &*said.predicate,
        told::object(&said.object),
        &*said.source,
    ))
}
