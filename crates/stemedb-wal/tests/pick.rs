//! Single entries by their LSNs, in every form that a segment can have. What it costs is counted in frames.
#![allow(clippy::unwrap_used)]

use std::{io::Write, path::Path, time::Duration};

use stemedb_env::{Clock, Env, Lsn, SimHandles, frame::DatabaseId};
use stemedb_wal::{
    Error, Journal, JournalIdentity, JournalMark, JournalOptions, JournalReader, PickedEntries, Prepare,
    SegmentState, SegmentedJournal,
};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };
const DIR: &str = "/db/wal";
const ENTRIES: u64 = 3_000;
/// Frames of one KiB between two marks.
const FRAMES_PER_MARK: u64 = 128;

fn options(pack_level: Option<i32>) -> JournalOptions {
    JournalOptions {
        segment_bytes: 1 << 20,
        sector_bytes: 512,
        prepare: Prepare::Off,
        pack_level,
        ..JournalOptions::default()
    }
}

fn entry(lsn: u64) -> Vec<u8> {
    let mut bytes = lsn.to_be_bytes().to_vec();
    // Not to be packed away.
    let mut state = lsn | 1;
    bytes.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(800),
    );
    bytes
}

fn settle(sim: &SimHandles) {
    for _ in 0..400 {
        if sim.tasks.settle(100) == 0 && sim.tasks.next_due().is_none() {
            break;
        }
        sim.clock.sleep(Duration::from_millis(3));
    }
}

fn create(options: JournalOptions) -> (Env, SimHandles, SegmentedJournal) {
    let (env, sim) = Env::sim(1);
    sim.fs.install_dir(Path::new("/db")).unwrap();
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options).unwrap();
    for lsn in 1..=ENTRIES {
        journal.append_group(&[&entry(lsn)]).unwrap();
    }
    settle(&sim);
    (env, sim, journal)
}

fn reopen(env: &Env, journal: SegmentedJournal, options: JournalOptions) -> SegmentedJournal {
    journal.close().unwrap();
    drop(journal);
    SegmentedJournal::open(env, Path::new(DIR), IDENTITY, Lsn(ENTRIES), options).unwrap().0
}

fn check(mut picked: PickedEntries, wanted: &[u64]) -> u64 {
    for &lsn in wanted {
        let found = picked.next_entry().unwrap().unwrap();
        assert_eq!((found.lsn, &found.bytes[..]), (Lsn(lsn), &entry(lsn)[..]));
    }
    assert_eq!(picked.next_entry().unwrap(), None);
    picked.frames_read()
}

fn pick(journal: &SegmentedJournal, wanted: &[u64], marks: &[JournalMark]) -> u64 {
    check(journal.pick(wanted.iter().copied().map(Lsn).collect(), marks.to_vec()), wanted)
}

const FEW: [u64; 8] = [3, 700, 701, 1_200, 1_950, 2_000, 2_400, 2_999];

#[test]
fn few_entries_cost_the_frames_from_the_marks_before_them() {
    let (env, _sim, journal) = create(options(None));
    assert!(journal.segments().unwrap().len() >= 3);
    let marks = journal.marks(&(Lsn(1)..=Lsn(ENTRIES)));
    assert!(marks.len() >= 18 && marks.is_sorted_by_key(|mark| mark.next_lsn), "{} marks", marks.len());
    let bound = FEW.len() as u64 * FRAMES_PER_MARK;
    let frames = pick(&journal, &FEW, &[]);
    assert!(frames <= bound, "{frames} frames");
    assert_eq!(journal.marks(&(Lsn(1_000)..=Lsn(1_300))).len(), {
        let within = |mark: &&JournalMark| (1_000..=1_300).contains(&mark.next_lsn.0);
        marks.iter().filter(within).count()
    });
    // After a restart the first reader finds its way from the fronts of the segments, and leaves marks.
    let journal = reopen(&env, journal, options(None));
    let first = pick(&journal, &FEW, &[]);
    assert!(first > bound && first <= ENTRIES + 20, "{first} frames");
    let second = pick(&journal, &FEW, &[]);
    assert!(second <= bound, "{second} frames");
    // Or somebody has kept them.
    let journal = reopen(&env, journal, options(None));
    let kept = pick(&journal, &FEW, &marks);
    assert!(kept <= bound, "{kept} frames");
}

#[test]
fn many_entries_cost_no_more_than_all_frames() {
    let (_env, _sim, journal) = create(options(None));
    for step in [1, 2, 7, 40] {
        let wanted: Vec<u64> = (1..=ENTRIES).step_by(step).collect();
        let frames = pick(&journal, &wanted, &[]);
        assert!(frames <= ENTRIES + 20, "{frames} frames for every {step}th entry");
    }
    assert_eq!(pick(&journal, &[], &[]), 0);
}

#[test]
fn entries_of_one_group_cost_one_frame() {
    let (env, sim) = Env::sim(1);
    sim.fs.install_dir(Path::new("/db")).unwrap();
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options(None)).unwrap();
    let entries: Vec<Vec<u8>> = (1..=50).map(entry).collect();
    journal.append_group(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    let frames = pick(&journal, &[1, 2, 30, 50], &[]);
    assert_eq!(frames, 1);
}

#[test]
fn packed_segments_give_the_same_for_as_few_frames() {
    let (env, sim, journal) = create(options(Some(1)));
    let marks = journal.marks(&(Lsn(1)..=Lsn(ENTRIES)));
    journal.release(Lsn(ENTRIES)).unwrap();
    settle(&sim);
    let packed = journal.segments().unwrap();
    let is_packed = |path: &Path| path.to_string_lossy().ends_with(".zst");
    assert!(packed.iter().filter(|segment| is_packed(&segment.path)).count() >= 2);
    let bound = FEW.len() as u64 * FRAMES_PER_MARK;
    assert!(pick(&journal, &FEW, &[]) <= bound, "marks are positions of the plain bytes");
    let journal = reopen(&env, journal, options(Some(1)));
    assert!(pick(&journal, &FEW, &marks) <= bound);
}

#[test]
fn a_gzipped_segment_is_unpacked_forwards_only() {
    let (env, sim, journal) = create(options(None));
    let marks = journal.marks(&(Lsn(1)..=Lsn(ENTRIES)));
    journal.release(Lsn(ENTRIES)).unwrap();
    let segments = journal.segments().unwrap();
    let released = segments.iter().filter(|segment| segment.state == SegmentState::Released);
    for segment in released {
        let plain = sim.fs.read_all(&segment.path).unwrap();
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&plain).unwrap();
        let name = format!("{}.gz", segment.path.display());
        sim.fs.install(Path::new(&name), &packer.finish().unwrap()).unwrap();
        sim.fs.delete(&segment.path).unwrap();
    }
    assert!(
        env.fs.list(Path::new(DIR)).unwrap().iter().filter(|file| file.name.ends_with(".gz")).count() >= 2
    );
    let journal = reopen(&env, journal, options(None));
    assert!(pick(&journal, &FEW, &marks) <= FEW.len() as u64 * FRAMES_PER_MARK);
    let wanted: Vec<u64> = (1..=ENTRIES).step_by(150).collect();
    assert!(pick(&journal, &wanted, &marks) <= ENTRIES + 20);
}

#[test]
fn what_is_not_there_is_an_error_and_what_is_there_is_given_nevertheless() {
    let (env, sim, journal) = create(options(None));
    let out_of_range = |wanted: Vec<Lsn>| journal.pick(wanted, Vec::new()).next_entry();
    assert!(matches!(out_of_range(vec![Lsn(ENTRIES + 1)]), Err(Error::OutOfRange { .. })));
    assert!(matches!(out_of_range(vec![Lsn::ZERO]), Err(Error::OutOfRange { .. })));
    journal.release(Lsn(ENTRIES)).unwrap();
    let gone = journal.segments().unwrap()[1].clone();
    sim.fs.delete(&gone.path).unwrap();
    let journal = reopen(&env, journal, options(None));
    let (before, lost, after) = (gone.first_lsn.0 - 1, gone.first_lsn.0 + 5, gone.last_lsn.unwrap().0 + 1);
    pick(&journal, &[before, after], &[]);
    let mut picked = journal.pick(vec![Lsn(before), Lsn(lost), Lsn(after)], Vec::new());
    assert_eq!(picked.next_entry().unwrap().unwrap().lsn, Lsn(before));
    for _ in 0..2 {
        assert!(matches!(picked.next_entry(), Err(Error::MissingSegment { .. })), "it stays where it is");
    }
}
