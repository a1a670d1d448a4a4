//! Reads of data that fits into memory.

use std::time::Duration;

use super::{Found, Task, threads};
use crate::{
    engine::{Engine, Reader, Result, Store},
    engines::names,
    workloads::{
        process,
        rows::{Keys, Rows, group_bytes},
    },
};

/// Threads that read side by side.
pub(super) const THREADS: u64 = 2;
/// Part of the rows that hot reads go to.
const HOT_PART: f64 = 0.25;
/// Gets with one view.
const GETS_PER_VIEW: u64 = 1000;
/// Scans with one view.
const SCANS_PER_VIEW: u64 = 100;
/// Keys of one multi-get.
pub(super) const MULTI_GET_KEYS: usize = 100;

/// The rows, the database, and an answer to fill. `prepare` makes keys once, so that their memory is not taken for the
/// engine's.
pub(super) fn opened<K>(
    task: &Task,
    engine: &dyn Engine,
    prepare: impl FnOnce(&Rows) -> Result<K>,
) -> Result<(Rows, Box<dyn Store>, Found)> {
    let rows = task.rows.open(engine.part_of_data())?;
    prepare(&rows)?;
    let found = Found { anonymous_before_bytes: process::anonymous_bytes(), ..Found::default() };
    let store = engine.open(&task.folder, &task.setting())?;
    Ok((rows, store, found))
}

pub(super) fn seconds(task: &Task, part: f64) -> Duration {
    Duration::from_secs_f64(task.seconds * part)
}

/// Seeds of the keys of a thread: others in every round and for every purpose.
pub(super) fn seed(task: &Task, purpose: u64, thread: u64) -> u64 {
    (task.round << 32) | (purpose << 8) | thread
}

/// A get that looks at what it found.
pub(super) fn checked_get(
    mut keys: Box<dyn Keys>,
    per_view: u64,
) -> impl FnMut(&mut dyn Reader) -> Result<u64> {
    let (mut key, mut left) = (Vec::new(), per_view);
    move |reader| {
        if left == 0 {
            reader.renew()?;
            left = per_view;
        }
        left -= 1;
        let expected = keys.next_key(&mut key);
        if reader.get(&key)? != expected {
            return Err(wrong_value());
        }
        Ok(1)
    }
}

/// Several gets at a time, looking at what they found.
pub(super) fn checked_multi_get(mut keys: Box<dyn Keys>) -> impl FnMut(&mut dyn Reader) -> Result<u64> {
    let mut buffers = vec![Vec::new(); MULTI_GET_KEYS];
    let mut expected = Vec::with_capacity(MULTI_GET_KEYS);
    let mut found = Vec::with_capacity(MULTI_GET_KEYS);
    move |reader| {
        expected.clear();
        expected.extend(buffers.iter_mut().map(|key| keys.next_key(key)));
        let asked: [&[u8]; MULTI_GET_KEYS] = std::array::from_fn(|at| buffers[at].as_slice());
        found.clear();
        reader.renew()?;
        reader.multi_get(&asked, &mut found)?;
        if found == expected { Ok(MULTI_GET_KEYS as u64) } else { Err(wrong_value()) }
    }
}

fn wrong_value() -> crate::engine::EngineError {
    "a get found another value than was written, or none".into()
}

/// Brings the database into memory.
fn warm(store: &dyn Store) -> Result<()> {
    store.reader()?.scan(b"", u64::MAX)?;
    Ok(())
}

pub(super) fn hot(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let (rows, store, mut found) = opened(task, engine, |rows| rows.keys(HOT_PART, 0))?;
    if engine.name() == names::DRIVER {
        return driver(task, &rows, &*store, found);
    }
    warm(&*store)?;
    let keys = |purpose, thread| rows.keys(HOT_PART, seed(task, purpose, thread));
    threads::read(&*store, THREADS, seconds(task, 0.4), |thread| {
        Ok(checked_get(keys(0, thread)?, GETS_PER_VIEW))
    })?;

    let reads = threads::read(&*store, THREADS, seconds(task, 1.0), |thread| {
        Ok(checked_get(keys(1, thread)?, GETS_PER_VIEW))
    })?;
    found.set("hot_get_per_s", reads.per_second());
    found.set("hot_get_processor_ns", reads.processor_ns());
    found.set("hot_get_p50_us", reads.percentile_us(0.5));
    found.set("hot_get_p99_us", reads.percentile_us(0.99));

    let reads = threads::read(&*store, THREADS, seconds(task, 0.5), |thread| {
        let (mut keys, mut key) = (keys(2, thread)?, Vec::new());
        Ok(move |reader: &mut dyn Reader| {
            let expected = keys.next_key(&mut key);
            if reader.get_fresh(&key)? == expected { Ok(1) } else { Err(wrong_value()) }
        })
    })?;
    found.set("hot_fresh_get_per_s", reads.per_second());
    found.set("hot_fresh_get_processor_ns", reads.processor_ns());
    found.set("hot_fresh_get_p99_us", reads.percentile_us(0.99));

    let reads = threads::read(&*store, THREADS, seconds(task, 0.5), |thread| {
        Ok(checked_multi_get(keys(3, thread)?))
    })?;
    found.set("hot_multi_get_per_s", reads.per_second());
    found.set("hot_multi_get_processor_ns", reads.processor_ns());
    store.close()?;
    Ok(found)
}

/// What making the keys costs.
fn driver(task: &Task, rows: &Rows, store: &dyn Store, mut found: Found) -> Result<Found> {
    let reads = threads::read(store, THREADS, seconds(task, 0.5), |thread| {
        let (mut keys, mut key) = (rows.keys(HOT_PART, seed(task, 1, thread))?, Vec::new());
        Ok(move |reader: &mut dyn Reader| {
            std::hint::black_box((keys.next_key(&mut key), reader.get(&key)?));
            Ok(1)
        })
    })?;
    found.set("hot_get_per_s", reads.per_second());
    found.set("hot_get_processor_ns", reads.processor_ns());
    found.set("hot_get_p50_us", reads.percentile_us(0.5));
    Ok(found)
}

pub(super) fn absent(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let (rows, store, mut found) = opened(task, engine, |rows| rows.absent_keys(0))?;
    warm(&*store)?;
    let keys = |purpose, thread| rows.absent_keys(seed(task, purpose, thread));
    threads::read(&*store, THREADS, seconds(task, 0.2), |thread| {
        Ok(checked_get(keys(0, thread)?, GETS_PER_VIEW))
    })?;
    let reads = threads::read(&*store, THREADS, seconds(task, 0.7), |thread| {
        Ok(checked_get(keys(1, thread)?, GETS_PER_VIEW))
    })?;
    found.set("absent_get_per_s", reads.per_second());
    found.set("absent_get_processor_ns", reads.processor_ns());
    found.set("absent_get_p99_us", reads.percentile_us(0.99));
    store.close()?;
    Ok(found)
}

pub(super) fn scan(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let (rows, store, mut found) = opened(task, engine, |rows| rows.group_keys(0))?;
    let shape = task.rows.shape();
    warm(&*store)?;
    for (limit, id) in [(10, "scan_10"), (100, "scan_100")] {
        let operation = |purpose| -> Result<_> {
            let mut keys = rows.group_keys(seed(task, purpose, 0))?;
            let (mut key, mut left) = (Vec::new(), SCANS_PER_VIEW);
            Ok(move |reader: &mut dyn Reader| {
                if left == 0 {
                    reader.renew()?;
                    left = SCANS_PER_VIEW;
                }
                left -= 1;
                keys.next_key(&mut key);
                let tally = reader.scan(&key[..group_bytes(shape, &key)], limit)?;
                std::hint::black_box(tally.sum);
                if tally.rows == 0 { Err("a scan found nothing".into()) } else { Ok(1) }
            })
        };
        threads::read(&*store, 1, seconds(task, 0.2), |_| operation(limit))?;
        let reads = threads::read(&*store, 1, seconds(task, 0.6), |_| operation(limit + 1))?;
        found.set(&format!("{id}_per_s"), reads.per_second());
        found.set(&format!("{id}_processor_us"), reads.processor_ns() / 1e3);
        found.set(&format!("{id}_p99_us"), reads.percentile_us(0.99));
    }
    store.close()?;
    Ok(found)
}

pub(super) fn full(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let (rows, store, mut found) = opened(task, engine, |_| Ok(()))?;
    warm(&*store)?;
    let reads = threads::read(&*store, 1, seconds(task, 0.7), |_| {
        Ok(|reader: &mut dyn Reader| {
            reader.renew()?;
            let tally = reader.scan(b"", u64::MAX)?;
            std::hint::black_box(tally.sum);
            if tally.rows == rows.len() {
                Ok(tally.rows)
            } else {
                Err(format!("a scan found {} rows of {}", tally.rows, rows.len()).into())
            }
        })
    })?;
    found.set("full_scan_rows_per_s", reads.per_second());
    found.set("full_scan_processor_ns", reads.processor_ns());
    store.close()?;
    Ok(found)
}
