//! What the memtable asks of the allocator: chunks, not rows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering},
};

use stemedb_env::Env;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, Lsn, WriteBatch};
use support::{create, dir};

/// The system's allocator, counted.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

fn allocations<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let result = work();
    (ALLOCATIONS.load(Ordering::Relaxed) - before, result)
}

fn key(n: u64) -> Vec<u8> {
    format!("a subject with a long name/{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes()
}

// One test: the count is the process's.
#[test]
fn rows_reads_and_scans_allocate_nothing_of_their_own() {
    let (env, _handles) = Env::sim(1);
    // Nothing is flushed meanwhile: the simulated jobs run when they are driven.
    let store = create(&env, &dir(), LsmOptions { memtable_bytes: 64 << 20, ..LsmOptions::default() });
    let batches: Vec<WriteBatch> = (0..50)
        .map(|batch| {
            let mut puts = WriteBatch::new();
            (0..1_000).for_each(|n| puts.put(&key(batch * 1_000 + n), &[7; 100]));
            puts
        })
        .collect();
    let (count, ()) = allocations(|| {
        for (lsn, batch) in (1..).zip(&batches) {
            store.apply(batch, Lsn(lsn)).unwrap();
            store.publish(Lsn(lsn));
        }
    });
    assert!(count <= 60, "{count} allocations for 50,000 rows");

    let view = store.snapshot();
    let present: Vec<Vec<u8>> = (0..50_000).step_by(50).map(key).collect();
    let absent: Vec<Vec<u8>> = (50_000..51_000).map(key).collect();
    let (count, found) = allocations(|| {
        let keys = present.iter().chain(&absent);
        keys.filter(|key| view.get(key).unwrap().is_some_and(|value| *value == [7; 100])).count()
    });
    assert_eq!((count, found), (0, 1_000));

    for direction in [Direction::Forward, Direction::Backward] {
        let scan = |rows: usize| {
            allocations(|| {
                let mut iter = view.scan(&KeyRange::all(), direction);
                (0..rows).filter(|_| iter.advance().unwrap() && iter.value().len() == 100).count()
            })
        };
        let (few, found) = scan(10);
        assert!(few < 20 && found == 10, "{few} allocations for ten rows");
        assert_eq!(scan(50_000), (few, 50_000), "a row costs no allocation");
    }

    // A replay gathers rows in buffers.
    let (env, _handles) = Env::sim(2);
    let store = create(&env, &dir(), LsmOptions { memtable_bytes: 64 << 20, ..LsmOptions::default() });
    let (count, ()) = allocations(|| {
        let mut replay = store.begin_replay();
        for (lsn, batch) in (1..).zip(&batches) {
            replay.apply(batch, Lsn(lsn)).unwrap();
        }
        replay.finish().unwrap();
    });
    assert!(count <= 150, "{count} allocations for 50,000 rows replayed");
}
