//! What compaction does, counted: bytes, runs, files, merges. Time is the simulator's.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// A thread of its own has figures of its own.
#![allow(clippy::disallowed_methods)]

mod support;

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use stemedb_env::{
    Clock, Env, IoOp, SimHandles, Tasks,
    fs::{
        FaultFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_lsm::{
    CompactionProgress, DelayCause, DerivedWrite, Direction, Error, KeyRange, KvStore, LsmOptions, LsmStore,
    TableInfo, TableRepair, ThreadReads, WriteBatch, kv::row_digest,
};
use support::{Dice, Journal, create, dir, open, options, rows};

const ENOUGH: usize = 1_000_000;

struct World {
    env: Env,
    sim: SimHandles,
    faults: FaultFs,
    store: LsmStore,
    journal: Journal,
}

impl World {
    fn new(options: LsmOptions) -> World {
        let (mut env, sim) = Env::sim(7);
        let faults = FaultFs::new(Arc::clone(&env.fs), 1);
        env.fs = Arc::new(faults.clone());
        let store = create(&env, &dir(), options);
        World { env, sim, faults, store, journal: Journal::default() }
    }

    fn try_write(&mut self, batch: WriteBatch) -> Result<(), Error> {
        let lsn = self.journal.next_lsn();
        self.store.apply(&batch, lsn)?;
        self.store.publish(lsn);
        self.journal.batches.push((lsn, batch));
        Ok(())
    }

    fn write(&mut self, keys: impl IntoIterator<Item = u64>) {
        self.try_write(batch(keys)).unwrap();
    }

    /// Lets the jobs do what they have to do now; time stands still.
    fn settle(&self) {
        assert!(self.sim.tasks.settle(ENOUGH) < ENOUGH, "the jobs never rest");
    }

    fn pass(&self, time: Duration) {
        self.settle();
        self.sim.clock.advance(time);
        self.settle();
    }

    /// Leaves this much room on the disk.
    fn leave_room(&self, bytes: u64) {
        const LARGE: u64 = 1 << 40;
        self.sim.fs.set_capacity(Some(LARGE));
        let used = LARGE - self.env.fs.space(&dir()).unwrap().available_bytes;
        self.sim.fs.set_capacity(Some(used + bytes));
    }

    /// Until no obsolete file is left.
    fn tidy(&self) {
        for _ in 0..1_000 {
            if self.files_on_disk() == self.store.stats().sst_file_count {
                return;
            }
            self.pass(Duration::from_millis(50));
        }
        panic!("{} files for {} tables", self.files_on_disk(), self.store.stats().sst_file_count);
    }

    fn files_on_disk(&self) -> usize {
        self.env.fs.list(&dir()).unwrap().iter().filter(|entry| entry.name.ends_with(".sst")).count()
    }

    fn check(&self) {
        let (view, model) = (self.store.snapshot(), self.journal.model(self.store.published_lsn()));
        let all = KeyRange::all();
        let (found, wanted) = (
            rows(&view, &all, Direction::Forward).unwrap(),
            rows(&model.snapshot(), &all, Direction::Forward).unwrap(),
        );
        assert!(found == wanted, "{} rows instead of {}, or others", found.len(), wanted.len());
        self.store.verify().unwrap();
    }
}

fn key(n: u64) -> Vec<u8> {
    format!("claim/{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes()
}

fn batch(keys: impl IntoIterator<Item = u64>) -> WriteBatch {
    let mut batch = WriteBatch::new();
    keys.into_iter().for_each(|n| batch.put(&key(n), &[n as u8; 40]));
    batch
}

/// How many tables a reader of this key may have to look into.
fn tables_of(tables: &[TableInfo], key: &[u8]) -> usize {
    tables.iter().filter(|table| table.smallest.as_slice() <= key && table.largest.as_slice() >= key).count()
}

#[test]
fn a_reader_meets_few_runs_a_tree_has_few_files_and_a_byte_is_written_a_few_times() {
    // Large enough that headers and filters of the tables do not count.
    let options = LsmOptions {
        memtable_bytes: 8 << 10,
        block_bytes: 1 << 10,
        target_table_bytes: 8 << 10,
        l0_trigger: 4,
        ..options()
    };
    let mut world = World::new(options.clone());
    let (mut most, mut largest) = (0, 0);
    for n in 0..1_500 {
        world.write((0..10).map(|row| n * 10 + row));
        world.settle();
        if n % 25 == 0 {
            let tables = world.store.tables();
            most = most.max((0..200).map(|at| tables_of(&tables, &key(at * 61))).max().unwrap());
            largest = largest.max(tables.len());
        }
    }
    let stats = world.store.stats();
    assert!(stats.flushes > 100, "{stats:?}");
    let allowed = options.l0_trigger + options.upper_runs + 1;
    assert!(most > 3 && most <= allowed, "{most} tables for one key");
    assert!(largest < 100, "{largest} files");
    assert!(stats.write_amplification < 8.0, "{}", stats.write_amplification);
    assert_eq!(stats.pending_compaction_bytes, 0);
    world.check();
}

#[test]
fn nearly_every_table_is_exactly_what_the_journal_says_for_its_keys_and_lsns() {
    let mut world = World::new(options());
    for n in 0..800 {
        world.write((0..10).map(|row| n * 10 + row));
        world.settle();
    }
    let tables = world.store.tables();
    let upper = tables.iter().filter(|table| (1..6).contains(&table.level)).count();
    assert!(upper > 3 && tables.len() > 20, "{upper} of {}", tables.len());
    let is_derived = |table: &&TableInfo| {
        let rows = world.journal.rows(&table.smallest, &table.largest, table.min_lsn..=table.max_lsn);
        let digest = rows.iter().fold(0u128, |sum, write| match write {
            DerivedWrite::Row(row) => sum.wrapping_add(row_digest(&row.key, row.lsn, row.value.as_deref())),
            DerivedWrite::Range(_) => panic!("no range was removed"),
        });
        (rows.len() as u64, digest) == (table.rows, table.digest)
    };
    let derived = tables.iter().filter(is_derived).count();
    assert!(derived * 100 >= tables.len() * 85, "{derived} of {}", tables.len());
}

#[test]
fn written_bytes_are_those_that_reached_the_files() {
    let mut world = World::new(options());
    let mut dice = Dice::new(3);
    for _ in 0..400 {
        let keys: Vec<u64> = (0..10).map(|_| dice.below(3_000)).collect();
        world.write(keys);
        world.settle();
    }
    let stats = world.store.stats();
    let written = world.faults.call_counts().of(IoOp::Write, ".sst").bytes;
    assert_eq!(stats.flush_bytes + stats.compaction_bytes, written);
    let applied: u64 = world.journal.batches.iter().map(|(_, batch)| batch.data_bytes() as u64).sum();
    assert_eq!(stats.applied_bytes, applied);
    assert_eq!(stats.write_amplification, written as f64 / applied as f64);
}

#[test]
fn without_automatic_compaction_nothing_is_merged_and_nobody_waits_for_it() {
    let mut world = World::new(LsmOptions { enable_auto_compaction: false, ..options() });
    for n in 0..400 {
        world.write((0..10).map(|row| n * 10 + row));
        world.settle();
    }
    world.pass(Duration::from_secs(60));
    let stats = world.store.stats();
    assert_eq!((stats.compactions, stats.moves), (0, 0));
    assert!(stats.levels[0].files > 40 && stats.pending_compaction_bytes > 0, "{stats:?}");
    assert!(!stats.auto_compaction && World::new(options()).store.stats().auto_compaction);
    let of_compaction = |cause| stats.apply_delays.iter().find(|delays| delays.cause == cause).unwrap().count;
    assert_eq!(of_compaction(DelayCause::Level0) + of_compaction(DelayCause::PendingBytes), 0);
    world.store.compact().unwrap();
    assert_eq!(world.store.stats().levels[0].files, 0, "asked for, it works");
}

#[test]
fn bytes_of_level_0_start_a_compaction_too() {
    let mut world = World::new(LsmOptions { l0_trigger: 50, ..options() });
    world.write(0..30);
    world.store.flush().unwrap();
    world.settle();
    assert_eq!(world.store.stats().pending_compaction_bytes, 0);
    let World { env, store, .. } = world;
    store.close();
    let few = LsmOptions { l0_trigger: 50, compaction_trigger_bytes: 1_000, ..options() };
    let store = open(&env, &dir(), few).unwrap();
    let bytes = store.stats().levels[0].bytes;
    assert!(bytes > 1_000);
    assert_eq!(store.pending_compaction_bytes(), bytes);
    while env.tasks.drive() {}
    assert_eq!((store.stats().levels[0].files, store.pending_compaction_bytes()), (0, 0));
}

#[test]
fn a_burst_of_writes_is_followed_by_one_collapse_and_then_by_nothing() {
    let mut world = World::new(options());
    let idle = options().idle_after;
    for burst in 0..3 {
        for n in 0..150 {
            world.write((0..10).map(|row| (burst * 150 + n) * 10 + row));
            world.settle();
        }
        // What is in the memtable stays there: idling never flushes.
        let before = world.store.stats();
        assert!(before.sst_file_count > 3);
        world.pass(idle / 2);
        assert_eq!(world.store.stats().compactions, before.compactions, "not yet");
        (0..20).for_each(|_| world.pass(idle));
        let collapsed = world.store.stats();
        assert!(collapsed.compactions > before.compactions);
        assert_eq!(collapsed.flushes, before.flushes);
        let above: usize = collapsed.levels[..6].iter().map(|level| level.files).sum();
        assert_eq!(above, 0, "one run: {collapsed:?}");
        (0..200).for_each(|_| world.pass(Duration::from_secs(3600)));
        assert_eq!(world.store.stats().compactions, collapsed.compactions, "nobody wrote");
    }
    world.check();
}

#[test]
fn idling_rewrites_little_or_nothing_when_little_was_written() {
    let mut world = World::new(options());
    for n in 0..600 {
        world.write((0..10).map(|row| n * 10 + row));
        world.settle();
    }
    (0..10).for_each(|_| world.pass(Duration::from_secs(2)));
    world.store.flush().unwrap();
    (0..10).for_each(|_| world.pass(Duration::from_secs(2)));
    let World { env, sim, store, journal, faults } = world;
    store.close();
    // After reopening nothing applied pays for a rewrite of the whole tree.
    let mut world = World { store: open(&env, &dir(), options()).unwrap(), env, sim, journal, faults };
    let mut written = 0;
    for n in 0..30 {
        world.write([1_000_000 + n]);
        world.store.flush().unwrap();
        let before = world.store.stats().compaction_bytes;
        (0..10).for_each(|_| world.pass(Duration::from_secs(2)));
        written = written.max(world.store.stats().compaction_bytes - before);
    }
    let total = world.store.stats().total_bytes;
    assert!(written * 5 < total, "{written} bytes rewritten of {total} for one row");
    assert!(world.store.stats().levels[0].files == 0, "and yet level 0 is empty");
    world.check();
}

#[test]
fn a_write_cuts_a_merge_off_that_nobody_needed() {
    let idle_after = Duration::from_secs(60);
    let mut world = World::new(LsmOptions { idle_after, ..options() });
    for n in 0..150 {
        world.write((0..10).map(|row| n * 10 + row));
        world.settle();
    }
    world.store.flush().unwrap();
    world.tidy();
    let before = world.store.stats();
    let begins = |_: &usize| {
        if !world.sim.tasks.drive() {
            world.sim.clock.advance(Duration::from_millis(100));
        }
        world.files_on_disk() > before.sst_file_count
    };
    assert!((0..10_000).find(begins).is_some());
    assert_eq!(world.store.stats().compactions, before.compactions, "a merge has begun");
    world.write([1]);
    world.settle();
    assert_eq!(world.store.stats().compactions, before.compactions);
    assert_eq!(world.files_on_disk(), before.sst_file_count, "what it had written is gone");
    world.pass(idle_after);
    assert_eq!(world.store.stats().compactions, before.compactions, "it waits twice as long now");
    (0..8).for_each(|_| world.pass(idle_after));
    assert!(world.store.stats().compactions > before.compactions, "{:?}", world.store.stats());
    world.check();
}

#[test]
fn replaced_files_go_one_by_one_and_not_faster_than_one_in_fifty_milliseconds() {
    let mut world = World::new(LsmOptions { idle_after: Duration::ZERO, ..options() });
    for n in 0..200 {
        world.write((0..10).map(|row| n * 10 + row));
        world.settle();
    }
    let live = world.store.stats().sst_file_count;
    let mut left = world.files_on_disk();
    assert!(left > live + 10, "{left} files, {live} live");
    let mut steps = 0;
    while left > live {
        world.pass(Duration::from_millis(50));
        let now = world.files_on_disk();
        assert!(left - now <= 1, "{} files at once", left - now);
        left = now;
        steps += 1;
    }
    assert!(steps >= 10);
    // Short of room, room comes first.
    for n in 0..100 {
        world.write((0..10).map(|row| 100_000 + n * 10 + row));
        world.settle();
    }
    let before = world.files_on_disk();
    assert!(before > world.store.stats().sst_file_count + 8);
    world.leave_room(4_000);
    world.pass(Duration::from_millis(50));
    assert!(before - world.files_on_disk() > 5, "{} of {before} left", world.files_on_disk());
}

#[test]
fn a_compaction_that_was_asked_for_removes_what_it_replaced_before_it_returns() {
    let mut world = World::new(options());
    for n in 0..100 {
        world.write((0..10).map(|row| n * 10 + row));
    }
    world.store.compact().unwrap();
    assert_eq!(world.files_on_disk(), world.store.stats().sst_file_count);
    // What a snapshot reads is not waited for.
    let view = world.store.snapshot();
    world.write(0..50);
    world.store.compact().unwrap();
    assert!(world.files_on_disk() > world.store.stats().sst_file_count);
    assert_eq!(rows(&view, &KeyRange::all(), Direction::Forward).unwrap().len(), 1_000);
}

#[test]
fn a_range_is_merged_without_the_rest_of_the_tree() {
    let mut world = World::new(LsmOptions { enable_auto_compaction: false, ..options() });
    let wide = LsmOptions { enable_auto_compaction: false, ..options() };
    for round in 0..6 {
        for n in 0..40 {
            world.write((0..10).map(|row| round * 400 + n * 10 + row));
        }
        world.store.compact_range(&KeyRange::all(), false, &|_| {}).unwrap();
    }
    let before = world.store.tables();
    assert!(before.len() >= 8 && before.iter().all(|table| table.level == 6), "{}", before.len());
    let third = &before[before.len() / 3];
    let range = KeyRange::between(third.smallest.clone(), third.largest.clone());
    // In shape: nothing to do.
    world.store.compact_range(&range, false, &|_| {}).unwrap();
    assert_eq!(world.store.tables(), before);
    let told: RefCell<Vec<CompactionProgress>> = RefCell::default();
    world.store.compact_range(&range, true, &|progress| told.borrow_mut().push(progress)).unwrap();
    let after = world.store.tables();
    let kept = before.iter().filter(|table| after.contains(table)).count();
    assert!(!after.contains(third), "it was written anew");
    assert!(kept * 2 > before.len(), "{kept} of {} left alone", before.len());
    let told = told.into_inner();
    assert!(told.len() > 3 && told.is_sorted_by(|a, b| a.done_bytes <= b.done_bytes && a.tables <= b.tables));
    let last = told.last().unwrap();
    let read: u64 = before.iter().filter(|table| !after.contains(table)).map(|table| table.bytes).sum();
    assert!(last.total_bytes >= read && last.tables > 0, "{last:?}, {read} read");
    // New rows in the range, all over the tree: level 0 becomes runs of the columns, then one column is merged down.
    world.write((0..300).map(|n| 50_000 + n));
    world.store.flush().unwrap();
    world.store.compact_range(&range, false, &|_| {}).unwrap();
    let tables = world.store.tables();
    assert!(tables.iter().all(|table| table.level > 0));
    let within =
        |table: &&TableInfo| table.largest >= range.start && table.smallest <= *range.end.as_ref().unwrap();
    assert!(tables.iter().filter(within).all(|table| table.level == 6));
    assert!(tables.iter().any(|table| table.level < 6), "elsewhere there are two runs");
    world.check();
    let World { env, store, .. } = world;
    store.close();
    open(&env, &dir(), wide).unwrap().verify().unwrap();
}

#[test]
fn columns_full_of_removals_are_merged_although_they_are_in_shape() {
    let mut world = World::new(LsmOptions { idle_after: Duration::ZERO, ..options() });
    for n in 0..400 {
        world.write((0..10).map(|row| n * 10 + row));
    }
    world.store.compact().unwrap();
    let full = world.store.stats();
    // An eighth of the data: far too little for the last runs to be merged for its size.
    for n in 0..60 {
        let mut removals = WriteBatch::new();
        (0..10).for_each(|row| removals.delete(&key((n * 10 + row) * 5)));
        world.try_write(removals).unwrap();
    }
    world.store.flush().unwrap();
    world.settle();
    let stats = world.store.stats();
    assert!(stats.compactions > full.compactions, "{stats:?}");
    assert!(stats.total_bytes < full.total_bytes, "{} of {} bytes", stats.total_bytes, full.total_bytes);
    world.check();
}

#[test]
fn a_scan_over_many_removed_rows_has_their_tables_merged() {
    let mut world = World::new(LsmOptions { idle_after: Duration::ZERO, l0_trigger: 500, ..options() });
    for n in 0..120 {
        world.write((0..10).map(|row| n * 10 + row));
    }
    world.store.flush().unwrap();
    for n in 0..120 {
        let mut removals = WriteBatch::new();
        (0..10).for_each(|row| removals.delete(&key(n * 10 + row)));
        world.try_write(removals).unwrap();
    }
    world.store.flush().unwrap();
    world.settle();
    let before = world.store.stats();
    assert!(before.compactions == 0 && before.total_bytes > 0, "{before:?}");
    // Point reads and short scans step over nothing.
    assert_eq!(world.store.get(&key(5)).unwrap(), None);
    world.settle();
    assert_eq!(world.store.stats().compactions, 0);
    world.check();
    world.settle();
    let after = world.store.stats();
    assert!(after.compactions > 0 && after.total_bytes < before.total_bytes / 2, "{after:?}");
    world.check();
}

#[test]
fn a_disk_that_fills_stops_writers_and_lets_them_on_again_without_a_restart() {
    let mut world = World::new(LsmOptions { reserve_bytes: 1 << 10, ..options() });
    for n in 0..60 {
        world.write((0..10).map(|row| n * 10 + row));
        world.settle();
    }
    assert!(world.env.fs.metadata(&dir().join("RESERVE")).unwrap().is_some_and(|found| found.len == 1 << 10));
    world.leave_room(8 << 10);
    let mut acknowledged = world.journal.batches.len() as u64;
    let refused = loop {
        let n = 1_000 + acknowledged;
        match world.try_write(batch((0..10).map(|row| n * 10 + row))) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        world.settle();
        assert!(acknowledged < 10_000, "the disk never fills");
    };
    assert!(matches!(refused, Error::Stalled { storage_full: true, .. }), "{refused}");
    // The reserve is for compaction, which makes room; a flush would only use it up.
    let reserve = || world.env.fs.metadata(&dir().join("RESERVE")).unwrap();
    assert!(reserve().is_some() || world.faults.call_counts().of(IoOp::Remove, "RESERVE").calls > 0);
    // Reads go on, and so does the failing flush, at its own pace.
    world.check();
    let before = world.store.flushed_lsn();
    for _ in 0..100 {
        // Whatever compaction frees, or the removal of what it has replaced, is taken by somebody else before the flush looks
        // for room again.
        world.leave_room(0);
        world.pass(Duration::from_millis(50));
    }
    assert_eq!(world.store.flushed_lsn(), before);
    world.sim.fs.set_capacity(None);
    for _ in 0..80 {
        world.pass(Duration::from_secs(1));
    }
    assert!(world.store.flushed_lsn() > before, "flushing goes on by itself");
    for n in 0..60 {
        world.write((0..10).map(|row| 200_000 + n * 10 + row));
        world.settle();
    }
    assert_eq!(world.store.stats().pending_compaction_bytes, 0);
    world.check();
}

#[test]
fn a_compaction_that_finds_the_disk_full_fails_softly_and_is_tried_again() {
    let mut world = World::new(LsmOptions { reserve_bytes: 1 << 10, ..options() });
    for n in 0..60 {
        world.write((0..10).map(|row| n * 10 + row));
        world.settle();
    }
    // So that the request has nothing to flush.
    world.store.flush().unwrap();
    world.tidy();
    let before = world.store.stats();
    let stop = world.store.tables().iter().map(|table| table.file).max().unwrap();
    world.faults.add(FaultRule::new(Fault::StorageFull).on(IoOp::Write).path(".sst"));
    let refused = world.store.compact_range(&KeyRange::all(), true, &|_| {});
    assert!(matches!(refused, Err(Error::Env(ref error)) if error.is_storage_full()), "{refused:?}");
    let tries = |world: &World| world.faults.call_counts().of(IoOp::Write, ".sst").calls;
    let failed = tries(&world);
    let given_up = world.faults.call_counts().of(IoOp::Remove, "RESERVE").calls;
    assert_eq!(given_up, 1, "the reserve gives compaction room");
    assert!(world.store.tables().iter().all(|table| table.file <= stop));
    assert_eq!(world.files_on_disk(), world.store.stats().sst_file_count, "no half tables are left");
    world.settle();
    assert_eq!(tries(&world), failed, "it is not tried in a loop");
    world.faults.clear();
    world.store.compact_range(&KeyRange::all(), true, &|_| {}).unwrap();
    assert!(world.store.stats().compactions > before.compactions);
    world.settle();
    let reserve = world.env.fs.metadata(&dir().join("RESERVE")).unwrap();
    assert_eq!(reserve.map(|found| found.len), Some(1 << 10), "there is room again");
    world.check();
}

#[test]
fn failing_compactions_do_not_stop_writers() {
    let mut world = World::new(options());
    for n in 0..30 {
        world.write((0..10).map(|row| n * 10 + row));
        world.settle();
    }
    // Every table whose content comes from other tables fails: those are never read by a flush.
    world.faults.add(FaultRule::new(Fault::Eio).on(IoOp::Read).path(".sst"));
    for n in 100..400 {
        world.write((0..10).map(|row| n * 10 + row));
    }
    assert!(world.store.stats().levels[0].files > 8);
    world.faults.clear();
    world.pass(Duration::from_secs(100));
    assert!(world.store.stats().levels[0].files < options().l0_trigger);
    world.check();
}

#[test]
fn writers_wait_for_level_0_before_it_grows_without_bound() {
    let mut world = World::new(options());
    let mut most = 0;
    for n in 0..600 {
        // The jobs run only while this writer waits for them.
        world.write((0..10).map(|row| n * 10 + row));
        most = most.max(world.store.stats().levels[0].files);
    }
    let stats = world.store.stats();
    let stop = options().l0_trigger * 6 + options().max_sealed_memtables + 2;
    assert!(most > options().l0_trigger && most <= stop, "{most} tables in level 0");
    let count = |cause| stats.apply_delays.iter().find(|delays| delays.cause == cause).unwrap().count;
    assert!(count(DelayCause::Level0) > 0, "{:?}", stats.apply_delays);
    world.check();
}

/// Builds a tree whose level 0 is due as soon as it is opened with compaction.
fn due(world: World) -> (World, LsmOptions) {
    let with = LsmOptions {
        memtable_bytes: 256 << 10,
        target_table_bytes: 256 << 10,
        block_bytes: 4 << 10,
        l0_trigger: 16,
        idle_after: Duration::ZERO,
        enable_auto_compaction: true,
        ..options()
    };
    let World { env, sim, faults, store, mut journal } = world;
    store.close();
    let without = LsmOptions { enable_auto_compaction: false, ..with.clone() };
    let store = open(&env, &dir(), without).unwrap();
    let mut dice = Dice::new(5);
    for n in 0..16u64 {
        let mut batch = WriteBatch::new();
        for row in 0..250 {
            // Nothing that could be compressed.
            let value: Vec<u8> = (0..125).flat_map(|_| dice.next().to_le_bytes()).collect();
            batch.put(&key(n * 250 + row), &value);
        }
        store.apply(&batch, journal.next_lsn()).unwrap();
        store.publish(journal.next_lsn());
        journal.batches.push((journal.next_lsn(), batch));
        store.flush().unwrap();
    }
    store.close();
    let store = open(&env, &dir(), with.clone()).unwrap();
    (World { env, sim, faults, store, journal }, with)
}

#[test]
fn a_tree_that_is_closed_in_the_middle_of_a_merge_leaves_nothing_of_it() {
    let (world, options) = due(World::new(options()));
    let before = world.files_on_disk();
    assert!((0..10_000).any(|_| {
        world.sim.tasks.drive();
        world.files_on_disk() > before
    }));
    let World { env, store, .. } = world;
    store.close();
    let tables = |dir: &std::path::Path| {
        let files = env.fs.list(dir).unwrap_or_default();
        files.into_iter().filter(|file| file.name.ends_with(".sst")).count()
    };
    assert_eq!(tables(&dir()), before);
    let store = open(&env, &dir(), LsmOptions { enable_auto_compaction: false, ..options }).unwrap();
    assert_eq!(store.stats().sst_file_count, before);
    assert_eq!(tables(&dir().parent().unwrap().join("quarantine")), 0);
    store.verify().unwrap();
}

#[test]
fn compaction_gives_way_to_slow_commits_and_does_what_it_can_without_them() {
    let time_for = |commit: Option<Duration>| {
        let (world, _) = due(World::new(options()));
        let pressure = world.store.pressure().unwrap();
        // What a commit takes on its own.
        (0..50).for_each(|_| pressure.report_sync(Duration::from_millis(1)));
        world.sim.clock.advance(Duration::from_secs(1));
        let start = world.sim.clock.monotonic();
        assert!(world.store.pending_compaction_bytes() > 4_000_000, "{:?}", world.store.stats().levels);
        let mut limited = false;
        for _ in 0..100_000 {
            if world.store.pending_compaction_bytes() == 0 {
                break;
            }
            if !world.sim.tasks.drive() {
                world.sim.clock.advance(Duration::from_millis(1));
            }
            commit.into_iter().for_each(|took| pressure.report_sync(took));
            limited |= world.store.stats().compaction_rate.is_some();
        }
        world.check();
        (world.sim.clock.monotonic() - start, limited)
    };
    assert_eq!(time_for(None), (Duration::ZERO, false));
    assert_eq!(time_for(Some(Duration::from_millis(1))), (Duration::ZERO, false), "as quick as on their own");
    let (slow, limited) = time_for(Some(Duration::from_millis(30)));
    // Four megabytes at the least rate of 8 MiB per second, but for the way down to it.
    assert!(limited && slow > Duration::from_millis(200) && slow < Duration::from_millis(600), "{slow:?}");
}

#[test]
fn whoever_stops_waiting_for_a_compaction_is_answered_and_the_compaction_goes_on() {
    let mut world = World::new(LsmOptions { enable_auto_compaction: false, ..options() });
    for n in 0..60 {
        world.write((0..10).map(|row| n * 10 + row));
    }
    let before = world.store.stats();
    let asked = Cell::new(0);
    let is_stopped = || {
        asked.set(asked.get() + 1);
        asked.get() > 2
    };
    let all = KeyRange::all();
    assert!(!world.store.compact_range_until(&all, true, &|_| {}, &is_stopped).unwrap());
    world.settle();
    let after = world.store.stats();
    assert!(after.compactions > before.compactions, "it was asked for");
    assert!(world.store.compact_range_until(&all, true, &|_| {}, &|| false).unwrap());
    world.check();
}

#[test]
fn compactions_are_counted_by_their_duration() {
    let mut world = World::new(options());
    for n in 0..100 {
        world.write((0..10).map(|row| n * 10 + row));
    }
    world.store.compact_range(&KeyRange::all(), true, &|_| {}).unwrap();
    let stats = world.store.stats();
    assert!(stats.compactions > 0);
    assert_eq!(stats.compaction_buckets.iter().sum::<u64>(), stats.compactions);
}

#[test]
fn the_blocks_that_a_thread_has_asked_for_are_its_own() {
    let mut world = World::new(options());
    for n in 0..100 {
        world.write((0..10).map(|row| n * 10 + row));
    }
    world.store.compact_range(&KeyRange::all(), true, &|_| {}).unwrap();
    let began = ThreadReads::now();
    let all = rows(&world.store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap();
    let scan = ThreadReads::now().since(began);
    assert!(scan.block_reads > 0, "{scan:?}");
    let (key, ..) = &all[500];
    world.store.get(key).unwrap().unwrap();
    let began = ThreadReads::now();
    world.store.get(key).unwrap().unwrap();
    let again = ThreadReads::now().since(began);
    assert_eq!((again.block_reads, again.cache_hits), (0, 1), "it was looked up a moment ago");
    let elsewhere = std::thread::scope(|scope| scope.spawn(ThreadReads::now).join().unwrap());
    assert_eq!(elsewhere, ThreadReads::default());
}
