//! A second tree of hard links: whole, on its own, or not there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{path::PathBuf, sync::Arc};

use stemedb_env::{
    Env,
    clock::{Micros, SimClock},
    fs::{SimFs, sim::CrashOptions},
};
use stemedb_lsm::{CorruptionKind, Direction, Error, KeyRange, KvStore, LsmStore, Lsn, WriteBatch};
use support::{Found, Journal, create, dir, key, open, options, rows};

fn machine(fs: SimFs) -> Env {
    Env::over(fs, Arc::new(SimClock::new(Micros(0))), 7).0
}

fn there() -> PathBuf {
    PathBuf::from("/backup/today/kv")
}

fn write(store: &LsmStore, journal: &mut Journal, rounds: u64) {
    for _ in 0..rounds {
        let lsn = journal.next_lsn();
        let mut batch = WriteBatch::new();
        for n in 0..20 {
            let key = key((lsn.0 * 13 + n * 7) % 300);
            match (lsn.0 + n) % 5 {
                0 => batch.delete(&key),
                _ => batch.put(&key, format!("{lsn} {n}").as_bytes()),
            }
        }
        store.apply(&batch, lsn).unwrap();
        store.publish(lsn);
        journal.batches.push((lsn, batch));
    }
}

fn all(store: &LsmStore) -> Vec<Found> {
    rows(&store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap()
}

fn expected(journal: &Journal, upto: Lsn) -> Vec<Found> {
    rows(&journal.model(upto).snapshot(), &KeyRange::all(), Direction::Forward).unwrap()
}

#[test]
fn a_checkpoint_is_a_tree_of_its_own_and_stays_as_it_was() {
    let env = machine(SimFs::new());
    let store = create(&env, &dir(), options());
    let mut journal = Journal::default();
    write(&store, &mut journal, 80);
    let upto = store.checkpoint(&there()).unwrap();
    assert_eq!(upto, journal.batches.last().unwrap().0, "everything published");
    assert!(matches!(store.checkpoint(&there()), Err(Error::Folder { problem: "is not empty", .. })));
    // The first tree goes on, and its tables of that time go.
    write(&store, &mut journal, 80);
    store.compact().unwrap();
    assert_eq!(all(&store), expected(&journal, store.published_lsn()));
    let copy = open(&env, &there(), options()).unwrap();
    assert_eq!((all(&copy), copy.flushed_lsn()), (expected(&journal, upto), upto));
    copy.verify().unwrap();
    // And so does the second, without the first noticing.
    let mut own = Journal { batches: journal.batches[..80].to_vec() };
    write(&copy, &mut own, 40);
    copy.compact().unwrap();
    assert_eq!(all(&copy), expected(&own, copy.published_lsn()));
    assert_eq!(all(&store), expected(&journal, store.published_lsn()));
    store.verify().unwrap();
}

#[test]
fn a_table_that_is_missing_is_noted_and_no_other() {
    let fs = SimFs::new();
    let env = machine(fs.clone());
    let store = create(&env, &dir(), options());
    let mut journal = Journal::default();
    write(&store, &mut journal, 80);
    // Only those that are live are left.
    store.compact().unwrap();
    assert_eq!(all(&store), expected(&journal, store.published_lsn()));
    let names = env.fs.list(&dir()).unwrap().into_iter().map(|entry| entry.name);
    let tables: Vec<PathBuf> =
        names.filter(|name| name.ends_with(".sst")).map(|name| dir().join(name)).collect();
    fs.delete(&tables[0]).unwrap();
    for to in [there(), PathBuf::from("/backup/again/kv")] {
        match store.checkpoint(&to) {
            Err(Error::Corruption { kind: CorruptionKind::TableMissing, file, .. }) => {
                assert_eq!(file, tables[0]);
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(open(&env, &to, options()), Err(Error::Folder { problem: "holds no tree", .. })));
    }
    let damaged = store.damaged();
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].1.kind, CorruptionKind::TableMissing);
}

#[test]
fn a_power_cut_in_a_checkpoint_leaves_all_of_it_or_no_tree_and_the_original_whole() {
    let fs = SimFs::new();
    let env = machine(fs.clone());
    let store = create(&env, &dir(), options());
    let mut journal = Journal::default();
    write(&store, &mut journal, 30);
    let acknowledged = store.flush().unwrap();
    fs.record(true);
    let upto = store.checkpoint(&there()).unwrap();
    let whole = expected(&journal, upto);
    let (mut checked, mut trees) = (0, 0);
    for point in fs.take_crash_points() {
        for state in point.fs.crash_states(&CrashOptions { exhaustive_units: 6, samples: 24, seed: 5 }) {
            checked += 1;
            let env = machine(state.fs);
            match open(&env, &there(), options()) {
                Ok(copy) => {
                    trees += 1;
                    assert_eq!((all(&copy), copy.flushed_lsn()), (whole.clone(), upto));
                    copy.verify().unwrap();
                }
                Err(Error::Folder { problem: "holds no tree", .. }) => {}
                Err(other) => panic!("{:?} {:?}: {other}", point.operation, state.selection),
            }
            let original = open(&env, &dir(), options()).unwrap();
            assert!(original.flushed_lsn() >= acknowledged);
            original.verify().unwrap();
        }
    }
    assert!(checked > 100, "{checked}");
    // After the last call nothing can take it away.
    let survived = machine(fs.crash_losing_all());
    assert_eq!(all(&open(&survived, &there(), options()).unwrap()), whole);
    eprintln!("{checked} disks, {trees} with a tree");
}
