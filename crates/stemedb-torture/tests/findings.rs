//! Defects that the suites have found, each in the fewest steps.
// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::{path::Path, time::Duration};

use stemedb_env::{
    IoOp,
    fs::{
        SimFs,
        fault::{Fault, FaultRule},
        sim::Profile,
    },
};
use stemedb_torture::{
    entries::entry,
    machine::Machine,
    subject::{Answer, DIR, OURS, Shape, Subject},
};

fn created(shape: &Shape) -> (Machine, Subject) {
    let machine = Machine::faulty(Machine::disk(Profile::Adversarial), Machine::clock(), 1);
    let subject = Subject::create(&machine.env, OURS, shape).unwrap();
    (machine, subject)
}

fn append(subject: &Subject, entries: std::ops::RangeInclusive<u64>, bytes: usize) {
    for lsn in entries {
        assert_eq!(subject.append_group(&[&entry(lsn, bytes, false)]), Answer::Acknowledged(lsn));
    }
}

fn opened(disk: &SimFs, flushed: u64, shape: &Shape) -> (Machine, Subject, u64) {
    let machine = Machine::faulty(disk.clone(), Machine::clock(), 1);
    let (subject, facts) = Subject::open(&machine.env, OURS, flushed, shape).unwrap();
    (machine, subject, facts.last)
}

/// The entries that can be read after a power cut that takes everything un-synced.
fn after_a_power_cut(disk: &SimFs, flushed: u64, shape: &Shape) -> usize {
    let (_, subject, _) = opened(&disk.crash_losing_all(), flushed, shape);
    subject.entries(subject.first()).unwrap().len()
}

fn fail_next(machine: &Machine, sync: IoOp) {
    let rule = FaultRule::new(Fault::SyncFailsThenLies).on(sync).times(1);
    machine.faults.as_ref().unwrap().add(rule);
}

const SHAPE: Shape = Shape { prepares: false, packs: false, ..Shape::TINY };

/// A disk on which one group is whole in the page cache and not durable.
fn killed_before_the_sync() -> SimFs {
    let (machine, subject) = created(&SHAPE);
    machine.disk.stop_after(Some(machine.disk.mutations() + 1));
    assert!(matches!(subject.append_group(&[b"seen"]), Answer::Unknown(_)));
    machine.disk.process_killed()
}

#[test]
fn a_segment_whose_name_is_only_in_the_page_cache_is_not_relied_upon() {
    // Recovery adopts the group into segment 2, and the process dies when that has its name, not yet durably.
    let disk = killed_before_the_sync();
    disk.record(true);
    drop(opened(&disk, 0, &SHAPE));
    let named = disk.take_crash_points().into_iter().find(|point| {
        point
            .operation
            .as_ref()
            .is_some_and(|done| done.op == IoOp::Rename && done.path.ends_with("next.000002.tmp"))
    });
    let disk = named.unwrap().fs.process_killed();
    let (_, subject, last) = opened(&disk, 0, &SHAPE);
    assert_eq!((last, subject.entries(1).unwrap().len()), (1, 1));
    // Somebody has seen it: it must stay.
    assert_eq!(after_a_power_cut(&disk, 0, &SHAPE), 1);
}

#[test]
fn a_segment_whose_name_was_lost_by_a_failed_sync_is_not_relied_upon_by_the_next_process() {
    let disk = killed_before_the_sync();
    let machine = Machine::faulty(disk.clone(), Machine::clock(), 1);
    fail_next(&machine, IoOp::SyncDir);
    drop(Subject::open(&machine.env, OURS, 0, &SHAPE));
    let (_, subject, last) = opened(&disk, 0, &SHAPE);
    assert_eq!(last, 1);
    append(&subject, 2..=2, 20);
    drop(subject);
    assert_eq!(after_a_power_cut(&disk, 0, &SHAPE), 2);
}

#[test]
fn a_journal_is_durable_even_if_creating_its_folder_failed_before() {
    let machine = Machine::faulty(Machine::disk(Profile::Adversarial), Machine::clock(), 1);
    fail_next(&machine, IoOp::SyncDir);
    assert!(Subject::create(&machine.env, OURS, &SHAPE).is_err());
    let subject = Subject::create(&machine.env, OURS, &SHAPE).unwrap();
    append(&subject, 1..=1, 20);
    assert_eq!(after_a_power_cut(&machine.disk, 0, &SHAPE), 1);
}

#[test]
fn the_file_of_a_segment_whose_release_failed_is_not_used_again() {
    for recycles in [false, true] {
        let shape = Shape { recycles, ..Shape::TINY };
        let (machine, subject) = created(&shape);
        append(&subject, 1..=6, 3000);
        fail_next(&machine, IoOp::SyncDir);
        let flushed = 4;
        let _ = subject.release(flushed);
        machine.idle(20, Duration::from_secs(1));
        append(&subject, 7..=12, 3000);
        let expected = 12 - shape.floor(flushed) + 1;
        assert!(after_a_power_cut(&machine.disk, flushed, &shape) as u64 >= expected, "recycles: {recycles}");
    }
}

#[test]
fn a_reader_in_a_released_segment_is_not_disturbed_when_its_file_is_used_again() {
    let shape = Shape { sector_bytes: 4096, segment_bytes: 32 << 10, ..Shape::TINY };
    let (machine, subject) = created(&shape);
    append(&subject, 1..=1, 3000);
    // It has read ahead no further than this.
    let mut reader = subject.follow(1).unwrap();
    assert_eq!(reader.next(|_, _| {}), Ok(true));
    append(&subject, 2..=8, 3000);
    subject.release(7).unwrap();
    machine.idle(20, Duration::from_secs(1));
    append(&subject, 9..=30, 3000);
    for lsn in 2..=30 {
        let mut right = false;
        let read = reader.next(|at, bytes| right = (at, bytes) == (lsn, &entry(lsn, 3000, false)[..]));
        assert_eq!((read, right), (Ok(true), true), "LSN {lsn}");
    }
}

#[test]
fn a_reader_at_the_end_of_a_recycled_segment_goes_on_in_the_next_one() {
    let shape = Shape { recycles: true, packs: false, ..Shape::TINY };
    let (machine, subject) = created(&shape);
    append(&subject, 1..=2, 3000);
    let mut reader = subject.follow(1).unwrap();
    while reader.next(|_, _| {}) == Ok(true) {}
    // A marker ends the segment: the reader has not read it, and need not.
    machine.idle(3, Duration::from_millis(6));
    append(&subject, 3..=4, 3000);
    subject.release(2).unwrap();
    append(&subject, 5..=9, 3000);
    let mut next = 0;
    assert_eq!((reader.next(|lsn, _| next = lsn), subject.first()), (Ok(true), 3));
    assert_eq!(next, 3);
}

#[test]
fn verify_says_nothing_about_entries_that_are_gone_on_purpose() {
    let shape = Shape { recycles: true, ..SHAPE };
    let (machine, subject) = created(&shape);
    append(&subject, 1..=6, 3000);
    machine.disk.record(true);
    subject.release(4).unwrap();
    drop(subject);
    // The power goes while the files lose their names: some have, some have not.
    for point in machine.disk.take_crash_points() {
        for state in point.fs.crash_states(&Default::default()) {
            let (_, subject, _) = opened(&state.fs, 4, &shape);
            assert_eq!(subject.verify(), Ok(0), "after {:?}, {:?}", point.operation, state.selection);
        }
    }
}

#[test]
fn a_damaged_compressed_segment_is_damage_for_a_read_only_open_too() {
    let (machine, subject) = created(&Shape::TINY);
    append(&subject, 1..=6, 3000);
    subject.release(5).unwrap();
    machine.idle(20, Duration::from_secs(1));
    drop(subject);
    machine.disk.settle();
    let packed =
        machine.disk.paths().into_iter().find(|path| path.to_string_lossy().ends_with(".zst")).unwrap();
    assert!(packed.starts_with(Path::new(DIR)));
    machine.disk.truncate(&packed, 100).unwrap();
    match Subject::open_read_only(&Machine::plain(machine.disk).env) {
        Ok(_) => {}
        Err(refusal) => assert!(refusal.reports_damage(), "{refusal}"),
    }
}
