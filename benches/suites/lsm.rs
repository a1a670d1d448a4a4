//! The tree: loading, points, scans, beside a sorted map in memory.
#![allow(missing_docs, clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{collections::BTreeMap, hint::black_box};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_benches::{scaled, scattered, scratch};
use stemedb_env::{Env, Lsn, frame::DatabaseId};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, WriteBatch};
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

criterion_group!(benches, loading, reading);
criterion_main!(benches);
