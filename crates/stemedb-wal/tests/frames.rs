//! Ranges of durable frames: whole, in order, never more than what is durable, and proven by themselves.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use stemedb_env::{Env, Lsn, SimHandles, clock::SimClock, frame::DatabaseId};
use stemedb_wal::{
    DurableFrames, FrameRange, Journal, JournalIdentity, JournalMark, JournalOptions, JournalReader,
    SegmentedJournal, read_frames, segment_origin,
};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };
const DIR: &str = "/db/wal";

fn options() -> JournalOptions {
    JournalOptions { pack_level: None, ..JournalOptions::tiny() }
}

fn entry(lsn: u64) -> Vec<u8> {
    let mut bytes = lsn.to_be_bytes().to_vec();
    bytes.resize(20 + (lsn as usize * 37) % 400, lsn as u8);
    bytes
}

fn create() -> (Env, SimHandles, SegmentedJournal) {
    let (env, sim) = Env::sim(1);
    sim.fs.install_dir(Path::new("/db")).unwrap();
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options()).unwrap();
    (env, sim, journal)
}

fn reopen(env: &Env) -> SegmentedJournal {
    SegmentedJournal::open(env, Path::new(DIR), IDENTITY, Lsn::ZERO, options()).unwrap().0
}

/// Whoever keeps ranges elsewhere.
struct Keeper {
    at: JournalMark,
    segments: BTreeMap<u64, Vec<u8>>,
    entries: Vec<(Lsn, Vec<u8>)>,
    ranges: Vec<FrameRange>,
}

impl Keeper {
    fn of(journal: &SegmentedJournal) -> Keeper {
        let at = journal.segment_mark(1).unwrap().unwrap();
        Keeper { at, segments: BTreeMap::new(), entries: Vec::new(), ranges: Vec::new() }
    }

    /// Takes everything that is durable.
    fn take(&mut self, journal: &SegmentedJournal, most_bytes: u64) {
        loop {
            match journal.frames_after(&self.at, most_bytes).unwrap() {
                DurableFrames::Nothing => break,
                DurableFrames::SegmentEnds => {
                    let next = journal.segment_mark(self.at.segment + 1).unwrap().unwrap();
                    assert_eq!((next.chain, next.next_lsn), (self.at.chain, self.at.next_lsn));
                    self.at = next;
                }
                DurableFrames::Range(range) => {
                    assert_eq!(range.from, self.at);
                    assert!(range.to.offset > range.from.offset);
                    assert_eq!(range.bytes.len() as u64, range.to.offset - range.from.offset);
                    assert!(range.to.next_lsn.prev() <= journal.durable_lsn());
                    let mut entries = Vec::new();
                    let mut visit = |lsn, bytes: bytes::Bytes| entries.push((lsn, bytes.to_vec()));
                    let to = read_frames(IDENTITY, &range.from, &range.bytes, &mut visit).unwrap();
                    assert_eq!(to, range.to);
                    self.entries.extend(entries);
                    self.segments.entry(self.at.segment).or_default().extend(&range.bytes);
                    self.at = range.to;
                    self.ranges.push(range);
                }
                DurableFrames::Replaced => panic!("nothing was damaged"),
            }
        }
    }
}

#[test]
fn ranges_put_together_are_the_segments_and_have_every_durable_entry_once() {
    for most_bytes in [1, 700, 3_000, 1 << 20] {
        let (_env, sim, journal) = create();
        let mut keeper = Keeper::of(&journal);
        for lsn in 1..=60u64 {
            journal.append_group(&[&entry(lsn)]).unwrap();
            if lsn % 3 == 0 {
                keeper.take(&journal, most_bytes);
                assert_eq!(keeper.entries.len() as u64, lsn);
            }
            if lsn % 10 == 0 {
                // Markers.
                sim.clock.advance(Duration::from_millis(10));
                sim.tasks.settle(50);
            }
        }
        keeper.take(&journal, most_bytes);
        assert!(keeper.segments.len() > 3, "{}", keeper.segments.len());
        for (at, (lsn, bytes)) in keeper.entries.iter().enumerate() {
            assert_eq!((*lsn, bytes), (Lsn(at as u64 + 1), &entry(at as u64 + 1)));
        }
        for content in journal.contents().unwrap() {
            let mut plain = vec![0; content.bytes as usize];
            content.file.read_exact_at(&mut plain, 0).unwrap();
            assert!(keeper.segments[&content.id] == plain, "segment {}", content.id);
        }
        // Single frames where little is asked for.
        assert!(most_bytes > 1 || keeper.ranges.len() > 30, "{}", keeper.ranges.len());
    }
}

#[test]
fn every_flipped_byte_and_every_cut_of_a_range_is_noticed() {
    let (_env, _sim, journal) = create();
    let mut keeper = Keeper::of(&journal);
    for lsn in 1..=4u64 {
        journal.append_group(&[&entry(lsn), &entry(lsn + 100)]).unwrap();
    }
    keeper.take(&journal, 1 << 20);
    let range = keeper.ranges[0].clone();
    let read = |bytes: &[u8]| read_frames(IDENTITY, &range.from, bytes, &mut |_, _| {});
    assert_eq!(read(&range.bytes), Ok(range.to));
    let mut bytes = range.bytes.clone();
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        assert!(read(&bytes).is_err(), "byte {at}");
        bytes[at] ^= 1 << (at % 8);
        assert_ne!(read(&bytes[..at]), Ok(range.to), "length {at}");
    }
    // From a place that is not its own, or of another past.
    for wrong in [
        JournalMark { offset: 512, ..range.from },
        JournalMark { segment: 2, ..range.from },
        JournalMark { next_lsn: Lsn(2), ..range.from },
        JournalMark { chain: range.to.chain, ..range.from },
    ] {
        assert!(read_frames(IDENTITY, &wrong, &range.bytes, &mut |_, _| {}).is_err(), "{wrong:?}");
    }
    let other = JournalIdentity { timeline: 2, ..IDENTITY };
    assert!(read_frames(other, &range.from, &range.bytes, &mut |_, _| {}).is_err());
}

#[test]
fn what_was_taken_survives_a_power_cut_at_any_time_and_is_found_again() {
    let (env, sim, journal) = create();
    let mut keeper = Keeper::of(&journal);
    let (mut cut, mut found) = (0, 0);
    for lsn in 1..=40u64 {
        journal.append_group(&[&entry(lsn)]).unwrap();
        if lsn % 4 == 1 {
            sim.clock.advance(Duration::from_millis(10));
            sim.tasks.settle(50);
        }
        keeper.take(&journal, 4_096);
        let clock = Arc::new(SimClock::new(env.clock.wall()));
        let (after, _handles) = Env::over(sim.fs.crash_losing_all(), clock, lsn);
        let recovered = reopen(&after);
        // Groups that nothing proves are written again by the open or by the first append.
        recovered.append_group(&[&entry(lsn + 1)]).unwrap();
        let mut reader = recovered.read_from(Lsn(1)).unwrap();
        for (lsn, bytes) in &keeper.entries {
            let entry = reader.next_entry().unwrap().unwrap();
            assert_eq!((entry.lsn, &entry.bytes[..]), (*lsn, &bytes[..]));
        }
        let at = keeper.at;
        let known = recovered.marks_at(at.segment, &[at.offset]).unwrap()[0];
        let (bytes, has_successor) = recovered.segment_bytes(at.segment).unwrap().unwrap();
        match known {
            Some(mark) => {
                assert_eq!(mark, at);
                found += 1;
            }
            None => {
                // The old file ends before what was taken, and the next one says so.
                assert!(has_successor && bytes < at.offset, "{bytes} {at:?}");
                let next = recovered.segment_mark(at.segment + 1).unwrap().unwrap();
                let DurableFrames::Range(range) = recovered.frames_after(&next, 1).unwrap() else { panic!() };
                let origin = segment_origin(IDENTITY, at.segment + 1, &range.bytes).unwrap();
                assert_eq!(origin.bytes, bytes);
                assert!(origin.last_lsn < at.next_lsn);
                assert_eq!(recovered.frames_after(&at, 1).unwrap(), DurableFrames::SegmentEnds);
                cut += 1;
            }
        }
    }
    assert!(cut > 5, "{cut} {found}");
}

#[test]
fn of_a_segment_that_nobody_may_read_yet_there_is_nothing() {
    let (_env, _sim, journal) = create();
    assert_eq!(journal.segment_mark(2).unwrap(), None);
    assert_eq!(journal.marks_at(2, &[0, 5]).unwrap(), [None, None]);
    let mark = journal.segment_mark(1).unwrap().unwrap();
    assert_eq!(mark, JournalMark { next_lsn: Lsn(1), segment: 1, offset: 0, chain: mark.chain });
    let DurableFrames::Range(header) = journal.frames_after(&mark, 1).unwrap() else { panic!() };
    assert_eq!(header.to.next_lsn, Lsn(1));
    assert_eq!(journal.frames_after(&header.to, 1).unwrap(), DurableFrames::Nothing);
    let beyond = JournalMark { segment: 2, ..mark };
    assert_eq!(journal.frames_after(&beyond, 1).unwrap(), DurableFrames::Nothing);
}
