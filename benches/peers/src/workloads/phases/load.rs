//! Writing all rows, and merging them.

use std::time::Instant;

use super::{Found, Phase, Task};
use crate::{
    commits::statistics::percentile,
    engine::{Engine, Pair, Result, Store},
    workloads::{
        process,
        rows::{Order, RowBatch},
    },
};

/// Rows of a batch.
pub(super) const BATCH_ROWS: usize = 1000;

/// Writes rows in batches; returns the time of each batch in nanoseconds, and the bytes of all rows.
pub(super) fn write_all(
    store: &dyn Store,
    mut next: impl FnMut(&mut RowBatch) -> Result<bool>,
) -> Result<(Vec<u64>, u64)> {
    let (mut batch, mut times_ns, mut bytes) = (RowBatch::default(), Vec::new(), 0);
    while next(&mut batch)? {
        bytes += batch.bytes();
        let pairs: Vec<Pair<'_>> = batch.pairs().collect();
        let started = Instant::now();
        store.commit(&pairs)?;
        times_ns.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok((times_ns, bytes))
}

pub(super) fn load(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let rows = task.rows.open(engine.part_of_data())?;
    let order = if task.phase == Phase::LoadRandom { Order::Random } else { Order::Sorted };
    let mut walk = rows.walk(order)?;
    let mut found = Found { anonymous_before_bytes: process::anonymous_bytes(), ..Found::default() };
    let (written_before, processor_before) = (process::written_bytes(), process::process_seconds());
    let store = engine.open(&task.folder, &task.setting())?;

    let begin = Instant::now();
    let (mut times_ns, bytes) = write_all(&*store, |batch| walk.next_batch(BATCH_ROWS, batch))?;
    let loaded = begin.elapsed();
    store.flush()?;
    let flushed = begin.elapsed();
    store.close()?;
    let closed = begin.elapsed();

    times_ns.sort_unstable();
    let count = rows.len() as f64;
    let us = |part| percentile(&times_ns, part).unwrap_or(0) as f64 / 1e3;
    let name = match task.phase {
        Phase::LoadSorted => "load_sorted",
        Phase::LoadRandom => "load_random",
        _ => return Ok(found),
    };
    found.set(&format!("{name}_per_s"), count / loaded.as_secs_f64());
    found.set(&format!("{name}_flushed_per_s"), count / flushed.as_secs_f64());
    found.set(&format!("{name}_settled_per_s"), count / closed.as_secs_f64());
    found.set(&format!("{name}_batch_p99_us"), us(0.99));
    found.set(&format!("{name}_batch_p999_us"), us(0.999));
    found.set(&format!("{name}_batch_max_us"), us(1.0));
    let written = process::written_bytes() - written_before;
    found.set(&format!("{name}_write_amplification"), written as f64 / bytes as f64);
    let processor_us = (process::process_seconds() - processor_before) * 1e6;
    found.set(&format!("{name}_processor_us"), processor_us / count);
    let disk_bytes = process::disk_bytes(&task.folder, engine.record())?;
    found.set(&format!("{name}_disk_bytes_per_row"), disk_bytes as f64 / count);
    Ok(found)
}

pub(super) fn compact(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let rows = task.rows.open(engine.part_of_data())?;
    let mut found = Found { anonymous_before_bytes: process::anonymous_bytes(), ..Found::default() };
    let mut store = engine.open(&task.folder, &task.setting())?;
    let begin = Instant::now();
    if store.compact()? {
        found.set("compact_s", begin.elapsed().as_secs_f64());
    } else {
        found.notes.push("has no compaction".to_owned());
    }
    store.close()?;
    let per_row = |without| -> Result<f64> {
        Ok(process::disk_bytes(&task.folder, without)? as f64 / rows.len() as f64)
    };
    found.set("compacted_bytes_per_row", per_row(engine.record())?);
    if engine.record().is_some() {
        found.set("compacted_with_record_bytes_per_row", per_row(None)?);
    }
    Ok(found)
}
