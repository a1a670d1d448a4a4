//! The journal: what a group costs beyond its write and its sync, what company of other writers saves, how fast it is read.
#![allow(missing_docs, clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{hint::black_box, path::Path};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_benches::{scaled, scratch, together};
use stemedb_env::{Env, Lsn, OpenMode, frame::DatabaseId};
use stemedb_wal::{CommitOptions, Journal, JournalIdentity, JournalOptions, JournalReader, SegmentedJournal};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };
const ENTRY_BYTES: usize = 200;

fn journal(env: &Env, dir: &Path) -> SegmentedJournal {
    SegmentedJournal::create(env, dir, IDENTITY, JournalOptions::default()).unwrap()
}

/// Entries that do not compress.
fn entries(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|i| (0..ENTRY_BYTES).map(|j| (i * 31 + j * j * 17 + (j << 3)) as u8 ^ (i >> 3) as u8).collect())
        .collect()
}

/// One group against the same bytes written and synced by hand, one after the other into one growing file.
fn append_group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append_group");
    for count in [1, 64] {
        let env = Env::real();
        let entries = entries(count);
        let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        group.throughput(Throughput::Elements(count as u64));

        let dir = scratch();
        let journal = journal(&env, &dir.path().join("wal"));
        group.bench_function(BenchmarkId::new("journal", count), |bencher| {
            bencher.iter(|| black_box(journal.append_group(&slices).unwrap()));
        });

        // Padded to whole sectors as the journal's frames are.
        let dir = scratch();
        let file = env.fs.open(&dir.path().join("raw"), OpenMode::CreateNew).unwrap();
        let bytes = vec![0x5A; (count * ENTRY_BYTES).next_multiple_of(4096)];
        let mut offset = 0;
        group.bench_function(BenchmarkId::new("yardstick_write_fdatasync", count), |bencher| {
            bencher.iter(|| {
                file.write_all_at(&bytes, offset).unwrap();
                file.sync_data().unwrap();
                offset += bytes.len() as u64;
            });
        });
    }
    group.finish();
}

/// Writers that wait for their own entry; the yardstick is one alone.
fn writers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit_queue");
    group.sample_size(10).throughput(Throughput::Elements(1));
    let entries = entries(1);
    for writers in [1, 8, 64] {
        let env = Env::real();
        let dir = scratch();
        let options = JournalOptions { queue: CommitOptions::default(), ..JournalOptions::default() };
        let journal = SegmentedJournal::create(&env, &dir.path().join("wal"), IDENTITY, options).unwrap();
        let name = if writers == 1 { "yardstick_one_writer" } else { "writers" };
        group.bench_function(BenchmarkId::new(name, writers), |bencher| {
            bencher.iter_custom(|rounds| {
                together(writers, rounds, |_, _| {
                    black_box(journal.append(entries[0].clone()).unwrap());
                })
            });
        });
    }
    group.finish();
}

fn replay(criterion: &mut Criterion) {
    let env = Env::real();
    let dir = scratch();
    let journal = journal(&env, &dir.path().join("wal"));
    let entries = entries(64);
    let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let groups = scaled(2_000);
    for _ in 0..groups {
        journal.append_group(&slices).unwrap();
    }
    let bytes = (groups * 64 * ENTRY_BYTES) as u64;
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10).throughput(Throughput::Bytes(bytes));
    group.bench_function("journal", |bencher| {
        bencher.iter(|| {
            let mut reader = journal.read_from(Lsn(1)).unwrap();
            let mut read = 0;
            while let Some(entry) = reader.next_entry().unwrap() {
                read += entry.bytes.len() as u64;
            }
            assert_eq!(read, bytes);
        });
    });
    // The same files, read in blocks and thrown away.
    group.bench_function("yardstick_read_files", |bencher| {
        let mut buffer = vec![0; 1 << 20];
        bencher.iter(|| {
            for entry in env.fs.list(&dir.path().join("wal")).unwrap() {
                let file = env.fs.open(&dir.path().join("wal").join(&entry.name), OpenMode::Read).unwrap();
                let mut offset = 0;
                loop {
                    let n = file.read_at(&mut buffer, offset).unwrap();
                    if n == 0 {
                        break;
                    }
                    offset += black_box(n) as u64;
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, append_group, writers, replay);
criterion_main!(benches);
