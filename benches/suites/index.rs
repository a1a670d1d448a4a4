//! Claims: what a question of eight candidates costs from the rows to the answer, in memory and on the tree, and what
//! writing costs before the journal and after it.
#![allow(missing_docs, clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_benches::{contested_question, sample, scratch, sources, submission};
use stemedb_core::lens::{Lens, LensParams, resolve};
use stemedb_env::{Env, Lsn, Micros, frame::DatabaseId};
use stemedb_index::{Admit, ClaimReader, Claims, Derive, claims::InFlightClaims};
use stemedb_lsm::{KvStore, LsmOptions, LsmStore, MemStore, WriteBatch};

/// 2026-01-01.
const NOW: Micros = Micros(1_767_225_600_000_000);

/// The entry that these commands make in an empty store.
fn entry(commands: &[stemedb_core::Command]) -> Vec<u8> {
    let store = MemStore::new();
    let mut in_flight = InFlightClaims::default();
    let request = submission(commands);
    Claims.admit(request, &store.snapshot(), &mut in_flight, Lsn(1), NOW).unwrap().entry.unwrap()
}

/// The whole sample with its sources, in entries of 100.
fn fill<S: KvStore>(store: &S) {
    let commands: Vec<_> = sources().into_iter().chain(sample()).collect();
    let mut in_flight = InFlightClaims::default();
    let mut rows = WriteBatch::new();
    for (lsn, chunk) in (1..).map(Lsn).zip(commands.chunks(100)) {
        let admitted = Claims.admit(submission(chunk), &store.snapshot(), &mut in_flight, lsn, NOW).unwrap();
        rows.clear();
        Claims.derive(lsn, &admitted.entry.unwrap(), &mut rows).unwrap();
        store.apply(&rows, lsn).unwrap();
        store.publish(lsn);
        Claims.retire(&mut in_flight, lsn);
    }
}

fn questions(criterion: &mut Criterion) {
    let (subject, predicate, _) = contested_question();
    let memory = MemStore::new();
    fill(&memory);
    let dir = scratch();
    let options =
        LsmOptions { prefix_extractor: Some(Claims::filtered_prefix_bytes), ..LsmOptions::default() };
    let tree = LsmStore::create(Env::real(), &dir.path().join("kv"), DatabaseId([7; 16]), options).unwrap();
    fill(&tree);
    tree.compact().unwrap();

    let mut group = criterion.benchmark_group("candidates_of_8");
    group.throughput(Throughput::Elements(1));
    group.bench_function("tree", |bencher| {
        let reader = ClaimReader::new(tree.snapshot());
        bencher.iter(|| black_box(reader.candidates(&subject, &predicate, None).unwrap()));
    });
    group.bench_function("yardstick_memory", |bencher| {
        let reader = ClaimReader::new(memory.snapshot());
        bencher.iter(|| black_box(reader.candidates(&subject, &predicate, None).unwrap()));
    });
    group.finish();

    let candidates = ClaimReader::new(tree.snapshot()).candidates(&subject, &predicate, None).unwrap();
    assert_eq!(candidates.len(), 8);
    let mut group = criterion.benchmark_group("resolve_8");
    for lens in Lens::ALL {
        let params = LensParams::at(stemedb_core::Micros(NOW.0)).with_decay(true);
        group.bench_function(lens.name(), |bencher| {
            bencher.iter(|| black_box(resolve(lens, &candidates, &params)));
        });
    }
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let sample = sample();
    for count in [1, 1_000] {
        let commands = &sample[..count];
        let mut group = criterion.benchmark_group(format!("write_{count}"));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function("encode_and_hash", |bencher| {
            bencher.iter(|| black_box(submission(commands)));
        });
        let (request, store) = (submission(commands), MemStore::new());
        group.bench_function("admit", |bencher| {
            let view = store.snapshot();
            bencher.iter_batched(
                || (request.clone(), InFlightClaims::default()),
                |(request, mut in_flight)| {
                    black_box(Claims.admit(request, &view, &mut in_flight, Lsn(1), NOW).unwrap())
                },
                BatchSize::SmallInput,
            );
        });
        let entry = entry(commands);
        group.bench_function("derive", |bencher| {
            let mut rows = WriteBatch::new();
            bencher.iter(|| {
                rows.clear();
                Claims.derive(Lsn(1), &entry, &mut rows).unwrap();
                black_box(rows.len())
            });
        });
        // The least that any store of these bytes must do to name them by content.
        group.bench_function(BenchmarkId::from_parameter("yardstick_hash"), |bencher| {
            bencher.iter(|| black_box(stemedb_core::ClaimId::of(&entry)));
        });
        group.finish();
    }
}

criterion_group!(benches, questions, writing);
criterion_main!(benches);
