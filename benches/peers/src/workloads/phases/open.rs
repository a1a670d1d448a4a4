//! Opening what was closed, and what was not.

use std::{process::abort, time::Instant};

use super::{Found, Task, load, read};
use crate::{
    commits::statistics::median,
    engine::{Engine, Result},
    workloads::{process, rows::Order},
};

/// Openings in one process: the first one meets a cold processor.
const OPENINGS: usize = 5;
/// Rows that are looked for after a crash.
const PROBES: u64 = 1000;
/// Bytes of rows that a crash leaves in memory and log, if there are so many.
pub const CRASH_BYTES: u64 = 140_000_000;

pub(super) fn clean(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let rows = task.rows.open(engine.part_of_data())?;
    let mut found = Found { anonymous_before_bytes: process::anonymous_bytes(), ..Found::default() };
    let mut keys = rows.keys(1.0, read::seed(task, 8, 0))?;
    let (mut key, mut opened_ms, mut closed_ms) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..OPENINGS {
        let expected = keys.next_key(&mut key);
        let begin = Instant::now();
        let store = engine.open(&task.folder, &task.setting())?;
        if store.reader()?.get(&key)? != expected {
            return Err("a reopened database has lost a row".into());
        }
        opened_ms.push(begin.elapsed().as_secs_f64() * 1e3);
        store.close()?;
        closed_ms.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    found.set("open_clean_ms", median(&opened_ms).ok_or("nothing was opened")?);
    found.set("open_clean_and_close_ms", median(&closed_ms).ok_or("nothing was opened")?);
    Ok(found)
}

/// Writes rows, makes them survive the process, and ends without closing. Does not return.
pub(super) fn crash(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let rows = task.rows.open(engine.part_of_data())?;
    let store = engine.open(&task.folder, &task.setting())?;
    let mut walk = rows.walk(Order::Random)?;
    let mut bytes = 0;
    load::write_all(&*store, |batch| {
        if bytes >= CRASH_BYTES {
            return Ok(false);
        }
        let more = walk.next_batch(load::BATCH_ROWS, batch)?;
        bytes += batch.bytes();
        Ok(more)
    })?;
    store.persist()?;
    abort()
}

pub(super) fn crashed(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let rows = task.rows.open(engine.part_of_data())?;
    // The rows that were written, in the same order.
    let mut walk = rows.walk(Order::Random)?;
    let mut batch = crate::workloads::rows::RowBatch::default();
    walk.next_batch(PROBES as usize, &mut batch)?;
    let mut found = Found { anonymous_before_bytes: process::anonymous_bytes(), ..Found::default() };
    let begin = Instant::now();
    let store = engine.open(&task.folder, &task.setting())?;
    let mut reader = store.reader()?;
    reader.get(batch.key(0))?;
    found.set("open_crashed_ms", begin.elapsed().as_secs_f64() * 1e3);
    let mut there = 0_u64;
    for pair in batch.pairs() {
        there += u64::from(reader.get(pair.key)? == Some(crate::engine::touch(pair.value)));
    }
    found.set("crash_rows_found_percent", there as f64 / batch.len() as f64 * 100.0);
    Ok(found)
}
