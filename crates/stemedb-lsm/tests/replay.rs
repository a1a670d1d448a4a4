//! Replaying at once against applying and publishing batch by batch, with power cuts in between.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use stemedb_env::{
    Env,
    clock::{Micros, SimClock},
    fs::{SimFs, sim::CrashOptions},
};
use stemedb_lsm::{
    Direction, Error, KeyRange, KvSnapshot, KvStore, LsmOptions, LsmStore, Lsn, WriteBatch, kv::MAX_KEY_BYTES,
};
use support::{Dice, Found, Journal, create, dir, key, open, options, rows};

fn machine(fs: SimFs) -> Env {
    Env::over(fs, Arc::new(SimClock::new(Micros(0))), 7).0
}

fn journal(seed: u64, batches: u64, rows: u64) -> Journal {
    let mut dice = Dice::new(seed);
    let mut journal = Journal::default();
    for _ in 0..batches {
        let mut batch = WriteBatch::new();
        for _ in 0..dice.below(rows) {
            let key = key(dice.below(300));
            if dice.below(5) == 0 {
                batch.delete(&key);
            } else {
                batch.put(&key, &vec![dice.below(250) as u8; dice.below(60) as usize]);
            }
        }
        journal.batches.push((journal.next_lsn(), batch));
    }
    journal
}

fn shown(store: &LsmStore, lsn: Lsn) -> Option<[Vec<Found>; 2]> {
    let snapshot = store.snapshot_at(lsn).ok()?;
    let all = |direction| rows(&snapshot, &KeyRange::all(), direction).unwrap();
    let found = [all(Direction::Forward), all(Direction::Backward)];
    for (key, _, value) in &found[0] {
        assert_eq!(snapshot.get(key).unwrap().as_deref(), Some(value.as_slice()));
    }
    Some(found)
}

#[test]
fn the_result_is_that_of_applying_and_publishing() {
    for seed in 0..30 {
        // From runs of a row or two to one that never fills.
        let limit = [64, 2 << 10, 16 << 10, 1 << 20][seed as usize % 4];
        let options = LsmOptions { memtable_bytes: limit, ..options() };
        let journal = journal(seed, 80, 12);
        let stores = [0, 1].map(|seed| create(&Env::sim(seed).0, &dir(), options.clone()));
        // Some of it is there already, and not flushed.
        let early = Lsn(seed % 5);
        let begun = Journal { batches: journal.batches[..early.0 as usize].to_vec() };
        stores.iter().for_each(|store| begun.replay(store, Lsn::ZERO).unwrap());
        journal.replay(&stores[0], early).unwrap();
        journal.replay_at_once(&stores[1], early).unwrap();
        let [last, _] = [0, 1].map(|at: usize| stores[at].published_lsn());
        assert_eq!(last, stores[1].published_lsn());
        for lsn in 0..=last.0 {
            if let Some(found) = shown(&stores[1], Lsn(lsn)) {
                let model = rows(&journal.model(Lsn(lsn)).snapshot(), &KeyRange::all(), Direction::Forward);
                assert_eq!(found[0], model.unwrap());
                assert_eq!(found[0], found[1].iter().rev().cloned().collect::<Vec<_>>());
            } else {
                assert!(stores[1].flushed_lsn() > Lsn::ZERO, "only merging forgets versions");
            }
        }
        assert_eq!(shown(&stores[0], last), shown(&stores[1], last));
        assert_eq!(stores[0].flush().unwrap(), stores[1].flush().unwrap());
        assert_eq!(shown(&stores[0], last), shown(&stores[1], last));
    }
}

#[test]
fn runs_are_invisible_until_full_or_finished_and_memory_is_bounded() {
    let limit = 8 << 10;
    let options = LsmOptions { memtable_bytes: limit, ..options() };
    let store = create(&Env::sim(1).0, &dir(), options.clone());
    let journal = journal(3, 400, 12);
    let mut replay = store.begin_replay();
    let mut handed_over = 0;
    for (lsn, batch) in &journal.batches {
        let before = store.published_lsn();
        replay.apply(batch, *lsn).unwrap();
        let now = store.published_lsn();
        if now != before {
            handed_over += 1;
            assert_eq!(now, *lsn, "a run becomes visible as a whole");
        }
        let stats = store.stats();
        assert!(stats.sealed_memtables <= options.max_sealed_memtables + 1, "{stats:?}");
        assert!(stats.memtable_bytes as usize <= (options.max_sealed_memtables + 1) * (limit + 2_000));
    }
    assert!(handed_over > 10, "{handed_over} runs");
    let stale = replay.apply(&WriteBatch::new(), journal.batches[0].0);
    assert!(matches!(stale, Err(Error::OutOfOrder { .. })));
    let mut wrong = WriteBatch::new();
    wrong.put(&vec![0; MAX_KEY_BYTES + 1], b"");
    assert!(matches!(replay.apply(&wrong, Lsn(1_000)), Err(Error::TooLarge { .. })));
    assert_eq!(replay.finish().unwrap(), Lsn(400));
    assert_eq!(store.published_lsn(), Lsn(400));
    // Few rows went into the list, where more can join them; nothing is left to do.
    assert_eq!(store.begin_replay().finish().unwrap(), Lsn(400));
}

#[test]
fn a_replay_that_is_dropped_or_overtaken_changes_nothing_more() {
    let store = create(&Env::sim(1).0, &dir(), LsmOptions::default());
    let journal = journal(5, 20, 12);
    let mut dropped = store.begin_replay();
    journal.batches.iter().for_each(|(lsn, batch)| dropped.apply(batch, *lsn).unwrap());
    drop(dropped);
    assert_eq!((store.published_lsn(), shown(&store, Lsn::ZERO)), (Lsn::ZERO, Some([vec![], vec![]])));
    let mut overtaken = store.begin_replay();
    overtaken.apply(&journal.batches[0].1, Lsn(1)).unwrap();
    store.apply(&journal.batches[0].1, Lsn(1)).unwrap();
    assert!(matches!(overtaken.finish(), Err(Error::OutOfOrder { .. })));
    store.publish(Lsn(1));
    journal.replay_at_once(&store, Lsn(1)).unwrap();
    assert_eq!(store.published_lsn(), Lsn(20));
}

#[test]
fn a_power_cut_anywhere_in_a_replay_leaves_an_exact_prefix() {
    let journal = journal(9, 60, 12);
    let expected =
        |upto: Lsn| rows(&journal.model(upto).snapshot(), &KeyRange::all(), Direction::Forward).unwrap();
    let fs = SimFs::new();
    let store = create(&machine(fs.clone()), &dir(), options());
    fs.record(true);
    journal.replay_at_once(&store, Lsn::ZERO).unwrap();
    drop(store);
    fs.record(false);
    let (mut checked, mut flushed_lsns) = (0, std::collections::BTreeSet::new());
    for point in fs.take_crash_points() {
        for state in
            point.fs.crash_states(&CrashOptions { exhaustive_units: 6, samples: 8, seed: point.mutations })
        {
            checked += 1;
            let store = open(&machine(state.fs), &dir(), options()).unwrap();
            let flushed = store.flushed_lsn();
            flushed_lsns.insert(flushed);
            let all =
                |store: &LsmStore| rows(&store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap();
            assert_eq!(all(&store), expected(flushed), "state at {flushed}");
            journal.replay_at_once(&store, flushed).unwrap();
            assert_eq!(all(&store), expected(Lsn(60)), "after {flushed}");
        }
    }
    assert!(checked > 100, "{checked} outcomes");
    assert!(flushed_lsns.len() > 4, "{flushed_lsns:?}");
}
