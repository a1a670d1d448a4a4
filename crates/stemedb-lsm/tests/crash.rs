//! Power cuts: every short sequence of operations, every moment, many outcomes of each.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{collections::BTreeSet, sync::Arc};

use stemedb_env::{
    Env,
    clock::{Micros, SimClock},
    fs::{
        SimFs,
        sim::{CrashOptions, Profile},
    },
};
use stemedb_lsm::{Direction, Error, KeyRange, KvStore, LsmStore, Lsn, TableRepair, WriteBatch};
use support::{Journal, create, dir, key, open, options, rows};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Small,
    Big,
    Flush,
    Compact,
    Reopen,
}

const ACTS: [Act; 5] = [Act::Small, Act::Big, Act::Flush, Act::Compact, Act::Reopen];

fn machine(fs: SimFs) -> Env {
    Env::over(fs, Arc::new(SimClock::new(Micros(0))), 7).0
}

/// The batch that is determined by its LSN and size: overwrites and removals of a few keys.
fn batch(lsn: Lsn, size: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for n in 0..size {
        let key = key((lsn.0 * 7 + n * 5) % 41);
        if (lsn.0 + n).is_multiple_of(4) {
            batch.delete(&key);
        } else {
            batch.put(&key, format!("value {lsn} {n}").as_bytes());
        }
    }
    batch
}

struct World {
    fs: SimFs,
    env: Env,
    store: Option<LsmStore>,
    journal: Journal,
}

impl World {
    fn new(profile: Profile) -> World {
        let fs = SimFs::with_profile(profile);
        let env = machine(fs.clone());
        let store = Some(create(&env, &dir(), options()));
        World { fs, env, store, journal: Journal::default() }
    }

    fn act(&mut self, act: Act) {
        let store = self.store.as_ref().unwrap();
        match act {
            Act::Small | Act::Big => {
                let lsn = self.journal.next_lsn();
                let batch = batch(lsn, if act == Act::Small { 2 } else { 24 });
                // The journal has it before it becomes visible, as in the engine.
                self.journal.batches.push((lsn, batch.clone()));
                store.apply(&batch, lsn).unwrap();
                store.publish(lsn);
                // Background work gets a turn, so that power cuts hit flushes nobody waits for.
                (0..6).for_each(|_| _ = self.env.tasks.drive());
            }
            Act::Flush => {
                let flushed = store.flush().unwrap();
                self.fs.note(flushed.0);
            }
            Act::Compact => {
                store.compact().unwrap();
                self.fs.note(store.flushed_lsn().0);
            }
            Act::Reopen => {
                self.store.take().unwrap().close();
                let store = open(&self.env, &dir(), options()).unwrap();
                self.journal.replay(&store, store.flushed_lsn()).unwrap();
                self.store = Some(store);
            }
        }
    }
}

fn all(store: &LsmStore) -> Vec<support::Found> {
    rows(&store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap()
}

fn expected(journal: &Journal, upto: Lsn) -> Vec<support::Found> {
    rows(&journal.model(upto).snapshot(), &KeyRange::all(), Direction::Forward).unwrap()
}

/// Opens what a power cut left and compares it with the journal.
fn check(fs: SimFs, journal: &Journal, acknowledged: Lsn, deep: bool, what: &dyn std::fmt::Debug) {
    let env = machine(fs);
    let store = open(&env, &dir(), options()).unwrap_or_else(|error| panic!("{what:?}: {error}"));
    let flushed = store.flushed_lsn();
    assert!(flushed >= acknowledged, "{what:?}: flushed {flushed}, acknowledged {acknowledged}");
    assert!(store.damaged().is_empty(), "{what:?}: {:?}", store.damaged());
    assert_eq!(all(&store), expected(journal, flushed), "{what:?}: state at {flushed}");
    if deep {
        journal.replay(&store, flushed).unwrap();
    } else {
        journal.replay_at_once(&store, flushed).unwrap();
    }
    let last = journal.batches.last().map_or(Lsn::ZERO, |(lsn, _)| *lsn);
    assert_eq!(all(&store), expected(journal, last), "{what:?}: after replay");
    if deep {
        store.verify().unwrap();
        store.compact().unwrap();
        assert_eq!(store.flushed_lsn(), last);
        store.close();
        let again = open(&env, &dir(), options()).unwrap();
        again.verify().unwrap();
        assert_eq!(all(&again), expected(journal, last), "{what:?}: after compaction and reopening");
    }
}

/// Runs `prelude` and `sequence`; cuts the power at every moment of the last act (the moments before are those of the
/// shorter sequences). Returns the number of outcomes checked.
fn enumerate(profile: Profile, prelude: &[Act], sequence: &[Act], seen: &mut BTreeSet<u128>) -> u64 {
    let (last, before) = sequence.split_last().unwrap();
    let mut world = World::new(profile);
    prelude.iter().chain(before).for_each(|act| world.act(*act));
    world.fs.record(true);
    world.act(*last);
    world.fs.record(false);
    let mut checked = 0;
    for point in world.fs.take_crash_points() {
        let options = CrashOptions { exhaustive_units: 8, samples: 16, seed: point.mutations };
        for state in point.fs.crash_states(&options) {
            if !seen.insert(state.hash) {
                continue;
            }
            checked += 1;
            let what = (prelude.len(), sequence, &point.operation, &state.selection);
            check(state.fs, &world.journal, Lsn(point.note), checked % 8 == 0, &what);
        }
    }
    checked
}

fn sequences(length: usize) -> Vec<Vec<Act>> {
    (0..length).fold(vec![Vec::new()], |shorter, _| {
        shorter.iter().flat_map(|before| ACTS.map(|act| [before.as_slice(), &[act]].concat())).collect()
    })
}

#[test]
fn every_power_cut_in_every_short_sequence_leaves_an_exact_prefix() {
    let deep = [
        Act::Big,
        Act::Flush,
        Act::Big,
        Act::Flush,
        Act::Big,
        Act::Compact,
        Act::Small,
        Act::Flush,
        Act::Big,
    ];
    let mut checked = 0;
    for (profile, prelude, lengths) in [
        (Profile::Adversarial, &[][..], 1..=3),
        (Profile::Adversarial, &deep[..], 1..=4),
        (Profile::Ext4Like, &deep[..], 1..=2),
        (Profile::FourKn, &deep[..], 1..=1),
    ] {
        for sequence in lengths.flat_map(sequences) {
            // Images are compared with the journal of their own sequence.
            let mut seen = BTreeSet::new();
            checked += enumerate(profile, prelude, &sequence, &mut seen);
        }
    }
    println!("{checked} outcomes of power cuts");
    assert!(checked >= 10_000, "{checked} outcomes of power cuts");
}

#[test]
fn a_power_cut_while_a_tree_is_made_leaves_none_or_an_empty_one() {
    let fs = SimFs::new();
    fs.record(true);
    drop(create(&machine(fs.clone()), &dir(), options()));
    let mut checked = 0;
    for point in fs.take_crash_points() {
        for state in point.fs.crash_states(&CrashOptions { exhaustive_units: 8, samples: 32, seed: 1 }) {
            checked += 1;
            let env = machine(state.fs);
            match open(&env, &dir(), options()) {
                Ok(store) => assert_eq!((all(&store).len(), store.flushed_lsn()), (0, Lsn::ZERO)),
                Err(Error::Folder { .. }) => {
                    let store = create(&env, &dir(), options());
                    assert!(all(&store).is_empty());
                }
                Err(other) => panic!("{:?}: {other}", state.selection),
            }
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn a_second_power_cut_while_reopening_changes_nothing() {
    let mut world = World::new(Profile::Adversarial);
    for act in [Act::Big, Act::Flush, Act::Big, Act::Big, Act::Compact, Act::Big, Act::Small] {
        world.act(act);
    }
    let acknowledged = world.store.as_ref().unwrap().flushed_lsn();
    let first = world.fs.crash_losing_all();
    first.record(true);
    drop(open(&machine(first.clone()), &dir(), options()).unwrap());
    let mut checked = 0;
    for point in first.take_crash_points() {
        for state in point.fs.crash_states(&CrashOptions { exhaustive_units: 8, samples: 32, seed: 3 }) {
            checked += 1;
            check(state.fs, &world.journal, acknowledged, false, &(&point.operation, &state.selection));
        }
    }
    assert!(checked >= 20, "{checked}");
}

/// A process that is killed leaves in the page cache what it has written and not synced. The next one reads it there, and a power
/// cut may still take it away.
#[test]
fn a_power_cut_while_the_tree_of_a_killed_process_is_reopened_is_no_damage() {
    let mut world = World::new(Profile::Adversarial);
    for act in [Act::Big, Act::Flush, Act::Big] {
        world.act(act);
    }
    world.fs.note(world.store.as_ref().unwrap().flushed_lsn().0);
    world.fs.record(true);
    world.act(Act::Flush);
    world.act(Act::Big);
    world.act(Act::Compact);
    world.fs.record(false);
    let mut checked = 0;
    for killed in world.fs.take_crash_points() {
        let next = killed.fs.process_killed();
        next.record(true);
        drop(open(&machine(next.clone()), &dir(), options()).unwrap());
        for point in next.take_crash_points() {
            for state in point.fs.crash_states(&CrashOptions { exhaustive_units: 4, samples: 8, seed: 5 }) {
                checked += 1;
                let what = (&killed.operation, &point.operation, &state.selection);
                check(state.fs, &world.journal, Lsn(killed.note), false, &what);
            }
        }
    }
    assert!(checked >= 1_000, "{checked}");
}

#[test]
fn a_failed_sync_anywhere_loses_nothing_that_was_acknowledged() {
    // Each file in turn fails its next sync and loses what was pending, as Linux does.
    let mut failures = 0;
    for skip in 0..12 {
        let mut world = World::new(Profile::Adversarial);
        for act in [Act::Big, Act::Flush, Act::Big] {
            world.act(act);
        }
        let mut paths = world.fs.paths();
        paths.push(dir());
        let Some(path) = paths.get(skip) else { break };
        world.fs.fail_next_sync(path).unwrap();
        let published = world.store.as_ref().unwrap().published_lsn();
        if let Err(error) = world.store.as_ref().unwrap().flush() {
            failures += 1;
            assert!(matches!(error, Error::Env(_)), "{error}");
            assert_eq!(
                all(world.store.as_ref().unwrap()),
                expected(&world.journal, published),
                "reads go on"
            );
            // The disk works again: a new table under a new name, and a new manifest.
        }
        let store = world.store.as_ref().unwrap();
        let flushed = store.flush().unwrap();
        assert_eq!(flushed, store.published_lsn());
        assert_eq!(all(store), expected(&world.journal, flushed));
        check(world.fs.crash_losing_all(), &world.journal, flushed, true, &path);
    }
    assert!(failures >= 2, "{failures} flushes failed");
}

#[test]
fn what_is_not_published_is_never_flushed_and_can_be_forgotten() {
    let mut world = World::new(Profile::Adversarial);
    world.act(Act::Small);
    let store = world.store.as_ref().unwrap();
    // Far more than the memtables may hold: an unpublished batch never waits, and never reaches a table.
    for lsn in 2..40 {
        store.apply(&batch(Lsn(lsn), 24), Lsn(lsn)).unwrap();
        (0..20).for_each(|_| _ = world.env.tasks.drive());
    }
    assert_eq!(store.published_lsn(), Lsn(1));
    assert!(store.flushed_lsn() <= Lsn(1));
    assert_eq!(store.flush().unwrap(), Lsn(1), "a flush takes what is published and leaves the rest");
    assert!(store.tables().iter().all(|table| table.max_lsn <= Lsn(1)));
    assert_eq!(all(store), expected(&world.journal, Lsn(1)));
    // A part becomes visible, the rest is forgotten.
    for lsn in 2..10 {
        world.journal.batches.push((Lsn(lsn), batch(Lsn(lsn), 24)));
    }
    store.publish(Lsn(9));
    store.abandon().unwrap();
    assert_eq!(all(store), expected(&world.journal, Lsn(9)));
    assert_eq!(store.flush().unwrap(), Lsn(9));
    assert!(store.tables().iter().all(|table| table.max_lsn <= Lsn(9)));
    check(world.fs.crash_losing_all(), &world.journal, Lsn(9), true, &"abandoned");
    // The forgotten numbers are used again.
    world.act(Act::Big);
    world.act(Act::Flush);
    check(world.fs.crash_losing_all(), &world.journal, Lsn(10), true, &"used again");
}
