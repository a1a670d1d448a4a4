//! Removing every second row.

use std::time::Instant;

use super::{Found, Task, load::BATCH_ROWS, read};
use crate::{
    engine::{Engine, Result},
    workloads::{
        process,
        rows::{Order, RowBatch},
    },
};

pub(super) fn run(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let (rows, mut store, mut found) = read::opened(task, engine, |_| Ok(()))?;
    let mut walk = rows.walk(Order::Random)?;
    let (mut batch, mut removed) = (RowBatch::default(), 0_u64);
    let begin = Instant::now();
    while walk.next_batch(2 * BATCH_ROWS, &mut batch)? {
        let keys: Vec<&[u8]> = batch.pairs().step_by(2).map(|pair| pair.key).collect();
        store.delete(&keys)?;
        removed += keys.len() as u64;
    }
    found.set("delete_per_s", removed as f64 / begin.elapsed().as_secs_f64());
    let left = rows.len() - removed;
    {
        let mut reader = store.reader()?;
        let begin = Instant::now();
        let tally = reader.scan(b"", u64::MAX)?;
        if tally.rows != left {
            return Err(format!("{} rows are left instead of {left}", tally.rows).into());
        }
        found.set("delete_scan_rows_per_s", tally.rows as f64 / begin.elapsed().as_secs_f64());
    }
    store.flush()?;
    store.compact()?;
    store.close()?;
    found.set(
        "delete_compacted_bytes_per_row",
        process::disk_bytes(&task.folder, engine.record())? as f64 / left as f64,
    );
    Ok(found)
}
