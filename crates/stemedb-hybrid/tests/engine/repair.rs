//! A table, or the whole view, from the journal.

use std::path::{Path, PathBuf};

use stemedb_env::{Env, SimHandles, fs::sim::CrashOptions};
use stemedb_hybrid::{ClaimEngine, Error, HybridOptions, rebuild};
use stemedb_index::{ClaimReader, Claims};

use super::setup::{assert_claims, create, dir, found, open, submission};

/// An engine with tables on several levels, its content, and the path of each table.
fn grown(seed: u64) -> (ClaimEngine, Env, SimHandles, Vec<PathBuf>) {
    let (engine, env, sim) = create(seed);
    for n in 0..120 {
        engine.commit(submission([n * 2, n * 2 + 1])).unwrap();
        sim.tasks.settle(1_000);
    }
    engine.flush().unwrap();
    sim.tasks.settle(100_000);
    let tables: Vec<PathBuf> =
        engine.tables().iter().map(|table| dir().join("kv").join(format!("{:06}.sst", table.file))).collect();
    assert!(tables.len() > 2, "several tables: {tables:?}");
    (engine, env, sim, tables)
}

#[test]
fn a_missing_table_is_named_and_rebuilt_from_the_journal_with_the_same_digest() {
    let (engine, env, sim, tables) = grown(1);
    let root = engine.state_root().unwrap();
    engine.close().unwrap();
    let mut healed = 0;
    for path in tables {
        sim.fs.delete(&path).unwrap();
        let (engine, report) = open(&env);
        let file: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        if !engine.tables().iter().any(|table| table.file == file) {
            continue; // Replaced by a compaction meanwhile.
        }
        assert_eq!(report.damaged_tables, [file]);
        assert!(!engine.health().primary.to_string().starts_with("healthy"));
        assert_eq!(engine.state_root().unwrap(), root, "a scan over the hole is answered from the journal");
        engine.verify().expect_err("and whoever looks at the files is told");
        assert_eq!(engine.repair_damaged().unwrap(), [file]);
        assert_eq!(engine.state_root().unwrap(), root);
        assert!(engine.health().is_ready());
        engine.verify().unwrap();
        engine.close().unwrap();
        let (engine, report) = open(&env);
        assert!(report.damaged_tables.is_empty());
        assert_eq!(engine.state_root().unwrap(), root);
        engine.close().unwrap();
        healed += 1;
    }
    assert!(healed > 1, "only {healed} tables were healed");
}

#[test]
fn a_power_cut_anywhere_in_a_repair_leaves_the_table_healed_or_to_be_healed_again() {
    let (engine, env, sim, tables) = grown(7);
    let root = engine.state_root().unwrap();
    engine.close().unwrap();
    sim.fs.settle();
    sim.fs.delete(&tables[1]).unwrap();
    sim.fs.settle();
    let (engine, report) = open(&env);
    assert_eq!(report.damaged_tables.len(), 1);
    sim.fs.record(true);
    engine.repair_damaged().unwrap();
    sim.fs.record(false);
    drop(engine);
    let (mut again, mut whole) = (0, 0);
    for point in sim.fs.take_crash_points() {
        let options = CrashOptions { exhaustive_units: 4, samples: 4, seed: point.mutations };
        for state in point.fs.crash_states(&options) {
            let (env, _sim) = super::setup::machine(state.fs, 8);
            let (engine, report) = open(&env);
            if report.damaged_tables.is_empty() {
                whole += 1;
            } else {
                engine.repair_damaged().unwrap();
                again += 1;
            }
            assert_eq!(engine.state_root().unwrap(), root, "after {:?}", point.operation);
        }
    }
    assert!(again > 5 && whole > 0, "{again} to be healed again, {whole} healed");
}

#[test]
fn a_damaged_table_answers_from_the_journal_until_it_is_repaired_and_the_original_is_kept() {
    let (engine, env, sim, tables) = grown(2);
    let (root, everything) = (engine.state_root().unwrap(), found(&engine));
    engine.close().unwrap();
    let path = &tables[0];
    let bytes = sim.fs.read_all(path).unwrap();
    sim.fs.corrupt(path, bytes.len() as u64 / 3, 0x40).unwrap();
    let (engine, _) = open(&env);
    assert_eq!(engine.state_root().unwrap(), root);
    let error = engine.verify().unwrap_err();
    match &error {
        Error::Store(stemedb_lsm::Error::Corruption { file, .. }) => assert_eq!(file, path),
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains("Corruption: "), "{error}");
    let file = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    engine.repair_table(file).unwrap();
    assert_eq!(engine.state_root().unwrap(), root);
    assert_eq!(found(&engine), everything);
    let quarantined = env.fs.list(&dir().join("quarantine")).unwrap();
    assert!(quarantined.iter().any(|entry| entry.name.contains("sst")), "{quarantined:?}");
}

#[test]
fn a_lost_view_is_derived_again_at_open() {
    let (engine, env, sim, _tables) = grown(3);
    let (root, everything) = (engine.state_root().unwrap(), found(&engine));
    engine.close().unwrap();
    for file in env.fs.list(&dir().join("kv")).unwrap() {
        sim.fs.delete(&dir().join("kv").join(file.name)).unwrap();
    }
    let (engine, report) = open(&env);
    assert!(report.rebuilt);
    assert_eq!(report.replayed, 120);
    assert_eq!(engine.state_root().unwrap(), root);
    assert_eq!(found(&engine), everything);
    assert_claims(&engine, [1000]);
}

#[test]
fn an_offline_rebuild_gives_the_same_content_and_refuses_a_folder_in_use() {
    let (engine, env, sim, _tables) = grown(4);
    let root = engine.state_root().unwrap();
    let (wal, kv) = (dir().join("wal"), dir().join("kv"));
    let options = HybridOptions::tiny();
    let run = |kv: &Path| rebuild(&env, &wal, kv, &Claims, &options, &mut |_| {});
    assert!(matches!(run(Path::new("/kv2")), Err(Error::InUse { .. })));
    engine.close().unwrap();
    assert!(matches!(run(&kv), Err(Error::AlreadyExists { .. })));
    env.fs.rename(&kv, &dir().join("kv.corrupted.20261124")).unwrap();
    let mut seen = Vec::new();
    let report = rebuild(&env, &wal, &kv, &Claims, &options, &mut |progress| seen.push(progress)).unwrap();
    assert_eq!((report.entries, report.root), (120, root));
    assert_eq!(seen.last().map(|progress| progress.done), Some(report.end));
    assert!(sim.fs.read_all(&kv.join("REBUILT")).is_ok());
    let (engine, opened) = open(&env);
    assert!(!opened.rebuilt, "it was rebuilt before");
    assert_eq!(opened.replayed, 0);
    assert_eq!(engine.state_root().unwrap(), root);
    assert!(sim.fs.read_all(&kv.join("REBUILT")).is_err(), "the mark is read once");
}

#[test]
fn a_rebuild_never_leaves_a_hole() {
    let (engine, env, sim, _tables) = grown(5);
    let first_segment = engine.journal().segments().unwrap()[0].clone();
    engine.close().unwrap();
    let wal = dir().join("wal");
    // It may stand there compressed, and not yet removed as it was.
    let forms = env.fs.list(&wal).unwrap().into_iter().filter(|file| file.name.contains(".000001.wal"));
    assert!(forms.map(|form| sim.fs.delete(&wal.join(&form.name)).unwrap()).count() > 0);
    let refused = rebuild(&env, &wal, Path::new("/kv2"), &Claims, &HybridOptions::tiny(), &mut |_| {});
    assert!(refused.is_err(), "segment {first_segment:?} is missing: {refused:?}");
    // The database itself opens and serves: its view has everything.
    let (engine, _) = open(&env);
    assert_eq!(found(&engine).len(), 240);
}

#[test]
fn what_a_reader_holds_stays_readable_while_the_view_is_compacted() {
    let (engine, _env, sim, _tables) = grown(6);
    let reader = ClaimReader::new(engine.snapshot().unwrap());
    let before = reader.candidates("cas:3", "melting_point_K", None).unwrap();
    for n in 1000..1100 {
        assert_claims(&engine, [n]);
    }
    engine.compact().unwrap();
    sim.tasks.settle(100_000);
    assert_eq!(reader.candidates("cas:3", "melting_point_K", None).unwrap(), before);
    assert!(engine.snapshot().is_ok());
}
