//! Which folders are databases, and who may have them open.

use std::{path::Path, sync::Arc};

use stemedb_env::{Env, IoOp, OpenMode, fs::FaultFs};
use stemedb_hybrid::{ClaimEngine, Error, HybridOptions, LsmEngine};
use stemedb_index::{Claims, KeyValues};
use stemedb_lsm::WriteBatch;
use stemedb_wal::Retention;

use super::setup::{assert_claims, create, dir, found, open};

fn try_open(env: &Env, dir: &Path) -> Error {
    ClaimEngine::open(env, dir, Claims, &HybridOptions::tiny()).map(|_| ()).unwrap_err()
}

fn try_create(env: &Env, dir: &Path) -> Error {
    ClaimEngine::create(env, dir, Claims, &HybridOptions::tiny()).map(|_| ()).unwrap_err()
}

#[test]
fn an_absent_or_emptied_folder_is_never_a_new_database() {
    let (env, _sim) = Env::sim(1);
    assert!(matches!(try_open(&env, dir()), Error::NotADatabase { .. }));
    env.fs.create_dir(dir()).unwrap();
    assert!(matches!(try_open(&env, dir()), Error::NotADatabase { .. }));
    assert!(env.fs.list(dir()).unwrap().is_empty(), "looking must not leave anything behind");
}

#[test]
fn a_second_open_is_refused_and_names_the_holder() {
    let (engine, env, _sim) = create(2);
    match try_open(&env, dir()) {
        Error::InUse { holder, .. } => assert_eq!(holder, format!("pid {}", std::process::id())),
        other => panic!("{other:?}"),
    }
    assert_claims(&engine, [1]);
    engine.close().unwrap();
    assert_eq!(found(&open(&env).0), [1], "the lock goes with its holder");
}

#[test]
fn creating_over_a_database_or_over_foreign_files_is_refused() {
    let (engine, env, _sim) = create(3);
    assert_claims(&engine, [1]);
    engine.close().unwrap();
    assert!(matches!(try_create(&env, dir()), Error::AlreadyExists { .. }));
    let other = Path::new("/other");
    env.fs.create_dir(other).unwrap();
    env.fs.open(&other.join("thesis.txt"), OpenMode::CreateNew).unwrap();
    match try_create(&env, other) {
        Error::AlreadyExists { found, .. } => assert_eq!(found, "thesis.txt"),
        other => panic!("{other:?}"),
    }
    assert_eq!(found(&open(&env).0), [1]);
}

#[test]
fn a_create_cut_anywhere_is_repeated_without_harm() {
    let tiny = HybridOptions::tiny();
    // As long as the first segment is unless told otherwise: all of it is there before the identity is.
    let mut made_ahead = HybridOptions::tiny();
    made_ahead.journal.segment_bytes = 1 << 20;
    for options in [tiny, made_ahead] {
        let (env, sim) = Env::sim(4);
        sim.fs.record(true);
        ClaimEngine::create(&env, dir(), Claims, &options).unwrap();
        let points = sim.fs.take_crash_points();
        assert!(points.len() > 10);
        for point in points {
            for image in [point.fs.crash_losing_all(), point.fs.crash_keeping_all()] {
                let (env, _sim) = super::setup::machine(image, 5);
                let engine = match ClaimEngine::open(&env, dir(), Claims, &options) {
                    Ok((engine, _)) => engine,
                    Err(Error::NotADatabase { .. }) => {
                        ClaimEngine::create(&env, dir(), Claims, &options).unwrap()
                    }
                    Err(error) => panic!("after {:?}: {error}", point.operation),
                };
                assert_claims(&engine, [1]);
            }
        }
    }
}

#[test]
fn a_lost_identity_does_not_let_a_create_destroy_the_journal() {
    // One entry is as dear as many: its size decides nothing.
    for entries in [1, 400] {
        let (engine, env, sim) = create(6);
        for n in 0..entries {
            assert_claims(&engine, [n]);
        }
        engine.close().unwrap();
        sim.fs.delete(&dir().join("IDENTITY.a")).unwrap();
        sim.fs.delete(&dir().join("IDENTITY.b")).unwrap();
        match try_create(&env, dir()) {
            Error::AlreadyExists { found, .. } => assert_eq!(found, "wal", "{entries} entries"),
            other => panic!("{entries} entries: {other:?}"),
        }
        assert!(matches!(try_open(&env, dir()), Error::NotADatabase { .. }));
    }
}

#[test]
fn one_damaged_copy_of_the_identity_is_mended_from_the_other() {
    for copy in ["IDENTITY.a", "IDENTITY.b"] {
        let (engine, env, sim) = create(7);
        assert_claims(&engine, [1]);
        engine.close().unwrap();
        let path = dir().join(copy);
        let whole = sim.fs.read_all(&path).unwrap();
        sim.fs.corrupt(&path, 20, 0xff).unwrap();
        let (engine, _) = open(&env);
        assert_eq!(found(&engine), [1]);
        assert_eq!(sim.fs.read_all(&path).unwrap(), whole);
        drop(engine);
        sim.fs.truncate(&path, 0).unwrap();
        drop(open(&env));
        sim.fs.corrupt(&dir().join("IDENTITY.a"), 1, 1).unwrap();
        sim.fs.corrupt(&dir().join("IDENTITY.b"), 1, 1).unwrap();
        assert!(matches!(try_open(&env, dir()), Error::BadIdentity { .. }));
    }
}

#[test]
fn the_view_of_another_database_is_refused() {
    let (a, env, sim) = create(8);
    assert_claims(&a, [1]);
    a.flush().unwrap();
    a.close().unwrap();
    let other = Path::new("/other");
    let b = ClaimEngine::create(&env, other, Claims, &HybridOptions::tiny()).unwrap();
    assert_claims(&b, [2]);
    b.flush().unwrap();
    b.close().unwrap();
    for file in env.fs.list(&dir().join("kv")).unwrap() {
        sim.fs.delete(&dir().join("kv").join(&file.name)).unwrap();
    }
    for file in env.fs.list(&other.join("kv")).unwrap() {
        env.fs.rename(&other.join("kv").join(&file.name), &dir().join("kv").join(&file.name)).unwrap();
    }
    match ClaimEngine::open(&env, dir(), Claims, &HybridOptions::tiny()) {
        Err(_) => {}
        Ok((engine, _)) => assert_eq!(found(&engine), [1], "never the other's claims"),
    }
}

#[test]
fn a_segment_gets_the_name_that_operators_may_move_only_when_the_view_has_flushed_it() {
    let (env, sim) = Env::sim(9);
    // Many segments to a memtable, so that most sealed segments are not flushed yet.
    let mut options = HybridOptions::tiny();
    options.journal.compress = false;
    options.lsm.memtable_bytes = 64 << 10;
    let engine = ClaimEngine::create(&env, dir(), Claims, &options).unwrap();
    let (mut released, mut held_back) = (0, 0);
    for n in 0..60u64 {
        // Large enough that a segment holds few entries.
        engine.commit(super::setup::submission(n * 100..n * 100 + 40)).unwrap();
        if n % 7 == 6 {
            engine.flush().unwrap();
        }
        sim.tasks.settle(50);
        let flushed = engine.health().flushed;
        for segment in engine.journal().segments().unwrap() {
            if segment.state == stemedb_wal::SegmentState::Released {
                released += 1;
                assert!(
                    segment.last_lsn.unwrap() <= flushed,
                    "{segment:?} holds more than was flushed: {flushed}"
                );
                assert!(segment.path.to_string_lossy().contains("/segment."));
            }
            held_back += usize::from(segment.state == stemedb_wal::SegmentState::Sealed);
        }
    }
    assert!(released > 20 && held_back > 20, "{released} released, {held_back} held back");
    let claims = found(&engine);
    engine.close().unwrap();
    // An operator moves every such segment away: the database opens and has everything.
    for file in env.fs.list(&dir().join("wal")).unwrap() {
        if file.name.starts_with("segment.") {
            sim.fs.delete(&dir().join("wal").join(&file.name)).unwrap();
        }
    }
    let (engine, report) = open(&env);
    assert!(!report.journal.missing.is_empty(), "the gap is reported");
    assert_eq!(found(&engine), claims);
}

#[test]
fn verify_names_damage_in_a_segment_that_opening_does_not_read() {
    let (engine, env, sim) = create(10);
    for n in 0..30u64 {
        engine.commit(super::setup::submission(n * 100..n * 100 + 40)).unwrap();
    }
    engine.flush().unwrap();
    let verified = engine.verify().unwrap();
    assert_eq!(verified.entries, 30);
    let first = engine.journal().segments().unwrap()[0].path.clone();
    engine.close().unwrap();
    // In the middle of it, compressed or not.
    let bytes = sim.fs.read_all(&first).unwrap();
    let written = bytes.iter().rposition(|&byte| byte != 0).unwrap() as u64;
    sim.fs.corrupt(&first, written / 2, 1).unwrap();
    let (engine, _) = open(&env);
    match engine.verify() {
        Err(Error::Journal(stemedb_wal::Error::Corruption { file, .. })) => assert_eq!(file, first),
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_flush_and_a_close_the_next_open_reads_hardly_anything_of_the_journal() {
    // Where the journal's files are used again nothing is left to read; elsewhere the last entry is, for its time.
    hardly_reads(31, Retention::Recycle, 20, 64 << 10);
    hardly_reads(32, Retention::Keep, 30, 600 << 10);
}

fn hardly_reads(seed: u64, retention: Retention, most: u64, most_bytes: u64) {
    let (env, sim) = Env::sim(seed);
    let mut options = HybridOptions::default();
    options.journal.retention = retention;
    let engine = LsmEngine::create(&env, dir(), KeyValues, &options).unwrap();
    for n in 0..190u32 {
        let mut batch = WriteBatch::new();
        batch.put(&n.to_be_bytes(), &vec![n as u8; 100_000]);
        engine.commit(batch).unwrap();
    }
    engine.flush().unwrap();
    let root = engine.state_root().unwrap();
    engine.close().unwrap();
    let counting = Arc::new(FaultFs::counting(Arc::new(sim.fs.clone())));
    let env = Env { fs: Arc::clone(&counting) as _, ..env };
    let (engine, report) = LsmEngine::open(&env, dir(), KeyValues, &options).unwrap();
    assert_eq!(report.journal.last_lsn.0, 190);
    let read = counting.call_counts().of(IoOp::Read, "/wal/");
    assert!(read.calls < most && read.bytes < most_bytes, "{read:?} of a journal of 19 MB");
    assert_eq!(engine.state_root().unwrap(), root);
    let mut batch = WriteBatch::new();
    batch.put(b"next", b"");
    assert_eq!(engine.commit(batch).unwrap().0, 191);
}
