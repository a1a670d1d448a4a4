//! The journal on real files: what it promises while nothing goes wrong.
// Threads and real files are what is tested.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stemedb_env::{
    Env, Fs, IoOp, Lsn,
    frame::DatabaseId,
    fs::{FaultFs, RealFs},
};
use stemedb_wal::{
    CommitOptions, Error, Journal, JournalIdentity, JournalOptions, JournalReader, MemJournal, ReadOnlyCause,
    SegmentState, SegmentedJournal,
};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };

fn quiet() -> JournalOptions {
    JournalOptions { idle_marker: Duration::ZERO, pack_level: None, ..JournalOptions::tiny() }
}

fn entry(lsn: u64) -> Vec<u8> {
    format!("entry {lsn} {}", "x".repeat((lsn as usize * 37) % 300)).into_bytes()
}

fn read_all(journal: &impl Journal, from: u64) -> Vec<(u64, Vec<u8>)> {
    let mut reader = journal.read_from(Lsn(from)).unwrap();
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        all.push((entry.lsn.0, entry.bytes.to_vec()));
    }
    all
}

fn expected(from: u64, to: u64) -> Vec<(u64, Vec<u8>)> {
    (from..=to).map(|lsn| (lsn, entry(lsn))).collect()
}

/// Real files, and a count of every call on them.
fn counting_env() -> (Env, Arc<FaultFs>) {
    let fs = Arc::new(FaultFs::counting(Arc::new(RealFs::new())));
    (Env { fs: Arc::clone(&fs) as Arc<dyn Fs>, ..Env::real() }, fs)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("wal");
    (folder, dir)
}

#[test]
fn a_group_costs_one_write_and_one_sync_and_no_stat() {
    let (env, counts) = counting_env();
    let (_folder, dir) = folder();
    let options = JournalOptions { segment_bytes: 1 << 20, ..quiet() };
    let journal = SegmentedJournal::create(&env, &dir, IDENTITY, options).unwrap();
    let count = || {
        let calls = counts.call_counts();
        counts.reset_call_counts();
        (calls.writes(""), calls.syncs(""), calls.of(IoOp::Metadata, "").calls)
    };
    count();
    let entries: Vec<Vec<u8>> = (1..=500).map(entry).collect();
    let borrowed: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    assert_eq!(journal.append_group(&borrowed).unwrap(), Lsn(1));
    assert_eq!(count(), (1, 1, 0));
    assert_eq!(journal.append(entry(501)).unwrap(), Lsn(501));
    assert_eq!(count(), (1, 1, 0));
    assert_eq!(read_all(&journal, 1), expected(1, 501));
}

#[test]
fn eight_threads_share_syncs_and_every_entry_has_its_own_lsn() {
    let (env, counts) = counting_env();
    let (_folder, dir) = folder();
    let options = JournalOptions { segment_bytes: 64 << 20, ..quiet() };
    let journal = SegmentedJournal::create(&env, &dir, IDENTITY, options).unwrap();
    counts.reset_call_counts();
    let mut given: Vec<(u64, String)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let journal = &journal;
                scope.spawn(move || {
                    (0..50)
                        .map(|at| {
                            let text = format!("{writer}/{at}");
                            (journal.append(text.clone()).unwrap().0, text)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    given.sort();
    let stats = journal.stats();
    assert_eq!(stats.groups, counts.call_counts().syncs(""));
    assert_eq!((stats.syncs, stats.entries), (stats.groups, 400));
    assert_eq!(stats.queue.wait_us.count(), stats.groups);
    assert!(stats.groups < 400, "no two writers ever shared a sync");
    let read: Vec<(u64, String)> = read_all(&journal, 1)
        .into_iter()
        .map(|(lsn, bytes)| (lsn, String::from_utf8(bytes).unwrap()))
        .collect();
    assert_eq!(read, given);
}

#[test]
fn what_was_written_is_read_after_reopening_across_many_segments() {
    let (_folder, dir) = folder();
    let env = Env::real();
    for compress in [false, true] {
        let dir = dir.join(compress.to_string());
        let options = JournalOptions { compress, ..quiet() };
        let journal = SegmentedJournal::create(&env, &dir, IDENTITY, options.clone()).unwrap();
        for lsn in 1..=100 {
            assert_eq!(journal.append(entry(lsn)).unwrap(), Lsn(lsn));
        }
        assert!(journal.stats().rotations >= 3);
        drop(journal);
        // Without a close the last group is adopted.
        let (journal, report) =
            SegmentedJournal::open(&env, &dir, IDENTITY, Lsn::ZERO, options.clone()).unwrap();
        assert_eq!((report.last_lsn, report.proven_lsn, report.adopted_entries), (Lsn(100), Lsn(99), 1));
        assert_eq!(read_all(&journal, 1), expected(1, 100));
        assert_eq!(journal.append(entry(101)).unwrap(), Lsn(101));
        journal.close().unwrap();
        let segments = journal.segments().unwrap().len();
        drop(journal);
        // After a close nothing is, and opening alone makes no segment.
        let (journal, report) =
            SegmentedJournal::open(&env, &dir, IDENTITY, Lsn(50), options.clone()).unwrap();
        assert_eq!((report.last_lsn, report.proven_lsn, report.adopted_entries), (Lsn(101), Lsn(101), 0));
        assert_eq!(journal.segments().unwrap().len(), segments);
        for from in [1, 2, 50, 99, 100, 101, 102] {
            assert_eq!(read_all(&journal, from), expected(from, 101));
        }
        assert!(matches!(journal.read_from(Lsn(103)), Err(Error::OutOfRange { .. })));
        assert_eq!(journal.append(entry(102)).unwrap(), Lsn(102));
        let verified = journal.verify().unwrap();
        assert_eq!((verified.entries, verified.damage.len()), (102, 0));
    }
}

#[test]
fn compressed_groups_are_smaller_and_read_the_same() {
    let (_folder, dir) = folder();
    let env = Env::real();
    let text = "the same words again and again ".repeat(1000);
    let mut sizes = Vec::new();
    for compress in [false, true] {
        let options = JournalOptions { compress, segment_bytes: 1 << 20, ..quiet() };
        let journal =
            SegmentedJournal::create(&env, &dir.join(compress.to_string()), IDENTITY, options).unwrap();
        journal.append(text.clone()).unwrap();
        assert_eq!(read_all(&journal, 1), vec![(1, text.clone().into_bytes())]);
        let stats = journal.stats();
        assert_eq!(stats.compressed_groups, u64::from(compress));
        sizes.push(stats.file_bytes);
    }
    assert!(sizes[1] * 4 < sizes[0], "{sizes:?}");
}

#[test]
fn released_segments_get_their_names_and_are_no_longer_needed() {
    let (_folder, dir) = folder();
    let env = Env::real();
    let journal = SegmentedJournal::create(&env, &dir, IDENTITY, quiet()).unwrap();
    for lsn in 1..=100 {
        journal.append(entry(lsn)).unwrap();
    }
    let mut slow = journal.read_from(Lsn(1)).unwrap();
    assert_eq!(slow.next_entry().unwrap().unwrap().lsn, Lsn(1));
    let middle = journal.segments().unwrap()[1].last_lsn.unwrap();
    journal.release(middle.prev()).unwrap();
    let states = |journal: &SegmentedJournal| -> Vec<SegmentState> {
        journal.segments().unwrap().iter().map(|segment| segment.state).collect()
    };
    assert_eq!(states(&journal)[..2], [SegmentState::Released, SegmentState::Sealed]);
    journal.release(Lsn(100)).unwrap();
    let all = states(&journal);
    assert!(all[..all.len() - 1].iter().all(|&state| state == SegmentState::Released));
    assert_eq!(all.last(), Some(&SegmentState::Active));
    assert_eq!(read_all(&journal, 1), expected(1, 100));
    // A reader that was on its way is not disturbed.
    assert_eq!(slow.next_entry().unwrap().unwrap().lsn, Lsn(2));
    journal.close().unwrap();
    drop(journal);

    // One at the front removed: a higher floor. One in the middle: the same, and the one below is still there.
    std::fs::remove_file(dir.join("segment.000001.wal")).unwrap();
    let (journal, report) = SegmentedJournal::open(&env, &dir, IDENTITY, Lsn::ZERO, quiet()).unwrap();
    let floor = journal.segments().unwrap()[0].first_lsn;
    assert_eq!((journal.first_lsn(), report.first_lsn), (floor, floor));
    assert_eq!(report.missing.len(), 1);
    assert_eq!((report.missing[0].first, report.missing[0].last), (Lsn(1), Some(floor.prev())));
    assert!(matches!(journal.read_from(floor.prev()), Err(Error::OutOfRange { .. })));
    assert_eq!(read_all(&journal, floor.0), expected(floor.0, 100));
    drop(journal);
    std::fs::remove_file(dir.join("segment.000003.wal")).unwrap();
    let (journal, report) = SegmentedJournal::open(&env, &dir, IDENTITY, Lsn::ZERO, quiet()).unwrap();
    assert_eq!(report.missing.len(), 2);
    let gap = report.missing[1];
    assert_eq!(report.first_lsn, gap.last.unwrap().next());
    let mut reader = journal.read_from(floor).unwrap();
    let error = loop {
        match reader.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the hole was read over"),
            Err(error) => break error,
        }
    };
    let Error::MissingSegment { segment: 3, first_lsn, last_lsn, .. } = error else { panic!("{error}") };
    assert_eq!((first_lsn, last_lsn), (gap.first, gap.last));
    assert_eq!(read_all(&journal, report.first_lsn.0), expected(report.first_lsn.0, 100));
    assert_eq!(journal.verify().unwrap().damage.len(), 1);
}

#[test]
fn opening_reads_no_more_when_the_history_is_longer() {
    let (_folder, dir) = folder();
    let env = Env::real();
    let mut frames = Vec::new();
    for entries in [40u64, 400] {
        let dir = dir.join(entries.to_string());
        let journal = SegmentedJournal::create(&env, &dir, IDENTITY, quiet()).unwrap();
        (1..=entries).for_each(|lsn| assert_eq!(journal.append(entry(lsn)).unwrap(), Lsn(lsn)));
        journal.release(Lsn(entries)).unwrap();
        journal.close().unwrap();
        drop(journal);
        let (counted, counts) = counting_env();
        let (_, report) = SegmentedJournal::open(&counted, &dir, IDENTITY, Lsn(entries), quiet()).unwrap();
        assert!(report.frames_read < 40);
        frames.push((report.segments, counts.call_counts().of(IoOp::Open, "").calls));
    }
    assert!(frames[1].0 > 5 * frames[0].0);
    assert_eq!(frames[1].1, frames[0].1, "{frames:?}");
}

#[test]
fn the_last_entry_is_found_from_the_end_wherever_it_lies() {
    let (_folder, dir) = folder();
    let options =
        JournalOptions { pack_level: None, idle_marker: Duration::ZERO, ..JournalOptions::default() };
    let (env, counts) = counting_env();
    let journal = SegmentedJournal::create(&env, &dir, IDENTITY, options.clone()).unwrap();
    assert!(journal.last_entry().unwrap().is_none());
    let last = |journal: &SegmentedJournal| {
        let entry = journal.last_entry().unwrap().unwrap();
        (entry.lsn, entry.bytes.to_vec())
    };
    // In the segment that is written to, and behind its end; one frame beyond the first window, one in the middle of one.
    let mut lsn = 0;
    for bytes in [1, 600, 70_000, 300_000, 3] {
        for group in [1, 3] {
            let entries: Vec<Vec<u8>> = (0..group).map(|at| vec![at as u8 + 1; bytes]).collect();
            let refs: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            journal.append_group(&refs).unwrap();
            lsn += group;
            let wanted = (Lsn(lsn), vec![group as u8; bytes]);
            assert_eq!(last(&journal), wanted);
            journal.rotate().unwrap();
            assert_eq!(last(&journal), wanted, "its segment is sealed");
            // Nothing but headers and seals between.
            journal.rotate().unwrap();
            assert_eq!(last(&journal), wanted);
        }
    }
    // Far behind the front of a long segment.
    for _ in 0..100 {
        lsn = journal.append(vec![7; 100_000]).unwrap().0;
    }
    journal.rotate().unwrap();
    journal.close().unwrap();
    drop(journal);
    let (journal, _) = SegmentedJournal::open(&env, &dir, IDENTITY, Lsn(lsn), options).unwrap();
    counts.reset_call_counts();
    assert_eq!(last(&journal), (Lsn(lsn), vec![7; 100_000]));
    let read = counts.call_counts().of(IoOp::Read, "");
    assert!(read.calls < 20 && read.bytes < 400 << 10, "{read:?} for 100,000 bytes");
}

#[test]
fn whatever_is_damaged_the_last_entry_is_the_right_one_or_an_error() {
    let (_folder, dir) = folder();
    let env = Env::real();
    let journal = SegmentedJournal::create(&env, &dir, IDENTITY, quiet()).unwrap();
    (1..=5).for_each(|lsn| assert_eq!(journal.append(entry(lsn)).unwrap(), Lsn(lsn)));
    journal.rotate().unwrap();
    journal.close().unwrap();
    drop(journal);
    let path = dir.join("live.000001.wal");
    let whole = std::fs::read(&path).unwrap();
    let (mut found, mut refused) = (0, 0);
    for at in (0..whole.len()).step_by(37) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let Ok((journal, _)) = SegmentedJournal::open(&env, &dir, IDENTITY, Lsn(5), quiet()) else {
            refused += 1;
            continue;
        };
        match journal.last_entry() {
            Ok(last) => {
                let last = last.unwrap();
                assert_eq!((last.lsn, last.bytes.to_vec()), (Lsn(5), entry(5)));
                found += 1;
            }
            Err(Error::Corruption { file, .. }) => {
                assert_eq!(file, path);
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(found > 10 && refused > 5, "{found} found, {refused} refused");
}

#[test]
fn a_tail_reader_follows_a_writer_through_rotations() {
    let (_folder, dir) = folder();
    let journal = SegmentedJournal::create(&Env::real(), &dir, IDENTITY, JournalOptions::tiny()).unwrap();
    std::thread::scope(|scope| {
        let journal = &journal;
        scope.spawn(move || {
            (1..=300).for_each(|lsn| assert_eq!(journal.append(entry(lsn)).unwrap(), Lsn(lsn)))
        });
        let follow = |from: u64| {
            let mut reader = journal.read_from(Lsn(from)).unwrap();
            let mut next = from;
            while next <= 300 {
                match reader.next_entry().unwrap() {
                    Some(read) => {
                        assert_eq!((read.lsn, &read.bytes[..]), (Lsn(next), &entry(next)[..]));
                        assert!(read.lsn <= journal.durable_lsn());
                        next += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
        };
        follow(1);
        follow(137);
    });
}

#[test]
fn the_last_group_becomes_provable_when_no_other_follows() {
    let (_folder, dir) = folder();
    let env = Env::real();
    let journal = SegmentedJournal::create(&env, &dir, IDENTITY, JournalOptions::tiny()).unwrap();
    for round in 1..=3u64 {
        journal.append(entry(round)).unwrap();
        while journal.stats().markers < round {
            std::thread::yield_now();
        }
    }
    drop(journal);
    let (_, report) = SegmentedJournal::open(&env, &dir, IDENTITY, Lsn::ZERO, quiet()).unwrap();
    assert_eq!((report.last_lsn, report.proven_lsn), (Lsn(3), Lsn(3)));
}

#[test]
fn an_overloaded_queue_refuses_before_an_lsn_is_given() {
    let (_folder, dir) = folder();
    let queue = CommitOptions { queue_bytes: 1, ..CommitOptions::default() };
    let options = JournalOptions { queue, segment_bytes: 64 << 20, ..quiet() };
    let journal = SegmentedJournal::create(&Env::real(), &dir, IDENTITY, options).unwrap();
    let refused = AtomicU64::new(0);
    let mut given: Vec<Lsn> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut given = Vec::new();
                    for _ in 0..50 {
                        match journal.append("entry") {
                            Ok(lsn) => given.push(lsn),
                            Err(Error::Overloaded { limit_bytes: 1, .. }) => {
                                refused.fetch_add(1, Ordering::SeqCst);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    given
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    given.sort();
    let refused = refused.load(Ordering::SeqCst);
    assert!(refused > 0);
    assert_eq!(given.len() as u64 + refused, 200);
    assert_eq!(given, (1..=given.len() as u64).map(Lsn).collect::<Vec<_>>());
    assert_eq!((journal.stats().queue.overloaded, journal.durable_lsn().0), (refused, given.len() as u64));
}

#[test]
fn what_the_format_cannot_hold_is_refused_and_changes_nothing() {
    let (_folder, dir) = folder();
    let journal = SegmentedJournal::create(&Env::real(), &dir, IDENTITY, quiet()).unwrap();
    let huge = vec![0; stemedb_wal::MAX_ENTRY_BYTES + 1];
    assert!(matches!(journal.append(huge.clone()), Err(Error::TooLarge { what: "entry", .. })));
    assert!(matches!(journal.append_group(&[b"x", &huge]), Err(Error::TooLarge { what: "entry", .. })));
    let most = &huge[1..];
    assert!(matches!(journal.append_group(&[most, most, most]), Err(Error::TooLarge { what: "group", .. })));
    assert!(matches!(journal.append_group(&[]), Err(Error::EmptyGroup)));
    assert_eq!(journal.append_group(&[most, most]).unwrap(), Lsn(1));
    let mut reader = journal.read_from(Lsn(2)).unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().bytes.len(), most.len());
}

#[test]
fn a_closed_and_a_read_only_journal_refuse_appends() {
    let (_folder, dir) = folder();
    let env = Env::real();
    let journal = SegmentedJournal::create(&env, &dir, IDENTITY, quiet()).unwrap();
    (1..=50).for_each(|lsn| assert_eq!(journal.append(entry(lsn)).unwrap(), Lsn(lsn)));
    journal.close().unwrap();
    journal.close().unwrap();
    assert!(matches!(journal.append("x"), Err(Error::ReadOnly { cause: ReadOnlyCause::Closed })));
    assert_eq!(read_all(&journal, 1), expected(1, 50));
    drop(journal);
    let (journal, report) = SegmentedJournal::open_read_only(&env, &dir).unwrap();
    assert_eq!((journal.identity(), report.last_lsn), (IDENTITY, Lsn(50)));
    assert!(matches!(journal.append("x"), Err(Error::ReadOnly { cause: ReadOnlyCause::OpenedReadOnly })));
    assert_eq!(read_all(&journal, 1), expected(1, 50));
}

#[test]
fn folders_that_are_not_this_journal_are_refused() {
    let (_folder, dir) = folder();
    let env = Env::real();
    let open = |identity| SegmentedJournal::open(&env, &dir, identity, Lsn::ZERO, quiet()).map(|_| ());
    assert!(matches!(open(IDENTITY), Err(Error::NoJournal { .. })));
    std::fs::create_dir(&dir).unwrap();
    assert!(matches!(open(IDENTITY), Err(Error::NoJournal { .. })));
    let journal = SegmentedJournal::create(&env, &dir, IDENTITY, quiet()).unwrap();
    journal.append("x").unwrap();
    drop(journal);
    let again = SegmentedJournal::create(&env, &dir, IDENTITY, quiet());
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    for other in [
        JournalIdentity { timeline: 2, ..IDENTITY },
        JournalIdentity { database: DatabaseId([8; 16]), ..IDENTITY },
    ] {
        let Err(Error::Foreign { found, expected, .. }) = open(other) else { panic!() };
        assert_eq!((found, expected), (IDENTITY, other));
    }
    std::fs::remove_file(dir.join("live.000001.wal")).unwrap();
    assert!(matches!(open(IDENTITY), Err(Error::MissingSegment { segment: 1, .. })));
    let again = SegmentedJournal::create(&env, &dir, IDENTITY, quiet());
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
}

#[test]
fn the_reference_journal_answers_alike() {
    let (_folder, dir) = folder();
    let segmented = SegmentedJournal::create(&Env::real(), &dir, IDENTITY, quiet()).unwrap();
    let memory = MemJournal::new();
    fn drive(journal: &impl Journal) -> Vec<String> {
        let mut seen = vec![format!("{:?}", journal.append_group(&[b"a", b"", b"c"]).unwrap())];
        let mut reader = journal.read_from(Lsn::ZERO).unwrap();
        for _ in 0..4 {
            seen.push(format!("{:?}", reader.next_entry().unwrap()));
        }
        seen.push(format!("{:?}", journal.append_group(&[b"d"]).unwrap()));
        seen.push(format!("{:?}", reader.next_entry().unwrap()));
        seen.push(format!("{:?} {:?}", journal.first_lsn(), journal.durable_lsn()));
        journal.release(Lsn(2)).unwrap();
        seen.push(format!("{:?}", journal.read_from(Lsn(6)).err().map(|error| error.to_string())));
        seen.push(format!("{:?}", journal.append_group(&[]).err().map(|error| error.to_string())));
        seen.push(format!("{:?}", journal.read_from(Lsn(5)).unwrap().next_entry().unwrap()));
        seen
    }
    assert_eq!(drive(&segmented), drive(&memory));
}
