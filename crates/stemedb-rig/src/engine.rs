//! The whole engine on a disk that others fill and free: writers, readers, flushes, merges and the journal, in this process.
//!
//! ```text
//! writers   ack ack ack │ refused: nothing applied   │ ack        every writer served again ≤ 2 s after the room is there
//! readers   ok  ok  ok  │ ok  ok  ok  ok  ok  ok     │ ok         every claim that was acknowledged, all the time
//! filler                │ takes all, and what is freed│ gone
//! ```
//!
//! In the end the file system is mounted again: everything acknowledged must be there, and nothing that was refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use stemedb_core::{Assertion, ClaimId, Command, Object};
use stemedb_env::Env;
use stemedb_hybrid::{ClaimEngine, Error, HybridOptions};
use stemedb_index::{ClaimReader, Claims, Submission};

use crate::{
    At, Broken, Result,
    dice::Dice,
    filler::Filler,
    image::{Image, SMALL_JOURNAL_BYTES, Variant},
    mount::Mount,
    scratch::Scratch,
};

const IMAGE_BYTES: u64 = 96 << 20;
const WRITERS: usize = 4;
const READERS: usize = 2;
/// How soon after the room is there every writer must have been served.
const RESUME_WITHIN: Duration = Duration::from_secs(2);
/// How long a full disk may stay unnoticed by a writer.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// Between two commits of a writer: the filler fills the disk, not they.
const CALM: Duration = Duration::from_micros(800);
const READ_PAUSE: Duration = Duration::from_micros(500);

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Times that the disk was filled and freed.
    pub cycles: u64,
    /// Claims that were acknowledged, and looked for at the end.
    pub entries: u64,
    /// Those that were not there.
    pub lost: u64,
    /// Claims that were refused as definitely not applied.
    pub refused: u64,
    /// Those of them that are there all the same.
    pub phantoms: u64,
    /// Claims of which nobody knew.
    pub unknown: u64,
    /// Reads that were answered, and how many of them while the disk was full.
    pub reads: u64,
    /// See above.
    pub reads_while_full: u64,
    /// The longest time from freeing the room until every writer was served.
    pub slowest: Duration,
    /// Everything that is wrong.
    pub problems: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "suite=full-disk-engine cycles={} entries={} refused={} unknown={} reads={} reads_while_full={} resume_ms={} \
             lost={} phantoms={} problems={} seconds={:.1}",
            self.cycles,
            self.entries,
            self.refused,
            self.unknown,
            self.reads,
            self.reads_while_full,
            self.slowest.as_millis(),
            self.lost,
            self.phantoms,
            self.problems.len(),
            self.took.as_secs_f64()
        )
    }
}

/// Small sizes, so that a short run flushes, merges and rotates many times.
fn options() -> HybridOptions {
    let mut options = HybridOptions::default();
    options.lsm.memory_bytes = 24 << 20;
    options.lsm.memtable_bytes = 512 << 10;
    options.lsm.target_table_bytes = 512 << 10;
    options.journal.segment_bytes = 2 << 20;
    options.disk.reserve_bytes = 2 << 20;
    options
}

/// What was promised.
#[derive(Default)]
struct Told {
    acknowledged: Mutex<Vec<(u64, ClaimId)>>,
    refused: Mutex<BTreeSet<u64>>,
    unknown: AtomicU64,
    refusals: AtomicU64,
    reads: AtomicU64,
    problems: Mutex<Vec<String>>,
    /// Acknowledgements of each writer.
    served: [AtomicU64; WRITERS],
    ends: AtomicBool,
}

impl Told {
    fn wrong(&self, what: String) {
        let mut problems = self.problems.lock();
        if problems.len() < 20 {
            problems.push(what);
        }
    }

    fn is_over(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    fn write(&self, engine: &ClaimEngine, writer: usize) {
        let mut number = writer as u64;
        while !self.is_over() {
            self.write_one(engine, writer, number);
            number += WRITERS as u64;
            thread::sleep(CALM);
        }
    }

    fn write_one(&self, engine: &ClaimEngine, writer: usize, number: u64) {
        let outcome = submission(number).and_then(|request| engine.commit(request).map_err(Refusal::Engine));
        match outcome {
            Ok(outcomes) => match outcomes.first().and_then(|outcome| outcome.id) {
                Some(id) => {
                    self.acknowledged.lock().push((number, id));
                    if let Some(served) = self.served.get(writer) {
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                }
                None => self.wrong(format!("claim {number} was recorded without an id")),
            },
            Err(Refusal::Engine(
                Error::NoRoom { .. }
                | Error::StorageFull { .. }
                | Error::LockTimeout { .. }
                | Error::Overloaded { .. },
            )) => {
                self.refused.lock().insert(number);
                self.refusals.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(2));
            }
            Err(Refusal::Engine(Error::Indeterminate { .. } | Error::NotReadable { .. })) => {
                self.unknown.fetch_add(1, Ordering::SeqCst);
            }
            Err(Refusal::Engine(error)) => self.wrong(format!("claim {number}: {error:?}")),
            Err(Refusal::Invalid(error)) => self.wrong(format!("claim {number}: {error}")),
        }
    }

    fn read(&self, engine: &ClaimEngine, mut dice: Dice) {
        while !self.is_over() {
            let chosen = {
                let acknowledged = self.acknowledged.lock();
                let at = dice.below(acknowledged.len().max(1) as u64);
                acknowledged.get(usize::try_from(at).unwrap_or(0)).copied()
            };
            if let Some((number, id)) = chosen {
                let found = engine.snapshot().map_err(|error| error.to_string());
                let found =
                    found.and_then(|view| ClaimReader::new(view).claim(id).map_err(|e| e.to_string()));
                match found {
                    Ok(Some(_)) => {
                        self.reads.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(None) => self.wrong(format!("claim {number} was acknowledged and is not found")),
                    Err(error) => self.wrong(format!("claim {number} cannot be read: {error}")),
                }
            }
            thread::sleep(READ_PAUSE);
        }
    }

    fn all_served(&self, within: Duration, engine: &ClaimEngine) -> std::result::Result<Duration, String> {
        let before: Vec<u64> = self.served.iter().map(|served| served.load(Ordering::SeqCst)).collect();
        let start = Instant::now();
        loop {
            let all = self.served.iter().zip(&before).all(|(now, was)| now.load(Ordering::SeqCst) > *was);
            if all {
                return Ok(start.elapsed());
            }
            if start.elapsed() > within {
                return Err(format!("not every writer was served after {within:?}: {:?}", engine.health()));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

enum Refusal {
    Engine(Error),
    Invalid(String),
}

fn submission(number: u64) -> std::result::Result<Submission, Refusal> {
    let mut submission = Submission::new();
    let object = Object::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    // Texts that compression cannot shrink away, so that tables have a size.
    let source =
        format!("source {number} {:016x}{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15), !number);
    let claim = Assertion::new(format!("subject {}", number % 997), "number", object, source);
    submission.push(&Command::Assert(claim)).map_err(|error| Refusal::Invalid(error.to_string()))?;
    Ok(submission)
}

/// Fills and frees the disk below an engine.
pub fn run(scratch: &Scratch, cycles: u64, seed: u64) -> Result<Summary> {
    let start = Instant::now();
    let mut summary = Summary::default();
    let image =
        Image::make(&scratch.dir().join("engine.img"), IMAGE_BYTES, Variant::Ordered, SMALL_JOURNAL_BYTES)?;
    let place = scratch.dir().join("engine");
    let told = Told::default();
    let mount = image.mount(&place)?;
    let dir = mount.dir().join("db");
    let engine = ClaimEngine::create(&Env::real(), &dir, Claims, &options()).at("create", &dir)?;
    let mut dice = Dice::new(seed);
    let outcome = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (told, engine) = (&told, &engine);
            scope.spawn(move || told.write(engine, writer));
        }
        for reader in 0..READERS {
            let (told, engine, dice) = (&told, &engine, Dice::of(seed, reader as u64));
            scope.spawn(move || told.read(engine, dice));
        }
        let outcome = cycle_all(&mount, &engine, &told, cycles, &mut dice, &mut summary);
        told.ends.store(true, Ordering::SeqCst);
        outcome
    });
    outcome?;
    // As a process ends that nobody has asked to: nothing is closed.
    drop(engine);
    drop(mount);
    let mount = image.mount(&place)?;
    examine(&mount, &told, &mut summary)?;
    summary.unknown = told.unknown.load(Ordering::SeqCst);
    summary.reads = told.reads.load(Ordering::SeqCst);
    summary.problems.extend(told.problems.lock().drain(..));
    summary.took = start.elapsed();
    Ok(summary)
}

fn cycle_all(
    mount: &Mount,
    engine: &ClaimEngine,
    told: &Told,
    cycles: u64,
    dice: &mut Dice,
    summary: &mut Summary,
) -> Result<()> {
    for cycle in 1..=cycles {
        match one_cycle(mount, engine, told, dice, summary)? {
            Ok(took) => summary.slowest = summary.slowest.max(took),
            Err(problem) => {
                summary.problems.push(format!("cycle {cycle}: {problem}"));
                return Ok(());
            }
        }
        summary.cycles += 1;
        if !told.problems.lock().is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

fn one_cycle(
    mount: &Mount,
    engine: &ClaimEngine,
    told: &Told,
    dice: &mut Dice,
    summary: &mut Summary,
) -> Result<std::result::Result<Duration, String>> {
    if let Err(problem) = told.all_served(NOTICED_WITHIN, engine) {
        return Ok(Err(problem));
    }
    thread::sleep(Duration::from_millis(dice.between(100, 400)));
    let mut filler = Filler::fill(mount.dir())?;
    let (refusals, start) = (told.refusals.load(Ordering::SeqCst), Instant::now());
    while told.refusals.load(Ordering::SeqCst) < refusals + 20 {
        if start.elapsed() > NOTICED_WITHIN {
            return Ok(Err(format!("a full disk is not noticed: {:?}", engine.health())));
        }
        filler.again()?;
        thread::sleep(Duration::from_millis(1));
    }
    // Whatever the engine gives back is taken as well.
    let (reads, start) = (told.reads.load(Ordering::SeqCst), Instant::now());
    let hold = Duration::from_millis(dice.between(200, 600));
    while start.elapsed() < hold {
        filler.again()?;
        thread::sleep(Duration::from_millis(2));
    }
    let answered = told.reads.load(Ordering::SeqCst) - reads;
    summary.reads_while_full += answered;
    if answered < 20 {
        return Ok(Err(format!("{answered} reads in {hold:?} while the disk was full")));
    }
    drop(filler);
    Ok(told.all_served(RESUME_WITHIN, engine))
}

/// The engine as the next process finds it.
fn examine(mount: &Mount, told: &Told, summary: &mut Summary) -> Result<()> {
    let dir = mount.dir().join("db");
    let (engine, _) = match ClaimEngine::open(&Env::real(), &dir, Claims, &options()) {
        Ok(opened) => opened,
        Err(error) => {
            summary.problems.push(format!("it does not open: {error}"));
            return Ok(());
        }
    };
    let broken = |error: String| Broken(format!("read everything back: {error}"));
    let reader = ClaimReader::new(engine.snapshot().map_err(|error| broken(error.to_string()))?);
    let mut found = BTreeMap::new();
    let mut questions = reader.questions_from("");
    while let Some((_, candidates)) = questions.next_question().map_err(|error| broken(error.to_string()))? {
        for candidate in candidates {
            if let Object::Integer(number) = candidate.assertion.object {
                found.insert(u64::try_from(number).unwrap_or(u64::MAX), candidate.id);
            }
        }
    }
    for (number, id) in told.acknowledged.lock().iter() {
        summary.entries += 1;
        if found.get(number) != Some(id) {
            summary.lost += 1;
        }
    }
    let refused = told.refused.lock();
    summary.refused = refused.len() as u64;
    summary.phantoms = refused.iter().filter(|number| found.contains_key(number)).count() as u64;
    if summary.lost > 0 || summary.phantoms > 0 {
        summary.problems.push(format!("{} lost, {} refused and there", summary.lost, summary.phantoms));
    }
    if let Err(error) = engine.verify() {
        summary.problems.push(format!("verify: {error}"));
    }
    Ok(())
}
