//! The journal: what a group costs beyond its write and its sync, what company of other writers saves, how fast it is read.
#![allow(missing_docs, clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{hint::black_box, path::Path};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_benches::{scaled, scratch, together};
use stemedb_env::{AlignedBuffer, Env, Lsn, OpenMode, Random, frame::DatabaseId, random::SeededRandom};
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

/// One group against the same bytes written and synced by hand, one after the other into a preallocated file.
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

        // Padded to whole sectors as the journal's frames are, into room that was allocated before.
        let dir = scratch();
        let file = env.fs.open(&dir.path().join("raw"), OpenMode::CreateNew).unwrap();
        file.allocate(1 << 30).unwrap();
        file.sync_data().unwrap();
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

/// A journal of `groups` groups of `per_group` entries, and the bytes of its entries and of its files.
fn grown(env: &Env, dir: &Path, groups: usize, per_group: usize) -> (SegmentedJournal, u64, u64) {
    let journal = journal(env, dir);
    let entries = entries(per_group);
    let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    for _ in 0..groups {
        journal.append_group(&slices).unwrap();
    }
    let file_bytes = journal.stats().file_bytes;
    (journal, (groups * per_group * ENTRY_BYTES) as u64, file_bytes)
}

/// From the page cache, on one core. Large groups count their payload, single commits what lies on the disk for them.
fn replay(criterion: &mut Criterion) {
    let env = Env::real();
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10);
    for (name, groups, per_group) in
        [("groups_of_64_KiB_payload", scaled(1_000), 328), ("single_commits_file", scaled(16_000), 1)]
    {
        let dir = scratch();
        let path = dir.path().join("wal");
        let (journal, payload_bytes, file_bytes) = grown(&env, &path, groups, per_group);
        group.throughput(Throughput::Bytes(if per_group == 1 { file_bytes } else { payload_bytes }));
        group.bench_function(BenchmarkId::new("journal", name), |bencher| {
            bencher.iter(|| {
                let mut reader = journal.read_from(Lsn(1)).unwrap();
                let mut read = 0;
                while let Some(entry) = reader.next_entry().unwrap() {
                    read += entry.bytes.len() as u64;
                }
                assert_eq!(read, payload_bytes);
            });
        });
        // The same files, read in blocks and thrown away.
        group.bench_function(BenchmarkId::new("yardstick_read_files", name), |bencher| {
            let mut buffer = AlignedBuffer::new();
            buffer.resize(1 << 20);
            bencher.iter(|| {
                for entry in env.fs.list(&path).unwrap() {
                    let file = env.fs.open(&path.join(&entry.name), OpenMode::Read).unwrap();
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
    }
    group.finish();
}

/// Opening after a clean close, with a gibibyte of sealed segments behind it.
fn open(criterion: &mut Criterion) {
    let env = Env::real();
    let dir = scratch();
    let path = dir.path().join("wal");
    let (journal, ..) = grown(&env, &path, scaled(1_024), 5_240);
    journal.close().unwrap();
    let segments = journal.segments().unwrap().len();
    drop(journal);
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("journal", format!("{segments}_segments")), |bencher| {
        bencher.iter(|| {
            let opened =
                SegmentedJournal::open(&env, &path, IDENTITY, Lsn::ZERO, JournalOptions::default()).unwrap();
            black_box(opened.1.last_lsn)
        });
    });
    group.finish();
}

/// What an entry costs on the disk, before and after its segment has been compressed. No time is measured; it is here
/// because it belongs beside the other figures.
fn space(_criterion: &mut Criterion) {
    println!("\nspace: bytes on disk per entry of {ENTRY_BYTES} bytes that do not compress");
    for (name, groups, per_group) in [
        ("single commits", scaled(40_000), 1),
        ("groups of 64", scaled(2_000), 64),
        ("groups of 1000", scaled(200), 1000),
    ] {
        let env = Env::real();
        let dir = scratch();
        let path = dir.path().join("wal");
        let journal = journal(&env, &path);
        let random = SeededRandom::new(1);
        let mut entries = vec![vec![0; ENTRY_BYTES]; per_group];
        for _ in 0..groups {
            entries.iter_mut().for_each(|entry| random.fill(entry));
            let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            journal.append_group(&slices).unwrap();
        }
        let file_bytes = journal.stats().file_bytes;
        journal.rotate().unwrap();
        journal.release(journal.durable_lsn()).unwrap();
        let sealed = journal.segments().unwrap().len() as u64 - 1;
        while journal.stats().packed_segments < sealed {
            env.clock.sleep(std::time::Duration::from_millis(20));
        }
        let entries = groups * per_group;
        let packed = journal.stats().packed_to_bytes;
        println!(
            "{name:<16} written {:>6.1}   compressed {:>6.1}",
            file_bytes as f64 / entries as f64,
            packed as f64 / entries as f64
        );
    }
}

criterion_group!(benches, append_group, writers, replay, open, space);
criterion_main!(benches);
