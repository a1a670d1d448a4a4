//! Claims: what a question of eight candidates costs from the rows to the answer, in memory and on the tree, and what
//! writing costs before the journal and after it.
#![allow(missing_docs, clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_api::{Database, DatabaseOptions, Query};
use stemedb_benches::{contested_question, sample, scaled, scratch, sources, submission};
use stemedb_core::{
    Assertion, ClaimId, Object,
    lens::{Lens, LensParams, resolve},
};
use stemedb_env::{Env, Lsn, Micros, frame::DatabaseId};
use stemedb_index::{Admit, ClaimReader, Claims, Derive, claims::InFlightClaims};
use stemedb_lsm::{
    Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, MemStore, WriteBatch,
};

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

/// The whole way of a question, from the facade to the answer: from the tree, and from the caches.
fn whole_questions(criterion: &mut Criterion) {
    let (subject, predicate, _) = contested_question();
    let dir = scratch();
    let database = |name: &str, cache_bytes: u64| {
        let options = DatabaseOptions { cache_bytes, ..DatabaseOptions::default() };
        let database = Database::create(dir.path().join(name), options).unwrap();
        let commands: Vec<_> = sources().into_iter().chain(sample()).collect();
        commands.chunks(1_000).for_each(|chunk| drop(database.submit(chunk).unwrap()));
        database.flush().unwrap();
        database.compact().unwrap();
        database
    };
    let (cold, hot) = (database("cold", 0), database("hot", 64 << 20));
    let mut group = criterion.benchmark_group("question_8");
    group.throughput(Throughput::Elements(1));
    for lens in Lens::ALL {
        let query = Query::new(&*subject, &*predicate, lens);
        for (name, database) in [("cold", &cold), ("hot", &hot)] {
            assert_eq!(database.query(query.clone()).unwrap().candidates.len(), 8);
            group.bench_function(BenchmarkId::new(lens.name(), name), |bencher| {
                bencher.iter(|| black_box(database.query(query.clone()).unwrap()));
            });
        }
    }
    // Every age is another with another clock, so nothing but the candidates can be kept.
    let fading = Query { decay: true, ..Query::new(&*subject, &*predicate, Lens::Consensus) };
    group.bench_function(BenchmarkId::new("consensus_with_decay", "hot"), |bencher| {
        bencher.iter(|| black_box(hot.query(fading.clone()).unwrap()));
    });
    let unknown = Query::new(&*subject, "nothing", Lens::Consensus);
    for (name, database) in [("cold", &cold), ("hot", &hot)] {
        group.bench_function(BenchmarkId::new("of_nothing", name), |bencher| {
            bencher.iter(|| black_box(database.query(unknown.clone()).unwrap()));
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

/// A claim, a thousand that derive from it, and a thousand that derive from each of those (of a first look a tenth).
fn derivations<S: KvStore>(store: &S) -> (ClaimId, u64) {
    let (fan, leaves) = (1000, scaled(1000));
    let claim = |n: usize, question: usize, parents: Vec<ClaimId>| {
        let (subject, object) = (format!("sample:{question}"), Object::Integer(n as i64));
        let mut claim = Assertion::new(subject, "measured", object, "laboratory");
        claim.parents = parents;
        claim
    };
    let root = claim(0, 0, vec![]);
    let children: Vec<Assertion> = (1..=fan).map(|n| claim(n, n, vec![root.id()])).collect();
    let ids: Vec<ClaimId> = children.iter().map(Assertion::id).collect();
    let leaf = |n: usize| claim(n, n % (10 * fan), vec![ids[n % fan]]);
    let id = root.id();
    let mut claims = [root].into_iter().chain(children).chain((fan + 1..=fan + fan * leaves).map(leaf));
    let mut in_flight = InFlightClaims::default();
    let mut rows = WriteBatch::new();
    for lsn in (1..).map(Lsn) {
        let chunk: Vec<_> = claims.by_ref().take(4000).map(stemedb_core::Command::Assert).collect();
        if chunk.is_empty() {
            break;
        }
        let admitted = Claims.admit(submission(&chunk), &store.snapshot(), &mut in_flight, lsn, NOW).unwrap();
        rows.clear();
        Claims.derive(lsn, &admitted.entry.unwrap(), &mut rows).unwrap();
        store.apply(&rows, lsn).unwrap();
        store.publish(lsn);
        Claims.retire(&mut in_flight, lsn);
    }
    (id, (fan + fan * leaves) as u64)
}

fn impact(criterion: &mut Criterion) {
    let dir = scratch();
    let options =
        LsmOptions { prefix_extractor: Some(Claims::filtered_prefix_bytes), ..LsmOptions::default() };
    let tree = LsmStore::create(Env::real(), &dir.path().join("kv"), DatabaseId([7; 16]), options).unwrap();
    let (root, edges) = derivations(&tree);
    tree.flush().unwrap();
    let reader = ClaimReader::new(tree.snapshot());
    let found = reader.impact(root).unwrap().unwrap();
    assert_eq!((found.total, found.complete), (edges, true));
    let (branch, _) = found.nearest[0].clone();

    let mut group = criterion.benchmark_group(format!("impact_of_{edges}_edges"));
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Elements(edges));
    group.bench_function("all", |bencher| bencher.iter(|| black_box(reader.impact(root).unwrap())));
    group.throughput(Throughput::Elements(1));
    group.bench_function("one_branch", |bencher| bencher.iter(|| black_box(reader.impact(branch).unwrap())));
    // The rows themselves, read and thrown away.
    group.throughput(Throughput::Elements(edges));
    group.bench_function("yardstick_scan_of_derivations", |bencher| {
        let range = KeyRange {
            prefix_bytes: 0,
            ..KeyRange::prefix(stemedb_index::keys::family_prefix(stemedb_index::Family::Derived))
        };
        bencher.iter(|| {
            let mut rows = reader.snapshot().scan(&range, Direction::Forward);
            let mut read = 0_u64;
            while rows.advance().unwrap() {
                read += 1;
            }
            assert_eq!(read, edges);
        });
    });
    group.finish();
}

criterion_group!(benches, questions, whole_questions, writing, impact);
criterion_main!(benches);
