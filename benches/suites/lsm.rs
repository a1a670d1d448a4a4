//! The tree: loading, points, scans, beside a sorted map in memory.
#![allow(missing_docs, clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{collections::BTreeMap, hint::black_box};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_benches::{scaled, scattered, scratch};
use stemedb_env::{Env, Lsn, frame::DatabaseId};
use stemedb_lsm::{
    BulkOptions, Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, Versions, WriteBatch,
};
use tempfile::TempDir;

const BATCH_ROWS: usize = 1_000;
const VALUE_BYTES: usize = 120;

fn key(number: u64) -> [u8; 24] {
    let mut key = *b"claim/################..";
    key[6..22].copy_from_slice(format!("{number:016x}").as_bytes());
    key
}

fn value(number: u64) -> Vec<u8> {
    number.to_le_bytes().iter().copied().cycle().take(VALUE_BYTES).collect()
}

fn numbers(order: &str, count: usize) -> Vec<u64> {
    match order {
        "sorted" => (0..count as u64).map(|i| i << 20).collect(),
        _ => scattered(count as u64).collect(),
    }
}

fn tree() -> (LsmStore, TempDir) {
    let dir = scratch();
    let store =
        LsmStore::create(Env::real(), &dir.path().join("kv"), DatabaseId([7; 16]), LsmOptions::default());
    (store.unwrap(), dir)
}

fn load(store: &LsmStore, numbers: &[u64]) {
    let mut batch = WriteBatch::new();
    for (lsn, chunk) in (store.published_lsn().0 + 1..).zip(numbers.chunks(BATCH_ROWS)) {
        batch.clear();
        chunk.iter().for_each(|number| batch.put(&key(*number), &value(*number)));
        store.apply(&batch, Lsn(lsn)).unwrap();
        store.publish(Lsn(lsn));
    }
}

fn map(numbers: &[u64]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    numbers.iter().map(|number| (key(*number).to_vec(), value(*number))).collect()
}

fn loading(criterion: &mut Criterion) {
    let rows = scaled(200_000);
    let mut group = criterion.benchmark_group("load_and_flush");
    group.sample_size(10).throughput(Throughput::Elements(rows as u64));
    for order in ["sorted", "random"] {
        let numbers = numbers(order, rows);
        group.bench_function(BenchmarkId::new("tree", order), |bencher| {
            bencher.iter_batched(
                tree,
                |(store, dir)| {
                    load(&store, &numbers);
                    store.flush().unwrap();
                    (store, dir)
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("yardstick_map", order), |bencher| {
            bencher.iter_batched(|| (), |()| map(&numbers), BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    let rows = scaled(500_000);
    let numbers = numbers("random", rows);
    let (store, _dir) = tree();
    load(&store, &numbers);
    store.compact().unwrap();
    let map = map(&numbers);
    let view = store.snapshot();

    // Few enough to lie in the cache together; the absent ones differ in the last byte.
    let hot: Vec<[u8; 24]> = numbers.iter().step_by(rows / 512).map(|number| key(*number)).collect();
    let absent: Vec<[u8; 24]> = hot
        .iter()
        .map(|key| {
            let mut key = *key;
            key[23] = b'!';
            key
        })
        .collect();
    let mut group = criterion.benchmark_group("get");
    group.throughput(Throughput::Elements(1));
    for (kind, keys) in [("hot", &hot), ("absent", &absent)] {
        let mut next = (0..keys.len()).cycle();
        group.bench_function(BenchmarkId::new("tree", kind), |bencher| {
            bencher.iter(|| black_box(view.get(&keys[next.next().unwrap_or(0)]).unwrap()));
        });
        group.bench_function(BenchmarkId::new("yardstick_map", kind), |bencher| {
            bencher.iter(|| black_box(map.get(keys[next.next().unwrap_or(0)].as_slice())));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("scan");
    for length in [10, 100] {
        group.throughput(Throughput::Elements(length as u64));
        let mut next = (0..hot.len()).cycle();
        group.bench_function(BenchmarkId::new("tree", length), |bencher| {
            bencher.iter(|| {
                let start = hot[next.next().unwrap_or(0)];
                let range = KeyRange { start: start.to_vec(), end: None, prefix_bytes: 0 };
                let mut rows = view.scan(&range, Direction::Forward);
                let mut bytes = 0;
                for _ in 0..length {
                    if !rows.advance().unwrap() {
                        break;
                    }
                    bytes += rows.key().len() + rows.value().len();
                }
                black_box(bytes)
            });
        });
        group.bench_function(BenchmarkId::new("yardstick_map", length), |bencher| {
            bencher.iter(|| {
                let start = hot[next.next().unwrap_or(0)].to_vec();
                let rows = map.range(start..).take(length);
                black_box(rows.map(|(key, value)| key.len() + value.len()).sum::<usize>())
            });
        });
    }
    group.finish();
}

/// Rows as they are written: a short key with a long value, or the long keys with shared beginnings that claims have.
fn memtable_row(kind: &str, number: u64) -> (Vec<u8>, Vec<u8>) {
    match kind {
        "short_keys" => (key(number).to_vec(), number.to_le_bytes().repeat(32)),
        _ => {
            // Four rows about each subject; subjects of 52 to 155 bytes that begin alike.
            let (subject, row) = (number >> 2, number & 3);
            let length = 40 + (subject.wrapping_mul(0x9E37_79B9) >> 7) as usize % 104;
            let name = format!("chemistry/compound/inorganic/salts/{subject:016x}");
            let mut key: Vec<u8> =
                name.bytes().chain(std::iter::repeat(b'-')).take(length.max(name.len())).collect();
            key.extend_from_slice(format!("\0{}:{row:04x}", ["S", "P", "H", "T"][row as usize]).as_bytes());
            (key, number.to_le_bytes().repeat(12))
        }
    }
}

fn memtable_batches(kind: &str, numbers: &[u64]) -> Vec<WriteBatch> {
    let batch = |chunk: &[u64]| {
        let mut batch = WriteBatch::new();
        for number in chunk {
            let (key, value) = memtable_row(kind, *number);
            batch.put(&key, &value);
        }
        batch
    };
    numbers.chunks(BATCH_ROWS).map(batch).collect()
}

/// A tree whose rows never leave the memtable.
fn unflushed() -> (LsmStore, TempDir) {
    let dir = scratch();
    let options = LsmOptions { memory_bytes: 8 << 30, memtable_bytes: 1 << 30, ..LsmOptions::default() };
    let store = LsmStore::create(Env::real(), &dir.path().join("kv"), DatabaseId([7; 16]), options);
    (store.unwrap(), dir)
}

fn apply_all(store: &LsmStore, batches: &[WriteBatch]) {
    for (lsn, batch) in (store.published_lsn().0 + 1..).zip(batches) {
        store.apply(batch, Lsn(lsn)).unwrap();
        store.publish(Lsn(lsn));
    }
}

fn memtable(criterion: &mut Criterion) {
    let rows = scaled(200_000);
    for kind in ["short_keys", "shared_prefixes"] {
        let mut group = criterion.benchmark_group("memtable_insert");
        group.sample_size(10).throughput(Throughput::Elements(rows as u64));
        for order in ["sorted", "random"] {
            // The random numbers keep their order in the low bits, so that the four rows of a subject lie apart.
            let batches = memtable_batches(kind, &numbers(order, rows));
            group.bench_function(BenchmarkId::new(kind, order), |bencher| {
                bencher.iter_batched(
                    unflushed,
                    |(store, dir)| {
                        apply_all(&store, &batches);
                        (store, dir)
                    },
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();

        let numbers = numbers("random", rows);
        let (store, _dir) = unflushed();
        apply_all(&store, &memtable_batches(kind, &numbers));
        let view = store.snapshot();
        // Far apart in the list, one after the other.
        let present: Vec<Vec<u8>> =
            numbers.iter().step_by(7).map(|number| memtable_row(kind, *number).0).collect();
        let absent: Vec<Vec<u8>> = present.iter().map(|key| [key.as_slice(), b"!"].concat()).collect();
        let mut group = criterion.benchmark_group("memtable_get");
        for (what, keys) in [("present", &present), ("absent", &absent)] {
            let mut next = (0..keys.len()).cycle();
            group.bench_function(BenchmarkId::new(kind, what), |bencher| {
                bencher.iter(|| black_box(view.get(&keys[next.next().unwrap_or(0)]).unwrap()));
            });
        }
        group.finish();

        let mut group = criterion.benchmark_group("memtable_scan");
        group.sample_size(20).throughput(Throughput::Elements(rows as u64));
        for (name, direction) in [("forward", Direction::Forward), ("backward", Direction::Backward)] {
            group.bench_function(BenchmarkId::new(kind, name), |bencher| {
                bencher.iter(|| {
                    let mut rows = view.scan(&KeyRange::all(), direction);
                    let mut bytes = 0;
                    while rows.advance().unwrap() {
                        bytes += rows.key().len() + rows.value().len();
                    }
                    black_box(bytes)
                });
            });
        }
        group.finish();
    }
}

/// All rows of a new tree by each way there is, until they are in tables, and until these are merged.
fn bulk(criterion: &mut Criterion) {
    let rows = scaled(1_000_000);
    for kind in ["short_keys", "shared_prefixes"] {
        let batches = memtable_batches(kind, &numbers("random", rows));
        for settled in [false, true] {
            let mut group = criterion.benchmark_group(if settled { "bulk_settled" } else { "bulk_flushed" });
            group.sample_size(10).throughput(Throughput::Elements(rows as u64));
            for way in ["apply", "replay", "loader"] {
                group.bench_function(BenchmarkId::new(kind, way), |bencher| {
                    bencher.iter_batched(
                        tree,
                        |(store, dir)| {
                            match way {
                                "apply" => apply_all(&store, &batches),
                                "replay" => {
                                    let mut replay = store.begin_replay();
                                    for (lsn, batch) in (1..).zip(&batches) {
                                        replay.apply(batch, Lsn(lsn)).unwrap();
                                    }
                                    replay.finish().unwrap();
                                }
                                _ => {
                                    let options =
                                        BulkOptions { versions: Versions::Newest, ..BulkOptions::default() };
                                    let mut loader = store.bulk_loader(options);
                                    for (lsn, batch) in (1..).zip(&batches) {
                                        loader.add_batch(batch, Lsn(lsn)).unwrap();
                                    }
                                    loader.finish(Lsn(batches.len() as u64)).unwrap();
                                }
                            }
                            store.flush().unwrap();
                            if settled {
                                store.compact().unwrap();
                            }
                            (store, dir)
                        },
                        BatchSize::PerIteration,
                    );
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, loading, reading, memtable, bulk);
criterion_main!(benches);
