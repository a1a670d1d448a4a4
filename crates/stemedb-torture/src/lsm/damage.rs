//! Bytes of every file flipped: the right answer, or an error that names the file; and with somebody attached who can derive
//! rows again, the right answer.
//!
//! A small tree with tables of two levels, compressed and plain, removals and overwritten keys. Every byte of the header,
//! footer, index, filters and properties of each table, every so-manieth byte of its data, and every byte of the manifest and
//! of `CURRENT` is flipped; then everything is read in every way. Where a table's parts lie is computed from its
//! footer by the format's page.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::fs::{SimFs, sim::Profile};
use stemedb_lsm::{Direction, Error, KeyRange, KvStore, LsmOptions, LsmStore, Lsn, TableRepair};

use super::{
    create,
    journal::Batches,
    model::{Batch, Model, Write},
    open, recover, shape, timed,
    view::{self, Trouble},
};
use crate::{
    machine::Machine,
    report::{Failure, Report},
    violation::{Promise, Violation, caught},
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of the data, every so-manieth byte.
    pub data_every: usize,
    /// Of everything else, every so-manieth byte.
    pub every: usize,
    /// This byte alone: name of the file, offset.
    pub only: Option<(String, u64)>,
}

impl Default for Options {
    fn default() -> Options {
        Options { data_every: 17, every: 1, only: None }
    }
}

const KEYS: u64 = 36;
const FOOTER_BYTES: usize = 104;
const HEADER_BYTES: usize = 48;
/// The last frame of the manifest may be a mark that nothing proves.
const MARK_BYTES: usize = 512;
const MOST_FAILURES: usize = 10;

fn options() -> LsmOptions {
    LsmOptions {
        prefix_extractor: Some(shape::declared_prefix),
        target_table_bytes: 64 << 10,
        memtable_bytes: 64 << 10,
        l0_trigger: 5,
        ..LsmOptions::tiny()
    }
}

struct Scene {
    disk: SimFs,
    model: Model,
    /// What a journal would have.
    batches: Arc<Batches>,
    last: Lsn,
}

/// What the merge at the bottom forgets: rows that were written first, once, and removed last. Nothing of the removal is left,
/// and its LSN is above that of every row.
fn forgotten(round: u64) -> Vec<Write> {
    let first = KEYS + 6 * (round / 2)..KEYS + 6 * (round / 2) + 6;
    match round {
        0 => (KEYS..KEYS + 12).map(|n| Write::Row(shape::key(n), Some(b"to be removed".to_vec()))).collect(),
        _ => first
            .filter(|n| n % 3 > 0)
            .map(|n| match n % 2 {
                0 => Write::Row(shape::key(n), None),
                _ => Write::Range(shape::key(n), [shape::key(n), vec![0]].concat()),
            })
            .collect(),
    }
}

fn scene() -> stemedb_lsm::Result<Scene> {
    let machine = Machine::plain(Machine::disk(Profile::Adversarial));
    let mut store = create(&machine.env, &options())?;
    let mut model = Model::default();
    let mut batches = Vec::new();
    let mut last = Lsn::ZERO;
    let mut write = |store: &LsmStore, model: &mut Model, writes| -> stemedb_lsm::Result<Lsn> {
        last = last.next();
        let batch = Batch { lsn: last, writes };
        store.apply(&batch.encoded(), last)?;
        store.publish(last);
        model.apply(&batch);
        batches.push((last, batch.encoded()));
        Ok(last)
    };
    write(&store, &mut model, forgotten(0))?;
    for round in 0..4u64 {
        let writes = (0..KEYS)
            .filter(|n| round == 0 || n % 5 == round || n % 7 == round)
            .map(|n| {
                let value = format!("value {round} {}", "na".repeat(20));
                Write::Row(shape::key(n), ((n + round) % 6 != 3).then(|| value.into_bytes()))
            })
            // Not all tables have removed ranges; what they hide lies in older ones.
            .chain((round == 2).then(|| Write::Range(shape::key(9), shape::key(14))))
            .chain((round == 3).then(|| Write::Range(shape::key(12), shape::key(17))))
            .collect();
        write(&store, &mut model, writes)?;
        match round {
            0 => {
                write(&store, &mut model, forgotten(1))?;
                write(&store, &mut model, forgotten(2))?;
                store.compact()?;
            }
            2 => {
                // A fresh manifest: a snapshot, then edits with their marks.
                store.flush()?;
                store.close();
                store = open(&machine.env, &options())?;
            }
            _ => drop(store.flush()?),
        }
    }
    store.close();
    Ok(Scene { disk: machine.disk, model, batches: Arc::new(Batches(batches)), last })
}

/// Offsets that are flipped, with the part they belong to.
fn places(path: &Path, bytes: &[u8], options: &Options) -> Vec<(usize, &'static str)> {
    let every = options.every.max(1);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.ends_with(".sst") {
        let part = if name == "CURRENT" { "current" } else { "manifest" };
        return (0..bytes.len()).step_by(every).map(|at| (at, part)).collect();
    }
    let footer = bytes.len().saturating_sub(FOOTER_BYTES);
    // The four handles of the footer: key filter, prefix filter, index, properties.
    let start = |nth: usize| {
        let field =
            bytes.get(footer + nth * 12..footer + nth * 12 + 8).and_then(|field| field.try_into().ok());
        field.map_or(footer, |field| usize::try_from(u64::from_le_bytes(field)).unwrap_or(footer))
    };
    // In front of the key filter, if there are any.
    let ranges = bytes.get(footer + 84..footer + 88).and_then(|field| field.try_into().ok());
    let ranges = ranges.map_or(0, |field| u32::from_le_bytes(field) as usize);
    let parts = [
        (0, HEADER_BYTES, "header", every),
        (HEADER_BYTES, start(0) - ranges, "data", options.data_every.max(1)),
        (start(0) - ranges, start(0), "removed_ranges", every),
        (start(0), start(1), "key_filter", every),
        (start(1), start(2), "prefix_filter", every),
        (start(2), start(3), "index", every),
        (start(3), footer, "properties", every),
        (footer, bytes.len(), "footer", every),
    ];
    parts
        .into_iter()
        .flat_map(|(from, to, part, step)| (from..to).step_by(step).map(move |at| (at, part)))
        .collect()
}

/// What came of one flip.
#[derive(Debug)]
enum Verdict {
    /// Every answer was right.
    Right,
    /// Something was refused, with the file's name.
    Named,
    /// The open was refused, with the file's name, and a recovery brought everything back.
    Recovered,
}

impl Verdict {
    fn name(&self) -> &'static str {
        match self {
            Verdict::Right => "right",
            Verdict::Named => "named",
            Verdict::Recovered => "recovered",
        }
    }
}

fn wrong(detail: impl Into<String>) -> Violation {
    Violation::new(Promise::NeverSilent, detail)
}

fn named(error: &Error, path: &Path) -> Result<(), Violation> {
    match error {
        Error::Corruption { file, .. } if file == path => Ok(()),
        other => Err(wrong(format!("not an error that names the file: {other}"))),
    }
}

/// Right, or refused with the file's name; true when refused.
fn judged(what: &str, outcome: Result<(), Trouble>, path: &Path) -> Result<bool, Violation> {
    match outcome {
        Ok(()) => Ok(false),
        Err(Trouble::Refused(error)) => {
            named(&error, path).map(|()| true).map_err(|violation| violation.at(&what))
        }
        Err(Trouble::Wrong(violation)) => Err(violation.at(&what)),
    }
}

fn everything(store: &LsmStore, scene: &Scene, path: &Path) -> Result<bool, Violation> {
    let snapshot = store.snapshot();
    let mut refused = false;
    let keys: Vec<Vec<u8>> = (0..KEYS + 12).flat_map(|n| [shape::key(n), shape::absent_key(n)]).collect();
    // Together first: their blocks come from a batch of reads and not from the cache.
    for group in keys.chunks(24) {
        refused |= judged("multi_get", view::many(&snapshot, &scene.model, group), path)?;
    }
    for key in &keys {
        refused |= judged("get", view::get(&snapshot, &scene.model, key), path)?;
    }
    let prefix = KeyRange::prefix(&b"claim/subject-003/"[..]);
    for range in [KeyRange::all(), prefix] {
        for direction in [Direction::Forward, Direction::Backward] {
            let outcome = view::scan(&snapshot, &scene.model, &range, direction, usize::MAX).map(drop);
            refused |= judged("a scan", outcome, path)?;
        }
    }
    Ok(refused)
}

/// The tables are whole, so the list of them is made again, and nothing has to be replayed.
fn recovered(scene: &Scene, machine: &Machine, path: &Path) -> Result<(), Violation> {
    let store =
        recover(&machine.env, &options()).map_err(|error| wrong(format!("not recovered: {error}")))?;
    if store.flushed_lsn() != scene.last {
        let detail = format!("flushed is {} of {} after a recovery", store.flushed_lsn(), scene.last);
        return Err(Violation::new(Promise::Durable, detail));
    }
    match everything(&store, scene, path)? || !store.damaged().is_empty() {
        true => Err(wrong("a recovered tree of whole tables refuses to answer")),
        false => store.verify().map(drop).map_err(|error| wrong(format!("after a recovery: {error}"))),
    }
}

fn flipped(scene: &Scene, path: &Path, offset: usize, part: &str, len: usize) -> Result<Verdict, Violation> {
    let disk = scene.disk.process_killed();
    disk.corrupt(path, offset as u64, 1 << (offset % 8)).map_err(|error| wrong(error.to_string()))?;
    let machine = Machine::plain(disk);
    let is_table = !matches!(part, "manifest" | "current");
    let store = match open(&machine.env, &options()) {
        Ok(store) => store,
        Err(error) if is_table => return Err(wrong(format!("a table keeps the tree from opening: {error}"))),
        Err(error) => {
            named(&error, path)?;
            return recovered(scene, &machine, path).map(|()| Verdict::Recovered);
        }
    };
    if store.flushed_lsn() != scene.last {
        let detail = format!("flushed is {} of {} without a word", store.flushed_lsn(), scene.last);
        return Err(Violation::new(Promise::Durable, detail));
    }
    let refused = everything(&store, scene, path)?;
    let checked = store.verify();
    match (&checked, is_table) {
        (Err(error), true) => named(error, path)?,
        (Ok(_), true) => return Err(wrong("a check of every table finds nothing")),
        (Err(error), false) => return Err(wrong(format!("the tables are whole, and a check says: {error}"))),
        // Only what nothing stands behind may rot unnoticed.
        (Ok(_), false) if part == "manifest" && offset + MARK_BYTES >= len => {}
        (Ok(_), false) => return Err(wrong("nobody notices")),
    }
    // The same again with what is cached by now, and past the blocks that were refused.
    everything(&store, scene, path)?;
    drop(store);
    if is_table {
        healed(scene, path, offset)?;
    }
    Ok(if refused { Verdict::Named } else { Verdict::Right })
}

/// The same damage, with somebody attached who has all batches: every answer is right, and a repair brings the table back.
fn healed(scene: &Scene, path: &Path, offset: usize) -> Result<(), Violation> {
    let broken = |error: Error| wrong(format!("not healed: {error}"));
    let disk = scene.disk.process_killed();
    disk.corrupt(path, offset as u64, 1 << (offset % 8)).map_err(|error| wrong(error.to_string()))?;
    let machine = Machine::plain(disk);
    let store = open(&machine.env, &options()).map_err(broken)?;
    scene.batches.attach(&store);
    if everything(&store, scene, path)? {
        return Err(wrong("refused, although it can be derived again"));
    }
    if store.verify().is_ok() {
        return Err(wrong("a check of a table that is healed by reads finds nothing"));
    }
    for (file, _) in store.damaged() {
        store.repair_table(file, &mut std::iter::empty()).map_err(broken)?;
    }
    if everything(&store, scene, path)? {
        return Err(wrong("refused, although it was repaired"));
    }
    store.verify().map_err(broken).map(drop)
}

/// Runs the sweep.
///
/// # Errors
/// A message when the tree cannot be made.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    timed("lsm-damage", tier, |report| {
        let scene = scene().map_err(|error| error.to_string())?;
        let paths: Vec<PathBuf> = scene.disk.paths();
        for path in &paths {
            let bytes = scene.disk.read_all(path).map_err(|error| error.to_string())?;
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            for (offset, part) in places(path, &bytes, options) {
                let chosen =
                    options.only.as_ref().is_none_or(|(file, at)| file == name && *at == offset as u64);
                if !chosen || report.failures.len() >= MOST_FAILURES {
                    continue;
                }
                report.did("trials", 1);
                report.injected(&format!("flip_{part}"), 1);
                match caught(|| flipped(&scene, path, offset, part, bytes.len())) {
                    Ok(verdict) => report.came_of(&format!("flip_{part}"), verdict.name(), 1),
                    Err(violation) => {
                        let violation = violation.at(&format!("{name} at {offset} ({part})"));
                        let again = format!("torture lsm-damage --only {name},{offset}");
                        report.failures.push(Failure { violation, again });
                    }
                }
            }
        }
        if options.only.is_none() {
            let parts = [
                "header",
                "data",
                "removed_ranges",
                "key_filter",
                "prefix_filter",
                "index",
                "properties",
                "footer",
                "manifest",
                "current",
            ];
            report.required = parts.map(|part| format!("flip_{part}")).to_vec();
        }
        Ok(())
    })
}
