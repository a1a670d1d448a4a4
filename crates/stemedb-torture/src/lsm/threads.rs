//! Readers beside a writer, flushes and compactions, with real threads and real time, on a simulated disk.
//!
//! Every batch sets all keys to one value. So every snapshot, however it came about, must show one value, and the LSN of the
//! snapshot with every row. This is the one suite that does not follow from a seed: what it meets depends on the scheduler.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use stemedb_env::{Env, fs::sim::Profile};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, Lsn, WriteBatch};

use super::{create, shape, timed};
use crate::{
    machine::Machine,
    report::{Failure, Report},
    violation::{Promise, Violation, caught},
    workers::side_by_side,
};

const KEYS: u64 = 40;
const READERS: usize = 2;

fn wrong(detail: String) -> Violation {
    Violation::new(Promise::Prefix, detail)
}

fn write(store: &LsmStore, rounds: u64) -> Result<(), Violation> {
    let live = |error: stemedb_lsm::Error| Violation::new(Promise::Live, error.to_string());
    for round in 1..=rounds {
        let mut batch = WriteBatch::new();
        (0..KEYS).for_each(|n| batch.put(&shape::key(n), &round.to_be_bytes()));
        store.apply(&batch, Lsn(round)).map_err(live)?;
        store.publish(Lsn(round));
        if round.is_multiple_of(200) {
            store.compact().map_err(live)?;
        }
    }
    Ok(())
}

/// One look, in one of four ways.
fn look(store: &LsmStore, turn: u64) -> Result<(), Violation> {
    let live = |error: stemedb_lsm::Error| Violation::new(Promise::Live, error.to_string());
    let snapshot = store.snapshot();
    let lsn = snapshot.lsn();
    if lsn == Lsn::ZERO {
        return Ok(());
    }
    let wanted = lsn.0.to_be_bytes();
    let one = |key: &[u8], value: Option<&[u8]>, how: &str| match value == Some(&wanted[..]) {
        true => Ok(()),
        false => Err(wrong(format!("{how} of {} at {lsn} gave {value:?}", String::from_utf8_lossy(key)))),
    };
    match turn % 4 {
        0 | 1 => {
            let direction = if turn.is_multiple_of(4) { Direction::Forward } else { Direction::Backward };
            let mut iter = snapshot.scan(&KeyRange::all(), direction);
            let mut rows = 0;
            while iter.advance().map_err(live)? {
                one(iter.key(), Some(iter.value()), "a scan")?;
                rows += 1;
            }
            if rows != KEYS {
                return Err(wrong(format!("a scan at {lsn} showed {rows} of {KEYS} rows")));
            }
        }
        2 => {
            let keys: Vec<Vec<u8>> = (0..KEYS).map(shape::key).collect();
            let borrowed: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            for (key, value) in keys.iter().zip(snapshot.multi_get(&borrowed).map_err(live)?) {
                one(key, value.as_deref(), "multi_get")?;
            }
        }
        _ => {
            for key in (0..KEYS).map(shape::key) {
                one(&key, snapshot.get(&key).map_err(live)?.as_deref(), "get")?;
            }
        }
    }
    // What is newest never goes back.
    let key = shape::key(turn % KEYS);
    let newest = store.get(&key).map_err(live)?;
    match newest.as_deref().and_then(|value| value.try_into().ok()).map(u64::from_be_bytes) {
        Some(round) if round >= lsn.0 => Ok(()),
        other => Err(wrong(format!("the store's get gave {other:?} after a snapshot of {lsn}"))),
    }
}

/// Runs one writer of so many batches beside readers.
///
/// # Errors
/// A message when a thread cannot be started.
pub fn run(tier: &str, rounds: u64) -> Result<Report, String> {
    timed("lsm-threads", tier, |report| {
        let mut env = Env::real();
        env.fs = Arc::new(Machine::disk(Profile::Adversarial));
        let options = LsmOptions { memtable_bytes: 4 << 10, ..LsmOptions::tiny() };
        let store = Arc::new(create(&env, &options).map_err(|error| error.to_string())?);
        let (done, roles, looks) = (AtomicBool::new(false), AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
        let broken: Arc<Mutex<Vec<Violation>>> = Arc::default();
        let work = {
            let (store, broken, looks) = (Arc::clone(&store), Arc::clone(&broken), Arc::clone(&looks));
            move || {
                let outcome = if roles.fetch_add(1, Ordering::Relaxed) == 0 {
                    let outcome = caught(|| write(&store, rounds));
                    done.store(true, Ordering::Release);
                    outcome
                } else {
                    let mut turn = 0;
                    loop {
                        let outcome = caught(|| look(&store, turn));
                        turn += 1;
                        if outcome.is_err() || done.load(Ordering::Acquire) {
                            looks.fetch_add(turn, Ordering::Relaxed);
                            break outcome;
                        }
                    }
                };
                broken.lock().extend(outcome.err());
            }
        };
        side_by_side(READERS + 1, Arc::new(work)).map_err(|error| error.to_string())?;
        let stats = store.stats();
        report.did("batches", rounds);
        report.did("looks", looks.load(Ordering::Relaxed));
        report.did("flushes", stats.flushes);
        report.did("compactions", stats.compactions);
        for violation in broken.lock().drain(..) {
            report.failures.push(Failure { violation, again: "torture lsm-threads".to_owned() });
        }
        Ok(())
    })
}
