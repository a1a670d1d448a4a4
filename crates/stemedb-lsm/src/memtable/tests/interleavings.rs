//! One writer and many readers under every schedule that shuttle comes up with: `cargo xtask interleavings`.
//!
//! Built with `--cfg shuttle` only: then the links of the list and its lock are shuttle's, and its scheduler decides who
//! runs at each of them.

use shuttle::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use stemedb_env::Lsn;

use super::super::*;
use crate::{
    Direction, KeyRange,
    table::{Bounds, filter::filter_hash},
};

/// Schedules per test: some milliseconds each thousand.
const RANDOM: usize = 6_000;
const PCT: usize = 6_000;

const BATCHES: u64 = 4;

fn explore(test: impl Fn() + Send + Sync + 'static) {
    let test = std::sync::Arc::new(test);
    let again = std::sync::Arc::clone(&test);
    shuttle::check_random(move || test(), RANDOM);
    shuttle::check_pct(move || again(), PCT, 3);
}

/// Every batch writes three keys, in front of, between and over those that are there.
fn keys(batch: u64) -> [String; 3] {
    [format!("k{}", 9 - batch), "k1".to_owned(), format!("k1-{batch}")]
}

fn insert(memtable: &Memtable, batch: u64) {
    let mut puts = WriteBatch::new();
    keys(batch).iter().for_each(|key| puts.put(key.as_bytes(), &batch.to_be_bytes()));
    memtable.insert_batch(&puts, Lsn(batch), &mut Sorter::default());
}

/// Everything at or below an LSN, newest version of a key first.
fn expected(upto: u64) -> Vec<(String, u64)> {
    let mut rows: Vec<(String, u64)> =
        (1..=upto).flat_map(|batch| keys(batch).map(|key| (key, batch))).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    rows
}

fn walk(memtable: &Memtable, direction: Direction, upto: u64) -> Vec<(String, u64)> {
    let bounds = std::sync::Arc::new(Bounds::of(&KeyRange::all(), None));
    let mut cursor = MemCursor::new(memtable, bounds, direction, Lsn(upto));
    let mut seen = Vec::new();
    while cursor.advance() {
        assert_eq!(cursor.value(), Some(&cursor.lsn().0.to_be_bytes()[..]), "a row is whole");
        seen.push((String::from_utf8(cursor.key().to_vec()).unwrap(), cursor.lsn().0));
    }
    seen
}

fn check(memtable: &Memtable, upto: u64) {
    let rows = expected(upto);
    assert_eq!(walk(memtable, Direction::Forward, upto), rows);
    let mut backward = walk(memtable, Direction::Backward, upto);
    backward.reverse();
    assert_eq!(backward, rows);
    for (key, lsn) in &rows {
        let newest = rows.iter().find(|(other, _)| other == key).map(|(_, lsn)| *lsn).unwrap();
        for (at, wanted) in [(*lsn, *lsn), (upto, newest)] {
            match memtable.get(key.as_bytes(), filter_hash(key.as_bytes()), Lsn(at)) {
                Found::Value(value) => assert_eq!(*value, wanted.to_be_bytes()),
                other => panic!("{key} at {at}: {other:?}"),
            }
        }
    }
}

fn memtable() -> Memtable {
    let options = LsmOptions { memtable_bytes: 1 << 20, ..LsmOptions::default() };
    Memtable::new(&MemtableShape::new(&options, &Memory::unlimited(0)))
}

#[test]
fn readers_see_every_published_row_whole_while_the_writer_inserts() {
    explore(|| {
        let memtable = Arc::new(memtable());
        let published = Arc::new(AtomicU64::new(0));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (memtable, published) = (Arc::clone(&memtable), Arc::clone(&published));
                thread::spawn(move || {
                    (0..2).for_each(|_| check(&memtable, published.load(Ordering::Acquire)));
                })
            })
            .collect();
        for batch in 1..=BATCHES {
            insert(&memtable, batch);
            published.store(batch, Ordering::Release);
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        check(&memtable, BATCHES);
    });
}

#[test]
fn an_abandoned_batch_leaves_readers_alone_and_its_lsn_free() {
    explore(|| {
        let before = Arc::new(memtable());
        insert(&before, 1);
        insert(&before, 2);
        let reader = {
            let before = Arc::clone(&before);
            thread::spawn(move || check(&before, 1))
        };
        let sealed = {
            let before = Arc::clone(&before);
            thread::spawn(move || before.remove_above(Lsn(1)))
        };
        let after = before.without_above(Lsn(1));
        for batch in 2..=BATCHES {
            insert(&after, batch);
        }
        check(&after, BATCHES);
        reader.join().unwrap();
        sealed.join().unwrap();
        assert_eq!(walk(&before, Direction::Forward, BATCHES), expected(1), "hidden for good");
        assert_eq!(before.rows(), 3);
    });
}

#[test]
fn two_writers_take_turns() {
    explore(|| {
        let memtable = Arc::new(memtable());
        let other = {
            let memtable = Arc::clone(&memtable);
            thread::spawn(move || insert(&memtable, 2))
        };
        insert(&memtable, 1);
        other.join().unwrap();
        check(&memtable, 2);
    });
}
