//! Getting and giving back space: filling with zeros, allocating, unlinking, truncating; and what commits feel of it.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::FallocateFlags;

use crate::{
    Plan, company,
    counters::{Counts, Device},
    files::{self, Aligned, Lane, PAGE, Primitive, STEP},
    primitives,
    report::{Column, P50, P99, Table},
    slices,
};

pub const KEY: &str = "space";
pub const NOTHING: &str = "nothing (300 ms, for comparison)";
pub const FILL: &str = "zero-fill";
pub const FILL_PACED: &str = "zero-fill, 5 ms between steps";
pub const FILL_WRITE_OUT: &str = "zero-fill, write-out after each step";
pub const FILL_BOTH: &str = "zero-fill, write-out and 5 ms";
pub const FILL_DIRECT: &str = "zero-fill O_DIRECT, 5 ms between steps";
pub const UNLINK: &str = "unlink, not in the page cache";
const ALLOCATE: &str = "fallocate + fdatasync";
const UNLINK_CACHED: &str = "unlink, in the page cache";
const TRUNCATE: &str = "truncate away, not in the page cache";

pub const ALONE: Column = Column("alone_ms", "alone ms");
pub const BESIDE: Column = Column("beside_commits_ms", "beside ms");
pub const WORST: Column = Column("worst_us", "worst µs");
const OVERLAPPING: Column = Column("overlapping_commits", "n");
const DISCARDS: Column = Column("discards", "discards");
const FLUSHES: Column = Column("flushes", "flushes");

const ACTIONS: [&str; 10] = [
    NOTHING,
    FILL,
    FILL_PACED,
    FILL_WRITE_OUT,
    FILL_BOTH,
    FILL_DIRECT,
    ALLOCATE,
    UNLINK,
    UNLINK_CACHED,
    TRUNCATE,
];
const SIZE: u64 = 64 << 20;
const PACE: Duration = Duration::from_millis(5);
/// Commits before and after, so that the stream is going when the action begins and none is cut off at its end.
const MARGIN: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Results {
    alone_ms: Vec<f64>,
    beside_ms: Vec<f64>,
    commits: Vec<Duration>,
    worst_us: Vec<f64>,
    counts: Vec<Counts>,
    refused: Option<String>,
}

/// One table: every action alone, and beside a stream of commits.
pub fn run(plan: &Plan, dir: &Path, device: Option<&Device>, commit: Primitive) -> io::Result<Vec<Table>> {
    let mut results = ACTIONS.map(|_| Results::default());
    let blocks = primitives::blocks(plan, Duration::from_secs(1), PAGE);
    let mut lane = Lane::create(dir.join("stream"), commit, PAGE, blocks)?;
    for round in 0..plan.space_rounds {
        for at in slices::order(ACTIONS.len(), round) {
            let (action, result) = (ACTIONS[at], &mut results[at]);
            match alone(action, dir, device) {
                Ok((took, counts)) => {
                    result.alone_ms.push(took.as_secs_f64() * 1e3);
                    result.counts.extend(counts);
                }
                Err(error) => {
                    result.refused = Some(error.to_string());
                    continue;
                }
            }
            let stream = company::committing(lane);
            std::thread::sleep(MARGIN);
            let action = prepare(action, dir)?;
            std::thread::sleep(MARGIN);
            let start = Instant::now();
            action()?;
            let end = Instant::now();
            std::thread::sleep(MARGIN);
            let (again, commits) = stream.finish()?;
            lane = again;
            result.beside_ms.push((end - start).as_secs_f64() * 1e3);
            let overlapping = commits.iter().filter(|c| c.start < end && c.start + c.took > start);
            let overlapping: Vec<Duration> = overlapping.map(|commit| commit.took).collect();
            result.worst_us.extend(overlapping.iter().max().map(|worst| worst.as_secs_f64() * 1e6));
            result.commits.extend(overlapping);
        }
    }
    Ok(vec![table(results, commit)])
}

fn alone(action: &str, dir: &Path, device: Option<&Device>) -> io::Result<(Duration, Option<Counts>)> {
    let action = prepare(action, dir)?;
    std::thread::sleep(MARGIN);
    let before = device.and_then(Device::read);
    let start = Instant::now();
    action()?;
    let took = start.elapsed();
    let after = device.and_then(Device::read);
    Ok((took, before.zip(after).map(|(before, after)| after.since(before))))
}

/// Makes everything ready for an action, and returns the part of it that is measured.
fn prepare(action: &str, dir: &Path) -> io::Result<Box<dyn FnOnce() -> io::Result<()>>> {
    let path = dir.join("space");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if action == NOTHING {
        return Ok(Box::new(|| {
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        }));
    }
    let removes = [UNLINK, UNLINK_CACHED, TRUNCATE].contains(&action);
    let file = files::open(&path, action == FILL_DIRECT, true)?;
    if removes {
        files::fill(&file, SIZE, &Aligned::noise(STEP))?;
        file.sync_all()?;
        if action != UNLINK_CACHED {
            files::write_out(&file, 0, SIZE)?;
        }
    }
    files::sync_folder(dir)?;
    let zeros = Aligned::zeros(STEP);
    Ok(match action {
        ALLOCATE => Box::new(move || {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SIZE)?;
            file.sync_data()
        }),
        UNLINK | UNLINK_CACHED => {
            drop(file);
            Box::new(move || std::fs::remove_file(path))
        }
        TRUNCATE => Box::new(move || file.set_len(0)),
        _ => {
            let write_out = [FILL_WRITE_OUT, FILL_BOTH].contains(&action);
            let paced = [FILL_PACED, FILL_BOTH, FILL_DIRECT].contains(&action);
            Box::new(move || zero_fill(&file, &zeros, write_out, paced))
        }
    })
}

fn zero_fill(file: &File, zeros: &Aligned, write_out: bool, paced: bool) -> io::Result<()> {
    for offset in (0..SIZE).step_by(STEP) {
        file.write_all_at(zeros.as_ref(), offset)?;
        if write_out {
            files::write_out(file, offset, STEP as u64)?;
        }
        if paced {
            std::thread::sleep(PACE);
        }
    }
    file.sync_data()
}

fn table(results: [Results; ACTIONS.len()], commit: Primitive) -> Table {
    let title = format!("E. 64 MiB of space, alone and beside commits of 4 KiB ({})", commit.name());
    let columns = [ALONE, BESIDE, P50, P99, WORST, OVERLAPPING, DISCARDS, FLUSHES];
    let mut table = Table::new(KEY, &title, &columns);
    for (action, result) in ACTIONS.iter().zip(results) {
        let sorted = slices::sorted_us(&result.commits);
        let commits = |part| (!sorted.is_empty()).then(|| slices::quantile(&sorted, part));
        // A quantile of a handful would be a figure without a meaning.
        let p99 = if sorted.len() >= 100 { commits(0.99) } else { None };
        let is_counted = !result.counts.is_empty();
        let counted = |field: fn(&Counts) -> u64| {
            is_counted
                .then(|| slices::median(result.counts.iter().map(|counts| field(counts) as f64).collect()))
        };
        let (discards, flushes) = (counted(|counts| counts.discards), counted(|counts| counts.flushes));
        let values = vec![
            Some(slices::median(result.alone_ms)),
            Some(slices::median(result.beside_ms)),
            commits(0.5),
            p99,
            (!sorted.is_empty()).then(|| slices::median(result.worst_us)),
            Some(sorted.len() as f64),
            discards,
            flushes,
        ];
        table.push(action, values);
        if let Some(row) = table.rows.last_mut() {
            row.refused = result.refused;
        }
    }
    table.notes.push(
        "p50, p99: of the commits that overlapped the action; worst: median over the rounds; n: how many, in all rounds".to_owned(),
    );
    table.notes.push("write-out: fadvise DONTNEED, which starts it as sync_file_range would".to_owned());
    table
}
