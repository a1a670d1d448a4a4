//! The memtable against a sorted map: the same operations in safe code, of which nothing can be undefined.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use proptest::prelude::*;
use stemedb_env::Lsn;

use super::super::*;
use crate::{
    Direction, KeyRange,
    table::{Bounds, filter::filter_hash},
};

/// The twin: key and LSN (newest first) to value.
type Twin = BTreeMap<(Vec<u8>, std::cmp::Reverse<u64>), Option<Vec<u8>>>;

type Put = (Vec<u8>, Option<Vec<u8>>);
type Seen = (Vec<u8>, u64, Option<Vec<u8>>);

fn declared(key: &[u8]) -> usize {
    key.iter().position(|byte| *byte == b'/').map_or(0, |at| at + 1)
}

fn shape() -> MemtableShape {
    let options =
        LsmOptions { memtable_bytes: 8 << 20, prefix_extractor: Some(declared), ..LsmOptions::default() };
    MemtableShape::new(&options, &Memory::unlimited(0))
}

fn batch_of(puts: &[Put]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for (key, value) in puts {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
    }
    batch
}

/// What was done to a memtable and its twin.
struct Pair {
    memtable: Memtable,
    twin: Twin,
    sorter: Sorter,
}

impl Pair {
    fn new() -> Pair {
        Pair { memtable: Memtable::new(&shape()), twin: Twin::new(), sorter: Sorter::default() }
    }

    fn insert(&mut self, puts: &[Put], lsn: u64) {
        self.memtable.insert_batch(&batch_of(puts), Lsn(lsn), &mut self.sorter);
        for (key, value) in puts {
            self.twin.insert((key.clone(), std::cmp::Reverse(lsn)), value.clone());
        }
    }

    fn expected(&self, range: &KeyRange, upto: u64) -> Vec<Seen> {
        let rows = self.twin.iter().filter(|((key, lsn), _)| lsn.0 <= upto && range.contains(key));
        rows.map(|((key, lsn), value)| (key.clone(), lsn.0, value.clone())).collect()
    }

    fn check(&self, keys: &BTreeSet<Vec<u8>>, ranges: &[KeyRange], upto: u64) {
        check(&self.memtable, &self.twin, keys, ranges, upto, &|range, upto| self.expected(range, upto));
    }
}

fn walk(memtable: &Memtable, range: &KeyRange, direction: Direction, upto: u64) -> Vec<Seen> {
    let bounds = Arc::new(Bounds::of(range, Some(declared)));
    let mut cursor = MemCursor::new(memtable, bounds, direction, Lsn(upto));
    let mut seen = Vec::new();
    assert_eq!((cursor.key(), cursor.lsn(), cursor.value()), (&[][..], Lsn::ZERO, None));
    while cursor.advance() {
        assert_eq!(cursor.pinned().as_deref(), cursor.value());
        seen.push((cursor.key().to_vec(), cursor.lsn().0, cursor.value().map(<[u8]>::to_vec)));
    }
    assert!(!cursor.advance(), "the end stays the end");
    assert_eq!((cursor.key(), cursor.lsn(), cursor.pinned()), (&[][..], Lsn::ZERO, None));
    seen
}

fn check(
    memtable: &Memtable,
    twin: &Twin,
    keys: &BTreeSet<Vec<u8>>,
    ranges: &[KeyRange],
    upto: u64,
    expected: &dyn Fn(&KeyRange, u64) -> Vec<Seen>,
) {
    for key in keys {
        let newest = twin.range((key.clone(), std::cmp::Reverse(upto))..).next();
        let newest = newest.filter(|((found, _), _)| found == key);
        let version = newest.map(|((_, lsn), _)| Lsn(lsn.0));
        assert_eq!(memtable.version_at(key, Lsn(upto)), version);
        match (memtable.get(key, filter_hash(key), Lsn(upto)), newest.map(|(_, value)| value)) {
            (Found::Nothing, None) | (Found::Removed, Some(None)) => {}
            (Found::Value(found), Some(Some(value))) => assert_eq!(*found, **value),
            (found, value) => panic!("{key:?} at {upto}: {found:?} instead of {value:?}"),
        }
    }
    for range in ranges {
        let expected = expected(range, upto);
        assert_eq!(walk(memtable, range, Direction::Forward, upto), expected, "{range:?}");
        let mut backward = walk(memtable, range, Direction::Backward, upto);
        backward.reverse();
        assert_eq!(backward, expected, "{range:?} backward");
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let start =
        prop::sample::select(vec![&b""[..], b"a", b"subject/", b"subject/with a long name/", b"t/\0"]);
    (start, prop::collection::vec(0u8..3, 0..4), 0usize..3).prop_map(|(start, middle, end)| {
        [start, &middle, [&b""[..], b"end", b"another, longer end"][end]].concat()
    })
}

fn put() -> impl Strategy<Value = Put> {
    let value = (0usize..60, any::<u8>()).prop_map(|(bytes, byte)| vec![byte; bytes]);
    (key(), prop::option::weighted(0.8, value))
}

fn batches() -> impl Strategy<Value = Vec<Vec<Put>>> {
    prop::collection::vec(prop::collection::vec(put(), 0..40), 1..12)
}

fn ranges() -> impl Strategy<Value = Vec<KeyRange>> {
    let range = (key(), key(), 0u8..4).prop_map(|(a, b, kind)| match kind {
        0 => KeyRange::all(),
        1 => KeyRange::prefix(a),
        2 => KeyRange { start: a, end: None, prefix_bytes: 0 },
        _ => KeyRange::between(a, b),
    });
    prop::collection::vec(range, 3)
}

fn asked(batches: &[Vec<Put>], others: &[Vec<u8>]) -> BTreeSet<Vec<u8>> {
    batches.iter().flatten().map(|(key, _)| key).chain(others).cloned().collect()
}

fn config() -> ProptestConfig {
    // Interpreted runs look for undefined behaviour, not for rare content.
    let cases = if cfg!(miri) { 1 } else { 256 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_list_is_its_twin_at_every_lsn(
        batches in batches(), others in prop::collection::vec(key(), 10), ranges in ranges(),
    ) {
        let mut pair = Pair::new();
        for (lsn, puts) in (1..).zip(&batches) {
            pair.insert(puts, lsn);
        }
        let keys = asked(&batches, &others);
        for lsn in 0..=batches.len() as u64 + 1 {
            pair.check(&keys, &ranges, lsn);
        }
        prop_assert_eq!(pair.memtable.rows(), pair.twin.len());
    }

    #[test]
    fn a_sorted_run_is_the_list(
        batches in batches(), others in prop::collection::vec(key(), 10), ranges in ranges(),
    ) {
        let mut pair = Pair::new();
        let mut run = RunBuilder::new(&pair.memtable.shape);
        for (lsn, puts) in (1..).zip(&batches) {
            pair.insert(puts, lsn);
            run.add(&batch_of(puts), Lsn(lsn));
        }
        let run = run.finish(&mut pair.sorter);
        let listed = Memtable::new(&pair.memtable.shape);
        listed.insert_run(&run);
        let sorted = Memtable::sorted(run, &pair.memtable.shape);
        prop_assert_eq!((sorted.rows(), sorted.bytes()), (pair.memtable.rows(), pair.memtable.bytes()));
        prop_assert_eq!((sorted.min_lsn(), sorted.max_lsn()), (pair.memtable.min_lsn(), pair.memtable.max_lsn()));
        pair.memtable = sorted;
        let keys = asked(&batches, &others);
        for lsn in 0..=batches.len() as u64 + 1 {
            pair.check(&keys, &ranges, lsn);
        }
        pair.memtable = listed;
        pair.check(&keys, &ranges, batches.len() as u64);
    }

    #[test]
    fn what_was_abandoned_is_gone_and_its_lsns_can_be_used_again(
        batches in batches(), again in batches(), kept in 0u64..12, ranges in ranges(), run in any::<bool>(),
    ) {
        let mut pair = Pair::new();
        let mut builder = RunBuilder::new(&pair.memtable.shape);
        for (lsn, puts) in (1..).zip(&batches) {
            pair.insert(puts, lsn);
            builder.add(&batch_of(puts), Lsn(lsn));
        }
        if run {
            pair.memtable = Memtable::sorted(builder.finish(&mut pair.sorter), &shape());
        }
        let keys = asked(&batches, &[]);
        let mut old = pair.memtable.without_above(Lsn(kept));
        let above = pair.memtable.rows_above(Lsn(kept));
        let newer = pair.twin.iter().filter(|((_, lsn), _)| lsn.0 > kept).count();
        prop_assert_eq!(above.rows(), newer);
        prop_assert_eq!(above.rows() + old.rows(), pair.twin.len());
        pair.twin.retain(|(_, lsn), _| lsn.0 <= kept);
        // Sealed memtables hide the rows where they are.
        pair.memtable.remove_above(Lsn(kept));
        pair.check(&keys, &ranges, 100);
        prop_assert_eq!(pair.memtable.rows(), pair.twin.len());
        prop_assert!(pair.memtable.max_lsn() <= Lsn(kept) && pair.memtable.upto() <= Lsn(kept.max(u64::from(newer == 0) * u64::MAX)));
        // An active one is replaced, and takes the LSNs again.
        std::mem::swap(&mut pair.memtable, &mut old);
        pair.check(&keys, &ranges, 100);
        for (lsn, puts) in (kept + 1..).zip(&again) {
            pair.insert(puts, lsn);
        }
        pair.check(&keys.union(&asked(&again, &[])).cloned().collect(), &ranges, 100);
    }
}

#[test]
fn many_rows_in_any_order_are_found_and_walked_both_ways() {
    let rows: u64 = if cfg!(miri) { 300 } else { 40_000 };
    for multiplier in [1, 0x9E37_79B9_7F4A_7C15, u64::MAX] {
        let mut pair = Pair::new();
        let key = |n: u64| format!("subject/{:020}", n.wrapping_mul(multiplier)).into_bytes();
        for (lsn, start) in (1..).zip((0..rows).step_by(500)) {
            let puts: Vec<Put> =
                (start..rows.min(start + 500)).map(|n| (key(n), Some(n.to_be_bytes().to_vec()))).collect();
            pair.insert(&puts, lsn);
        }
        let keys = (0..rows).step_by(17).flat_map(|n| [key(n), [key(n), b"+".to_vec()].concat()]).collect();
        let ranges =
            [KeyRange::all(), KeyRange::between(key(3), key(rows / 2)), KeyRange::prefix("subject/1")];
        pair.check(&keys, &ranges, u64::MAX - 1);
        pair.check(&keys, &ranges, rows / 1_000);
    }
}

#[test]
fn rows_of_any_size_fit() {
    let mut pair = Pair::new();
    let sizes: &[usize] =
        if cfg!(miri) { &[0, 1, 70_000] } else { &[0, 1, 70_000, 600_000, 3_000_000, 16 << 20] };
    for (lsn, bytes) in (1..).zip(sizes) {
        let puts = [(vec![7; 8 << 10], Some(vec![lsn as u8; *bytes])), (Vec::new(), Some(vec![1; *bytes]))];
        pair.insert(&puts, lsn);
    }
    let keys = [vec![7; 8 << 10], Vec::new(), vec![7; 8]].into();
    (0..8).for_each(|lsn| pair.check(&keys, &[KeyRange::all()], lsn));
}

#[test]
fn a_value_outlives_its_memtable() {
    let mut pair = Pair::new();
    let puts: Vec<Put> = (0..100u8).map(|n| (vec![n], Some(vec![n; 100]))).collect();
    pair.insert(&puts, 1);
    let mut run = RunBuilder::new(&pair.memtable.shape);
    run.add(&batch_of(&puts), Lsn(1));
    let sorted = Memtable::sorted(run.finish(&mut pair.sorter), &pair.memtable.shape);
    let get = |memtable: &Memtable, n: u8| match memtable.get(&[n], filter_hash(&[n]), Lsn(1)) {
        Found::Value(value) => value,
        other => panic!("{other:?}"),
    };
    let values: Vec<Value> = (0..100).flat_map(|n| [get(&pair.memtable, n), get(&sorted, n)]).collect();
    let clones = values.clone();
    drop((pair, sorted, values));
    for (at, value) in clones.iter().enumerate() {
        assert_eq!(**value, [at as u8 / 2; 100]);
    }
}

/// What is published stays readable, complete and unchanged while the list grows.
#[test]
#[allow(clippy::disallowed_methods)]
fn readers_see_whole_batches_while_one_writer_inserts() {
    let (batches, rows) = if cfg!(miri) { (4, 4) } else { (400, 60) };
    let memtable = Memtable::new(&shape());
    let published = AtomicU64::new(0);
    let key =
        |batch: u64, n: u64| format!("subject/{:05}", (batch * 7919 + n * 104_729) % 3_000).into_bytes();
    let content =
        |batch: u64| -> BTreeMap<Vec<u8>, u64> { (0..rows).map(|n| (key(batch, n), batch)).collect() };
    std::thread::scope(|scope| {
        for reader in 0..3u64 {
            let (memtable, published) = (&memtable, &published);
            scope.spawn(move || {
                let mut rounds = reader;
                loop {
                    let upto = published.load(Ordering::Acquire);
                    let mut expected = BTreeMap::new();
                    (1..=upto).for_each(|batch| expected.extend(content(batch)));
                    let mut newest = BTreeMap::new();
                    let direction = if rounds % 2 == 0 { Direction::Forward } else { Direction::Backward };
                    for (key, lsn, value) in walk(memtable, &KeyRange::all(), direction, upto) {
                        assert_eq!(value.as_deref(), Some(&lsn.to_be_bytes()[..]));
                        let newest = newest.entry(key).or_insert(lsn);
                        *newest = lsn.max(*newest);
                    }
                    assert_eq!(newest, expected, "at {upto}");
                    for (key, lsn) in expected.iter().step_by(7) {
                        match memtable.get(key, filter_hash(key), Lsn(upto)) {
                            Found::Value(value) => assert_eq!(*value, lsn.to_be_bytes()),
                            other => panic!("{other:?}"),
                        }
                    }
                    if upto == batches {
                        break;
                    }
                    rounds += 1;
                }
            });
        }
        let mut sorter = Sorter::default();
        for batch in 1..=batches {
            let mut puts = WriteBatch::new();
            content(batch).iter().rev().for_each(|(key, lsn)| puts.put(key, &lsn.to_be_bytes()));
            memtable.insert_batch(&puts, Lsn(batch), &mut sorter);
            published.store(batch, Ordering::Release);
        }
    });
    assert!(memtable.rows() as u64 > batches * rows / 2);
}
