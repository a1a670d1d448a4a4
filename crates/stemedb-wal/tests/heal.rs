//! Damaged segments that are written again: from themselves, from other files of them, from entries that are given again.
// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use stemedb_env::{
    Clock, Env, IoOp, Lsn, SimHandles,
    clock::{Micros, SimClock},
    frame::DatabaseId,
    fs::{
        FaultFs, SimFs,
        fault::{Fault, FaultRule},
        sim::CrashOptions,
    },
};
use stemedb_wal::{
    EntrySource, HealError, Healed, Healing, Journal, JournalIdentity, JournalOptions, JournalReader,
    NoEntries, RecoveredEntry, SegmentState, SegmentedJournal, Unrecoverable,
    packed::{PackedFormat, PackedWriter},
};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };
const DIR: &str = "/db/wal";
const SECTOR: u64 = 512;

fn options() -> JournalOptions {
    JournalOptions { segment_bytes: 8 << 10, pack_level: None, ..JournalOptions::tiny() }
}

fn entry(lsn: u64) -> Vec<u8> {
    format!("entry {lsn} {}", "x".repeat((lsn as usize * 53) % 600)).into_bytes()
}

fn env_over(fs: &SimFs) -> Env {
    Env::over(fs.clone(), Arc::new(SimClock::new(Micros(0))), 1).0
}

/// Everything that is known of the journal from outside of it.
#[derive(Clone)]
struct Model {
    /// When each entry was recorded.
    stamps: BTreeMap<u64, i64>,
    last: u64,
    /// The first entry of the newest segment.
    newest_first: u64,
}

/// Gives entries again.
struct Source<'a> {
    model: &'a Model,
    is_certain: bool,
    lost: BTreeSet<u64>,
    wrong: BTreeSet<u64>,
    asked: u64,
}

impl Model {
    fn certain(&self) -> Source<'_> {
        Source { model: self, is_certain: true, lost: BTreeSet::new(), wrong: BTreeSet::new(), asked: 0 }
    }

    /// What it gives must be proven by the chain.
    fn uncertain(&self) -> Source<'_> {
        Source { is_certain: false, ..self.certain() }
    }
}

impl EntrySource for Source<'_> {
    fn recover(&mut self, lsns: &RangeInclusive<Lsn>) -> Result<Vec<Option<RecoveredEntry>>, Unrecoverable> {
        self.asked += 1;
        // A few at a time.
        let last = lsns.end().0.min(lsns.start().0 + 2);
        let one = |lsn: u64| {
            let mut bytes = entry(lsn);
            if self.wrong.contains(&lsn) {
                bytes[0] ^= 1;
            }
            let stamp = Some(self.model.stamps[&lsn]);
            (!self.lost.contains(&lsn)).then_some(RecoveredEntry {
                bytes,
                is_certain: self.is_certain,
                stamp,
            })
        };
        Ok((lsns.start().0..=last).map(one).collect())
    }
}

struct Build {
    env: Env,
    sim: SimHandles,
    journal: SegmentedJournal,
    model: Model,
    now: i64,
}

impl Build {
    fn new() -> Build {
        let (env, sim) = Env::sim(1);
        sim.fs.install_dir(Path::new("/db")).unwrap();
        let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options()).unwrap();
        let model = Model { stamps: BTreeMap::new(), last: 0, newest_first: 0 };
        Build { env, sim, journal, model, now: 1_000_000 }
    }

    fn group(&mut self, count: u64) {
        let entries: Vec<Vec<u8>> = (1..=count).map(|n| entry(self.model.last + n)).collect();
        let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        assert_eq!(self.journal.append_group(&slices).unwrap(), Lsn(self.model.last + 1));
        for _ in 0..count {
            self.model.last += 1;
            self.model.stamps.insert(self.model.last, self.now);
        }
        self.now += 900;
    }

    /// Time passes: the idle marker is written.
    fn idle(&mut self) {
        let before = self.journal.stats().markers;
        for _ in 0..3 {
            self.sim.tasks.settle(10);
            self.sim.clock.sleep(Duration::from_millis(6));
        }
        assert_eq!(self.journal.stats().markers, before + 1);
        self.now += 20_000;
    }

    fn reopen(&mut self) {
        let (journal, _) =
            SegmentedJournal::open(&self.env, Path::new(DIR), IDENTITY, Lsn::ZERO, options()).unwrap();
        self.journal = journal;
    }
}

/// Segments of every birth: rotated, with markers, ended by a kill, begun with adopted groups, closed, of one entry per
/// group. The first ones are released.
fn journal() -> (SimFs, Model) {
    let mut build = Build::new();
    for count in [1, 2, 3, 1, 4, 1, 2] {
        build.group(count);
    }
    build.journal.rotate().unwrap();
    build.group(2);
    build.idle();
    build.group(3);
    build.group(1);
    build.journal.rotate().unwrap();
    build.group(3);
    build.group(2);
    // Killed: the last group is adopted.
    build.reopen();
    build.group(1);
    build.group(4);
    build.idle();
    build.group(2);
    build.journal.close().unwrap();
    build.reopen();
    for _ in 0..5 {
        build.group(1);
    }
    build.journal.rotate().unwrap();
    let flushed = build.journal.segments().unwrap()[2].last_lsn.unwrap();
    build.journal.release(flushed).unwrap();
    build.model.newest_first = build.model.last + 1;
    build.group(2);
    build.journal.close().unwrap();
    drop(build.journal);
    build.sim.fs.settle();
    (build.sim.fs, build.model)
}

/// All entries of sealed segments are in the views.
fn open(fs: &SimFs, model: &Model) -> SegmentedJournal {
    let flushed = Lsn(model.newest_first - 1);
    SegmentedJournal::open(&env_over(fs), Path::new(DIR), IDENTITY, flushed, options()).unwrap().0
}

fn sealed(fs: &SimFs, model: &Model) -> Vec<(u64, PathBuf, u64)> {
    let journal = open(fs, model);
    let segments = journal.segments().unwrap();
    let mut found = Vec::new();
    for (at, segment) in segments.iter().enumerate().take(segments.len() - 1) {
        let successor = fs.read_all(&segments[at + 1].path).unwrap();
        let accepted = u64::from_le_bytes(successor[104..112].try_into().unwrap());
        found.push((segment.id, segment.path.clone(), accepted));
    }
    found
}

fn read_all(journal: &SegmentedJournal, model: &Model) {
    let mut reader = journal.read_from(Lsn(1)).unwrap();
    for lsn in 1..=model.last {
        let read = reader.next_entry().unwrap().unwrap();
        assert_eq!((read.lsn.0, &read.bytes[..]), (lsn, &entry(lsn)[..]));
    }
    assert_eq!(reader.next_entry().unwrap(), None);
    let report = journal.verify().unwrap();
    assert_eq!((report.entries, report.damage.len(), report.holes.len()), (model.last, 0, 0));
    assert!(journal.damaged_segments().is_empty());
    assert_eq!(journal.first_lsn(), Lsn(1));
}

/// The journal is whole, now and after the next open; healing it again does nothing.
fn judge_whole(fs: &SimFs, journal: SegmentedJournal, model: &Model, segment: u64) {
    assert_eq!(journal.heal(segment, &mut NoEntries).unwrap(), None);
    read_all(&journal, model);
    drop(journal);
    read_all(&open(&fs.crash_losing_all(), model), model);
    let left = fs.paths().into_iter().any(|path| path.to_string_lossy().ends_with(".heal.tmp"));
    assert!(!left);
}

/// The file is what it was, byte for byte, and the damaged one is in quarantine.
fn judge_exact(fs: &SimFs, original: &[u8], damaged: Option<&[u8]>, accepted: u64, healed: &Healed) {
    assert_eq!(healed.healing, Healing::Exact);
    let now = fs.read_all(&healed.file).unwrap();
    let end = accepted as usize;
    let differs = now[..end].iter().zip(&original[..end]).position(|(one, other)| one != other);
    assert_eq!((differs, now.len()), (None, end + SECTOR as usize));
    let kept: Vec<Vec<u8>> = healed.quarantined.iter().map(|path| fs.read_all(path).unwrap()).collect();
    match damaged {
        Some(damaged) => assert!(kept.len() == 1 && kept[0] == damaged),
        None => assert!(kept.is_empty()),
    }
    for path in &healed.quarantined {
        let note = format!("{}.reason.txt", path.display());
        let text = String::from_utf8(fs.read_all(Path::new(&note)).unwrap()).unwrap();
        assert!(text.contains(&format!("segment {}", healed.segment)), "{text}");
    }
}

#[test]
fn a_single_changed_byte_anywhere_is_put_right_without_anybodys_help() {
    let (fs, model) = journal();
    let (mut healed, mut harmless) = (0, 0);
    for (id, path, accepted) in sealed(&fs, &model) {
        let original = fs.read_all(&path).unwrap();
        let every = |at: u64| at < SECTOR || at >= accepted || at.is_multiple_of(17);
        let end = (accepted + SECTOR).min(original.len() as u64);
        for at in (0..end).filter(|&at| every(at)) {
            let image = fs.crash_keeping_all();
            image.corrupt(&path, at, 1 << (at % 8)).unwrap();
            let damaged = image.read_all(&path).unwrap();
            let journal = open(&image, &model);
            let holes = journal.holes(id).unwrap();
            match journal.heal(id, &mut NoEntries).unwrap() {
                Some(report) => {
                    assert_eq!(holes.len(), 1, "{} at {at}: {holes:?}", path.display());
                    assert!(holes[0].bytes.contains(&at), "{at}: {holes:?}");
                    judge_exact(&image, &original, Some(&damaged), accepted, &report);
                    healed += 1;
                    if at % 5 == 0 {
                        judge_whole(&image, journal, &model, id);
                    }
                }
                None => {
                    assert!(at >= accepted && holes.is_empty(), "{} at {at} is not noticed", path.display());
                    harmless += 1;
                }
            }
        }
    }
    println!("{healed} healed, {harmless} behind the end");
    assert!(healed > 3_000, "{healed}");
}

/// Ways to damage bytes so that their checksum says nothing about them.
fn wide(original: &[u8], accepted: u64) -> Vec<(u64, Vec<u8>)> {
    let mut ways = Vec::new();
    for at in (0..accepted).step_by(SECTOR as usize) {
        // Inside of a header, inside of a payload, a whole sector, two sectors, from the middle of one to that of the next.
        ways.push((at + 50, vec![0xEE; 40]));
        ways.push((at + 100, vec![0xEE; 90]));
        ways.push((at, vec![0; SECTOR as usize]));
        ways.push((at, vec![0xEE; 2 * SECTOR as usize]));
        ways.push((at + 300, vec![0; SECTOR as usize]));
    }
    for (at, bytes) in &mut ways {
        bytes.truncate((accepted - *at).min(original.len() as u64 - *at) as usize);
    }
    ways.retain(|(at, bytes)| original[*at as usize..*at as usize + bytes.len()] != bytes[..]);
    ways
}

#[test]
fn wide_damage_is_filled_from_the_entries_and_proven_by_the_chain() {
    let (fs, model) = journal();
    let (mut exact, mut replaced) = (0, 0);
    for (id, path, accepted) in sealed(&fs, &model) {
        let original = fs.read_all(&path).unwrap();
        for (number, (at, bytes)) in wide(&original, accepted).into_iter().enumerate() {
            let image = fs.crash_keeping_all();
            image.overwrite(&path, at, &bytes).unwrap();
            let damaged = image.read_all(&path).unwrap();
            let journal = open(&image, &model);
            let what = format!("{} {} bytes at {at}", path.display(), bytes.len());
            match journal.heal(id, &mut model.uncertain()) {
                Ok(Some(report)) if report.healing == Healing::Replacement => {
                    // No entry was lost, only what holds them together.
                    assert!(report.holes.iter().all(|hole| hole.lsns.is_empty()), "{what}: {report:?}");
                    replaced += 1;
                }
                Ok(Some(report)) => {
                    judge_exact(&image, &original, Some(&damaged), accepted, &report);
                    exact += 1;
                }
                Ok(None) => panic!("{what} is not noticed"),
                Err(HealError::Lost { holes, .. }) => {
                    assert_eq!(image.read_all(&path).unwrap(), damaged, "{what}");
                    assert!(!holes.is_empty() && holes.iter().all(|lost| lost.hole.file == path), "{what}");
                    let report = journal.heal(id, &mut model.certain()).unwrap().unwrap();
                    assert_eq!(report.healing, Healing::Replacement, "{what}");
                    replaced += 1;
                }
                Err(other) => panic!("{what}: {other}"),
            }
            if number % 4 == 0 {
                judge_whole(&image, journal, &model, id);
            }
        }
    }
    println!("{exact} exactly, {replaced} by a replacement");
    assert!(exact > 9 * replaced && exact > 200, "{exact} {replaced}");
}

#[test]
fn short_and_missing_files_are_written_again() {
    let (fs, model) = journal();
    let (mut exact, mut replaced) = (0, 0);
    for (id, path, accepted) in sealed(&fs, &model) {
        let original = fs.read_all(&path).unwrap();
        let cuts = (0..accepted).filter(|at| at.is_multiple_of(SECTOR) || at % SECTOR == 77);
        for cut in cuts.map(Some).chain([None]) {
            for is_certain in [false, true] {
                let image = fs.crash_keeping_all();
                match cut {
                    Some(cut) => image.truncate(&path, cut).unwrap(),
                    None => image.delete(&path).unwrap(),
                }
                let damaged = image.read_all(&path).ok();
                let journal = open(&image, &model);
                let what = format!("{} cut to {cut:?}", path.display());
                let mut source = Source { is_certain, ..model.certain() };
                match journal.heal(id, &mut source) {
                    Ok(Some(report)) if report.healing == Healing::Exact => {
                        judge_exact(&image, &original, damaged.as_deref(), accepted, &report);
                        exact += 1;
                    }
                    Ok(Some(report)) => {
                        assert!(is_certain && report.healing == Healing::Replacement, "{what}");
                        replaced += 1;
                    }
                    Ok(None) => panic!("{what} is not noticed"),
                    Err(HealError::Lost { .. }) if !is_certain => continue,
                    Err(other) => panic!("{what}: {other}"),
                }
                judge_whole(&image, journal, &model, id);
            }
        }
    }
    println!("{exact} exactly, {replaced} by a replacement");
    assert!(exact > 4 * replaced && exact > 100, "{exact} {replaced}");
}

#[test]
fn entries_that_are_not_what_stood_there_are_never_accepted() {
    let (fs, model) = journal();
    let mut refused = 0;
    for (id, path, accepted) in sealed(&fs, &model) {
        let original = fs.read_all(&path).unwrap();
        for (at, bytes) in wide(&original, accepted) {
            let image = fs.crash_keeping_all();
            image.overwrite(&path, at, &bytes).unwrap();
            let damaged = image.read_all(&path).unwrap();
            let journal = open(&image, &model);
            let holes = journal.holes(id).unwrap();
            let inside: BTreeSet<u64> =
                holes.iter().flat_map(|hole| hole.lsns.start().0..=hole.lsns.end().0).collect();
            let mut source = Source { wrong: inside.clone(), ..model.uncertain() };
            match journal.heal(id, &mut source) {
                Err(HealError::Lost { holes, .. }) => {
                    assert!(holes.iter().all(|lost| lost.lost.is_empty() && lost.cause.contains("chain")));
                    refused += 1;
                }
                // Nothing of the damage concerned an entry.
                Ok(Some(_)) => {
                    assert!(source.asked == 0 || inside.is_empty(), "{} at {at}: {holes:?}", path.display());
                    continue;
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(image.read_all(&path).unwrap(), damaged);
            // One entry that is gone: named, and nothing else is done.
            let Some(&gone) = inside.iter().next_back() else { continue };
            let mut source = Source { lost: BTreeSet::from([gone]), ..model.certain() };
            let Err(HealError::Lost { holes, segment }) = journal.heal(id, &mut source) else { panic!() };
            assert_eq!(segment, id);
            let lost: Vec<_> = holes.iter().flat_map(|lost| lost.lost.clone()).collect();
            assert_eq!(lost, [Lsn(gone)..=Lsn(gone)], "{holes:?}");
            assert!(holes.iter().any(|lost| lost.hole.bytes.start <= at + bytes.len() as u64));
            assert_eq!(image.read_all(&path).unwrap(), damaged);
        }
    }
    assert!(refused > 150, "{refused}");
}

fn packed(fs: &SimFs, plain: &[u8], path: &Path) {
    let env = env_over(fs);
    let file = env.fs.open(path, stemedb_env::OpenMode::CreateNew).unwrap();
    let mut writer = PackedWriter::new(file, 3).unwrap();
    writer.push(plain).unwrap();
    writer.finish().unwrap();
    fs.settle();
}

#[test]
fn damaged_compressed_segments_are_written_again_and_a_whole_second_file_is_used() {
    let (fs, model) = journal();
    let (mut exact, mut replaced, mut harmless, mut other) = (0, 0, 0, 0);
    for (id, path, accepted) in sealed(&fs, &model) {
        if !path.to_string_lossy().contains("segment.") {
            continue;
        }
        let original = fs.read_all(&path).unwrap();
        let zst = path.with_extension("wal.zst");
        let base = fs.crash_keeping_all();
        packed(&base, &original[..accepted as usize], &zst);
        let len = base.read_all(&zst).unwrap().len() as u64;
        // Both are there, and the plain one is damaged when the journal is opened: a crash between the two steps of compressing.
        let image = base.crash_keeping_all();
        image.overwrite(&path, 600, &[0xEE; 300]).unwrap();
        let (reader, _) = SegmentedJournal::open_read_only(&env_over(&image), Path::new(DIR)).unwrap();
        read_all(&reader, &model);
        assert!(image.read_all(&path).is_ok(), "who only reads changes nothing");
        drop(reader);
        let journal = open(&image, &model);
        assert!(image.read_all(&path).is_err(), "it is in quarantine");
        assert_eq!(journal.heal(id, &mut NoEntries).unwrap(), None);
        judge_whole(&image, journal, &model, id);
        // The compressed one ends early: somebody's tool was cut short.
        let image = base.crash_keeping_all();
        image.truncate(&zst, len / 2).unwrap();
        let journal = open(&image, &model);
        assert!(image.read_all(&path).is_ok());
        judge_whole(&image, journal, &model, id);
        // Both are there, and the plain one becomes damaged.
        let image = base.crash_keeping_all();
        let journal = open(&image, &model);
        image.overwrite(&path, 600, &[0xEE; 300]).unwrap();
        let report = journal.heal(id, &mut NoEntries).unwrap().unwrap();
        assert_eq!((report.healing, &report.file), (Healing::OtherForm, &zst));
        assert!(image.read_all(&path).is_err());
        judge_whole(&image, journal, &model, id);
        other += 1;
        // Only the compressed one, and that is damaged.
        base.delete(&path).unwrap();
        for at in (0..len).step_by(17) {
            let image = base.crash_keeping_all();
            image.corrupt(&zst, at, 0x10).unwrap();
            let damaged = image.read_all(&zst).unwrap();
            let journal = open(&image, &model);
            match journal.heal(id, &mut model.uncertain()) {
                Ok(None) => {
                    harmless += 1;
                    read_all(&journal, &model);
                    continue;
                }
                Ok(Some(report)) => {
                    judge_exact(&image, &original, Some(&damaged), accepted, &report);
                    exact += 1;
                }
                Err(HealError::Lost { .. }) => {
                    let report = journal.heal(id, &mut model.certain()).unwrap().unwrap();
                    assert_eq!(report.healing, Healing::Replacement);
                    replaced += 1;
                }
                Err(error) => panic!("{error}"),
            }
            assert!(image.read_all(&zst).is_err(), "the damaged file is not left beside the new one");
            judge_whole(&image, journal, &model, id);
        }
    }
    println!("{exact} exactly, {replaced} by a replacement, {harmless} harmless");
    assert!(exact + replaced > 30 && other == 3, "{exact} {replaced} {other}");
    assert_eq!(PackedFormat::of_name("segment.000001.wal.zst"), Some(PackedFormat::Zstd));
}

#[test]
fn a_power_cut_anywhere_in_a_healing_leaves_the_old_file_or_the_new_one() {
    let (fs, model) = journal();
    let (mut states, mut again) = (0, 0);
    let all = sealed(&fs, &model);
    let cases = [(1, Some(600), true), (2, None, true), (3, Some(1100), false), (5, Some(0), true)];
    for (id, at, is_certain) in cases {
        let (_, path, _) = all.iter().find(|(found, ..)| *found == id).unwrap();
        let image = fs.crash_keeping_all();
        match at {
            Some(at) => image.overwrite(path, at, &[0xEE; 700]).unwrap(),
            None => image.delete(path).unwrap(),
        }
        image.settle();
        let damaged = image.read_all(path).ok();
        let journal = open(&image, &model);
        image.record(true);
        journal.heal(id, &mut Source { is_certain, ..model.certain() }).unwrap().unwrap();
        image.record(false);
        drop(journal);
        for point in image.take_crash_points() {
            let options = CrashOptions { exhaustive_units: 5, samples: 6, seed: point.mutations };
            for state in point.fs.crash_states(&options) {
                let journal = open(&state.fs, &model);
                states += 1;
                let healed = journal.heal(id, &mut Source { is_certain, ..model.certain() }).unwrap();
                again += u64::from(healed.is_some());
                read_all(&journal, &model);
                let Some(damaged) = &damaged else { continue };
                let kept = state.fs.paths().into_iter().any(|path| {
                    path.starts_with("/db/quarantine")
                        && state.fs.read_all(&path).is_ok_and(|bytes| bytes == *damaged)
                });
                assert!(kept, "the damaged file is gone after {:?}", point.operation);
            }
        }
    }
    println!("{states} states, healed again in {again}");
    assert!(again > 20 && states > again + 4, "{states} {again}");
}

#[test]
fn readers_in_the_middle_go_on_over_a_replacement() {
    let (fs, model) = journal();
    for (id, path, accepted) in sealed(&fs, &model) {
        let original = fs.read_all(&path).unwrap();
        let image = fs.crash_keeping_all();
        // Group boundaries that nothing tells, so that frames stand elsewhere afterwards.
        image.overwrite(&path, SECTOR, &vec![0; (accepted - SECTOR) as usize]).unwrap();
        let journal = open(&image, &model);
        let segments = journal.segments().unwrap();
        let segment = segments.iter().find(|segment| segment.id == id).unwrap();
        // One that stands before the damage, and one that was opened on the whole file.
        let mut before = journal.read_from(segment.first_lsn).unwrap();
        assert!(before.next_entry().is_err());
        assert_eq!(journal.damaged_segments(), [id]);
        let whole = fs.crash_keeping_all();
        let unhurt = open(&whole, &model);
        let mut middle = unhurt.read_from(segment.first_lsn).unwrap();
        assert_eq!(middle.next_entry().unwrap().unwrap().lsn, segment.first_lsn);
        whole.overwrite(&path, SECTOR, &vec![0; (accepted - SECTOR) as usize]).unwrap();
        let mut model_apart = model.clone();
        // Every entry at the same moment: no plan of groups is right.
        model_apart.stamps.values_mut().for_each(|stamp| *stamp = 5);
        for journal in [&journal, &unhurt] {
            let healed = journal.heal(id, &mut model_apart.certain()).unwrap().unwrap();
            assert_eq!(healed.segment, id);
        }
        let rest = |reader: &mut stemedb_wal::SegmentedReader, from: u64| {
            let mut next = from;
            while let Some(read) = reader.next_entry().unwrap() {
                assert_eq!((read.lsn.0, &read.bytes[..]), (next, &entry(next)[..]));
                next += 1;
            }
            assert_eq!(next, model.last + 1);
        };
        rest(&mut before, segment.first_lsn.0);
        rest(&mut middle, segment.first_lsn.0 + 1);
        assert!(original.len() as u64 >= accepted);
    }
}

#[test]
fn a_replacement_is_packed_released_inspected_and_healed_like_any_other_segment() {
    let (fs, model) = journal();
    let mut model_apart = model.clone();
    model_apart.stamps.values_mut().for_each(|stamp| *stamp = 5);
    let mut replaced = 0;
    for (id, path, accepted) in sealed(&fs, &model) {
        let image = fs.crash_keeping_all();
        image.overwrite(&path, 0, &vec![0; accepted as usize]).unwrap();
        let journal = open(&image, &model);
        let healed = journal.heal(id, &mut model_apart.certain()).unwrap().unwrap();
        if healed.healing != Healing::Replacement {
            continue;
        }
        replaced += 1;
        drop(journal);
        image.settle();
        let bytes = image.read_all(&healed.file).unwrap();
        // The header of a replacement: its flag, its own length, what it stands for.
        assert_eq!(u32::from_le_bytes(bytes[168..172].try_into().unwrap()), 2);
        let field = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!((field(176), field(184)), (bytes.len() as u64, accepted));
        let mut entries = 0;
        let sums = stemedb_wal::inspect::inspect(&env_over(&image), Path::new(DIR), &[], &mut |finding| {
            if let stemedb_wal::inspect::Finding::Frame(frame) = finding {
                entries += frame.entries.len() as u64;
            }
        })
        .unwrap();
        assert_eq!((sums.damages, sums.gaps, entries), (0, 0, model.last));
        // Again, at every seventh byte: with one byte, and with many.
        for at in (0..bytes.len() as u64).filter(|at| *at < 2 * SECTOR || at.is_multiple_of(7)) {
            for width in [1_u64, 60] {
                let image = image.crash_keeping_all();
                let width = width.min(bytes.len() as u64 - at);
                let noise: Vec<u8> = (at..at + width).map(|at| bytes[at as usize] ^ 0x5A).collect();
                image.overwrite(&healed.file, at, &noise).unwrap();
                let journal = open(&image, &model);
                let again = journal.heal(id, &mut model.certain()).unwrap();
                assert!(again.is_some(), "{} at {at} is not noticed", healed.file.display());
                if at % 3 == 0 {
                    judge_whole(&image, journal, &model, id);
                }
            }
        }
        // Packed by the engine, released before that.
        let (env, sim) = Env::over(image.crash_keeping_all(), Arc::new(SimClock::new(Micros(0))), 1);
        let packs = JournalOptions { pack_level: Some(3), ..options() };
        let (journal, _) =
            SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn(model.newest_first - 1), packs)
                .unwrap();
        journal.release(Lsn(model.newest_first - 1)).unwrap();
        for _ in 0..400 {
            sim.tasks.settle(100);
            sim.clock.sleep(Duration::from_millis(3));
        }
        let now = journal.segments().unwrap();
        let found = now.iter().find(|segment| segment.id == id).unwrap();
        assert_eq!(found.state, SegmentState::Released);
        assert!(found.path.to_string_lossy().ends_with(".wal.zst"), "{}", found.path.display());
        read_all(&journal, &model);
    }
    assert!(replaced > 1, "{replaced}");
}

#[test]
fn what_readers_and_the_opening_find_is_told_once() {
    let (fs, model) = journal();
    let all = sealed(&fs, &model);
    let (id, path, _) = &all[1];
    let image = fs.crash_keeping_all();
    image.overwrite(path, 0, &[0xEE; 100]).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listens = |journal: &SegmentedJournal| {
        let told = Arc::clone(&told);
        journal.on_damage(move |segment| told.lock().unwrap().push(segment));
    };
    let journal = open(&image, &model);
    listens(&journal);
    // A header in the middle of what is released is not looked at by the opening.
    for _ in 0..2 {
        assert!(journal.verify().unwrap().holes.iter().any(|hole| hole.segment == *id));
    }
    assert_eq!(*told.lock().unwrap(), [*id]);
    // Reading elsewhere goes on.
    let mut reader = journal.read_from(Lsn(model.newest_first)).unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().lsn, Lsn(model.newest_first));
    journal.heal(*id, &mut model.certain()).unwrap().unwrap();
    read_all(&journal, &model);
    drop(journal);
    // A missing one is known at once.
    image.delete(&all[2].1).unwrap();
    told.lock().unwrap().clear();
    let journal = open(&image, &model);
    listens(&journal);
    assert_eq!((told.lock().unwrap().clone(), journal.damaged_segments()), (vec![all[2].0], vec![all[2].0]));
    assert!(matches!(journal.holes(99), Err(HealError::NoSegment { segment: 99 })));
}

#[test]
fn a_segment_that_is_being_written_ends_first() {
    let mut build = Build::new();
    for _ in 0..6 {
        build.group(1);
    }
    let path = Path::new(DIR).join("live.000001.wal");
    build.sim.fs.overwrite(&path, 700, &[0xEE; 60]).unwrap();
    let holes = build.journal.holes(1).unwrap();
    assert_eq!(holes.len(), 1);
    assert_eq!(holes[0].lsns, Lsn(1)..=Lsn(1));
    let healed = build.journal.heal(1, &mut build.model.uncertain()).unwrap().unwrap();
    assert_eq!((healed.healing, &healed.file), (Healing::Exact, &path));
    build.group(2);
    let model = build.model.clone();
    read_all(&build.journal, &model);
    assert_eq!(build.journal.segments().unwrap().len(), 2);
}

#[test]
fn an_adjacent_loss_is_reported_and_nothing_is_touched() {
    let (fs, model) = journal();
    let all = sealed(&fs, &model);
    fs.delete(&all[1].1).unwrap();
    fs.delete(&all[2].1).unwrap();
    let journal = open(&fs, &model);
    let before = fs.image_hash();
    for (id, ..) in [&all[1], &all[2]] {
        assert!(matches!(journal.heal(*id, &mut model.certain()), Err(HealError::Lost { .. })), "{id}");
    }
    assert_eq!(fs.image_hash(), before);
}

#[test]
fn a_file_of_another_segment_or_database_and_one_that_the_disk_refuses_are_written_again() {
    let (fs, model) = journal();
    let all = sealed(&fs, &model);
    let (id, path, accepted) = all[1].clone();
    let original = fs.read_all(&path).unwrap();
    let mut foreign = original.clone();
    {
        // The same frames, of another database: every checksum is right.
        let (env, sim) = Env::sim(9);
        sim.fs.install_dir(Path::new("/db")).unwrap();
        let other = JournalIdentity { database: DatabaseId([8; 16]), timeline: 1 };
        let journal = SegmentedJournal::create(&env, Path::new(DIR), other, options()).unwrap();
        journal.append("elsewhere").unwrap();
        journal.rotate().unwrap();
        journal.append("elsewhere").unwrap();
        let second = sim.fs.read_all(&Path::new(DIR).join("live.000002.wal")).unwrap();
        foreign[..512].copy_from_slice(&second[..512]);
    }
    for bytes in [foreign, fs.read_all(&all[0].1).unwrap(), Vec::new(), vec![0xEE; 3000]] {
        let image = fs.crash_keeping_all();
        image.install(&path, &bytes).unwrap();
        let journal = open(&image, &model);
        let healed = journal.heal(id, &mut model.uncertain()).unwrap().unwrap();
        judge_exact(&image, &original, Some(&bytes), accepted, &healed);
        judge_whole(&image, journal, &model, id);
    }
    let image = fs.crash_keeping_all();
    let faults = FaultFs::new(Arc::new(image.clone()), 1);
    let env = Env { fs: Arc::new(faults.clone()), ..env_over(&image) };
    let flushed = Lsn(model.newest_first - 1);
    let (journal, _) = SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, flushed, options()).unwrap();
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Read).path("segment.000002"));
    // An error of the disk is not damage, but it is looked into.
    assert!(matches!(journal.verify(), Err(stemedb_wal::Error::Env(_))));
    assert_eq!(journal.damaged_segments(), [id]);
    let healed = journal.heal(id, &mut model.uncertain()).unwrap().unwrap();
    faults.clear();
    judge_exact(&image, &original, Some(&original), accepted, &healed);
    judge_whole(&image, journal, &model, id);
}

#[test]
fn an_idle_journal_does_not_grow() {
    let mut build = Build::new();
    build.group(1);
    build.idle();
    let written = build.journal.stats().file_bytes;
    for _ in 0..100 {
        build.sim.tasks.settle(100);
        build.sim.clock.sleep(Duration::from_secs(10));
    }
    let stats = build.journal.stats();
    assert_eq!((stats.markers, stats.file_bytes), (1, written));
    build.group(1);
    build.idle();
    assert_eq!(build.journal.stats().markers, 2);
}

#[test]
fn a_healing_that_fails_leaves_nothing_behind() {
    let (fs, model) = journal();
    let (id, path, accepted) = sealed(&fs, &model)[1].clone();
    fs.overwrite(&path, accepted / 2 / 512 * 512 + 30, &[0xEE; 450]).unwrap();
    let left = |fs: &SimFs| {
        let paths = fs.paths().into_iter().map(|path| path.to_string_lossy().into_owned());
        paths.filter(|path| path.contains("/next.")).collect::<Vec<_>>()
    };
    let mut failed = 0;
    for (op, part) in [
        (IoOp::Write, "spool.tmp"),
        (IoOp::Write, "heal.tmp"),
        (IoOp::SyncData, "heal.tmp"),
        (IoOp::Read, "heal.tmp"),
        (IoOp::Write, "reason.txt"),
        (IoOp::Rename, "heal.tmp"),
    ] {
        for after in 0..3 {
            let image = fs.crash_keeping_all();
            let faults = FaultFs::new(Arc::new(image.clone()), 1);
            let env = Env { fs: Arc::new(faults.clone()), ..env_over(&image) };
            let flushed = Lsn(model.newest_first - 1);
            let (journal, _) =
                SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, flushed, options()).unwrap();
            let fault = if op == IoOp::Read { Fault::Eio } else { Fault::StorageFull };
            faults.add(FaultRule::new(fault).on(op).path(part).after(after));
            if journal.heal(id, &mut model.uncertain()).is_err() {
                failed += 1;
                assert_eq!(left(&image), [""; 0], "{op:?} {part} {after}");
            }
            faults.clear();
            _ = journal.heal(id, &mut model.uncertain()).unwrap();
            judge_whole(&image, journal, &model, id);
        }
    }
    assert!(failed > 4, "{failed}");
}

#[test]
fn a_check_that_is_given_up_notes_what_the_disk_refuses() {
    let (fs, model) = journal();
    let (id, ..) = sealed(&fs, &model)[1];
    let faults = FaultFs::new(Arc::new(fs.clone()), 1);
    let env = Env { fs: Arc::new(faults.clone()), ..env_over(&fs) };
    let flushed = Lsn(model.newest_first - 1);
    let (journal, _) = SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, flushed, options()).unwrap();
    let mut check = journal.check_segment(id);
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Read).path("segment.000002"));
    assert!(matches!(check.step(1 << 20), Err(stemedb_wal::Error::Env(_))));
    assert!(journal.damaged_segments().is_empty(), "it may pass");
    faults.clear();
    check.give_up();
    assert_eq!(journal.damaged_segments(), [id]);
    // It has passed.
    assert_eq!(journal.heal(id, &mut NoEntries).unwrap(), None);
    check.step(1 << 20).unwrap();
    check.give_up();
    assert!(journal.damaged_segments().is_empty());
}
