//! The memory budget, against what the allocator says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::Path,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

use stemedb_env::Env;
use stemedb_lsm::{
    Direction, Error, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, Lsn, WriteBatch,
};
use support::{DATABASE, Dice};

/// The system's allocator; counts the bytes that are live, and the most that ever were.
struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note(bytes: i64) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    // Large blocks move by their page tables: they are never there twice.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes as i64 - layout.size() as i64);
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

const MIB: u64 = 1 << 20;
/// What is not the tree's: threads, batches being made, rings, lists of names.
const CONSTANT_BYTES: i64 = 1 << 20;
/// What the ledger does not count of a tree at rest: pointers, small vectors, keys of runs.
const UNCOUNTED_BYTES: i64 = 512 << 10;

fn key(n: u64) -> Vec<u8> {
    format!("a subject/{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes()
}

/// Values that compression does not make small, so that the tree is as large as its rows.
fn value(dice: &mut Dice) -> Vec<u8> {
    (0..13).flat_map(|_| dice.next().to_le_bytes()).collect()
}

const BATCH: u64 = 200;

struct World {
    store: LsmStore,
    dice: Dice,
    next: Lsn,
    base: i64,
    budget: i64,
}

impl World {
    fn new(dir: &Path, options: LsmOptions) -> World {
        let dice = Dice::new(7);
        let (base, budget) = (LIVE.load(Relaxed), options.memory_bytes as i64);
        PEAK.store(base, Relaxed);
        let store = LsmStore::create(Env::real(), dir, DATABASE, options).unwrap();
        World { store, dice, next: Lsn(1), base, budget }
    }

    fn put(&mut self, keys: impl Iterator<Item = u64>) {
        let mut batch = WriteBatch::new();
        keys.for_each(|n| batch.put(&key(n), &value(&mut self.dice)));
        self.store.apply(&batch, self.next).unwrap();
        self.store.publish(self.next);
        self.next = self.next.next();
    }

    fn live(&self) -> i64 {
        LIVE.load(Relaxed) - self.base
    }

    fn check(&self, phase: &str) {
        self.check_beside(phase, 0);
    }

    /// As [`World::check`], beside what readers hold.
    fn check_beside(&self, phase: &str, held: u64) {
        let (peak, memory) = (PEAK.load(Relaxed) - self.base, self.store.stats().memory);
        let allowed = self.budget + self.budget / 10 + CONSTANT_BYTES + held as i64;
        eprintln!(
            "{} MiB, {phase}: peak {:.2} MiB of {:.2}; ledger {:.2} (peak {:.2}), live {:.2}: {memory:?}",
            self.budget >> 20,
            peak as f64 / MIB as f64,
            allowed as f64 / MIB as f64,
            memory.total_bytes() as f64 / MIB as f64,
            memory.peak_bytes as f64 / MIB as f64,
            self.live() as f64 / MIB as f64,
        );
        assert!(peak <= allowed, "{phase}: {peak} bytes at the peak, {allowed} allowed: {memory:?}");
        assert_eq!(memory.budget_bytes as i64, self.budget);
        // Each phase has its own peak.
        PEAK.store(LIVE.load(Relaxed), Relaxed);
    }

    /// With nothing under way the ledger says what the allocator says.
    fn compare(&self, phase: &str) {
        let (live, memory) = (self.live(), self.store.stats().memory);
        let difference = live - memory.total_bytes() as i64;
        let most = UNCOUNTED_BYTES + live / 50;
        assert!(
            difference.abs() <= most,
            "{phase}: {difference} bytes of {live} beside the ledger: {memory:?}"
        );
    }
}

fn run(budget: u64) {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is merged when nobody asks for it and nothing is due.
    let options = LsmOptions {
        memory_bytes: budget,
        reserve_bytes: 0,
        idle_after: Duration::ZERO,
        ..LsmOptions::default()
    };
    let mut world = World::new(&folder.path().join("kv"), options.clone());
    // Rows of 26 + 104 bytes: a tree of four budgets.
    let rows = 4 * budget / 130 / BATCH * BATCH;
    for batch in 0..rows / BATCH {
        world.put((0..BATCH).map(|n| batch * BATCH + n));
    }
    world.check("load");
    world.store.flush().unwrap();
    assert!(world.store.stats().total_bytes > 3 * budget);

    for _ in 0..40_000 {
        let n = world.dice.below(rows);
        assert_eq!(world.store.get(&key(n)).unwrap().map(|found| found.len()), Some(104));
    }
    world.check("gets");
    let keys: Vec<Vec<u8>> = (0..4_000).map(|_| key(world.dice.below(rows))).collect();
    let wanted: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    // Each answer keeps its block, so all of them together are a tenth of the budget.
    for some in wanted.chunks(usize::try_from(budget / 10 / (8 << 10)).unwrap()) {
        assert!(world.store.snapshot().multi_get(some).unwrap().iter().all(Option::is_some));
    }
    drop(wanted);
    drop(keys);
    world.check("many gets");
    for direction in [Direction::Forward, Direction::Backward] {
        let view = world.store.snapshot();
        let mut iter = view.scan(&KeyRange::all(), direction);
        let mut seen = 0;
        while iter.advance().unwrap() {
            seen += 1;
        }
        assert_eq!(seen, rows);
    }
    world.check("scans");
    // The cache takes what is left, whatever a merge has taken out of it meanwhile.
    let mut memory = world.store.stats().memory;
    for _ in 0..40 {
        if memory.total_bytes() > budget / 10 * 9 && world.store.pending_compaction_bytes() == 0 {
            break;
        }
        for _ in 0..5_000 {
            let n = world.dice.below(rows);
            assert!(world.store.get(&key(n)).unwrap().is_some());
        }
        memory = world.store.stats().memory;
    }
    assert!(memory.total_bytes() > budget / 10 * 9, "{memory:?}");
    world.compare("full cache");

    // Writes take it back: alone, and while it is read.
    for round in 0..rows / 4 / BATCH {
        world.put((0..BATCH).map(|n| (round * 6_007 + n * 17) % rows));
    }
    world.check("writes");
    for round in 0..rows / 2 / BATCH {
        world.put((0..BATCH).map(|n| (round * 7_919 + n * 31) % rows));
        for _ in 0..20 {
            let n = world.dice.below(rows);
            assert!(world.store.get(&key(n)).unwrap().is_some());
        }
    }
    world.check("mixed");
    world.store.compact().unwrap();
    world.check("compaction");
    world.compare("after the compaction");
    // A single batch of half a memtable's share, and a replay.
    world.put((0..budget / 8 / 162 / 2).map(|n| n * 3 % rows));
    world.check("large batch");
    let mut replay = world.store.begin_replay();
    for _ in 0..rows / 2 / BATCH {
        let mut batch = WriteBatch::new();
        (0..BATCH).for_each(|_| batch.put(&key(world.dice.below(rows)), &[1; 104]));
        replay.apply(&batch, world.next).unwrap();
        world.next = world.next.next();
    }
    replay.finish().unwrap();
    world.check("replay");

    // What a reader holds counts until he lets go: the whole tree is replaced under him.
    let view = world.store.snapshot();
    let pinned: Vec<_> = (0..500).map(|n| view.get(&key(n * (rows / 500))).unwrap().unwrap()).collect();
    world.store.compact().unwrap();
    world.compare("with a reader");
    let memory = world.store.stats().memory;
    assert!(memory.pinned_memtable_bytes > budget / 32, "{memory:?}");
    world.check_beside("with a reader", memory.pinned_bytes + memory.pinned_memtable_bytes);
    // Without the snapshot the old tables are gone, and the values keep their blocks.
    drop(view);
    let memory = world.store.stats().memory;
    assert!(memory.pinned_bytes > 100 * 1_000, "{memory:?}");
    world.compare("with pinned values");
    drop(pinned);
    PEAK.store(LIVE.load(Relaxed), Relaxed);
    world.store.compact().unwrap();
    world.compare("without");
    let stats = world.store.stats();
    assert_eq!((stats.memory.pinned_bytes, stats.memory.pinned_memtable_bytes), (0, 0));
    world.check("at rest");
    drop(world);

    // An open knows the tables' keys only; their indexes come with the first reads.
    let base = LIVE.load(Relaxed);
    let store = LsmStore::open(Env::real(), &folder.path().join("kv"), DATABASE, options).unwrap();
    assert!(LIVE.load(Relaxed) - base < 2 * MIB as i64);
    drop(store);
}

// One test: the counts are the process's.
#[test]
fn peak_memory_is_within_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let options = LsmOptions { memory_bytes: MIB, ..LsmOptions::default() };
    let refused = LsmStore::create(Env::real(), &folder.path().join("kv"), DATABASE, options);
    assert!(
        matches!(refused, Err(Error::MemoryBudget { budget_bytes: MIB, needed_bytes }) if needed_bytes > MIB)
    );
    assert!(!folder.path().join("kv").exists(), "nothing was made");
    for mib in [8, 20] {
        run(mib * MIB);
    }
}
