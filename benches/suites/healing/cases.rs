//! What is broken, and what is measured.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use stemedb_env::Env;
use stemedb_hybrid::{ClaimEngine, Event, EventKind, rebuild};
use stemedb_index::Claims;

use crate::{
    Failure,
    ground::{Ground, Patient, open, options},
    report::Row,
};

/// Nothing takes so long that is still going on.
const PATIENCE: Duration = Duration::from_secs(600);
const HOLE_BYTES: usize = 1 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Bit,
    Hole,
    Index,
    Table,
    Manifest,
    View,
    ViewLive,
    Rebuild,
}

impl Case {
    pub const ALL: [Case; 8] = [
        Case::Bit,
        Case::Hole,
        Case::Index,
        Case::Table,
        Case::Manifest,
        Case::View,
        Case::ViewLive,
        Case::Rebuild,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Case::Bit => "bit",
            Case::Hole => "hole",
            Case::Index => "index",
            Case::Table => "table",
            Case::Manifest => "manifest",
            Case::View => "view",
            Case::ViewLive => "view-live",
            Case::Rebuild => "rebuild",
        }
    }

    pub fn run(self, ground: &Ground) -> Result<Row, Failure> {
        let patient = ground.patient(self.name())?;
        let mut row = Row::new(self.name(), ground, patient.bytes);
        // Of the data, not of the file: there the probes are dense.
        let middle = handle(&patient, 0)? / 2;
        match self {
            Case::Bit => flip(&patient.table, middle)?,
            Case::Hole => {
                let file = fs::OpenOptions::new().write(true).open(&patient.table)?;
                file.write_all_at(&vec![0; HOLE_BYTES], middle - HOLE_BYTES as u64 / 2)?;
                file.sync_all()?;
            }
            // Behind the data lie filters and the index; the footer's third handle is the index's.
            Case::Index => flip(&patient.table, handle(&patient, 2)? + 64)?,
            Case::Table => fs::remove_file(&patient.table)?,
            Case::Manifest => {
                let kv = patient.dir.join("kv");
                let manifest = fs::read_dir(&kv)?
                    .filter_map(Result::ok)
                    .map(|entry| entry.path())
                    .find(|path| {
                        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST"))
                    })
                    .ok_or("no manifest")?;
                flip(&manifest, 600)?;
            }
            Case::View => fs::remove_dir_all(patient.dir.join("kv"))?,
            Case::ViewLive => {}
            Case::Rebuild => return rebuilt(ground, &patient, row),
        }
        let begin = Instant::now();
        let engine = open(&patient.dir)?;
        row.open_ms = begin.elapsed().as_secs_f64() * 1e3;
        if self == Case::ViewLive {
            fs::remove_dir_all(patient.dir.join("kv"))?;
        }
        watch(&engine, &patient, &mut row)?;
        if engine.state_root()? != ground.root {
            return Err(format!("{}: the healed view has another root", self.name()).into());
        }
        engine.verify()?;
        engine.close()?;
        Ok(row)
    }
}

fn flip(path: &Path, offset: u64) -> Result<(), Failure> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    byte[0] ^= 0x10;
    file.write_all_at(&byte, offset)?;
    file.sync_all()?;
    Ok(())
}

/// Where a part behind the data begins: 0 the filter of keys, 2 the index.
fn handle(patient: &Patient, nth: u64) -> Result<u64, Failure> {
    const FOOTER_BYTES: u64 = 104;
    let file = fs::File::open(&patient.table)?;
    let mut handle = [0; 8];
    file.read_exact_at(&mut handle, patient.bytes - FOOTER_BYTES + nth * 12)?;
    Ok(u64::from_le_bytes(handle))
}

/// Has something been mended, and is everything whole now, as far as the engine knows?
fn is_whole(engine: &ClaimEngine, patient: &Patient) -> bool {
    let health = engine.health();
    let mended = |event: &Event| matches!(event.kind, EventKind::Repaired | EventKind::Rebuild);
    engine.events().after(0).iter().any(mended)
        && health.primary.to_string() == "healthy"
        && patient.dir.join("kv").join("CURRENT").exists()
}

/// Reads the broken place again and again until the engine says that it is whole.
fn watch(engine: &ClaimEngine, patient: &Patient, row: &mut Row) -> Result<(), Failure> {
    let begin = Instant::now();
    let done = AtomicBool::new(false);
    let found = thread::scope(|scope| {
        let reader = scope.spawn(|| read(engine, patient, begin, &done));
        // All of the broken place has been read once before anybody believes that it is whole.
        let mut whole = None;
        while begin.elapsed() < PATIENCE && !reader.is_finished() {
            thread::sleep(LOOK_EVERY);
            if is_whole(engine, patient) {
                let since = *whole.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(300) {
                    break;
                }
            } else {
                whole = None;
            }
        }
        done.store(true, Ordering::Release);
        let read = reader.join().map_err(|_| "the reader panicked")??;
        let since = whole.ok_or("it does not heal")?;
        Ok::<_, Failure>((read, since))
    })?;
    let (read, since) = found;
    row.healed_ms = Some(since.duration_since(begin).as_secs_f64() * 1e3);
    row.first_ms = Some(read.first.as_secs_f64() * 1e3);
    row.worst_ms = Some(read.worst.as_secs_f64() * 1e3);
    row.reads = read.reads;
    row.refused = read.refused;
    Ok(())
}

struct Read {
    first: Duration,
    worst: Duration,
    reads: u64,
    refused: u64,
}

fn read(engine: &ClaimEngine, patient: &Patient, begin: Instant, done: &AtomicBool) -> Result<Read, Failure> {
    let mut read = Read { first: Duration::ZERO, worst: Duration::ZERO, reads: 0, refused: 0 };
    // From the middle outward: the broken place comes first.
    let order: Vec<usize> = {
        let middle = patient.probes.len() / 2;
        (0..patient.probes.len())
            .map(|n| if n % 2 == 0 { middle + n / 2 } else { middle.saturating_sub(n / 2 + 1) })
            .filter(|n| *n < patient.probes.len())
            .collect()
    };
    loop {
        for n in &order {
            let (key, value) = &patient.probes[*n];
            let start = Instant::now();
            match engine.get(key) {
                Ok(found) if found.as_deref() == Some(value.as_slice()) => {
                    if read.reads == 0 {
                        read.first = begin.elapsed();
                    }
                    read.reads += 1;
                    read.worst = read.worst.max(start.elapsed());
                }
                Ok(found) => return Err(format!("a wrong answer for {key:?}: {found:?}").into()),
                Err(_) => {
                    read.refused += 1;
                    thread::sleep(Duration::from_millis(1));
                }
            }
            if done.load(Ordering::Acquire) && read.reads >= order.len() as u64 {
                return Ok(read);
            }
            if begin.elapsed() > PATIENCE {
                return Ok(read);
            }
        }
    }
}

fn rebuilt(ground: &Ground, patient: &Patient, mut row: Row) -> Result<Row, Failure> {
    let begin = Instant::now();
    let kv = patient.dir.join("kv.rebuilt");
    let report = rebuild(&Env::real(), &patient.dir.join("wal"), &kv, &Claims, &options(), &mut |_| {})?;
    let took = begin.elapsed();
    if report.root != ground.root {
        return Err("a rebuilt view has another root".into());
    }
    row.healed_ms = Some(took.as_secs_f64() * 1e3);
    row.claims_per_second = Some(ground.claims as f64 / took.as_secs_f64());
    Ok(row)
}
