//! Storing and reading, beside other engines: loads, reads, scans, mixed work, sizes, memory, openings.
//!
//! ```text
//! round ─▶ phase ─▶ engine (another one first in each round) ─▶ a process of its own ─▶ figures
//! ```
//!
//! All engines store the same rows in the same batches, with the same durability and the same memory for blocks and
//! memtables. A round runs every phase for every engine before the next phase begins, so that what is compared lies close
//! together; between two processes the file system is synced. What is reported is the median over the rounds.
//!
//! - [`rows`]: what is stored.
//! - [`phases`]: what one process measures.
//! - [`process`]: starting them, their memory, their limits.
//! - [`plan`]: which phases, in which folders, for which engines.
//! - [`figures`], [`statistics`], [`requirements`], [`report`]: from slices to a verdict.

pub mod claims;
pub mod figures;
pub mod phases;
pub mod plan;
pub mod process;
pub mod report;
pub mod requirements;
pub mod rows;
pub mod statistics;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use self::{
    phases::{Phase, Task},
    plan::{Place, Step, Workload},
    process::MemoryLimit,
    rows::RowSource,
};
use crate::{
    engine::{Engine, EngineError, Kind, Result, Setting, Shape},
    engines,
};

/// For what is still under way after a sync.
const SETTLE: Duration = Duration::from_millis(100);
/// Part of the bytes of all rows that cold reads have as memory.
const COLD_PART: u64 = 8;
/// A process needs so much to run at all.
const COLD_FLOOR_BYTES: u64 = 32 << 20;
/// Part of the memory of cold reads that is a cache of blocks: what RocksDB's wiki recommends.
const COLD_CACHE_PART: u64 = 3;
/// Cold reads go to so many times the rows.
const COLD_TIMES: u64 = 4;
/// And to so many at least: an eighth of them must be more than a process needs to run.
const COLD_LEAST_SMALL_ROWS: u64 = 1_000_000;
const COLD_LEAST_CLAIM_ROWS: u64 = 2_500_000;
/// Rows of a database that is to crash: more than are written.
const CRASH_ROWS: u64 = 520_000;
/// Memtables of a database that is to crash: large enough to hold everything.
const CRASH_MEMTABLE_BYTES: usize = 256 << 20;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shapes of rows.
    pub shapes: Vec<Shape>,
    /// Number of rows.
    pub entries: u64,
    /// Rounds.
    pub rounds: usize,
    /// Length of a measured part, in seconds.
    pub seconds: f64,
    /// Workloads; empty: all.
    pub workloads: Vec<Workload>,
    /// Names of the contenders; empty: all.
    pub only: Vec<String>,
    /// Where the databases are made, each run in a folder of its own.
    pub dir: PathBuf,
    /// Claims and their sources.
    pub claims: claims::Files,
}

/// Who took part.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Contender {
    /// Its name.
    pub name: &'static str,
    /// On which side it stands.
    pub kind: Kind,
    /// Its configuration.
    pub configuration: &'static str,
    /// Part of the rows that it got.
    pub part_of_data: f64,
}

/// One figure of one round.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Slice {
    /// Round, from 0.
    pub round: usize,
    /// Whose it is.
    pub engine: String,
    /// Which, see [`figures`].
    pub figure: String,
    /// Its value.
    pub value: f64,
}

/// Something the reader of the figures must know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Note {
    /// About whom; `None`: about the run.
    pub engine: Option<String>,
    /// In which phase.
    pub phase: Option<Phase>,
    /// What.
    pub text: String,
}

/// Everything found with one shape of rows.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// The shape.
    pub shape: Shape,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub row_bytes: u64,
    /// Memory of cold reads; `None`: it could not be limited.
    pub cold_memory_bytes: Option<u64>,
    /// Bytes of rows that are written before a crash.
    pub crash_bytes: u64,
    /// Rows of cold reads.
    pub cold_rows: u64,
    /// Who took part, in the order of the reports.
    pub contenders: Vec<Contender>,
    /// Every slice, in the order of time.
    #[serde(skip)]
    pub slices: Vec<Slice>,
    /// What went wrong, and what is not as it should be.
    pub notes: BTreeSet<Note>,
}

/// Runs everything; `progress` is told what begins.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Vec<Outcome>> {
    let engines = select(&options.only)?;
    let steps = plan::steps(&options.workloads);
    options
        .shapes
        .iter()
        .map(|&shape| {
            let folder = tempfile::Builder::new().prefix("stemedb-peers-").tempdir_in(&options.dir)?;
            progress(&format!("{shape:?} rows"));
            let run = Run::new(options, shape, &engines, folder.path())?;
            let outcome = run.rounds(&steps, progress)?;
            folder.close()?;
            Ok(outcome)
        })
        .collect()
}

fn select(only: &[String]) -> Result<Vec<Box<dyn Engine>>> {
    let mut all = engines::stores();
    all.push(Box::new(engines::HybridAsync));
    let known: Vec<&str> = all.iter().map(|engine| engine.name()).collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(EngineError::from(format!("no contender {unknown}; there are {}", known.join(", "))));
    }
    all.retain(|engine| only.is_empty() || only.iter().any(|name| name == engine.name()));
    Ok(all)
}

/// A run with one shape of rows.
struct Run<'a> {
    options: &'a Options,
    engines: &'a [Box<dyn Engine>],
    folder: &'a Path,
    rows: RowSource,
    cold_rows: RowSource,
    crash_rows: RowSource,
    cold_limit: Option<MemoryLimit>,
    outcome: Outcome,
    /// Engines that failed in a phase that others of the round build upon.
    broken: BTreeSet<(Place, &'static str)>,
}

impl<'a> Run<'a> {
    fn new(
        options: &'a Options,
        shape: Shape,
        engines: &'a [Box<dyn Engine>],
        folder: &'a Path,
    ) -> Result<Run<'a>> {
        let (rows, cold_rows, crash_rows) = match shape {
            Shape::Small => (
                RowSource::Small { rows: options.entries },
                RowSource::Small { rows: (options.entries * COLD_TIMES).max(COLD_LEAST_SMALL_ROWS) },
                RowSource::Small { rows: CRASH_ROWS },
            ),
            Shape::Claims => {
                let write = |name, count| -> Result<RowSource> {
                    let path = folder.join(name);
                    claims::write_rows(&options.claims, count, &path)?;
                    Ok(RowSource::File { path })
                };
                let rows = write("rows", options.entries)?;
                let cold_rows = (options.entries * COLD_TIMES).max(COLD_LEAST_CLAIM_ROWS);
                let reads_cold = plan::steps(&options.workloads).iter().any(|step| step.place == Place::Cold);
                let cold_rows = if reads_cold { write("cold_rows", cold_rows)? } else { rows.clone() };
                (rows.clone(), cold_rows, rows)
            }
        };
        let row_bytes = rows.bytes()?;
        let cold_memory = (cold_rows.bytes()? / COLD_PART).max(COLD_FLOOR_BYTES);
        let mut notes = BTreeSet::new();
        let cold_limit = MemoryLimit::new(cold_memory).map_err(|error| {
            notes.insert(Note {
                engine: None,
                phase: Some(Phase::ColdGet),
                text: format!(
                    "NOT COLD: the memory of cold reads could not be limited ({error}); only the page cache was dropped \
                     before them, and it grew while they ran"
                ),
            });
        });
        let cold_limit = cold_limit.ok();
        let outcome = Outcome {
            shape,
            rows: rows.open(1.0)?.len(),
            row_bytes,
            cold_memory_bytes: cold_limit.is_some().then_some(cold_memory),
            crash_bytes: crash_rows.bytes()?.min(phases::CRASH_BYTES),
            cold_rows: cold_rows.open(1.0)?.len(),
            contenders: engines.iter().map(|engine| contender(&**engine)).collect(),
            slices: Vec::new(),
            notes,
        };
        Ok(Run {
            options,
            engines,
            folder,
            rows,
            cold_rows,
            crash_rows,
            cold_limit,
            outcome,
            broken: BTreeSet::new(),
        })
    }

    fn rounds(mut self, steps: &[Step], progress: &mut dyn FnMut(&str)) -> Result<Outcome> {
        for round in 0..self.options.rounds {
            for step in steps.iter().filter(|step| round == 0 || !step.once) {
                let begin = Instant::now();
                for index in crate::commits::order(round, self.engines.len()) {
                    let engine = &*self.engines[index];
                    if plan::takes_part(engine, step) {
                        self.step(round, step, engine)?;
                    }
                }
                progress(&format!(
                    "round {} of {}: {} took {:.0} s",
                    round + 1,
                    self.options.rounds,
                    step.title(),
                    begin.elapsed().as_secs_f64()
                ));
            }
            self.clear(|place| place != Place::Cold)?;
        }
        Ok(self.outcome)
    }

    fn clear(&mut self, which: impl Fn(Place) -> bool) -> Result<()> {
        for place in Place::ALL.into_iter().filter(|place| which(*place)) {
            let folder = self.folder.join(place.name());
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
            self.broken.retain(|(broken, _)| *broken != place);
        }
        Ok(())
    }

    fn step(&mut self, round: usize, step: &Step, engine: &dyn Engine) -> Result<()> {
        let name = engine.name();
        if step.fresh {
            self.broken.remove(&(step.place, name));
        } else if self.broken.contains(&(step.place, name)) {
            return Ok(());
        }
        let own = self.folder.join(step.place.name()).join(name);
        if step.fresh && own.exists() {
            fs::remove_dir_all(&own)?;
        }
        fs::create_dir_all(&own)?;
        settle(self.folder)?;
        let task = self.task(round, step, name, &own);
        match process::run(&task) {
            Ok((mut found, peak)) => {
                if let Some(prefix) = step.memory {
                    let own = peak.anonymous_bytes.saturating_sub(found.anonymous_before_bytes);
                    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
                    found.figures.insert(format!("{prefix}_anonymous_mib"), mib(own));
                    found.figures.insert(format!("{prefix}_resident_mib"), mib(peak.resident_bytes));
                }
                let slice = |(figure, value)| Slice { round, engine: name.to_owned(), figure, value };
                self.outcome.slices.extend(found.figures.into_iter().map(slice));
                for text in found.notes {
                    self.note(name, step.phase, text);
                }
            }
            Err(error) => {
                self.broken.insert((step.place, name));
                self.note(name, step.phase, format!("FAILED: {error}"));
            }
        }
        if step.last && own.exists() {
            fs::remove_dir_all(&own)?;
        }
        Ok(())
    }

    fn note(&mut self, engine: &str, phase: Phase, text: String) {
        self.outcome.notes.insert(Note { engine: Some(engine.to_owned()), phase: Some(phase), text });
    }

    fn task(&self, round: usize, step: &Step, engine: &str, folder: &Path) -> Task {
        let setting = Setting::default();
        let reads_cold = matches!(step.phase, Phase::ColdGet | Phase::ColdMultiGet);
        let cold_cache = self.outcome.cold_memory_bytes.unwrap_or(COLD_FLOOR_BYTES) / COLD_CACHE_PART;
        Task {
            phase: step.phase,
            engine: engine.to_owned(),
            folder: folder.to_path_buf(),
            rows: match step.place {
                Place::Cold => self.cold_rows.clone(),
                Place::Crash => self.crash_rows.clone(),
                _ => self.rows.clone(),
            },
            seconds: self.options.seconds,
            round: round as u64,
            writers: step.writers,
            cache_bytes: if reads_cold { cold_cache as usize } else { setting.cache_bytes },
            memtable_bytes: if step.place == Place::Crash {
                CRASH_MEMTABLE_BYTES
            } else {
                setting.memtable_bytes
            },
            control_group: if reads_cold {
                self.cold_limit.as_ref().map(|limit| limit.group.clone())
            } else {
                None
            },
        }
    }
}

fn contender(engine: &dyn Engine) -> Contender {
    Contender {
        name: engine.name(),
        kind: engine.kind(),
        configuration: engine.configuration(),
        part_of_data: engine.part_of_data(),
    }
}

fn settle(folder: &Path) -> Result<()> {
    rustix::fs::syncfs(File::open(folder)?)?;
    thread::sleep(SETTLE);
    Ok(())
}
