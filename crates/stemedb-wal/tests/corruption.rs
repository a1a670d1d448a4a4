//! Damage: every byte, every file. The verdict is an error that names the place, or exactly the right entries.
// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use stemedb_env::{
    Clock, Env, Lsn,
    frame::{DatabaseId, FrameError},
    fs::SimFs,
};
use stemedb_wal::{
    Damage, Error, Journal, JournalIdentity, JournalOptions, JournalReader, RecoveryReport, SegmentedJournal,
};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };
const DIR: &str = "/db/wal";
const SECTOR: u64 = 512;

fn options() -> JournalOptions {
    JournalOptions { segment_bytes: 4 << 10, ..JournalOptions::tiny() }
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn entry(lsn: u64) -> Vec<u8> {
    format!("entry {lsn} {}", "y".repeat((lsn as usize * 53) % 500)).into_bytes()
}

fn env_over(fs: &SimFs) -> Env {
    let clock = stemedb_env::clock::SimClock::new(stemedb_env::clock::Micros(0));
    Env::over(fs.clone(), std::sync::Arc::new(clock), 1).0
}

fn open(fs: &SimFs) -> Result<(SegmentedJournal, RecoveryReport), Error> {
    SegmentedJournal::open(&env_over(fs), Path::new(DIR), IDENTITY, Lsn::ZERO, options())
}

/// How the journal was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Closed: `HEAD` is exact.
    Closed,
    /// Killed after an idle moment: the marker proves everything.
    Idle,
    /// Killed right after an acknowledgement: nothing proves the last group.
    Busy,
}

/// Segments of every birth: created, rotated, released, begun by an open, begun with adopted entries.
fn journal(left: Left) -> (SimFs, u64) {
    let (env, handles) = Env::sim(1);
    handles.fs.install_dir(Path::new("/db")).unwrap();
    let mut journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options()).unwrap();
    let mut lsn = 0;
    let mut append = |journal: &SegmentedJournal, count: u64| {
        for _ in 0..count {
            lsn += 1;
            assert_eq!(journal.append(entry(lsn)).unwrap(), Lsn(lsn));
        }
    };
    append(&journal, 12);
    let flushed = journal.segments().unwrap()[0].last_lsn.unwrap();
    journal.release(flushed).unwrap();
    // Killed: the last group is adopted.
    drop(journal);
    let reopen = || SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, flushed, options()).unwrap().0;
    journal = reopen();
    append(&journal, 2);
    journal.close().unwrap();
    drop(journal);
    journal = reopen();
    append(&journal, 3);
    match left {
        Left::Closed => journal.close().unwrap(),
        Left::Idle => {
            for _ in 0..3 {
                handles.tasks.settle(10);
                handles.clock.sleep(Duration::from_millis(6));
            }
            assert_eq!(journal.stats().markers, 1);
        }
        Left::Busy => {}
    }
    drop(journal);
    handles.fs.settle();
    (handles.fs, lsn)
}

fn files(fs: &SimFs) -> BTreeMap<PathBuf, u64> {
    let wal = fs.paths().into_iter().filter(|path| path.starts_with(DIR));
    wal.filter_map(|path| fs.read_all(&path).ok().map(|bytes| (path, bytes.len() as u64))).collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Verdicts {
    right: u64,
    floor_raised: u64,
    shorter: u64,
    reported: u64,
}

/// Opens, reads all, and judges: entries up to `provable` must be there, and be right, or an error says where.
fn judge(fs: &SimFs, provable: u64, last: u64, verdicts: &mut Verdicts, what: &dyn Fn() -> String) {
    let named = |error: &Error| match error {
        Error::Corruption { file, .. } | Error::Foreign { file, .. } => {
            assert!(file.starts_with(DIR), "{}: {error}", what());
        }
        Error::MissingSegment { first_lsn, .. } => {
            assert!(first_lsn.0 <= last, "{}: {error}", what());
        }
        other => panic!("{}: {other}", what()),
    };
    let (journal, report) = match open(fs) {
        Ok(opened) => opened,
        Err(error) => {
            named(&error);
            verdicts.reported += 1;
            return;
        }
    };
    let m = report.last_lsn.0;
    assert!(m >= provable, "{}: silently {m} of {provable} entries", what());
    assert!(m <= last, "{}: {m} of {last} entries", what());
    let first = journal.first_lsn();
    let lost = report.missing.iter().any(|gap| gap.first == Lsn(1) && gap.last == Some(first.prev()));
    assert!(first == Lsn(1) || lost, "{}: entries before {first} are gone without a word", what());
    let mut reader = journal.read_from(first).unwrap();
    let mut next = first.0;
    loop {
        match reader.next_entry() {
            Ok(Some(read)) => {
                assert_eq!((read.lsn.0, &read.bytes[..]), (next, &entry(next)[..]), "{}", what());
                next += 1;
            }
            Ok(None) => break,
            Err(error) => {
                named(&error);
                verdicts.reported += 1;
                return;
            }
        }
    }
    assert_eq!(next, m + 1, "{}: the reader stopped early without a word", what());
    match (first == Lsn(1), m == last) {
        (true, true) => verdicts.right += 1,
        (true, false) => verdicts.shorter += 1,
        (false, _) => verdicts.floor_raised += 1,
    }
}

/// The last entry that something proves besides its own group.
fn provable(left: Left, last: u64) -> u64 {
    if left == Left::Busy { last - 1 } else { last }
}

#[test]
fn every_flipped_byte_is_reported_or_harmless() {
    for left in [Left::Closed, Left::Idle, Left::Busy] {
        let (fs, last) = journal(left);
        let mut verdicts = Verdicts::default();
        for (file, len) in files(&fs) {
            for offset in 0..len {
                let image = fs.crash_keeping_all();
                image.corrupt(&file, offset, 1 << (offset % 8)).unwrap();
                let what = || format!("{left:?}: {} flipped at {offset}", file.display());
                judge(&image, provable(left, last), last, &mut verdicts, &what);
            }
        }
        println!("{left:?}: {verdicts:?}");
        assert!(verdicts.reported > 5_000 && verdicts.right > 5_000);
        assert!(verdicts.floor_raised > 100);
        assert_eq!(verdicts.shorter > 0, left == Left::Busy);
    }
}

/// Last entry of a segment without adopted groups whose frame ends at or before `cut`: by arithmetic, not by the code.
fn whole_groups(base: u64, last: u64, cut: u64) -> u64 {
    let mut end = SECTOR;
    let fits = |lsn: &u64| {
        end += (96 + 4 + entry(*lsn).len() as u64 + 4).next_multiple_of(SECTOR);
        end <= cut
    };
    base - 1 + (base..=last).take_while(fits).count() as u64
}

#[test]
fn every_cut_file_is_reported_or_harmless() {
    for left in [Left::Closed, Left::Idle, Left::Busy] {
        let (fs, last) = journal(left);
        let mut verdicts = Verdicts::default();
        let newest = files(&fs).into_keys().rfind(|file| file.to_string_lossy().contains("live.")).unwrap();
        let (journal, _) = SegmentedJournal::open_read_only(&env_over(&fs), Path::new(DIR)).unwrap();
        let newest_base = journal.segments().unwrap().last().unwrap().first_lsn.0;
        for (file, len) in files(&fs) {
            for cut in (0..len).filter(|cut| cut % 37 == 0 || cut % SECTOR == 0 || cut % SECTOR == SECTOR - 1)
            {
                let image = fs.crash_keeping_all();
                image.truncate(&file, cut).unwrap();
                let what = || format!("{left:?}: {} cut to {cut}", file.display());
                // An unclosed newest segment that is cut loses its proofs with its frames: what was whole must stay.
                let whole = if left != Left::Closed && file == newest {
                    whole_groups(newest_base, last, cut)
                } else {
                    last
                };
                judge(&image, whole.min(provable(left, last)), last, &mut verdicts, &what);
            }
        }
        println!("{left:?}: {verdicts:?}");
        assert!(verdicts.reported > 50 && verdicts.right > 100 && verdicts.floor_raised > 10);
    }
}

#[test]
fn every_missing_duplicated_or_exchanged_file_is_reported_or_harmless() {
    for left in [Left::Closed, Left::Idle, Left::Busy] {
        let (fs, last) = journal(left);
        let mut verdicts = Verdicts::default();
        let all: Vec<PathBuf> = files(&fs).into_keys().collect();
        for file in &all {
            let image = fs.crash_keeping_all();
            image.delete(file).unwrap();
            let what = || format!("{left:?}: {} missing", file.display());
            judge(&image, last, last, &mut verdicts, &what);
            for other in all.iter().filter(|other| *other != file) {
                let image = fs.crash_keeping_all();
                image.install(file, &fs.read_all(other).unwrap()).unwrap();
                let what =
                    || format!("{left:?}: {} holds what belongs in {}", file.display(), other.display());
                judge(&image, provable(left, last), last, &mut verdicts, &what);
            }
        }
        println!("{left:?}: {verdicts:?}");
        assert!(verdicts.reported > 10);
    }
}

#[test]
fn zeroed_and_exchanged_sectors_are_reported_or_harmless() {
    for left in [Left::Closed, Left::Idle, Left::Busy] {
        let (fs, last) = journal(left);
        let mut verdicts = Verdicts::default();
        let newest = files(&fs).into_keys().rfind(|file| file.to_string_lossy().contains("live.")).unwrap();
        let (journal, _) = SegmentedJournal::open_read_only(&env_over(&fs), Path::new(DIR)).unwrap();
        let newest_base = journal.segments().unwrap().last().unwrap().first_lsn.0;
        for (file, len) in files(&fs) {
            let bytes = fs.read_all(&file).unwrap();
            let sector = |at: u64| &bytes[at as usize..(at + SECTOR) as usize];
            for at in (0..len).step_by(SECTOR as usize) {
                let image = fs.crash_keeping_all();
                image.overwrite(&file, at, &[0; SECTOR as usize]).unwrap();
                let what = || format!("{left:?}: {} zeroed at {at}", file.display());
                judge(&image, provable(left, last), last, &mut verdicts, &what);
                for other in (0..at).step_by(SECTOR as usize) {
                    let image = fs.crash_keeping_all();
                    image.overwrite(&file, at, sector(other)).unwrap();
                    image.overwrite(&file, other, sector(at)).unwrap();
                    let what = || format!("{left:?}: {}: {other} and {at} exchanged", file.display());
                    // In the moment before the marker the last group is the only proof of the one before it: an
                    // exchange that destroys both leaves nothing to tell.
                    let last_group_hit =
                        left == Left::Busy && file == newest && whole_groups(newest_base, last, at) < last;
                    let floor = match last_group_hit {
                        true => whole_groups(newest_base, last, other).min(last - 1),
                        false => provable(left, last),
                    };
                    judge(&image, floor, last, &mut verdicts, &what);
                }
            }
        }
        println!("{left:?}: {verdicts:?}");
        assert!(verdicts.reported > 50);
    }
}

/// End of the frames of a segment whose room was allocated ahead.
fn written_bytes(fs: &SimFs, file: &Path) -> u64 {
    let bytes = fs.read_all(file).unwrap();
    let last = bytes.iter().rposition(|&byte| byte != 0).unwrap() as u64;
    (last + 1).next_multiple_of(SECTOR)
}

#[test]
fn a_torn_tail_is_cut_copied_and_explained() {
    let (fs, last) = journal(Left::Idle);
    let newest = files(&fs).into_keys().rfind(|file| file.to_string_lossy().contains("live.")).unwrap();
    let len = written_bytes(&fs, &newest);
    fs.overwrite(&newest, len, b"half a frame").unwrap();
    let torn = fs.read_all(&newest).unwrap();
    let (journal, report) = open(&fs).unwrap();
    let cut = report.cut.unwrap();
    assert_eq!((cut.file, cut.offset, cut.bytes), (newest.clone(), len, 12));
    let copy = cut.quarantined.unwrap();
    assert!(copy.starts_with("/db/quarantine"));
    assert_eq!(fs.read_all(&copy).unwrap(), b"half a frame");
    let note = fs.paths().into_iter().find(|path| path.to_string_lossy().ends_with(".reason.txt")).unwrap();
    assert!(String::from_utf8(fs.read_all(&note).unwrap()).unwrap().contains(&format!("offset {len}")));
    assert_eq!((report.last_lsn, report.proven_lsn), (Lsn(last), Lsn(last)));
    // The old file is evidence too, and the next open has nothing to cut.
    assert_eq!(fs.read_all(&newest).unwrap(), torn);
    assert_eq!(journal.append(entry(last + 1)).unwrap(), Lsn(last + 1));
    drop(journal);
    assert_eq!(open(&fs).unwrap().1.cut, None);
}

#[test]
fn damage_below_a_later_frame_is_reported_with_file_offset_and_lsn() {
    let (env, handles) = Env::sim(1);
    handles.fs.install_dir(Path::new("/db")).unwrap();
    let options = JournalOptions::tiny();
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options).unwrap();
    for lsn in 1..=4 {
        assert_eq!(journal.append("x").unwrap(), Lsn(lsn));
    }
    drop(journal);
    let live = path("live.000001.wal");
    // Header, then one sector per group: the third group.
    handles.fs.corrupt(&live, 3 * SECTOR + 100, 1).unwrap();
    let error = open(&handles.fs).map(drop).unwrap_err();
    let Error::Corruption { file, offset, damage, first_lsn, .. } = error else { panic!("{error}") };
    assert_eq!((file, offset, first_lsn), (live.clone(), 3 * SECTOR, Lsn(3)));
    assert_eq!(damage, Damage::Frame(FrameError::Checksum));
    // The same byte in the last group has no frame behind it to vouch for it: a torn tail.
    handles.fs.corrupt(&live, 3 * SECTOR + 100, 1).unwrap();
    handles.fs.corrupt(&live, 4 * SECTOR + 100, 1).unwrap();
    assert_eq!(open(&handles.fs).unwrap().1.last_lsn, Lsn(3));
}

#[test]
fn a_file_cut_between_two_frames_is_caught_by_head_or_the_next_header() {
    // By HEAD, in the newest segment of a closed journal.
    let (fs, _) = journal(Left::Closed);
    let newest = files(&fs).into_keys().rfind(|file| file.to_string_lossy().contains("live.")).unwrap();
    let durable = fs.read_all(&newest).unwrap().len() as u64;
    fs.truncate(&newest, 2 * SECTOR).unwrap();
    let error = open(&fs).map(drop).unwrap_err();
    let Error::Corruption { file, damage, .. } = error else { panic!("{error}") };
    assert_eq!((file, damage), (newest, Damage::EndsEarly { durable_bytes: durable }));
    // By the successor's header, in an older one.
    let (fs, _) = journal(Left::Busy);
    let older = path("live.000002.wal");
    assert!(files(&fs).contains_key(&older), "{:?}", files(&fs));
    fs.truncate(&older, 2 * SECTOR).unwrap();
    let error = open(&fs).map(drop).unwrap_err();
    let Error::Corruption { file, damage: Damage::EndsEarly { .. }, .. } = error else { panic!("{error}") };
    assert_eq!(file, older);
}

#[test]
fn a_journal_that_ends_before_what_the_views_have_is_damaged() {
    let (fs, last) = journal(Left::Busy);
    let open_with = |flushed| {
        let image = fs.crash_keeping_all();
        SegmentedJournal::open(&env_over(&image), Path::new(DIR), IDENTITY, Lsn(flushed), options()).map(drop)
    };
    assert!(open_with(last).is_ok());
    let error = open_with(last + 1).unwrap_err();
    assert!(matches!(
        error,
        Error::Corruption { damage: Damage::BehindViews { flushed }, .. } if flushed == Lsn(last + 1)
    ));
    // A last group that nothing else proves, damaged: cut, unless a view has it.
    let newest = files(&fs).into_keys().rfind(|file| file.to_string_lossy().contains("live.")).unwrap();
    fs.corrupt(&newest, written_bytes(&fs, &newest) - 1, 1).unwrap();
    assert!(open_with(last - 1).is_ok());
    assert!(matches!(open_with(last), Err(Error::Corruption { .. })));
}

#[test]
fn a_stale_frame_of_another_segment_is_never_taken() {
    let (fs, last) = journal(Left::Idle);
    let newest = files(&fs).into_keys().rfind(|file| file.to_string_lossy().contains("live.")).unwrap();
    let end = written_bytes(&fs, &newest);
    let older = fs.read_all(&path("live.000002.wal")).unwrap();
    // A whole valid frame of another segment behind the end, at the very offset it had there.
    assert!(older.len() as u64 > end);
    fs.overwrite(&newest, end, &older[end as usize..]).unwrap();
    let (journal, report) = open(&fs).unwrap();
    assert_eq!(report.last_lsn, Lsn(last));
    assert_eq!(report.cut.unwrap().offset, end);
    let mut reader = journal.read_from(Lsn(last)).unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().bytes, entry(last));
    assert_eq!(reader.next_entry().unwrap(), None);
}

#[test]
fn a_missing_newest_segment_is_noticed_sealed_predecessor_or_not() {
    // The predecessor is sealed and names it.
    let (env, handles) = Env::sim(1);
    handles.fs.install_dir(Path::new("/db")).unwrap();
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options()).unwrap();
    journal.append("one").unwrap();
    journal.rotate().unwrap();
    journal.append("two").unwrap();
    drop(journal);
    handles.fs.delete(&path("live.000002.wal")).unwrap();
    let without_head = handles.fs.crash_keeping_all();
    without_head.delete(&path("HEAD")).unwrap();
    for fs in [&handles.fs, &without_head] {
        let error = open(fs).map(drop).unwrap_err();
        assert!(matches!(error, Error::MissingSegment { segment: 2, first_lsn: Lsn(2), .. }), "{error}");
    }
    // The predecessor was left by a crash and is not sealed: HEAD knows.
    let (fs, _) = journal_after_a_kill();
    fs.delete(&path("live.000002.wal")).unwrap();
    let error = open(&fs).map(drop).unwrap_err();
    assert!(matches!(error, Error::MissingSegment { segment: 2, first_lsn: Lsn(2), .. }), "{error}");
    // For a rebuild, what is left can still be read.
    let (journal, report) = SegmentedJournal::open_read_only(&env_over(&fs), Path::new(DIR)).unwrap();
    assert_eq!(report.missing.len(), 1);
    let mut reader = journal.read_from(Lsn(1)).unwrap();
    assert_eq!(&reader.next_entry().unwrap().unwrap().bytes[..], b"one");
    assert_eq!(reader.next_entry().unwrap(), None);
}

fn journal_after_a_kill() -> (SimFs, SegmentedJournal) {
    let (env, handles) = Env::sim(1);
    handles.fs.install_dir(Path::new("/db")).unwrap();
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options()).unwrap();
    journal.append("one").unwrap();
    drop(journal);
    let (journal, _) = open(&handles.fs).unwrap();
    journal.append("two").unwrap();
    (handles.fs, journal)
}

#[test]
fn a_missing_live_segment_in_the_middle_is_an_error_that_names_the_gap() {
    let (fs, last) = journal(Left::Closed);
    let victim = path("live.000003.wal");
    let (journal, _) = SegmentedJournal::open_read_only(&env_over(&fs), Path::new(DIR)).unwrap();
    let info = journal.segments().unwrap().into_iter().find(|info| info.path == victim).unwrap();
    drop(journal);
    fs.delete(&victim).unwrap();
    let error = open(&fs).map(drop).unwrap_err();
    let Error::MissingSegment { segment, first_lsn, last_lsn, .. } = error else { panic!("{error}") };
    // Its first entry was adopted: the segment before, left by a crash, still has it.
    assert_eq!((segment, first_lsn, last_lsn), (3, info.first_lsn.next(), info.last_lsn));
    // A rebuild reads both sides of the gap.
    let (journal, report) = SegmentedJournal::open_read_only(&env_over(&fs), Path::new(DIR)).unwrap();
    assert_eq!((report.missing[0].first, report.missing[0].last), (first_lsn, last_lsn));
    let verified = journal.verify().unwrap();
    assert_eq!(verified.damage.len(), 1);
    assert_eq!(verified.entries, last - (last_lsn.unwrap().0 - first_lsn.0 + 1));
}

#[test]
fn adopted_groups_are_proven_by_the_name_of_their_segment_alone() {
    let (env, handles) = Env::sim(1);
    handles.fs.install_dir(Path::new("/db")).unwrap();
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options()).unwrap();
    journal.append("one").unwrap();
    drop(journal);
    // The second segment holds the adopted group and nothing after it. A crash before `HEAD` was written leaves the
    // old one; here it is gone altogether.
    assert_eq!(open(&handles.fs).unwrap().1.adopted_entries, 1);
    handles.fs.delete(&path("HEAD")).unwrap();
    let (journal, report) = open(&handles.fs).unwrap();
    // Its name may be one that is only seen: it is built again under the same name, with the same content.
    assert_eq!((report.last_lsn, report.adopted_entries, report.head_found), (Lsn(1), 1, false));
    assert_eq!(journal.segments().unwrap().last().unwrap().id, 2);
    drop(journal);
    handles.fs.corrupt(&path("live.000002.wal"), 2 * SECTOR - 1, 1).unwrap();
    let error = open(&handles.fs).map(drop).unwrap_err();
    assert!(matches!(error, Error::Corruption { offset: SECTOR, first_lsn: Lsn(1), .. }), "{error}");
}

/// Five entries in one segment, and one in the next, of a database that had another past.
fn history(past: &'static str) -> SimFs {
    let (env, handles) = Env::sim(1);
    handles.fs.install_dir(Path::new("/db")).unwrap();
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options()).unwrap();
    for lsn in 1..=5 {
        journal.append(if lsn == 2 { past } else { "x" }).unwrap();
    }
    journal.rotate().unwrap();
    journal.append("x").unwrap();
    handles.fs
}

#[test]
fn a_frame_or_a_file_of_another_past_breaks_the_chain() {
    let (fs, other) = (history("this"), history("that"));
    let (first, second) = (path("live.000001.wal"), path("live.000002.wal"));
    let read = |fs: &SimFs| -> Result<Vec<_>, Error> {
        let (journal, _) = open(fs)?;
        let mut reader = journal.read_from(Lsn(1))?;
        std::iter::from_fn(|| reader.next_entry().transpose()).collect()
    };
    assert_eq!(read(&fs).unwrap().len(), 6);
    // A whole frame with the right place and LSN, as a disk gives it back that lost a write.
    let stale = other.read_all(&first).unwrap()[2 * SECTOR as usize..3 * SECTOR as usize].to_vec();
    let image = fs.crash_keeping_all();
    image.overwrite(&first, 2 * SECTOR, &stale).unwrap();
    let error = read(&image).unwrap_err();
    let Error::Corruption { file, offset, damage, .. } = &error else { panic!("{error}") };
    assert_eq!((file, *offset, *damage), (&first, 3 * SECTOR, Damage::BrokenChain));
    // A whole file, consistent in itself.
    let image = fs.crash_keeping_all();
    image.install(&first, &other.read_all(&first).unwrap()).unwrap();
    let error = read(&image).unwrap_err();
    assert!(matches!(error, Error::Corruption { damage: Damage::BrokenChain, .. }), "{error}");
    let image = fs.crash_keeping_all();
    image.install(&second, &other.read_all(&second).unwrap()).unwrap();
    let error = read(&image).unwrap_err();
    assert!(matches!(error, Error::Corruption { damage: Damage::BrokenChain, .. }), "{error}");
}
