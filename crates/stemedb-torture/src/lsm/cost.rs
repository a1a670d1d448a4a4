//! What reading costs, counted: blocks looked at for keys that are not there, and reads of a long scan.
//!
//! A filter that is not asked, and a window of read-ahead that is thrown away, give right answers: only counts show them.

use std::sync::Arc;

use stemedb_env::fs::{FaultFs, sim::Profile};
use stemedb_lsm::{
    Compression, Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, Lsn, Stats,
    WriteBatch,
};

use super::{create, open, shape, timed};
use crate::{
    machine::Machine,
    report::{Failure, Report},
    violation::{Promise, Violation, caught},
};

const KEYS: u64 = 6_000;
const ABSENT: u64 = 4_000;
/// Of absent keys that one filter of 14 bits lets through: 0.3 % on average, three times as much at most.
const PASSING_PER_MILLE: u64 = 10;

fn broken(detail: String) -> Violation {
    Violation::new(Promise::Bounded, detail)
}

fn looked_at(stats: &Stats) -> u64 {
    stats.cache_hits + stats.cache_misses
}

fn options() -> LsmOptions {
    LsmOptions {
        prefix_extractor: Some(shape::declared_prefix),
        memtable_bytes: 64 << 10,
        block_bytes: 1 << 10,
        target_table_bytes: 32 << 10,
        block_cache_bytes: 0,
        compression: Compression::None,
        ..LsmOptions::default()
    }
}

fn filled(machine: &Machine, options: &LsmOptions) -> stemedb_lsm::Result<LsmStore> {
    let store = create(&machine.env, options)?;
    for lsn in 1..=KEYS / 100 {
        let mut batch = WriteBatch::new();
        for n in (0..100).map(|n| (lsn * 100 + n) * 7 % KEYS) {
            batch.put(&shape::key(n), &[b'v'; 60]);
        }
        store.apply(&batch, Lsn(lsn))?;
        store.publish(Lsn(lsn));
    }
    store.flush()?;
    Ok(store)
}

/// Blocks looked at while `work` runs.
fn blocks(store: &LsmStore, work: impl FnOnce() -> stemedb_lsm::Result<()>) -> stemedb_lsm::Result<u64> {
    let before = looked_at(&store.stats());
    work()?;
    Ok(looked_at(&store.stats()) - before)
}

fn absent(report: &mut Report) -> Result<(), Violation> {
    let machine = Machine::plain(Machine::disk(Profile::Adversarial));
    let live = |error: stemedb_lsm::Error| Violation::new(Promise::Live, error.to_string());
    let store = filled(&machine, &options()).map_err(live)?;
    let snapshot = store.snapshot();
    let key = |n: u64| shape::absent_key(n * 13 % KEYS);
    // Opens every table.
    (0..KEYS).try_for_each(|n| snapshot.get(&shape::key(n)).map(drop)).map_err(live)?;
    let levels = store.stats().levels;
    let runs: u64 = levels
        .iter()
        .enumerate()
        .map(|(at, level)| if at == 0 { level.files as u64 } else { u64::from(level.files > 0) })
        .sum();
    let most = ABSENT * runs * PASSING_PER_MILLE / 1000 + 10;
    let single =
        blocks(&store, || (0..ABSENT).try_for_each(|n| snapshot.get(&key(n)).map(drop))).map_err(live)?;
    let direct =
        blocks(&store, || (0..ABSENT).try_for_each(|n| store.get(&key(n)).map(drop))).map_err(live)?;
    let many = blocks(&store, || {
        (0..ABSENT / 40).try_for_each(|group| {
            let keys: Vec<Vec<u8>> = (0..40).map(|n| key(group * 40 + n)).collect();
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            snapshot.multi_get(&keys).map(drop)
        })
    })
    .map_err(live)?;
    for (how, count) in [("get", single), ("get of the store", direct), ("multi_get", many)] {
        report.did(&how.replace(' ', "_"), count);
        if count > most {
            return Err(broken(format!(
                "{how} of {ABSENT} absent keys looked at {count} blocks, {most} expected at most"
            )));
        }
    }
    let mut scans = 0;
    for direction in [Direction::Forward, Direction::Backward] {
        scans += blocks(&store, || {
            (0..500).try_for_each(|n| {
                let range = KeyRange::prefix(format!("claim/subject-{:03}x/", n % 53));
                snapshot.scan(&range, direction).advance().map(drop)
            })
        })
        .map_err(live)?;
    }
    report.did("prefix_scans", scans);
    // The filter of one prefix says the same to every scan of it: one that passes, passes twenty times.
    let most = 1_000 * runs * PASSING_PER_MILLE / 1000 + 40;
    if scans > most {
        return Err(broken(format!("1,000 scans of absent prefixes looked at {scans} blocks")));
    }
    Ok(())
}

/// A scan of everything reads each table with a few calls, however many blocks it has.
fn long_scan(report: &mut Report) -> Result<(), Violation> {
    let machine = Machine::plain(Machine::disk(Profile::Adversarial));
    let live = |error: stemedb_lsm::Error| Violation::new(Promise::Live, error.to_string());
    let store = filled(&machine, &options()).map_err(live)?;
    store.compact().map_err(live)?;
    store.close();
    let mut env = machine.env.clone();
    let faults = FaultFs::counting(Arc::new(machine.disk.clone()));
    env.fs = Arc::new(faults.clone());
    let store = open(&env, &options()).map_err(live)?;
    let tables = store.stats().sst_file_count as u64;
    let before = faults.call_counts().reads(".sst");
    let mut iter = store.snapshot().scan(&KeyRange::all(), Direction::Forward);
    let mut rows = 0;
    while iter.advance().map_err(live)? {
        rows += 1;
    }
    let (reads, blocks) = (faults.call_counts().reads(".sst") - before, store.stats().block_reads);
    report.did("scan_reads", reads);
    report.did("scan_blocks", blocks);
    // Header, footer, index, two filters; and then the data in one or two windows.
    let most = tables * 7 + 4;
    if rows != KEYS || tables < 4 || blocks < tables * 16 || reads > most {
        return Err(broken(format!(
            "a scan of {rows} rows in {blocks} blocks of {tables} tables took {reads} reads, {most} expected at most"
        )));
    }
    Ok(())
}

/// Counts.
///
/// # Errors
/// Never; the other suites can fail to start.
pub fn run(tier: &str) -> Result<Report, String> {
    timed("lsm-cost", tier, |report| {
        for part in [absent, long_scan] {
            if let Err(violation) = caught(|| part(report)) {
                report.failures.push(Failure { violation, again: "torture lsm-cost".to_owned() });
            }
        }
        Ok(())
    })
}
