//! Damaged journal segments, healed from the views while the engine runs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use stemedb_env::{
    Clock, Env, Lsn, SimHandles,
    fs::{SimFs, sim::CrashOptions},
};
use stemedb_hybrid::{ClaimEngine, Error, EventKind, FallbackMode, HybridOptions, LsmEngine, OpenDamaged};
use stemedb_index::{Admit, Claims, KeyValues};
use stemedb_lsm::WriteBatch;
use stemedb_wal::{Healing, Journal, JournalOptions, JournalReader, SegmentState};

use super::setup::{dir, found, machine, submission};

fn options() -> HybridOptions {
    let tiny = HybridOptions::tiny();
    HybridOptions { journal: JournalOptions { pack_level: None, ..tiny.journal }, ..tiny }
}

/// Every entry of the journal.
type Model = BTreeMap<u64, Vec<u8>>;

fn read<D: Admit>(engine: &LsmEngine<D>) -> Model {
    let mut reader = engine.journal().read_from(Lsn(1)).unwrap();
    let mut entries = Model::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        entries.insert(entry.lsn.0, entry.bytes.to_vec());
    }
    entries
}

/// A sealed segment: its number, its file and how much of it counts.
struct Sealed {
    id: u64,
    path: PathBuf,
    accepted: u64,
    first: u64,
    last: u64,
}

struct Grown {
    fs: SimFs,
    model: Model,
    sealed: Vec<Sealed>,
}

fn settle(sim: &SimHandles) {
    for _ in 0..40 {
        sim.tasks.settle(100_000);
        sim.clock.sleep(Duration::from_millis(7));
    }
}

fn grown<D: Admit>(derive: D, requests: impl IntoIterator<Item = D::Request>, open: &HybridOptions) -> Grown {
    let (env, sim) = Env::sim(11);
    let engine = LsmEngine::create(&env, dir(), derive, open).unwrap();
    for (number, request) in requests.into_iter().enumerate() {
        engine.commit(request).unwrap();
        sim.clock.sleep(Duration::from_micros(700));
        sim.tasks.settle(1_000);
        if number % 23 == 22 {
            // An idle moment, and its marker.
            settle(&sim);
        }
    }
    engine.flush().unwrap();
    settle(&sim);
    let model = read(&engine);
    engine.close().unwrap();
    sim.fs.settle();
    let (env, sim) = machine(sim.fs.crash_keeping_all(), 12);
    drop(env);
    let sealed = {
        let copy = machine(sim.fs.crash_keeping_all(), 13);
        let wal = dir().join("wal");
        let (journal, _) = stemedb_wal::SegmentedJournal::open_read_only(&copy.0, &wal).unwrap();
        let segments = journal.segments().unwrap();
        let pairs = segments.iter().zip(segments.iter().skip(1));
        pairs
            .map(|(segment, successor)| Sealed {
                id: segment.id,
                path: segment.path.clone(),
                accepted: accepted(&sim.fs, &successor.path),
                first: segment.first_lsn.0,
                last: segment.last_lsn.unwrap().0,
            })
            .collect()
    };
    Grown { fs: sim.fs, model, sealed }
}

/// What the header of the successor says; of a compressed one the caller does not need it.
fn accepted(fs: &SimFs, successor: &Path) -> u64 {
    let header = fs.read_all(successor).unwrap();
    let field = header.get(104..112).filter(|_| header.starts_with(b"STEM"));
    field.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn claims() -> Grown {
    let requests = (0..110).map(|n| submission(n * 3..n * 3 + 1 + n % 3));
    grown(Claims, requests, &options())
}

/// Rows that are written once, in the order of their keys.
fn rows(n: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for row in 0..1 + n % 3 {
        batch.put(&(n * 10 + row).to_be_bytes(), &vec![n as u8; (n as usize * 37) % 150]);
    }
    batch
}

fn once() -> Grown {
    grown(KeyValues, (0..150).map(rows), &options())
}

/// Damage of every kind: one byte, a few, whole sectors, cut files, no file.
fn harms(fs: &SimFs, segment: &Sealed) -> Vec<(String, SimFs)> {
    let mut harmed = Vec::new();
    let mut add = |what: String, harm: &dyn Fn(&SimFs)| {
        let image = fs.crash_keeping_all();
        harm(&image);
        harmed.push((what, image));
    };
    let path = &segment.path;
    for at in (0..segment.accepted).filter(|at| at.is_multiple_of(17 * 16)) {
        add(format!("one byte at {at}"), &|image| image.corrupt(path, at, 0x21).unwrap());
    }
    for at in (0..segment.accepted).step_by(512) {
        add(format!("a hole at {at}"), &|image| image.overwrite(path, at + 20, &[0xEE; 400]).unwrap());
        add(format!("cut at {at}"), &|image| image.truncate(path, at).unwrap());
        add(format!("cut behind {at}"), &|image| image.truncate(path, at + 111).unwrap());
    }
    add("missing".to_owned(), &|image| image.delete(path).unwrap());
    harmed
}

fn judge<D: Admit>(engine: &LsmEngine<D>, model: &Model) {
    assert_eq!(read(engine), *model);
    engine.verify().unwrap();
    let again = engine.repair_journal().unwrap();
    assert!(again.healed.is_empty() && again.unhealed.is_empty(), "{again:?}");
}

/// Every damage of every sealed segment. Returns how many were healed exactly, by a replacement, not at all.
fn sweep<D: Admit + Copy>(derive: D, grown: &Grown, every: usize) -> (u32, u32, Vec<String>) {
    let (mut exact, mut replaced, mut not) = (0, 0, Vec::new());
    for segment in &grown.sealed {
        for (what, image) in harms(&grown.fs, segment).into_iter().step_by(every) {
            let what = format!("segment {} {what}", segment.id);
            let damaged = image.read_all(&segment.path).ok();
            let (env, _sim) = machine(image.clone(), 5);
            let (engine, _) = LsmEngine::open(&env, dir(), derive, &options()).unwrap();
            let repair = engine.repair_journal().unwrap();
            if let Some(lost) = repair.unhealed.first() {
                assert!(!lost.holes.is_empty(), "{what}: {lost:?}");
                not.push(what);
                continue;
            }
            let [healed] = &repair.healed[..] else { panic!("{what}: {repair:?}") };
            assert_eq!(healed.segment, segment.id, "{what}");
            match healed.healing {
                Healing::Exact => exact += 1,
                Healing::Replacement => replaced += 1,
                Healing::OtherForm => panic!("{what}"),
            }
            let kept = healed.quarantined.first().map(|path| image.read_all(path).unwrap());
            assert_eq!(kept, damaged, "{what}");
            let kinds: Vec<EventKind> = engine.events().after(0).iter().map(|event| event.kind).collect();
            assert!(kinds.contains(&EventKind::Damage) && kinds.contains(&EventKind::Repaired), "{what}");
            judge(&engine, &grown.model);
            engine.close().unwrap();
            let (engine, _) = LsmEngine::open(&env, dir(), derive, &options()).unwrap();
            judge(&engine, &grown.model);
        }
    }
    (exact, replaced, not)
}

#[test]
fn every_damage_of_a_sealed_segment_is_healed_from_the_claims() {
    let grown = claims();
    assert!(grown.sealed.len() > 4, "{}", grown.sealed.len());
    let (exact, replaced, not) = sweep(Claims, &grown, 3);
    println!("{exact} exactly, {replaced} by a replacement");
    assert_eq!(not, [""; 0]);
    assert!(exact > 5 * replaced, "{exact} {replaced}");
}

#[test]
fn rows_that_are_written_once_are_healed_where_the_chain_proves_them() {
    let grown = once();
    assert!(grown.sealed.len() > 2, "{}", grown.sealed.len());
    let (exact, replaced, not) = sweep(KeyValues, &grown, 3);
    println!("{exact} exactly, {} not", not.len());
    assert_eq!(replaced, 0, "nobody vouches for plain rows");
    assert!(exact as usize > 9 * not.len() && exact > 100, "{exact}, not {not:?}");
}

fn damage(image: &SimFs, segment: &Sealed) {
    image.overwrite(&segment.path, segment.accepted / 2 / 512 * 512 + 30, &[0xEE; 450]).unwrap();
}

#[test]
fn damage_that_a_reader_meets_is_healed_by_the_engine_itself() {
    let grown = claims();
    let image = grown.fs.crash_keeping_all();
    let (env, sim) = machine(image.clone(), 5);
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options()).unwrap();
    damage(&image, &grown.sealed[1]);
    let mut reader = engine.journal().read_from(Lsn(grown.sealed[1].first)).unwrap();
    let mut next = grown.sealed[1].first;
    let error = loop {
        match reader.next_entry() {
            Ok(Some(entry)) => {
                assert_eq!(entry.bytes, grown.model[&entry.lsn.0]);
                next = entry.lsn.0 + 1;
            }
            Ok(None) => panic!("the reader passed over the damage"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, stemedb_wal::Error::Corruption { file, .. } if *file == grown.sealed[1].path));
    settle(&sim);
    // The same reader goes on.
    while let Some(entry) = reader.next_entry().unwrap() {
        assert_eq!((entry.lsn.0, &entry.bytes[..]), (next, &grown.model[&next][..]));
        next += 1;
    }
    assert_eq!(next as usize, grown.model.len() + 1);
    let events = engine.events().after(0);
    let of = |kind| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!(
        (of(EventKind::Damage), of(EventKind::Repaired), of(EventKind::RepairFailed)),
        (1, 1, 0),
        "{events:?}"
    );
    assert!(events[0].text.contains("LSN"), "{}", events[0].text);
    judge(&engine, &grown.model);
}

#[test]
fn a_journal_whose_released_segment_is_damaged_opens_and_is_healed_in_the_background() {
    let grown = claims();
    for segment in &grown.sealed {
        for harm in [0, 1, 2] {
            let image = grown.fs.crash_keeping_all();
            match harm {
                0 => image.overwrite(&segment.path, 0, &[0; 400]).unwrap(),
                1 => image.delete(&segment.path).unwrap(),
                // The last entry of all: its time is asked for.
                _ => image.overwrite(&segment.path, segment.accepted - 512, &[0; 512]).unwrap(),
            }
            let (env, sim) = machine(image, 5);
            let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &options()).unwrap();
            assert_eq!(report.replayed, 0);
            assert_eq!(found(&engine).len(), 219, "the views need nothing of it");
            engine.commit(submission([5000])).unwrap();
            settle(&sim);
            if harm == 1 && segment.id > 1 {
                // What is missing between others needs no reader to be found.
                assert!(engine.events().after(0).iter().any(|event| event.kind == EventKind::Repaired));
            } else {
                engine.repair_journal().unwrap();
            }
            let mut model = grown.model.clone();
            let now = read(&engine);
            model.extend(now.last_key_value().map(|(lsn, entry)| (*lsn, entry.clone())));
            judge(&engine, &model);
        }
    }
}

#[test]
fn entries_that_no_table_has_yet_are_healed_from_the_memtable() {
    let (env, sim) = Env::sim(3);
    let lsm = stemedb_lsm::LsmOptions { memtable_bytes: 1 << 20, ..options().lsm };
    let large = HybridOptions { lsm, ..options() };
    let engine = ClaimEngine::create(&env, dir(), Claims, &large).unwrap();
    for n in 0..60 {
        engine.commit(submission([n])).unwrap();
        sim.clock.sleep(Duration::from_micros(700));
    }
    assert_eq!(engine.health().flushed, Lsn::ZERO);
    let model = read(&engine);
    let segments = engine.journal().segments().unwrap();
    assert!(segments.len() > 2 && segments.iter().all(|segment| segment.state != SegmentState::Released));
    for segment in segments.iter().filter(|segment| segment.last_lsn.unwrap().0 > segment.first_lsn.0 + 4) {
        sim.fs.overwrite(&segment.path, 512 * 3 + 10, &[0xEE; 480]).unwrap();
        let repair = engine.repair_journal().unwrap();
        assert_eq!((repair.healed.len(), repair.unhealed.len()), (1, 0), "{repair:?}");
        assert_eq!(read(&engine), model);
    }
    engine.commit(submission([1000])).unwrap();
    drop(engine);
    let (env, _sim) = machine(sim.fs.crash_losing_all(), 4);
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &large).unwrap();
    assert_eq!(found(&engine).len(), 61);
}

#[test]
fn damage_above_what_the_views_have_is_refused_and_served_up_to_there_at_the_operators_word() {
    let (env, sim) = Env::sim(3);
    let lsm = stemedb_lsm::LsmOptions { memtable_bytes: 1 << 20, ..options().lsm };
    let large = HybridOptions { lsm, ..options() };
    let engine = ClaimEngine::create(&env, dir(), Claims, &large).unwrap();
    for n in 0..20 {
        engine.commit(submission([n])).unwrap();
    }
    engine.flush().unwrap();
    for n in 20..60 {
        engine.commit(submission([n])).unwrap();
    }
    let segments = engine.journal().segments().unwrap();
    engine.close().unwrap();
    sim.fs.settle();
    // In front of what is to be replayed, and one byte in what only the journal has: healed by the open itself.
    let border = segments.iter().find(|segment| segment.last_lsn.unwrap().0 > 20).unwrap();
    assert!(border.first_lsn.0 < 20);
    for harm in ["flushed", "one byte"] {
        let image = sim.fs.crash_keeping_all();
        match harm {
            "flushed" => image.overwrite(&border.path, 512 * 2 + 10, &[0xEE; 480]).unwrap(),
            _ => image.corrupt(&segments[segments.len() - 2].path, 512 * 2 + 110, 0x20).unwrap(),
        }
        let (env, _sim) = machine(image, 4);
        let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &large).unwrap();
        assert_eq!((report.replayed, found(&engine).len()), (40, 60), "{harm}");
        assert!(engine.events().after(0).iter().any(|event| event.kind == EventKind::Repaired), "{harm}");
        engine.verify().unwrap();
    }
    let word = HybridOptions { open_damaged: OpenDamaged::ReadOnly, ..large.clone() };
    let unflushed: Vec<_> = segments.iter().filter(|segment| segment.first_lsn.0 > 20).collect();
    assert!(unflushed.len() > 1);
    for segment in unflushed {
        for harm in ["hole", "header", "missing", "cut"] {
            let image = sim.fs.crash_keeping_all();
            match harm {
                "hole" => image.overwrite(&segment.path, 512 * 3 + 10, &[0xEE; 480]).unwrap(),
                "header" => image.overwrite(&segment.path, 10, &[0xEE; 480]).unwrap(),
                "missing" => image.delete(&segment.path).unwrap(),
                _ => image.truncate(&segment.path, 512 * 2).unwrap(),
            }
            let before = image.paths().into_iter().filter(|path| {
                // Files that are made ready belong to nobody.
                path.starts_with("/db/wal") && path.extension().is_none_or(|end| end != "tmp")
            });
            let before: BTreeMap<PathBuf, Vec<u8>> =
                before.filter_map(|path| Some((path.clone(), image.read_all(&path).ok()?))).collect();
            let (env, _sim) = machine(image.crash_keeping_all(), 4);
            let what = format!("{harm} {}", segment.path.display());
            let Err(refused) = ClaimEngine::open(&env, dir(), Claims, &large) else { panic!("{what}") };
            assert!(matches!(refused, Error::Journal(_)), "{what}: {refused}");
            let (env, sim) = machine(image, 4);
            let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &word).unwrap();
            let damaged = report.damaged_journal.unwrap();
            let served = damaged.served.0;
            assert!((20..60).contains(&served), "{what}: {damaged:?}");
            if harm == "hole" {
                assert_eq!(damaged.holes.len(), 1, "{what}");
                assert_eq!(damaged.holes[0].lsns.start().0, served + 1, "{what}");
            }
            assert_eq!(found(&engine), (0..served).collect::<Vec<_>>(), "{what}");
            let error = engine.commit(submission([500])).unwrap_err();
            assert!(error.to_string().contains("reading only"), "{what}: {error}");
            assert!(engine.health().read_only.is_some());
            settle(&sim);
            engine.close().unwrap();
            let after: BTreeMap<PathBuf, Vec<u8>> =
                before.keys().filter_map(|path| Some((path.clone(), sim.fs.read_all(path).ok()?))).collect();
            let changed: Vec<_> =
                before.iter().filter(|(path, bytes)| after.get(*path) != Some(bytes)).collect();
            let changed: Vec<_> = changed.into_iter().map(|(path, _)| path).collect();
            assert!(changed.is_empty(), "{what}: {changed:?} changed");
        }
    }
}

#[test]
fn over_a_damaged_journal_the_fallback_view_is_left_as_it_is() {
    let (env, sim) = Env::sim(3);
    let lsm = stemedb_lsm::LsmOptions { memtable_bytes: 1 << 20, ..options().lsm };
    let large = HybridOptions { lsm, fallback: FallbackMode::Standby, ..options() };
    let engine = ClaimEngine::create(&env, dir(), Claims, &large).unwrap();
    for n in 0..60 {
        engine.commit(submission([n])).unwrap();
    }
    for _ in 0..20 {
        settle(&sim);
    }
    assert_eq!(engine.health().fallback.unwrap().published, Lsn(60));
    let segments = engine.journal().segments().unwrap();
    engine.close().unwrap();
    sim.fs.settle();
    // Only the fallback view has what stood behind that.
    sim.fs.truncate(&segments[2].path, 512 * 2).unwrap();
    let file = dir().join("fallback/fallback.redb");
    let before = sim.fs.read_all(&file).unwrap();
    for fallback in [FallbackMode::Off, FallbackMode::OnDemand, FallbackMode::Standby] {
        let (env, sim) = machine(sim.fs.crash_keeping_all(), 4);
        let word = HybridOptions { open_damaged: OpenDamaged::ReadOnly, fallback, ..large.clone() };
        let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &word).unwrap();
        assert!(report.damaged_journal.is_some());
        for _ in 0..30 {
            settle(&sim);
            sim.clock.sleep(Duration::from_secs(5));
        }
        engine.close().unwrap();
        assert!(sim.fs.read_all(&file).is_ok_and(|after| after == before), "{fallback}");
        assert!(env.fs.metadata(&dir().join("quarantine")).unwrap().is_none(), "{fallback}");
    }
}

#[test]
fn what_segment_and_table_have_both_lost_is_named_exactly() {
    let grown = claims();
    let segment = &grown.sealed[2];
    let image = grown.fs.crash_keeping_all();
    damage(&image, segment);
    let (env, _sim) = machine(image.clone(), 5);
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options()).unwrap();
    let holes = engine.journal().holes(segment.id).unwrap();
    let tables = engine.tables();
    drop(engine);
    // Of every table that may have the entries: its rows are gone.
    for table in &tables {
        let path = dir().join(format!("kv/{:06}.sst", table.file));
        image.overwrite(&path, 40, &vec![0xEE; table.bytes as usize / 2]).unwrap();
    }
    let (env, _sim) = machine(image.clone(), 5);
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options()).unwrap();
    let before = image.read_all(&segment.path).unwrap();
    let repair = engine.repair_journal().unwrap();
    let [unhealed] = &repair.unhealed[..] else { panic!("{repair:?}") };
    assert_eq!((unhealed.segment, repair.healed.len()), (segment.id, 0));
    let [lost] = &unhealed.holes[..] else { panic!("{unhealed:?}") };
    assert_eq!(lost.hole, holes[0]);
    assert_eq!((&lost.hole.file, lost.lost.clone()), (&segment.path, vec![holes[0].lsns.clone()]));
    assert!(segment.first <= lost.hole.lsns.start().0 && lost.hole.lsns.end().0 <= segment.last);
    assert_eq!(image.read_all(&segment.path).unwrap(), before);
    assert!(engine.events().after(0).iter().any(|event| event.kind == EventKind::RepairFailed));
}

#[test]
fn rows_that_were_written_again_or_removed_are_never_guessed() {
    let requests = (0..150).map(|n| {
        let mut batch = rows(n);
        if n > 75 {
            // The rows of an entry before, and one removal.
            batch.put(&((n - 75) * 10).to_be_bytes(), b"newer");
            batch.delete(&((n - 74) * 10).to_be_bytes());
        }
        batch
    });
    let grown = grown(KeyValues, requests, &options());
    let mut refused = 0;
    for segment in &grown.sealed {
        let image = grown.fs.crash_keeping_all();
        damage(&image, segment);
        let before = image.read_all(&segment.path).unwrap();
        let (env, _sim) = machine(image.clone(), 5);
        let (engine, _) = LsmEngine::open(&env, dir(), KeyValues, &options()).unwrap();
        let repair = engine.repair_journal().unwrap();
        match &repair.unhealed[..] {
            [unhealed] => {
                assert_eq!(unhealed.holes[0].hole.file, segment.path);
                assert!(!unhealed.holes[0].hole.lsns.is_empty());
                assert_eq!(image.read_all(&segment.path).unwrap(), before);
                refused += 1;
            }
            _ => assert_eq!(read(&engine), grown.model),
        }
    }
    assert!(refused > 1, "{refused}");
}

#[test]
fn a_whole_table_needs_no_journal_to_be_written_again_and_the_journal_is_healed_from_it() {
    let grown = claims();
    let segment = &grown.sealed[1];
    let image = grown.fs.crash_keeping_all();
    let (env, sim) = machine(image.clone(), 5);
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options()).unwrap();
    let root = engine.state_root().unwrap();
    damage(&image, segment);
    let table = engine
        .tables()
        .into_iter()
        .find(|table| table.min_lsn.0 <= segment.first && table.max_lsn.0 >= segment.last)
        .expect("a table over the whole segment");
    engine.repair_table(table.file).unwrap();
    assert_eq!(engine.state_root().unwrap(), root);
    let repair = engine.repair_journal().unwrap();
    assert_eq!((repair.healed.len(), repair.unhealed.len()), (1, 0), "{repair:?}");
    settle(&sim);
    judge(&engine, &grown.model);
}

#[test]
fn compressed_segments_are_healed_too() {
    let packs = HybridOptions::tiny();
    let requests = (0..110).map(|n| submission(n * 3..n * 3 + 1 + n % 3));
    let grown = grown(Claims, requests, &packs);
    let mut healed = 0;
    for segment in grown.sealed.iter().filter(|segment| segment.path.to_string_lossy().ends_with(".zst")) {
        let len = grown.fs.read_all(&segment.path).unwrap().len() as u64;
        for at in (0..len).step_by(17 * 5) {
            let image = grown.fs.crash_keeping_all();
            image.corrupt(&segment.path, at, 0x40).unwrap();
            let (env, sim) = machine(image.clone(), 5);
            let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &packs).unwrap();
            let repair = engine.repair_journal().unwrap();
            assert!(repair.unhealed.is_empty(), "{at}: {repair:?}");
            healed += repair.healed.len();
            judge(&engine, &grown.model);
            // It is compressed again.
            settle(&sim);
            assert_eq!(read(&engine), grown.model);
        }
    }
    assert!(healed > 50, "{healed}");
}

#[test]
fn a_power_cut_anywhere_in_a_repair_of_the_journal_is_finished_later() {
    let grown = claims();
    let image = grown.fs.crash_keeping_all();
    damage(&image, &grown.sealed[2]);
    image.settle();
    let (env, _sim) = machine(image.clone(), 5);
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options()).unwrap();
    let root = engine.state_root().unwrap();
    image.record(true);
    assert_eq!(engine.repair_journal().unwrap().healed.len(), 1);
    image.record(false);
    drop(engine);
    let (mut again, mut whole) = (0, 0);
    for point in image.take_crash_points() {
        let options_of = CrashOptions { exhaustive_units: 4, samples: 4, seed: point.mutations };
        for state in point.fs.crash_states(&options_of) {
            let (env, _sim) = machine(state.fs, 8);
            let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options()).unwrap();
            match engine.repair_journal().unwrap().healed.len() {
                0 => whole += 1,
                _ => again += 1,
            }
            judge(&engine, &grown.model);
            assert_eq!(engine.state_root().unwrap(), root, "after {:?}", point.operation);
        }
    }
    assert!(again > 5 && whole > 0, "{again} healed again, {whole} whole");
}

#[test]
fn a_segment_on_a_real_disk_is_healed_while_others_write() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("db");
    let engine = ClaimEngine::create(&Env::real(), &folder, Claims, &options()).unwrap();
    for n in 0..120 {
        engine.commit(submission([n])).unwrap();
    }
    engine.flush().unwrap();
    let model = read(&engine);
    let segments = engine.journal().segments().unwrap();
    let segment = segments.iter().rfind(|segment| segment.state == SegmentState::Released).unwrap();
    let mut bytes = std::fs::read(&segment.path).unwrap();
    bytes[600..1100].fill(0xEE);
    std::fs::write(&segment.path, &bytes).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 1000;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                engine.commit(submission([n])).unwrap();
                n += 1;
            }
        });
        let repair = engine.repair_journal();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        // The background may have been faster.
        assert!(repair.unwrap().unhealed.is_empty());
    });
    let events = engine.events().after(0);
    assert!(events.iter().any(|event| event.kind == EventKind::Repaired), "{events:?}");
    let now = read(&engine);
    assert!(model.iter().all(|(lsn, entry)| now.get(lsn) == Some(entry)));
    engine.verify().unwrap();
}
