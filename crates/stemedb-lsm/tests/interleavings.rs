//! Two protocols of the tree under every schedule that shuttle comes up with: `cargo xtask interleavings`.
//!
//! The real types cannot be used: their pointers are `arc_swap`'s, whose loads and stores shuttle does not see. These are models of
//! them, step by step, with shuttle's atomics: how a snapshot gets its state and its LSN (`store::core::Core::newest`), beside a
//! writer that changes memtables and a flush that replaces one; and how a slot of the block cache is filled and emptied while
//! its bytes are counted (`cache::slots::Slots`). They prove the order of the steps, not the code that has them; each has
//! a wrong order beside it that must be found.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use shuttle::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

const RANDOM: usize = 8_000;
const PCT: usize = 8_000;

fn explore(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(scenario.clone(), RANDOM);
    shuttle::check_pct(scenario, PCT, 3);
}

fn is_found(scenario: impl Fn() + Send + Sync + Clone + std::panic::UnwindSafe + 'static) -> bool {
    std::panic::catch_unwind(|| shuttle::check_random(scenario, RANDOM)).is_err()
}

/// A pointer that is replaced as a whole: each call is one step.
struct Swap<T>(Mutex<Arc<T>>);

impl<T> Swap<T> {
    fn new(value: T) -> Swap<T> {
        Swap(Mutex::new(Arc::new(value)))
    }

    fn load(&self) -> Arc<T> {
        Arc::clone(&self.0.lock().unwrap())
    }

    fn store(&self, value: T) {
        *self.0.lock().unwrap() = Arc::new(value);
    }
}

/// The greatest LSN that a memtable holds; rows of one batch come together.
type Memtable = Arc<AtomicU64>;

struct State {
    memtables: Vec<Memtable>,
    /// The greatest LSN in tables.
    tables: u64,
}

struct Tree {
    state: Swap<State>,
    editing: Mutex<()>,
    published: AtomicU64,
}

impl Tree {
    fn new() -> Arc<Tree> {
        let state = State { memtables: vec![Memtable::default()], tables: 0 };
        Arc::new(Tree { state: Swap::new(state), editing: Mutex::new(()), published: AtomicU64::new(0) })
    }

    fn edit(&self, edit: impl FnOnce(&State) -> State) {
        let _alone = self.editing.lock().unwrap();
        let next = edit(&self.state.load());
        self.state.store(next);
    }

    /// A batch into a fresh memtable, then visible.
    fn write(&self, lsn: u64) {
        self.edit(|state| State {
            memtables: [Memtable::default()].into_iter().chain(state.memtables.iter().cloned()).collect(),
            tables: state.tables,
        });
        self.state.load().memtables[0].store(lsn, Ordering::SeqCst);
        self.published.store(lsn, Ordering::SeqCst);
    }

    /// The oldest memtable becomes a table, if it is published as a whole.
    fn flush(&self) {
        let state = self.state.load();
        let Some(oldest) = state.memtables.last().filter(|_| state.memtables.len() > 1) else { return };
        let upto = oldest.load(Ordering::SeqCst);
        if upto > self.published.load(Ordering::SeqCst) {
            return;
        }
        self.edit(|state| State {
            memtables: state
                .memtables
                .iter()
                .filter(|memtable| !Arc::ptr_eq(memtable, oldest))
                .cloned()
                .collect(),
            tables: state.tables.max(upto),
        });
    }

    /// As `Core::newest`; without `again` it does not look whether the state is still the present one.
    fn newest(&self, again: bool) -> (Arc<State>, u64) {
        let mut state = self.state.load();
        loop {
            let lsn = self.published.load(Ordering::SeqCst);
            let present = self.state.load();
            if Arc::ptr_eq(&state, &present) || !again {
                return (state, lsn);
            }
            state = present;
        }
    }
}

fn snapshots(again: bool) {
    let tree = Tree::new();
    let writer = {
        let tree = Arc::clone(&tree);
        thread::spawn(move || (1..=3).for_each(|lsn| tree.write(lsn)))
    };
    let flusher = {
        let tree = Arc::clone(&tree);
        thread::spawn(move || (0..3).for_each(|_| tree.flush()))
    };
    let mut before = 0;
    for _ in 0..2 {
        let (state, lsn) = tree.newest(again);
        let newest = state.memtables.iter().map(|memtable| memtable.load(Ordering::SeqCst)).max();
        let known = newest.unwrap_or(0).max(state.tables);
        assert!(known >= lsn, "a snapshot of {lsn} knows rows up to {known}");
        assert!(lsn >= before, "a later snapshot is older");
        before = lsn;
    }
    writer.join().unwrap();
    flusher.join().unwrap();
}

#[test]
fn a_snapshot_knows_every_row_that_its_lsn_shows() {
    explore(|| snapshots(true));
}

#[test]
fn a_snapshot_that_does_not_look_again_is_found_out() {
    assert!(is_found(|| snapshots(false)), "the model can fail");
}

/// As `Slots` with one slot; `early` counts a block before it can be seen.
struct Slot {
    block: Mutex<Option<u64>>,
    used: AtomicU64,
    early: bool,
}

impl Slot {
    fn put(&self, bytes: u64) {
        if self.early {
            self.used.fetch_add(bytes, Ordering::SeqCst);
        }
        let before = self.block.lock().unwrap().replace(bytes);
        if !self.early {
            self.used.fetch_add(bytes, Ordering::SeqCst);
        }
        self.release(before);
    }

    fn clear(&self) {
        let before = self.block.lock().unwrap().take();
        self.release(before);
    }

    fn release(&self, block: Option<u64>) {
        if let Some(bytes) = block {
            let used = self.used.fetch_sub(bytes, Ordering::SeqCst);
            assert!(used >= bytes, "{used} bytes are used, and {bytes} given back");
        }
    }
}

fn slots(early: bool) {
    let slot = Arc::new(Slot { block: Mutex::new(None), used: AtomicU64::new(0), early });
    let threads: Vec<_> = (0..3)
        .map(|n| {
            let slot = Arc::clone(&slot);
            thread::spawn(move || match n {
                0 => (0..2).for_each(|_| slot.clear()),
                n => slot.put(n * 10),
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let left = slot.block.lock().unwrap().unwrap_or(0);
    assert_eq!(slot.used.load(Ordering::SeqCst), left, "what is counted is what is there");
}

#[test]
fn the_bytes_of_cached_blocks_are_counted_right() {
    explore(|| slots(true));
}

#[test]
fn a_block_that_is_counted_too_late_is_found_out() {
    assert!(is_found(|| slots(false)), "the model can fail");
}
