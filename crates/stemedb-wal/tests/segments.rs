//! The life of segments: made ready, trimmed, released, compressed, recycled, moved by operators.
// Helpers outside the test functions unwrap too; real programs are run.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use stemedb_env::{
    Clock, Env, Fs, IoOp, Lsn, SimHandles,
    frame::DatabaseId,
    fs::{
        FaultFs, SimFs,
        fault::{Fault, FaultRule},
        sim::CrashOptions,
    },
};
use stemedb_wal::{
    Error, Journal, JournalIdentity, JournalOptions, JournalReader, Prepare, Retention, SegmentState,
    SegmentedJournal,
    inspect::{Finding, FrameRole, inspect},
};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };
const DIR: &str = "/db/wal";

fn entry(lsn: u64) -> Vec<u8> {
    format!("entry {lsn} {}", "z".repeat((lsn as usize * 41) % 700)).into_bytes()
}

fn append(journal: &SegmentedJournal, lsns: std::ops::RangeInclusive<u64>) {
    for lsn in lsns {
        assert_eq!(journal.append(entry(lsn)).unwrap(), Lsn(lsn));
    }
}

fn read_all(journal: &SegmentedJournal, from: u64) -> u64 {
    let mut reader = journal.read_from(Lsn(from)).unwrap();
    let mut next = from;
    while let Some(read) = reader.next_entry().unwrap() {
        assert_eq!((read.lsn, &read.bytes[..]), (Lsn(next), &entry(next)[..]));
        next += 1;
    }
    next - 1
}

/// Lets the background work until it has nothing to do for a while.
fn settle(sim: &SimHandles) {
    for _ in 0..400 {
        if sim.tasks.settle(100) == 0 && sim.tasks.next_due().is_none() {
            break;
        }
        sim.clock.sleep(Duration::from_millis(3));
    }
}

fn machine(seed: u64) -> (Env, SimHandles) {
    let (env, sim) = Env::sim(seed);
    sim.fs.install_dir(Path::new("/db")).unwrap();
    (env, sim)
}

fn names(fs: &SimFs) -> Vec<String> {
    let all = fs.list(Path::new(DIR)).unwrap();
    all.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_commit_into_a_prepared_segment_neither_grows_the_file_nor_asks_for_it() {
    let (env, sim) = machine(1);
    let counts = Arc::new(FaultFs::counting(Arc::clone(&env.fs)));
    let env = Env { fs: Arc::clone(&counts) as Arc<dyn Fs>, ..env };
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, JournalOptions::tiny()).unwrap();
    let mut lsn = 0;
    for _ in 0..12 {
        append(&journal, lsn + 1..=lsn + 4);
        lsn += 4;
        settle(&sim);
    }
    let stats = journal.stats();
    assert!(stats.rotations >= 4 && stats.spares_used >= 3, "{stats:?}");
    let active = journal.segments().unwrap().last().unwrap().path.clone();
    let len = |path: &Path| sim.fs.read_all(path).unwrap().len();
    let before = len(&active);
    assert_eq!(before, 8 << 10);
    counts.reset_call_counts();
    append(&journal, lsn + 1..=lsn + 1);
    let calls = counts.call_counts();
    assert_eq!((calls.writes("live."), calls.syncs("live.")), (1, 1));
    assert_eq!(calls.of(IoOp::Metadata, "").calls + calls.of(IoOp::SetLen, "").calls, 0);
    assert_eq!(len(&active), before);
    // What was made ahead is given back where it is not needed any more.
    for segment in journal.segments().unwrap() {
        if segment.state == SegmentState::Sealed {
            let bytes = sim.fs.read_all(&segment.path).unwrap();
            let waste = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
            assert!(waste <= bytes.len() / 8 + 512, "{}: {waste}", segment.path.display());
        }
    }
    journal.close().unwrap();
    assert!(len(&active) < before);
    assert_eq!(read_all(&journal, 1), lsn + 1);
}

#[test]
fn every_way_of_preparing_gives_the_same_journal() {
    for prepare in [Prepare::Off, Prepare::Allocate, Prepare::Write, Prepare::Auto] {
        let (env, sim) = machine(2);
        let options = JournalOptions { prepare, ..JournalOptions::tiny() };
        let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options.clone()).unwrap();
        for round in 0..10 {
            append(&journal, round * 5 + 1..=round * 5 + 5);
            settle(&sim);
        }
        drop(journal);
        let (journal, report) =
            SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn::ZERO, options).unwrap();
        assert_eq!((report.last_lsn, report.cut), (Lsn(50), None), "{prepare:?}");
        assert_eq!(read_all(&journal, 1), 50);
        assert!(!names(&sim.fs).iter().any(|name| name.ends_with(".tmp")), "leftovers are removed");
    }
}

#[test]
fn released_segments_are_compressed_and_read_in_place() {
    let (env, sim) = machine(3);
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, JournalOptions::tiny()).unwrap();
    append(&journal, 1..=60);
    settle(&sim);
    let plain: u64 = journal.segments().unwrap().iter().map(|segment| length(&sim.fs, &segment.path)).sum();
    journal.release(Lsn(60)).unwrap();
    settle(&sim);
    let stats = journal.stats();
    let segments = journal.segments().unwrap();
    assert_eq!(stats.packed_segments, segments.len() as u64 - 1);
    assert!(stats.packed_to_bytes * 2 < stats.packed_from_bytes, "{stats:?}");
    let packed: u64 = segments.iter().map(|segment| length(&sim.fs, &segment.path)).sum();
    assert!(packed * 2 < plain, "{packed} of {plain} bytes");
    for segment in &segments[..segments.len() - 1] {
        assert_eq!(segment.state, SegmentState::Released);
        assert!(segment.path.to_string_lossy().ends_with(".wal.zst"));
    }
    assert!(names(&sim.fs).iter().all(|name| !name.starts_with("segment.") || name.ends_with(".zst")));
    // Their files are ready to be written again, instead of zeros.
    assert!(names(&sim.fs).iter().any(|name| name.starts_with("spare.of.")), "{:?}", names(&sim.fs));
    assert_eq!(read_all(&journal, 1), 60);
    for from in 1..=60 {
        assert_eq!(read_all(&journal, from), 60);
    }
    assert!(journal.verify().unwrap().damage.is_empty());
    drop(journal);
    let (journal, report) =
        SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn(60), JournalOptions::tiny()).unwrap();
    assert_eq!((report.first_lsn, report.missing.len()), (Lsn(1), 0));
    assert_eq!(read_all(&journal, 1), 60);
    // Damage in one is found by the reader that comes to it, with the file.
    let first = segments[0].path.clone();
    let middle = length(&sim.fs, &first) / 2;
    sim.fs.corrupt(&first, middle, 0x10).unwrap();
    let (journal, _) =
        SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn(60), JournalOptions::tiny()).unwrap();
    match journal.read_from(Lsn(1)).and_then(|mut reader| reader.next_entry()) {
        Err(Error::Corruption { file, .. }) => assert_eq!(file, first),
        Err(Error::OutOfRange { first_lsn, .. }) => assert!(first_lsn > Lsn(1)),
        other => panic!("{other:?}"),
    }
}

fn length(fs: &SimFs, path: &Path) -> u64 {
    fs.read_all(path).unwrap().len() as u64
}

#[test]
fn views_may_release_from_many_threads_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = JournalOptions { pack_level: None, ..JournalOptions::tiny() };
    let journal =
        SegmentedJournal::create(&Env::real(), &folder.path().join("wal"), IDENTITY, options).unwrap();
    for round in 0..20 {
        append(&journal, round * 20 + 1..=round * 20 + 20);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| journal.release(journal.durable_lsn()).unwrap());
            }
        });
    }
    let segments = journal.segments().unwrap();
    assert!(segments[..segments.len() - 1].iter().all(|segment| segment.state == SegmentState::Released));
    assert_eq!(read_all(&journal, 1), 400);
}

#[test]
fn a_segment_that_cannot_be_read_is_noted_and_the_next_one_is_compressed() {
    let (env, sim) = machine(33);
    let faults = FaultFs::new(Arc::new(sim.fs.clone()), 1);
    let env = Env { fs: Arc::new(faults.clone()), ..env };
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, JournalOptions::tiny()).unwrap();
    append(&journal, 1..=60);
    settle(&sim);
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Read).path("/segment."));
    journal.release(Lsn(60)).unwrap();
    for _ in 0..8 {
        settle(&sim);
        sim.clock.sleep(Duration::from_secs(5));
    }
    let segments = journal.segments().unwrap();
    let released: Vec<u64> = segments
        .iter()
        .filter(|segment| segment.state == SegmentState::Released)
        .map(|segment| segment.id)
        .collect();
    assert!(released.len() > 3);
    assert_eq!(journal.damaged_segments(), released);
}

#[test]
fn a_power_cut_while_a_segment_is_compressed_costs_nothing() {
    let (env, sim) = machine(4);
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, JournalOptions::tiny()).unwrap();
    append(&journal, 1..=30);
    settle(&sim);
    sim.fs.record(true);
    journal.release(Lsn(30)).unwrap();
    settle(&sim);
    sim.fs.record(false);
    assert!(journal.stats().packed_segments >= 2);
    let mut states = 0;
    for point in sim.fs.take_crash_points() {
        for state in point.fs.crash_states(&CrashOptions { exhaustive_units: 8, samples: 8, seed: 4 }) {
            states += 1;
            let (env, _sim) = Env::over(state.fs.clone(), Arc::clone(&sim.clock), 5);
            let (journal, report) =
                SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn(30), JournalOptions::tiny())
                    .unwrap_or_else(|error| panic!("{:?} {:?}: {error}", point.operation, state.selection));
            assert_eq!((report.first_lsn, report.missing.len()), (Lsn(1), 0), "{:?}", point.operation);
            assert_eq!(read_all(&journal, 1), 30);
        }
    }
    assert!(states > 100, "{states}");
}

#[test]
fn recycled_files_carry_new_segments_and_their_old_frames_are_never_taken() {
    let (env, sim) = machine(5);
    let options = JournalOptions { retention: Retention::Recycle, ..JournalOptions::tiny() };
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options.clone()).unwrap();
    let mut lsn = 0;
    for _ in 0..40 {
        append(&journal, lsn + 1..=lsn + 5);
        lsn += 5;
        journal.release(Lsn(lsn)).unwrap();
        settle(&sim);
    }
    let stats = journal.stats();
    assert!(stats.recycled > 10, "{stats:?}");
    // The disk holds as much as the journal needs, however long it has been written to.
    assert!(sim.fs.total_bytes() < 6 * (8 << 10) + 8192, "{}", sim.fs.total_bytes());
    let floor = journal.first_lsn();
    assert!(floor > Lsn(100));
    assert_eq!(read_all(&journal, floor.0), lsn);
    assert!(matches!(journal.read_from(floor.prev()), Err(Error::OutOfRange { .. })));
    // Cut anywhere, with whatever the files held before.
    sim.fs.record(true);
    append(&journal, lsn + 1..=lsn + 12);
    journal.release(Lsn(lsn + 12)).unwrap();
    settle(&sim);
    append(&journal, lsn + 13..=lsn + 18);
    sim.fs.record(false);
    let mut states = 0;
    for point in sim.fs.take_crash_points() {
        for state in point.fs.crash_states(&CrashOptions { exhaustive_units: 6, samples: 6, seed: 6 }) {
            states += 1;
            let (env, _sim) = Env::over(state.fs.clone(), Arc::clone(&sim.clock), 5);
            let what = || format!("{:?} {:?}", point.operation, state.selection);
            // No view has flushed anything that the journal could be told of here: HEAD alone knows what was recycled.
            let (journal, report) =
                SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn::ZERO, options.clone())
                    .unwrap_or_else(|error| panic!("{}: {error}", what()));
            assert!(report.last_lsn >= Lsn(lsn) && report.last_lsn <= Lsn(lsn + 18), "{}", what());
            assert!(report.missing.is_empty(), "{}: {report:?}", what());
            assert_eq!(read_all(&journal, report.first_lsn.0), report.last_lsn.0, "{}", what());
            assert!(journal.verify().unwrap().damage.is_empty(), "{}", what());
            // Recycling goes on where the crash left it.
            let last = report.last_lsn.0;
            append(&journal, last + 1..=last + 30);
            journal.release(Lsn(last + 30)).unwrap();
            assert!(journal.segments().unwrap().len() <= 2, "{}", what());
        }
    }
    assert!(states > 100, "{states}");
}

#[test]
fn a_reader_whose_segment_is_recycled_is_told_so() {
    let (env, sim) = machine(6);
    let options = JournalOptions { retention: Retention::Recycle, ..JournalOptions::tiny() };
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options).unwrap();
    append(&journal, 1..=60);
    let mut slow = journal.read_from(Lsn(1)).unwrap();
    assert_eq!(slow.next_entry().unwrap().unwrap().lsn, Lsn(1));
    journal.release(Lsn(60)).unwrap();
    settle(&sim);
    append(&journal, 61..=80);
    let mut last = Lsn(1);
    let error = loop {
        match slow.next_entry() {
            Ok(Some(read)) => {
                assert_eq!(read.bytes, entry(read.lsn.0));
                last = read.lsn;
            }
            Ok(None) => panic!("the end at {last}, without a word"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::OutOfRange { lsn, .. } if lsn == last.next()), "{error}");
}

/// The real programs on real files, beside an open journal.
#[test]
fn what_operators_gzip_move_or_archive_is_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, archive) = (folder.path().join("wal"), folder.path().join("backup/wal-20261125"));
    let options =
        JournalOptions { pack_level: None, archive_dirs: vec![archive.clone()], ..JournalOptions::tiny() };
    let env = Env::real();
    let journal = SegmentedJournal::create(&env, &dir, IDENTITY, options.clone()).unwrap();
    append(&journal, 1..=60);
    journal.release(Lsn(60)).unwrap();
    let released: Vec<PathBuf> = journal
        .segments()
        .unwrap()
        .into_iter()
        .filter(|segment| segment.state == SegmentState::Released)
        .map(|segment| segment.path)
        .collect();
    assert!(released.len() >= 4);
    let run = |program: &str, arguments: &[&Path]| {
        let status = std::process::Command::new(program).args(arguments).status();
        assert!(status.unwrap_or_else(|error| panic!("{program}: {error}")).success());
    };
    run("gzip", &[&released[0]]);
    assert_eq!(read_all(&journal, 1), 60, "the journal is told by nobody");
    std::fs::create_dir_all(&archive).unwrap();
    run("mv", &[&released[1], &archive]);
    assert_eq!(read_all(&journal, 1), 60);
    run("gzip", &[&released[2]]);
    run("mv", &[&released[2].with_extension("wal.gz"), &archive]);
    assert_eq!(read_all(&journal, 1), 60);
    // A copy that was begun: the whole file beside it counts.
    std::fs::write(released[3].with_extension("wal.gz"), b"\x1f\x8b half").unwrap();
    drop(journal);
    let (journal, report) = SegmentedJournal::open(&env, &dir, IDENTITY, Lsn(60), options).unwrap();
    assert_eq!((report.first_lsn, report.missing.len()), (Lsn(1), 0));
    assert_eq!(read_all(&journal, 1), 60);
    drop(journal);
    // Without the archive folder they are a gap, and nothing else.
    let options = JournalOptions { pack_level: None, ..JournalOptions::tiny() };
    let (journal, report) = SegmentedJournal::open(&env, &dir, IDENTITY, Lsn(60), options).unwrap();
    assert_eq!(report.missing.len(), 1);
    assert_eq!(read_all(&journal, report.first_lsn.0), 60);
    let mut gaps = 0;
    let sums = inspect(&env, &dir, &[], &mut |finding| {
        gaps += usize::from(matches!(finding, Finding::Gap { recycled: false, .. }));
    })
    .unwrap();
    assert_eq!((sums.gaps, gaps as u64, sums.damages, sums.last_lsn), (1, 1, 0, Lsn(60)));
    let sums = inspect(&env, &dir, &[archive], &mut |_| {}).unwrap();
    assert_eq!((sums.gaps, sums.entries, sums.last_lsn), (0, 60, Lsn(60)));
}

/// Backups and archiving of a running database: they ask what there is.
#[test]
fn a_released_segment_that_is_moved_away_meanwhile_is_a_hole_and_what_is_behind_it_is_still_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, elsewhere) = (folder.path().join("wal"), folder.path().join("elsewhere"));
    let options = JournalOptions { pack_level: None, ..JournalOptions::tiny() };
    let journal = SegmentedJournal::create(&Env::real(), &dir, IDENTITY, options).unwrap();
    append(&journal, 1..=60);
    journal.release(Lsn(60)).unwrap();
    let before = journal.contents().unwrap();
    let ids = |from: usize| before[from..].iter().map(|content| content.id).collect::<Vec<_>>();
    assert!(before.len() >= 5 && before[3].released);
    std::fs::create_dir(&elsewhere).unwrap();
    let moved = |at: usize| {
        let name = format!("segment.{:06}.wal", before[at].id);
        std::fs::rename(dir.join(&name), elsewhere.join(&name)).unwrap();
    };
    moved(2);
    let listed: Vec<u64> = journal.contents().unwrap().iter().map(|content| content.id).collect();
    assert_eq!(listed, ids(3));
    assert_eq!(read_all(&journal, before[3].first_lsn.0), 60);
}

#[test]
fn what_was_written_before_the_journal_was_opened_can_be_ended_too() {
    let (env, _sim) = machine(11);
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, JournalOptions::tiny()).unwrap();
    append(&journal, 1..=2);
    journal.close().unwrap();
    let open = || {
        SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn::ZERO, JournalOptions::tiny()).unwrap().0
    };
    let journal = open();
    let before = journal.segments().unwrap().len();
    journal.rotate().unwrap();
    assert_eq!(journal.segments().unwrap().len(), before + 1);
    // Nothing has been written since, whoever opens it.
    journal.rotate().unwrap();
    journal.close().unwrap();
    let journal = open();
    journal.rotate().unwrap();
    assert_eq!(journal.segments().unwrap().len(), before + 1);
    assert_eq!(journal.stats().rotations, 0);
    append(&journal, 3..=4);
    assert_eq!(read_all(&journal, 1), 4);
}

#[test]
fn an_inspection_shows_every_frame_and_every_damaged_place() {
    let (env, sim) = machine(8);
    let options = JournalOptions { pack_level: None, ..JournalOptions::tiny() };
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options).unwrap();
    append(&journal, 1..=30);
    settle(&sim);
    journal.close().unwrap();
    let look = || {
        let (mut groups, mut seals, mut closed, mut lsns) = (0, 0, 0, Vec::new());
        let mut damaged = Vec::new();
        let sums = inspect(&env, Path::new(DIR), &[], &mut |finding| match finding {
            Finding::Frame(frame) => {
                match frame.role {
                    FrameRole::Group { .. } => groups += 1,
                    FrameRole::Seal { successor } => {
                        assert_eq!(successor, frame.segment + 1);
                        seals += 1;
                    }
                    FrameRole::Marker { closed: true } => closed += 1,
                    _ => {}
                }
                lsns.extend((frame.first_lsn.0..).take(frame.count as usize));
            }
            Finding::Damage(Error::Corruption { file, offset, .. }) => damaged.push((file.clone(), *offset)),
            _ => {}
        })
        .unwrap();
        (sums, groups, seals, closed, lsns, damaged)
    };
    let (sums, groups, seals, closed, lsns, damaged) = look();
    assert_eq!((sums.entries, groups, closed, damaged.len()), (30, 30, 1, 0));
    assert_eq!(seals, sums.segments - 1);
    assert_eq!(lsns, (1..=30).collect::<Vec<_>>());
    // One group in the middle: its place is named, and what lies in other segments is still shown.
    let segments = journal.segments().unwrap();
    let second = &segments[1];
    sim.fs.corrupt(&second.path, 600, 1).unwrap();
    let (sums, _, _, _, lsns, damaged) = look();
    assert_eq!(damaged, [(second.path.clone(), 512)]);
    assert_eq!((sums.damages, sums.last_lsn), (1, Lsn(30)));
    assert!(lsns.contains(&1) && lsns.contains(&30) && lsns.len() < 30);
}

#[test]
fn the_oldest_named_segments_are_let_go_of_and_by_a_reader_none() {
    let (env, sim) = machine(9);
    let open =
        || SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn(60), JournalOptions::tiny()).unwrap().0;
    let ids = |journal: &SegmentedJournal| -> Vec<u64> {
        journal.segments().unwrap().iter().map(|segment| segment.id).collect()
    };
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, JournalOptions::tiny()).unwrap();
    append(&journal, 1..=60);
    journal.release(Lsn(60)).unwrap();
    settle(&sim);
    let all = ids(&journal);
    assert!(all.len() > 5, "{all:?}");
    journal.close().unwrap();
    drop(journal);
    let head = Path::new(DIR).join("HEAD");
    let (before, head_before) = (names(&sim.fs), sim.fs.read_all(&head).unwrap());
    let (reader, _) = SegmentedJournal::open_read_only(&env, Path::new(DIR)).unwrap();
    for judged in [&all[..], &[]] {
        let refused = reader.prune(judged).unwrap_err();
        assert!(matches!(refused, Error::ReadOnly { .. }), "{refused}");
    }
    assert_eq!((names(&sim.fs), sim.fs.read_all(&head).unwrap()), (before, head_before));
    drop(reader);
    // One in the middle is gone: nobody has judged what is before it.
    let journal = open();
    let path = journal.segments().unwrap()[3].path.clone();
    drop(journal);
    sim.fs.delete(&path).unwrap();
    let journal = open();
    assert_eq!(journal.prune(&all[4..]).unwrap(), []);
    assert_eq!(ids(&journal), [&all[..3], &all[4..]].concat());
    // Its predecessor's end is not known.
    assert_eq!(journal.prune(&all).unwrap(), all[..2]);
    assert_eq!(ids(&journal), [&all[2..3], &all[4..]].concat());
}
