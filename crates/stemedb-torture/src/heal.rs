//! Damaged segments that are written again: what is put in their place is what was there, or nothing is.
//!
//! Two sources give entries again: one tells the truth, the other changes one byte of every entry. Neither vouches for anything,
//! so the chain alone decides. A single changed byte must be put right without either of them.

use std::{ops::RangeInclusive, path::PathBuf};

use stemedb_env::{
    Env, Lsn,
    clock::{Micros, SimClock},
    frame::DatabaseId,
    fs::SimFs,
};
use stemedb_wal::{
    EntrySource, HealError, Healing, Journal, JournalIdentity, JournalOptions, JournalReader, NoEntries,
    RecoveredEntry, SegmentedJournal, Unrecoverable,
};

use crate::{
    entries::entry,
    report::{Failure, Report},
    violation::{Promise, Violation, caught},
};

const DIR: &str = "/db/wal";
const OURS: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };
const SECTOR_BYTES: u64 = 512;
const GROUPS: u64 = 40;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every so-manieth byte is changed.
    pub every: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { every: 1 }
    }
}

struct Source {
    lies: bool,
    /// Of the group of each entry, from LSN 1 on.
    groups: Vec<i64>,
}

fn content(lsn: u64) -> Vec<u8> {
    entry(lsn, usize::try_from(lsn * 41 % 500).unwrap_or_default(), lsn.is_multiple_of(2))
}

impl EntrySource for Source {
    fn recover(&mut self, lsns: &RangeInclusive<Lsn>) -> Result<Vec<Option<RecoveredEntry>>, Unrecoverable> {
        let one = |lsn: u64| {
            let mut bytes = content(lsn);
            if let Some(byte) = bytes.last_mut().filter(|_| self.lies) {
                *byte ^= 1;
            }
            let stamp = usize::try_from(lsn - 1).ok().and_then(|at| self.groups.get(at).copied());
            Some(RecoveredEntry { bytes, is_certain: false, stamp })
        };
        Ok((lsns.start().0..=lsns.end().0).map(one).collect())
    }
}

/// A journal of a few segments, all but the newest released.
struct Scene {
    fs: SimFs,
    groups: Vec<i64>,
    flushed: Lsn,
    segments: Vec<(u64, PathBuf)>,
}

fn options() -> JournalOptions {
    JournalOptions { pack_level: None, ..JournalOptions::tiny() }
}

fn env_over(fs: &SimFs) -> Env {
    Env::over(fs.clone(), std::sync::Arc::new(SimClock::new(Micros(0))), 1).0
}

fn live(error: &dyn std::fmt::Display) -> Violation {
    Violation::new(Promise::Live, error.to_string())
}

impl Scene {
    fn new() -> Result<Scene, Violation> {
        let (env, handles) = Env::sim(1);
        handles.fs.install_dir(std::path::Path::new("/db")).map_err(|error| live(&error))?;
        let journal = SegmentedJournal::create(&env, std::path::Path::new(DIR), OURS, options())
            .map_err(|error| live(&error))?;
        let mut groups = Vec::new();
        for group in 0..GROUPS {
            let entries: Vec<Vec<u8>> =
                (1..=1 + group % 3).map(|n| content(groups.len() as u64 + n)).collect();
            let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            journal.append_group(&slices).map_err(|error| live(&error))?;
            groups.extend(entries.iter().map(|_| i64::try_from(group).unwrap_or_default() * 1000));
        }
        journal.rotate().map_err(|error| live(&error))?;
        let flushed = journal.durable_lsn();
        journal.release(flushed).map_err(|error| live(&error))?;
        let mut segments = journal.segments().map_err(|error| live(&error))?;
        segments.pop();
        journal.close().map_err(|error| live(&error))?;
        handles.fs.settle();
        let segments = segments.into_iter().map(|segment| (segment.id, segment.path)).collect();
        Ok(Scene { fs: handles.fs, groups, flushed, segments })
    }

    fn open(&self, fs: &SimFs) -> Result<SegmentedJournal, Violation> {
        let dir = std::path::Path::new(DIR);
        let opened = SegmentedJournal::open(&env_over(fs), dir, OURS, self.flushed, options());
        opened.map(|(journal, _)| journal).map_err(|error| live(&error))
    }

    fn source(&self, lies: bool) -> Source {
        Source { lies, groups: self.groups.clone() }
    }

    fn judge(&self, journal: &SegmentedJournal) -> Result<(), Violation> {
        let mut reader = journal.read_from(Lsn(1)).map_err(|error| live(&error))?;
        for lsn in 1..=self.groups.len() as u64 {
            match reader.next_entry() {
                Ok(Some(read)) if read.lsn.0 == lsn && read.bytes == content(lsn) => {}
                Ok(Some(read)) => {
                    let detail = format!("LSN {} is not what was appended", read.lsn);
                    return Err(Violation::new(Promise::NoPhantom, detail));
                }
                Ok(None) => return Err(Violation::new(Promise::Durable, format!("LSN {lsn} is gone"))),
                Err(error) => return Err(Violation::new(Promise::Durable, format!("LSN {lsn}: {error}"))),
            }
        }
        Ok(())
    }

    /// One byte, without anybody's help.
    fn flip(&self, id: u64, path: &std::path::Path, at: u64) -> Result<&'static str, Violation> {
        let image = self.fs.crash_keeping_all();
        image.corrupt(path, at, 1 << (at % 8)).map_err(|error| live(&error))?;
        let journal = self.open(&image)?;
        let outcome = match journal.heal(id, &mut NoEntries) {
            Ok(Some(healed)) if healed.healing == Healing::Exact => "exact",
            Ok(Some(_)) => return Err(Violation::new(Promise::Live, "not as it was")),
            Ok(None) => "harmless",
            Err(error) => return Err(live(&error)),
        };
        self.judge(&journal)?;
        Ok(outcome)
    }

    /// A hole that only entries can fill.
    fn hole(&self, id: u64, path: &std::path::Path, at: u64, lies: bool) -> Result<&'static str, Violation> {
        let image = self.fs.crash_keeping_all();
        image.overwrite(path, at + 30, &[0xEE; 450]).map_err(|error| live(&error))?;
        let journal = self.open(&image)?;
        match journal.heal(id, &mut self.source(lies)) {
            Ok(Some(_)) => {
                self.judge(&journal)?;
                Ok("exact")
            }
            Ok(None) => Ok("harmless"),
            Err(HealError::Lost { .. }) if lies => Ok("refused"),
            Err(error) => Err(live(&error)),
        }
    }
}

/// Every byte, and every sector twice.
///
/// # Errors
/// A message when the journal cannot be built.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let mut report = Report::new("heal", tier);
    report.required = ["flip", "hole", "lie"].map(str::to_owned).to_vec();
    let scene = Scene::new().map_err(|violation| violation.to_string())?;
    let mut judged = |class: &str, place: String, outcome: Result<&'static str, Violation>| {
        report.injected(class, 1);
        match outcome {
            Ok(outcome) => report.came_of(class, outcome, 1),
            Err(violation) => {
                let violation = violation.at(&place);
                report.failures.push(Failure { violation, again: "torture heal".to_owned() });
            }
        }
    };
    for (id, path) in &scene.segments {
        let len = scene.fs.read_all(path).map_err(|error| error.to_string())?.len() as u64;
        for at in (0..len).step_by(usize::try_from(options.every.max(1)).unwrap_or(1)) {
            let place = format!("{} byte {at}", path.display());
            judged("flip", place, caught(|| scene.flip(*id, path, at)));
        }
        for at in (0..len).step_by(SECTOR_BYTES as usize) {
            for (class, lies) in [("hole", false), ("lie", true)] {
                let place = format!("{} sector at {at}", path.display());
                judged(class, place, caught(|| scene.hole(*id, path, at, lies)));
            }
        }
    }
    report.seconds = (clock.monotonic() - start).as_secs_f64();
    Ok(report)
}
