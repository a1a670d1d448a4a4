//! The engine: a claim from submission to acknowledgement, importing, opening after a crash, reading, deriving everything again,
//! and a checkpoint. What a lost view costs its readers is measured by the suite `healing`.
#![allow(missing_docs, clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{
    fs,
    hint::black_box,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_benches::{endless, scaled, scratch, submission, together};
use stemedb_env::{Env, OpenMode};
use stemedb_hybrid::{ClaimEngine, HybridOptions, rebuild};
use stemedb_index::Claims;
use stemedb_lsm::{Direction, KeyRange, KvIter as _, KvSnapshot as _};
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

/// A database of so many claims, merged, and some of its rows.
fn grown(claims: usize, options: &HybridOptions) -> (ClaimEngine, TempDir, Vec<Vec<u8>>) {
    let dir = scratch();
    let engine = ClaimEngine::create(&Env::real(), &dir.path().join("db"), Claims, options).unwrap();
    let commands: Vec<_> = endless().take(claims).collect();
    for batch in commands.chunks(1_000) {
        engine.commit(submission(batch)).unwrap();
    }
    engine.flush().unwrap();
    engine.compact().unwrap();
    let snapshot = engine.snapshot().unwrap();
    let mut rows = snapshot.scan(&KeyRange::all(), Direction::Forward);
    let (mut keys, mut nth) = (Vec::new(), 0_usize);
    while rows.advance().unwrap() {
        if nth.is_multiple_of(97) {
            keys.push(rows.key().to_vec());
        }
        nth += 1;
    }
    drop(rows);
    drop(snapshot);
    (engine, dir, keys)
}

/// One row by its key: of the newest state, and of a snapshot that is kept, which asks nobody what is newest.
fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read_one_row");
    group.sample_size(20).throughput(Throughput::Elements(1));
    let (engine, _dir, keys) = grown(scaled(100_000), &HybridOptions::default());
    let mut nth = 0;
    let mut next = || {
        nth = (nth + 7_919) % keys.len();
        &keys[nth]
    };
    group.bench_function("newest", |bencher| {
        bencher.iter(|| black_box(engine.get(next()).unwrap().unwrap()));
    });
    let snapshot = engine.snapshot().unwrap();
    group.bench_function("yardstick_kept_snapshot", |bencher| {
        bencher.iter(|| black_box(snapshot.get(next()).unwrap().unwrap()));
    });
    group.finish();
}

/// The view derived from the journal; the yardstick commits the same claims in batches.
fn rebuilding(criterion: &mut Criterion) {
    let claims = scaled(200_000);
    let mut group = criterion.benchmark_group("rebuild");
    group.sample_size(10).throughput(Throughput::Elements(claims as u64));
    let (options, env) = (HybridOptions::default(), Env::real());
    let (engine, dir, ..) = grown(claims, &options);
    let root = engine.state_root().unwrap();
    engine.close().unwrap();
    group.bench_function("from_the_journal", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut took = Duration::ZERO;
            for _ in 0..rounds {
                let kv = dir.path().join("again");
                let start = Instant::now();
                let report = rebuild(&env, &dir.path().join("db/wal"), &kv, &Claims, &options, &mut |_| {});
                took += start.elapsed();
                assert_eq!(report.unwrap().root, root);
                fs::remove_dir_all(&kv).unwrap();
            }
            took
        });
    });
    let commands: Vec<_> = endless().take(claims).collect();
    group.bench_function("yardstick_commits", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut took = Duration::ZERO;
            for _ in 0..rounds {
                let (engine, _dir) = self::engine();
                let start = Instant::now();
                for batch in commands.chunks(1_000) {
                    engine.commit(submission(batch)).unwrap();
                }
                engine.flush().unwrap();
                took += start.elapsed();
            }
            took
        });
    });
    group.finish();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(&name)).unwrap();
            fs::File::open(to.join(&name)).unwrap().sync_all().unwrap();
        }
    }
}

/// A second database beside a running one; the yardstick copies its files and syncs the copies.
fn checkpoints(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checkpoint");
    group.sample_size(10);
    let (engine, dir, ..) = grown(scaled(200_000), &HybridOptions::default());
    let mut copies = |name: &str, make: &mut dyn FnMut(&Path)| {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let to = dir.path().join("copy");
                    let start = Instant::now();
                    make(&to);
                    took += start.elapsed();
                    fs::remove_dir_all(&to).unwrap();
                }
                took
            });
        });
    };
    copies("of_links", &mut |to| {
        black_box(engine.checkpoint(to).unwrap());
    });
    copies("yardstick_copy", &mut |to| copy(&dir.path().join("db"), to));
    group.finish();
}

criterion_group!(benches, commits, import, opening, reading, rebuilding, checkpoints);
criterion_main!(benches);
