//! The engine: a claim from submission to acknowledgement, importing, and opening after a crash.
#![allow(missing_docs, clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{
    hint::black_box,
    sync::Mutex,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_benches::{endless, scaled, scratch, submission, together};
use stemedb_env::{Env, OpenMode};
use stemedb_hybrid::{ClaimEngine, HybridOptions};
use stemedb_index::Claims;
use tempfile::TempDir;

fn engine() -> (ClaimEngine, TempDir) {
    let dir = scratch();
    let engine = ClaimEngine::create(&Env::real(), &dir.path().join("db"), Claims, &HybridOptions::default());
    (engine.unwrap(), dir)
}

/// One claim per commit; the yardstick writes and syncs one sector.
fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit_one_claim");
    group.sample_size(10).throughput(Throughput::Elements(1));
    for writers in [1, 8] {
        let (engine, _dir) = engine();
        let claims = Mutex::new(endless());
        group.bench_function(BenchmarkId::new("writers", writers), |bencher| {
            bencher.iter_custom(|rounds| {
                let count = usize::try_from(rounds).unwrap().div_ceil(writers).max(1) * writers;
                let ready: Vec<_> =
                    claims.lock().unwrap().by_ref().take(count).map(|claim| submission(&[claim])).collect();
                let each = count / writers;
                together(writers, rounds, |writer, round| {
                    let mine = writer * each + usize::try_from(round).unwrap();
                    black_box(engine.commit(ready[mine].clone()).unwrap());
                })
            });
        });
    }
    let dir = scratch();
    let file = Env::real().fs.open(&dir.path().join("raw"), OpenMode::CreateNew).unwrap();
    let mut offset = 0;
    group.bench_function("yardstick_write_fdatasync", |bencher| {
        bencher.iter(|| {
            file.write_all_at(&[0x5A; 4096], offset).unwrap();
            file.sync_data().unwrap();
            offset += 4096;
        });
    });
    group.finish();
}

const IMPORT_BATCH: usize = 4_000;

fn import(criterion: &mut Criterion) {
    let batches = scaled(20);
    let mut group = criterion.benchmark_group("import");
    group.sample_size(10).throughput(Throughput::Elements((batches * IMPORT_BATCH) as u64));
    let mut claims = endless();
    group.bench_function("batches_of_4000", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut took = Duration::ZERO;
            for _ in 0..rounds {
                let commands: Vec<_> = claims.by_ref().take(batches * IMPORT_BATCH).collect();
                let (engine, _dir) = engine();
                let start = Instant::now();
                for batch in commands.chunks(IMPORT_BATCH) {
                    black_box(engine.commit(submission(batch)).unwrap());
                }
                took += start.elapsed();
            }
            took
        });
    });
    group.finish();
}

/// A start that has to replay what was not flushed.
fn opening(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open_after_crash");
    group.sample_size(10);
    for unflushed in [0, scaled(10_000), scaled(100_000)] {
        let dir = scratch();
        let path = dir.path().join("db");
        let options = HybridOptions::default();
        let engine = ClaimEngine::create(&Env::real(), &path, Claims, &options).unwrap();
        let commands: Vec<_> = endless().take(unflushed).collect();
        for batch in commands.chunks(1_000) {
            engine.commit(submission(batch)).unwrap();
        }
        // Dropped without closing: nothing more is written than a crash would leave.
        drop(engine);
        group.bench_function(BenchmarkId::new("unflushed_claims", unflushed), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let start = Instant::now();
                    let (engine, _) = ClaimEngine::open(&Env::real(), &path, Claims, &options).unwrap();
                    took += start.elapsed();
                    drop(engine);
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, commits, import, opening);
criterion_main!(benches);
