//! Reads while something is written.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Found, Task, read, threads};
use crate::{
    commits::statistics::percentile,
    engine::{Engine, Pair, Result, Store},
    workloads::rows::{RowBatch, Rows},
};

/// Rows per second of the writer that is held back: what all engines but SQLite can write beside a reader.
pub const ROWS_PER_SECOND: u64 = 20_000;
/// Rows of a batch of the writer that is held back: two hundred batches a second.
const HELD_BACK_ROWS: usize = 100;
/// Rows of a batch of the other one.
const UNLIMITED_ROWS: usize = 1000;
const GETS_PER_VIEW: u64 = 1000;
/// The writer that is held back reached its rate if it wrote this part of what it should.
const REACHED: f64 = 0.97;

pub(super) fn run(task: &Task, engine: &dyn Engine, rate: Option<u64>) -> Result<Found> {
    let (rows, store, mut found) = read::opened(task, engine, |rows| rows.keys(1.0, 0))?;
    let store = &*store;
    store.reader()?.scan(b"", u64::MAX)?;
    let stop = AtomicBool::new(false);
    let (writes, reads) = thread::scope(|scope| {
        let writer = scope.spawn(|| write(task, &rows, store, rate, &stop));
        let reads = threads::read(store, 1, read::seconds(task, 0.3), |_| {
            Ok(read::checked_get(rows.keys(1.0, read::seed(task, 5, 0))?, GETS_PER_VIEW))
        })
        .and_then(|_| {
            threads::read(store, 1, read::seconds(task, 1.5), |_| {
                Ok(read::checked_get(rows.keys(1.0, read::seed(task, 6, 0))?, GETS_PER_VIEW))
            })
        });
        stop.store(true, Ordering::Relaxed);
        let writes = writer.join().map_err(|_| "the writer panicked");
        Result::Ok((writes??, reads?))
    })?;
    let name = if rate.is_some() { "mixed_rate" } else { "mixed_unlimited" };
    found.set(&format!("{name}_get_per_s"), reads.per_second());
    found.set(&format!("{name}_get_p99_us"), reads.percentile_us(0.99));
    found.set(&format!("{name}_get_p999_us"), reads.percentile_us(0.999));
    found.set(&format!("{name}_rows_written_per_s"), writes.rows_per_s);
    let us = |part| percentile(&writes.times_ns, part).unwrap_or(0) as f64 / 1e3;
    found.set(&format!("{name}_write_p99_us"), us(0.99));
    found.set(&format!("{name}_write_p999_us"), us(0.999));
    found.set(&format!("{name}_write_max_us"), us(1.0));
    if let Some(rate) = rate
        && writes.rows_per_s < rate as f64 * REACHED
    {
        found.notes.push(format!("wrote {:.0} rows/s instead of {rate}", writes.rows_per_s));
    }
    Ok(found)
}

struct Writes {
    rows_per_s: f64,
    times_ns: Vec<u64>,
}

/// Writes until it is told to stop. A writer that is held back starts every batch at its time; a batch that starts late
/// because the one before took long is as late as its callers would have waited, so its time counts from when it was due.
fn write(
    task: &Task,
    rows: &Rows,
    store: &dyn Store,
    rate: Option<u64>,
    stop: &AtomicBool,
) -> Result<Writes> {
    let mut more = rows.more(read::seed(task, 7, u64::from(rate.is_some())))?;
    let batch_rows = if rate.is_some() { HELD_BACK_ROWS } else { UNLIMITED_ROWS };
    let interval = rate.map(|rate| Duration::from_secs_f64(batch_rows as f64 / rate as f64));
    let (mut batch, mut times_ns, mut written) = (RowBatch::default(), Vec::new(), 0_u64);
    let begin = Instant::now();
    let mut due = begin;
    while !stop.load(Ordering::Relaxed) {
        more.next_batch(batch_rows, &mut batch)?;
        let pairs: Vec<Pair<'_>> = batch.pairs().collect();
        let mut started = Instant::now();
        if let Some(interval) = interval {
            due += interval;
            if started < due {
                thread::sleep(due - started);
                // That the thread wakes up late is not the engine's doing.
                started = Instant::now();
            } else {
                started = due;
            }
        }
        store.commit(&pairs)?;
        times_ns.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        written += pairs.len() as u64;
    }
    let rows_per_s = written as f64 / begin.elapsed().as_secs_f64();
    times_ns.sort_unstable();
    Ok(Writes { rows_per_s, times_ns })
}
