//! Reads of data of which only a small part fits into memory.

use super::{Found, Phase, Task, read, threads};
use crate::{
    engine::{Engine, Result},
    workloads::process,
};

const GETS_PER_VIEW: u64 = 1000;

pub(super) fn read(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let rows = task.rows.open(engine.part_of_data())?;
    // Made before the group is joined: the memory of the keys is not the engine's.
    let keys: Result<Vec<_>> =
        (0..2 * read::THREADS).map(|thread| rows.keys(1.0, read::seed(task, 4, thread))).collect();
    let keys: Vec<_> = keys?.into_iter().map(|keys| std::sync::Mutex::new(Some(keys))).collect();
    let mut found = Found { anonymous_before_bytes: process::anonymous_bytes(), ..Found::default() };
    process::drop_page_cache(&task.folder)?;
    if let Some(group) = &task.control_group {
        process::join(group)?;
    }
    let store = engine.open(&task.folder, &task.setting())?;
    let take = |thread: u64| {
        let mut keys = keys[thread as usize].lock().map_err(|_| "a reader panicked")?;
        keys.take().ok_or("keys are taken once")
    };
    let single = task.phase == Phase::ColdGet;
    let read = |first: u64, part| {
        let seconds = read::seconds(task, part);
        if single {
            threads::read(&*store, read::THREADS, seconds, |thread| {
                Ok(read::checked_get(take(first + thread)?, GETS_PER_VIEW))
            })
        } else {
            threads::read(&*store, read::THREADS, seconds, |thread| {
                Ok(read::checked_multi_get(take(first + thread)?))
            })
        }
    };
    // Until indexes and filters, and what else is read first, are where they stay.
    read(0, 0.3)?;
    let before = process::read_bytes();
    let reads = read(read::THREADS, 1.0)?;
    let read_bytes = process::read_bytes() - before;
    let name = if single { "cold_get" } else { "cold_multi_get" };
    found.set(&format!("{name}_per_s"), reads.per_second());
    found.set(&format!("{name}_kib_read"), read_bytes as f64 / 1024.0 / reads.count as f64);
    if single {
        found.set("cold_get_p50_us", reads.percentile_us(0.5));
        found.set("cold_get_p99_us", reads.percentile_us(0.99));
    }
    store.close()?;
    Ok(found)
}
