//! Bytes of every file of a database flipped, and whole files harmed: right, healed, or reported, never wrong.
//!
//! A database that has lived a little: packed and plain released segments, a live one with entries that no table holds yet,
//! tables of two levels, both identities, the journal's head. One place is damaged, the database is opened, everything is
//! read, background jobs come to rest, everything is read again, checked and compared with the oracle.
//!
//! | outcome | |
//! |---|---|
//! | harmless | every answer was right, and a check finds nothing |
//! | healed | every answer was right, a check finds nothing any more, and the damaged original is kept |
//! | reported | what could not be given was refused with the name of the file |
//! | unopened | the open was refused with the name of the file |
//!
//! Anything else is a broken promise: a wrong or shorter answer, an error that does not say where, a panic.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use stemedb_env::{
    Env,
    fs::{SimFs, sim::Profile},
};

use super::{
    DIR, open,
    oracle::{Oracle, Trouble},
    scene::{Op, Scene},
};
use crate::{
    Dice,
    machine::Machine,
    report::{Failure, Report},
    violation::{Promise, Violation, caught},
    workers::side_by_side,
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every so-manieth byte.
    pub every: usize,
    /// Every bit of each byte.
    pub deep: bool,
    /// Pairs of places in two files: one of the journal, one of the view.
    pub pairs: usize,
    /// Seed of what is drawn.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// This harm alone: its number in the list.
    pub only: Option<usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options { every: 1, deep: false, pairs: 2_000, seed: 1, threads: 1, only: None }
    }
}

const MOST_FAILURES: usize = 10;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Table,
    Manifest,
    Current,
    Sidecar,
    /// Sealed, flushed by every view.
    Released,
    /// Holds entries that no table holds.
    Live,
    Head,
    Identity,
    Other,
}

impl Kind {
    fn of(path: &Path) -> Option<Kind> {
        let name = path.file_name()?.to_str()?;
        let folder = path.parent()?.file_name()?.to_str()?;
        Some(match folder {
            "quarantine" => return None,
            "sidecar" => Kind::Sidecar,
            "kv" if name.ends_with(".sst") => Kind::Table,
            "kv" if name == "CURRENT" => Kind::Current,
            "kv" => Kind::Manifest,
            "wal" if name.starts_with("segment.") => Kind::Released,
            "wal" if name.starts_with("live.") => Kind::Live,
            "wal" if name == "HEAD" => Kind::Head,
            _ if name.starts_with("IDENTITY") => Kind::Identity,
            _ if name == "LOCK" => return None,
            _ => Kind::Other,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Table => "table",
            Kind::Manifest => "manifest",
            Kind::Current => "current",
            Kind::Sidecar => "sidecar",
            Kind::Released => "released",
            Kind::Live => "live",
            Kind::Head => "head",
            Kind::Identity => "identity",
            Kind::Other => "other",
        }
    }

    /// Must every single damage be gone in the end?
    fn must_heal(self) -> bool {
        MUST_HEAL.contains(&self)
    }
}

/// What can be made again from the rest.
const MUST_HEAL: [Kind; 5] = [Kind::Table, Kind::Manifest, Kind::Current, Kind::Sidecar, Kind::Released];

/// What is done to a file.
#[derive(Clone, Debug)]
enum Harm {
    Flip {
        offset: u64,
        mask: u8,
    },
    Missing,
    Empty,
    Cut {
        len: u64,
    },
    /// The file of the same place in another database.
    Foreign(Arc<[u8]>),
}

impl Harm {
    fn name(&self) -> &'static str {
        match self {
            Harm::Flip { .. } => "flip",
            Harm::Missing => "missing",
            Harm::Empty => "empty",
            Harm::Cut { .. } => "cut",
            Harm::Foreign(_) => "foreign",
        }
    }

    fn inflict(&self, disk: &SimFs, path: &Path) -> stemedb_env::Result<()> {
        match self {
            Harm::Flip { offset, mask } => disk.corrupt(path, *offset, *mask),
            Harm::Missing => disk.delete(path),
            Harm::Empty => disk.truncate(path, 0),
            Harm::Cut { len } => disk.truncate(path, *len),
            Harm::Foreign(bytes) => disk.install(path, bytes),
        }
    }
}

/// Damage in one file or two.
#[derive(Clone, Debug)]
struct Trial {
    harms: Vec<(PathBuf, Kind, Harm)>,
}

impl Trial {
    fn class(&self) -> String {
        match self.harms.as_slice() {
            [(_, kind, harm)] => format!("{}_{}", harm.name(), kind.name()),
            _ => "pair".to_owned(),
        }
    }

    fn must_heal(&self) -> bool {
        matches!(self.harms.as_slice(), [(_, kind, _)] if kind.must_heal())
    }

    fn place(&self) -> String {
        let shown = |(path, _, harm): &(PathBuf, Kind, Harm)| match harm {
            Harm::Flip { offset, mask } => format!("{} at {offset} xor {mask:#04x}", path.display()),
            Harm::Cut { len } => format!("{} cut to {len}", path.display()),
            other => format!("{} {}", path.display(), other.name()),
        };
        self.harms.iter().map(shown).collect::<Vec<_>>().join(" and ")
    }
}

/// The database before the damage.
struct Ground {
    disk: SimFs,
    oracle: Oracle,
}

fn ground(seed: u64) -> Result<Ground, Violation> {
    let mut scene = Scene::on(Machine::seeded(Machine::disk(Profile::Adversarial), seed))?;
    let life = [
        Op::Large,
        Op::Flush,
        Op::Small,
        Op::Large,
        Op::Flush,
        Op::Compact,
        Op::Large,
        Op::Background,
        Op::Small,
        Op::Flush,
        Op::Background,
        Op::Small,
        Op::Small,
        Op::Small,
    ];
    life.into_iter().try_for_each(|op| scene.step(op))?;
    // The last group's mark is written, released segments are packed.
    scene.machine.idle(5, Duration::from_secs(1));
    let oracle = scene.oracle()?;
    Ok(Ground { oracle, disk: scene.into_disk() })
}

fn trials(ground: &Ground, foreign: &Ground, options: &Options) -> Result<Vec<Trial>, String> {
    let mut trials = Vec::new();
    let mut dice = Dice::new(options.seed);
    let mut flips: Vec<(PathBuf, Kind, Harm)> = Vec::new();
    for path in ground.disk.paths() {
        let Some(kind) = Kind::of(&path) else { continue };
        let bytes = ground.disk.read_all(&path).map_err(|error| error.to_string())?;
        let bits = if options.deep { 0..8 } else { 0..1 };
        for offset in (0..bytes.len()).step_by(options.every.max(1)) {
            for bit in bits.clone() {
                let bit = if options.deep { bit } else { offset % 8 };
                let harm = Harm::Flip { offset: offset as u64, mask: 1 << bit };
                flips.push((path.clone(), kind, harm.clone()));
                trials.push(Trial { harms: vec![(path.clone(), kind, harm)] });
            }
        }
        let len = bytes.len() as u64;
        let mut whole = vec![Harm::Missing, Harm::Empty];
        whole.extend(
            [1, len / 3, len / 2, len.saturating_sub(512), len.saturating_sub(1)]
                .map(|len| Harm::Cut { len }),
        );
        if let Ok(other) = foreign.disk.read_all(&path) {
            whole.push(Harm::Foreign(other.into()));
        }
        trials.extend(whole.into_iter().map(|harm| Trial { harms: vec![(path.clone(), kind, harm)] }));
    }
    let is_journal = |kind: Kind| matches!(kind, Kind::Released | Kind::Live | Kind::Head);
    let (journal, view): (Vec<_>, Vec<_>) = flips
        .into_iter()
        .filter(|(_, kind, _)| is_journal(*kind) || *kind == Kind::Table)
        .partition(|(_, kind, _)| is_journal(*kind));
    for _ in 0..options.pairs {
        let mut one = |from: &Vec<(PathBuf, Kind, Harm)>| {
            let nth = usize::try_from(dice.below(from.len().max(1) as u64)).unwrap_or(0);
            from.get(nth).cloned()
        };
        if let (Some(first), Some(second)) = (one(&journal), one(&view)) {
            trials.push(Trial { harms: vec![first, second] });
        }
    }
    Ok(trials)
}

fn judge(ground: &Ground, trial: &Trial) -> Result<&'static str, Violation> {
    let disk = ground.disk.process_killed();
    for (path, _, harm) in &trial.harms {
        harm.inflict(&disk, path).map_err(|error| Violation::new(Promise::Live, error.to_string()))?;
    }
    let machine = Machine::plain(disk);
    let engine = match open(&machine.env) {
        Ok((engine, _)) => engine,
        Err(error) => {
            named(trial, &error)?;
            return match trial.must_heal() {
                true => {
                    Err(Violation::new(Promise::Live, format!("keeps the database from opening: {error}")))
                }
                false => Ok("unopened"),
            };
        }
    };
    let mut refused = looked(ground, trial, &engine)?;
    // Whatever heals in the background has its time.
    machine.idle(20, Duration::from_secs(1));
    let after = looked(ground, trial, &engine)?;
    let shown = engine.published_lsn();
    if shown < ground.oracle.last() && after.is_none() {
        let detail = format!("shows entry {shown} of {} without a word", ground.oracle.last());
        return Err(Violation::new(Promise::Durable, detail));
    }
    // What no read meets (properties, a filter that says yes) is found by whoever reads everything.
    if let Err(error) = engine.verify() {
        named(trial, &error)?;
        machine.idle(20, Duration::from_secs(1));
    }
    let checked = engine.verify();
    refused = after.or(refused.take().filter(|_| checked.is_err()));
    match &checked {
        Err(error) => {
            named(trial, error)?;
            if trial.must_heal() {
                let events: Vec<String> =
                    engine.events().after(0).into_iter().map(|event| event.text).collect();
                return Err(Violation::new(
                    Promise::Live,
                    format!("not healed: {error}; events: {events:?}"),
                ));
            }
            return Ok("reported");
        }
        Ok(_) if refused.is_some() => {
            return Err(Violation::new(Promise::NeverSilent, "a read is refused, and a check finds nothing"));
        }
        Ok(_) => {}
    }
    match engine.state_root() {
        Ok(root) if Some(root) == ground.oracle.root(shown) => {}
        Ok(_) => return Err(Violation::new(Promise::Prefix, "a healed view has another root")),
        Err(error) => {
            return Err(Violation::new(Promise::NeverSilent, format!("a check finds nothing, and: {error}")));
        }
    }
    let kept = machine.disk.paths().iter().any(|path| path.to_string_lossy().contains("/quarantine/"));
    Ok(if kept { "healed" } else { "harmless" })
}

/// Everything read once; the error's text when something was refused with the file's name.
fn looked(
    ground: &Ground,
    trial: &Trial,
    engine: &stemedb_hybrid::ClaimEngine,
) -> Result<Option<String>, Violation> {
    match ground.oracle.compare(engine) {
        Ok(()) => Ok(None),
        Err(Trouble::Wrong(violation)) => Err(violation),
        Err(Trouble::Refused(error)) => {
            named(trial, &error)?;
            if trial.must_heal() {
                return Err(Violation::new(Promise::NeverSilent, format!("a read is refused: {error}")));
            }
            Ok(Some(error.to_string()))
        }
    }
}

/// An error must say which file it is about; of a pair one is enough.
fn named(trial: &Trial, error: &stemedb_hybrid::Error) -> Result<(), Violation> {
    // A part of the journal that cannot be read is named by its LSNs.
    if matches!(error, stemedb_hybrid::Error::JournalGap { .. }) {
        return Ok(());
    }
    let text = error.to_string();
    let says = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // A segment is known by its number whatever its file is called at the moment.
        let number =
            name.split('.').find(|part| part.len() == 6 && part.bytes().all(|byte| byte.is_ascii_digit()));
        text.contains(name) || number.is_some_and(|number| text.contains(number)) || text.contains(DIR)
    };
    match trial.harms.iter().any(|(path, ..)| says(path)) {
        true => Ok(()),
        false => {
            Err(Violation::new(Promise::NeverSilent, format!("an error that does not say where: {text}")))
        }
    }
}

/// Runs the sweep.
///
/// # Errors
/// A message when the database cannot be made, or a thread not be started.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let ground = Arc::new(self::ground(1).map_err(|violation| violation.to_string())?);
    let foreign = self::ground(2).map_err(|violation| violation.to_string())?;
    let trials = Arc::new(trials(&ground, &foreign, options)?);
    let merged = Arc::new(Mutex::new(Report::new("engine-damage", tier)));
    let next = Arc::new(AtomicUsize::new(0));
    let work = {
        let (merged, options) = (Arc::clone(&merged), options.clone());
        let (ground, trials) = (Arc::clone(&ground), Arc::clone(&trials));
        move || {
            let mut report = Report::new("engine-damage", "");
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(trial) = trials.get(number) else { break };
                if options.only.is_some_and(|only| only != number) || report.failures.len() >= MOST_FAILURES {
                    continue;
                }
                let class = trial.class();
                report.did("trials", 1);
                report.injected(&class, 1);
                match caught(|| judge(&ground, trial)) {
                    Ok(outcome) => {
                        report.did(outcome, 1);
                        report.came_of(&class, outcome, 1);
                    }
                    Err(violation) => report.failures.push(Failure {
                        violation: violation.at(&trial.place()),
                        again: format!(
                            "torture engine-damage --every {} --pairs {} --seed {}{} --only {number}",
                            options.every,
                            options.pairs,
                            options.seed,
                            if options.deep { " --deep" } else { "" },
                        ),
                    }),
                }
            }
            merged.lock().merge(&report);
        }
    };
    side_by_side(options.threads, Arc::new(work)).map_err(|error| error.to_string())?;
    let mut report = merged.lock().clone();
    report.seconds = (clock.monotonic() - start).as_secs_f64();
    if options.only.is_none() {
        let kinds = [
            Kind::Table,
            Kind::Manifest,
            Kind::Current,
            Kind::Released,
            Kind::Live,
            Kind::Head,
            Kind::Identity,
        ];
        report.required = kinds.iter().map(|kind| format!("flip_{}", kind.name())).collect();
    }
    Ok(report)
}
