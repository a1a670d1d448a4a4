//! Writers and a reader over a bounded set of keys.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use stemedb_hybrid::LsmEngine;
use stemedb_index::KeyValues;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, WriteBatch};

use crate::{Failure, watched::WatchedFs};

const WRITERS: u64 = 4;
/// Rows per second of all writers together outside of the storms: as in the comparison with other engines.
const ROWS_PER_SECOND: u64 = 20_000;
const BATCH_ROWS: u64 = 100;
/// Storms: without limit, in large batches, for a while.
const STORM: Duration = Duration::from_secs(20);
const STORM_BATCH_ROWS: u64 = 1000;
const FILL_BATCH_ROWS: u64 = 1000;
/// One write in so many removes its key.
const REMOVALS: u64 = 16;
const VALUE_BYTES: usize = 256;
/// Half of a value does not compress.
const DENSE_BYTES: usize = 128;
/// How long a snapshot is held before it is looked at again.
const SNAPSHOT_AGE: Duration = Duration::from_secs(30);
/// Commits that took less than this beyond the limit's order of size are not looked up among the waits.
const SLOW: Duration = Duration::from_millis(20);

/// A cheap generator with a period of 2^64 (Steele et al., SplitMix64, 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

/// 24 bytes: a group of about a hundred keys, and which one of it.
fn key(number: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&(number / 100).to_be_bytes());
    key[8..16].copy_from_slice(&Random::new(number).next().to_be_bytes());
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The value of a key: the key, then bytes of which half compress.
fn value(key: &[u8], random: &mut Random, value: &mut [u8; VALUE_BYTES]) {
    value[..24].copy_from_slice(key);
    for part in value[24..24 + DENSE_BYTES].chunks_exact_mut(8) {
        part.copy_from_slice(&random.next().to_le_bytes());
    }
}

fn check(key: &[u8], value: &[u8]) -> Result<(), Failure> {
    if value.len() == VALUE_BYTES && value.get(..24) == Some(key) {
        return Ok(());
    }
    Err(format!("wrong answer: the value of {key:02x?} is that of {:02x?}", value.get(..24)).into())
}

/// What happened since somebody looked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interval {
    pub rows: u64,
    pub commits: u64,
    pub gets: u64,
    pub scanned: u64,
    pub worst_commit: Duration,
    /// The most that a commit took beyond the time in which the journal waited for the disk.
    pub worst_beyond_sync: Duration,
    pub worst_get: Duration,
}

/// Of the whole run.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub commits: u64,
    pub rows: u64,
    pub gets: u64,
    pub commit_us: Vec<u32>,
    pub beyond_us: Vec<u32>,
}

pub struct Load<'a> {
    engine: &'a LsmEngine<KeyValues>,
    watched: &'a WatchedFs,
    keys: u64,
    stop: AtomicBool,
    storm: AtomicBool,
    present: Mutex<Interval>,
    totals: Mutex<Totals>,
}

impl<'a> Load<'a> {
    pub fn new(engine: &'a LsmEngine<KeyValues>, watched: &'a WatchedFs, keys: u64) -> Load<'a> {
        Load {
            engine,
            watched,
            keys,
            stop: AtomicBool::new(false),
            storm: AtomicBool::new(false),
            present: Mutex::default(),
            totals: Mutex::default(),
        }
    }

    /// Sets every key once.
    pub fn fill(&self) -> Result<(), Failure> {
        let (mut random, mut bytes) = (Random::new(1), [b'.'; VALUE_BYTES]);
        for first in (0..self.keys).step_by(FILL_BATCH_ROWS as usize) {
            let mut batch = WriteBatch::new();
            for number in first..(first + FILL_BATCH_ROWS).min(self.keys) {
                let key = key(number);
                value(&key, &mut random, &mut bytes);
                batch.put(&key, &bytes);
            }
            self.engine.commit(batch)?;
        }
        Ok(())
    }

    /// Runs for `time`; there is a storm every `storm_every`; `look` is called every second with the seconds since the begin.
    pub fn run(
        &self,
        time: Duration,
        storm_every: Duration,
        mut look: impl FnMut(f64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let begin = Instant::now();
        thread::scope(|scope| {
            let mut threads: Vec<_> =
                (0..WRITERS).map(|writer| scope.spawn(move || self.failing(|| self.write(writer)))).collect();
            threads.push(scope.spawn(|| self.failing(|| self.read())));
            let mut looked = Ok(());
            for second in 1.. {
                let due = begin + Duration::from_secs(second);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let passed = begin.elapsed();
                let into =
                    Duration::from_millis((passed.as_millis() % storm_every.as_millis().max(1)) as u64);
                self.storm.store(passed > storm_every / 2 && into < STORM, Ordering::Relaxed);
                looked = look(passed.as_secs_f64());
                if passed >= time || looked.is_err() || self.stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            self.stop.store(true, Ordering::Relaxed);
            for thread in threads {
                thread.join().map_err(|_| "a thread panicked")??;
            }
            looked
        })
    }

    fn failing(&self, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        let result = work();
        if result.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        result
    }

    /// What happened since the last call.
    pub fn take_interval(&self) -> Interval {
        std::mem::take(&mut self.present.lock())
    }

    pub fn totals(&self) -> Totals {
        self.totals.lock().clone()
    }

    pub fn is_storm(&self) -> bool {
        self.storm.load(Ordering::Relaxed)
    }

    fn write(&self, writer: u64) -> Result<(), Failure> {
        let (mut random, mut bytes) = (Random::new(1000 + writer), [b'.'; VALUE_BYTES]);
        let interval = Duration::from_secs_f64((BATCH_ROWS * WRITERS) as f64 / ROWS_PER_SECOND as f64);
        let mut due = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let storm = self.is_storm();
            let rows = if storm { STORM_BATCH_ROWS } else { BATCH_ROWS };
            let mut batch = WriteBatch::new();
            for _ in 0..rows {
                let key = key(random.below(self.keys));
                if random.below(REMOVALS) == 0 {
                    batch.delete(&key);
                } else {
                    value(&key, &mut random, &mut bytes);
                    batch.put(&key, &bytes);
                }
            }
            if storm {
                due = Instant::now();
            } else {
                due += interval;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            let begin = Instant::now();
            self.engine.commit(batch)?;
            self.note_commit(begin, Instant::now(), rows, storm);
        }
        Ok(())
    }

    fn note_commit(&self, begin: Instant, end: Instant, rows: u64, storm: bool) {
        let took = end - begin;
        let beyond = if took < SLOW {
            Duration::ZERO
        } else {
            took.saturating_sub(self.watched.waited_within(begin, end))
        };
        {
            let mut present = self.present.lock();
            present.rows += rows;
            present.commits += 1;
            present.worst_commit = present.worst_commit.max(took);
            present.worst_beyond_sync = present.worst_beyond_sync.max(beyond);
        }
        let us = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let mut totals = self.totals.lock();
        totals.rows += rows;
        totals.commits += 1;
        if !storm {
            totals.commit_us.push(us(took));
        }
        totals.beyond_us.push(us(beyond));
    }

    fn read(&self) -> Result<(), Failure> {
        let mut random = Random::new(99);
        let mut held = self.hold(&mut random)?;
        while !self.stop.load(Ordering::Relaxed) {
            let (mut gets, mut scanned, mut worst) = (0, 0, Duration::ZERO);
            for _ in 0..200 {
                let key = key(random.below(self.keys));
                let begin = Instant::now();
                let found = self.engine.get(&key)?;
                worst = worst.max(begin.elapsed());
                if let Some(found) = found {
                    check(&key, &found)?;
                }
                gets += 1;
            }
            let view = self.engine.snapshot()?;
            let keys: Vec<[u8; 24]> = (0..100).map(|_| key(random.below(self.keys))).collect();
            let wanted: Vec<&[u8]> = keys.iter().map(<[u8; 24]>::as_slice).collect();
            for (key, found) in wanted.iter().zip(view.multi_get(&wanted)?) {
                if let Some(found) = found {
                    check(key, &found)?;
                }
                gets += 1;
            }
            for _ in 0..10 {
                let group = (random.below(self.keys) / 100).to_be_bytes();
                let mut rows = view.scan(&KeyRange::prefix(group), Direction::Forward);
                while rows.advance()? {
                    check(rows.key(), rows.value())?;
                    scanned += 1;
                }
            }
            drop(view);
            if held.since.elapsed() > SNAPSHOT_AGE {
                held.check()?;
                held = self.hold(&mut random)?;
            }
            self.totals.lock().gets += gets;
            let mut present = self.present.lock();
            present.gets += gets;
            present.scanned += scanned;
            present.worst_get = present.worst_get.max(worst);
            drop(present);
            // A reader that leaves room for those who write; what is wanted here is a mixture, not a race.
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn hold(&self, random: &mut Random) -> Result<Held<View>, Failure> {
        let view = self.engine.snapshot()?;
        let mut rows = Vec::new();
        for _ in 0..1000 {
            let key = key(random.below(self.keys));
            rows.push((key, view.get(&key)?.map(|value| value.to_vec())));
        }
        Ok(Held { view, rows, since: Instant::now() })
    }
}

type View = stemedb_hybrid::ViewSnapshot<
    stemedb_lsm::LsmSnapshot,
    <stemedb_hybrid::RedbStore as stemedb_lsm::KvStore>::Snapshot,
>;

/// A snapshot, and what it showed at first.
struct Held<V> {
    view: V,
    rows: Vec<([u8; 24], Option<Vec<u8>>)>,
    since: Instant,
}

impl<V: KvSnapshot> Held<V> {
    fn check(&self) -> Result<(), Failure> {
        for (key, was) in &self.rows {
            if self.view.get(key)?.as_deref() != was.as_deref() {
                return Err(format!("a snapshot has changed at {key:02x?}").into());
            }
        }
        Ok(())
    }
}
