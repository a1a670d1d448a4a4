//! The upgrade as it goes when nothing goes wrong, and what it refuses.

use stemedb_env::{Clock, Env, Lsn, SimHandles, Tasks};
use stemedb_hybrid::{DerivedBy, Error, EventKind, FallbackMode, HybridOptions, LsmEngine, ViewHealth};
use stemedb_lsm::{KvSnapshot, KvStore};
use stemedb_wal::Journal;

use super::{
    super::setup::dir, Rows, Three, Two, TwoAlone, assert_upgraded, entry, exists, files, fresh_root, grown,
    open, options, pass, scan, shown,
};

/// One step of whatever is due.
fn drive(sim: &SimHandles) -> bool {
    sim.tasks.drive()
}

#[test]
fn an_older_view_answers_and_takes_entries_until_the_new_one_takes_its_place() {
    for mode in [FallbackMode::Off, FallbackMode::OnDemand, FallbackMode::Standby] {
        let options = options(mode);
        let (engine, env, sim, _) = grown(1, 300, &options);
        engine.close().unwrap();
        let (engine, report) = open::<2, true>(&env, &options).unwrap();
        let upgrade = report.upgrade.unwrap();
        assert_eq!(
            (upgrade.from, upgrade.to, upgrade.readable),
            (DerivedBy { oldest: 1, newest: 2 }, 2, true)
        );
        assert!(!report.rebuilt && !report.catching_up && upgrade.stuck.is_none());
        let mut expected: Vec<u64> = (1..=300).collect();
        let (mut answers, mut n) = (0, 300);
        while let Some(upgrade) = engine.health().upgrade {
            assert!(upgrade.progress.done <= upgrade.progress.end);
            assert!(engine.health().is_ready(), "{:?}", engine.health());
            let snapshot = engine.snapshot().unwrap();
            assert_eq!(shown(&snapshot), expected);
            assert_eq!(snapshot.derived_by(), Some(DerivedBy { oldest: 1, newest: 2 }));
            let refused = |error: Error| assert!(matches!(error, Error::Upgrading(_)), "{error:?}");
            refused(engine.state_root().unwrap_err());
            refused(engine.checkpoint(std::path::Path::new("/copy")).unwrap_err());
            assert!(engine.prunable().unwrap_err().contains("upgrade"), "{:?}", engine.prunable());
            if n < 900 {
                n += 1;
                assert_eq!(engine.commit(entry(n)).unwrap(), Lsn(n));
                expected.push(n);
            }
            answers += 1;
            for _ in 0..3 {
                assert!(drive(&sim), "nobody works on it: {:?}", engine.health());
            }
            assert!(answers < 100_000);
        }
        assert!(answers > 5, "{answers}");
        if mode == FallbackMode::OnDemand {
            assert!(!exists(&env, "fallback"), "the old view answered all the time");
        }
        pass(&sim, 1);
        assert_upgraded(&engine, &env, n);
        let text: Vec<String> = engine
            .events()
            .after(0)
            .into_iter()
            .filter(|event| event.kind == EventKind::Rebuild)
            .map(|event| event.text)
            .collect();
        assert!(
            text[0].contains("version 1") && text.iter().any(|text| text.starts_with("upgrade complete")),
            "{text:?}"
        );
        engine.commit(entry(n + 1)).unwrap();
        engine.checkpoint(std::path::Path::new("/copy")).unwrap();
        engine.close().unwrap();
        let (engine, report) = open::<2, true>(&env, &options).unwrap();
        assert_eq!((report.upgrade, report.rebuilt), (None, false));
        assert_upgraded(&engine, &env, n + 1);
    }
}

#[test]
fn a_view_of_a_version_that_must_not_answer_says_nothing_until_some_view_is_whole() {
    for mode in [FallbackMode::Off, FallbackMode::OnDemand, FallbackMode::Standby] {
        let options = options(mode);
        let (engine, env, sim, _) = grown(2, 200, &options);
        // Flushed or not must make no difference.
        if mode == FallbackMode::Off {
            engine.flush().unwrap();
        }
        engine.close().unwrap();
        let (engine, report) = open::<2, false>(&env, &options).unwrap();
        assert!(report.catching_up && !report.upgrade.unwrap().readable);
        assert!(matches!(engine.health().primary, ViewHealth::Rebuilding { .. }), "{:?}", engine.health());
        assert!(matches!(engine.get(b"d/key 00001 0"), Err(Error::NoView { .. })));
        assert!(matches!(engine.commit(entry(201)), Err(Error::NoView { .. })));
        let mut refused = 0;
        while engine.health().upgrade.is_some() {
            match engine.snapshot() {
                Ok(snapshot) => {
                    assert_eq!(shown(&snapshot), (1..=200).collect::<Vec<_>>());
                    assert_eq!(engine.state_root().unwrap(), fresh_root(&engine), "it is of this version");
                }
                Err(Error::NoView { .. }) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
            assert!(drive(&sim), "nobody works on it: {:?}", engine.health());
        }
        assert!(refused > 1);
        pass(&sim, 1);
        assert_upgraded(&engine, &env, 200);
        engine.commit(entry(201)).unwrap();
        assert_upgraded(&engine, &env, 201);
    }
}

#[test]
fn a_newer_view_is_refused_and_nothing_is_touched() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, faults) = grown(3, 60, &options);
    engine.close().unwrap();
    // Begun and left: its rows are mixed already.
    super::hold_back(&faults);
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    engine.commit(entry(61)).unwrap();
    engine.flush().unwrap();
    drop(engine);
    faults.clear();
    let before = files(&env, &sim);
    let error = open::<1, true>(&env, &options).unwrap_err();
    let Error::NewerDerivation { found, known, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*found, *known), (DerivedBy { oldest: 1, newest: 2 }, 1));
    assert!(error.to_string().contains("versions 1 to 2"), "{error}");
    let locks = |files: &[(std::path::PathBuf, Vec<u8>)]| {
        files.iter().filter(|(path, _)| !path.ends_with("LOCK")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(locks(&files(&env, &sim)), locks(&before));
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    pass(&sim, 2);
    assert_upgraded(&engine, &env, 61);
    engine.close().unwrap();
    let before = files(&env, &sim);
    let error = open::<1, true>(&env, &options).unwrap_err();
    assert!(matches!(error, Error::NewerDerivation { .. }), "{error:?}");
    assert_eq!(locks(&files(&env, &sim)), locks(&before));
}

#[test]
fn an_upgrade_that_is_left_goes_on_from_where_it_was() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, _) = grown(4, 600, &options);
    engine.close().unwrap();
    let (mut done, mut resumed) = (0, 0);
    for round in 0..200 {
        let (engine, report) = open::<2, true>(&env, &options).unwrap();
        let Some(upgrade) = report.upgrade else {
            assert!(round > 0);
            break;
        };
        assert!(upgrade.progress.done.0 >= done, "{done} before, now {upgrade}");
        resumed += u32::from(upgrade.progress.done.0 > done);
        done = upgrade.progress.done.0;
        assert_eq!(shown(&engine.snapshot().unwrap()), (1..=600).collect::<Vec<_>>());
        for _ in 0..20 {
            drive(&sim);
        }
        drop(engine);
    }
    assert!(resumed >= 2, "{resumed}");
    let (engine, report) = open::<2, true>(&env, &options).unwrap();
    assert_eq!(report.upgrade, None, "it ends, however often it is left");
    pass(&sim, 1);
    assert_upgraded(&engine, &env, 600);
}

#[test]
fn a_third_version_begins_again_where_the_second_one_had_not_ended() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, faults) = grown(5, 200, &options);
    engine.close().unwrap();
    super::hold_back(&faults);
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    for n in 201..=240 {
        engine.commit(entry(n)).unwrap();
        (0..4).for_each(|_| _ = drive(&sim));
    }
    engine.flush().unwrap();
    drop(engine);
    faults.clear();
    let (engine, report): (Three, _) = open::<3, true>(&env, &options).unwrap();
    assert_eq!(report.upgrade.unwrap().from, DerivedBy { oldest: 1, newest: 3 });
    engine.commit(entry(241)).unwrap();
    pass(&sim, 2);
    assert_upgraded(&engine, &env, 241);
}

#[test]
fn whoever_reads_the_old_view_reads_on_to_its_end() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, _) = grown(6, 300, &options);
    engine.compact().unwrap();
    engine.close().unwrap();
    let (engine, _): (Two, _) = open::<2, true>(&env, &options).unwrap();
    let snapshot = engine.snapshot().unwrap();
    let expected: Vec<u64> = (1..=300).collect();
    for n in 301..=340 {
        engine.commit(entry(n)).unwrap();
        sim.tasks.settle(10);
    }
    pass(&sim, 2);
    assert_upgraded(&engine, &env, 340);
    // Its folder is gone, and the cache has other things.
    assert_eq!(scan(&engine.snapshot().unwrap()).len(), 340 * 4);
    assert_eq!(shown(&snapshot), expected);
    assert_eq!(snapshot.get(b"d/key 00001 0").unwrap().as_deref(), Some(&b"value 1"[..]));
    assert_eq!(snapshot.derived_by(), Some(DerivedBy { oldest: 1, newest: 2 }));
}

#[test]
fn a_journal_that_begins_later_leaves_the_old_view_as_it_is() {
    let mut options = options(FallbackMode::Off);
    options.journal.retention = stemedb_wal::Retention::Recycle;
    let (engine, env, sim, _) = grown(7, 300, &options);
    engine.flush().unwrap();
    pass(&sim, 2);
    assert!(engine.journal().first_lsn() > Lsn(1), "something was recycled");
    engine.close().unwrap();
    let before = files(&env, &sim);
    let error = open::<2, false>(&env, &options).map(|(engine, _): (TwoAlone, _)| drop(engine)).unwrap_err();
    assert!(matches!(&error, Error::Store(stemedb_lsm::Error::OtherDerivation { .. })), "{error:?}");
    let views = |files: &[(std::path::PathBuf, Vec<u8>)]| -> Vec<std::path::PathBuf> {
        files
            .iter()
            .map(|(path, _)| path.clone())
            .filter(|path| path.extension().is_some_and(|it| it == "sst"))
            .collect()
    };
    assert_eq!(views(&files(&env, &sim)), views(&before));
    let (engine, report) = open::<2, true>(&env, &options).unwrap();
    assert!(report.upgrade.unwrap().stuck.unwrap().contains("starts at LSN"));
    engine.commit(entry(301)).unwrap();
    pass(&sim, 3);
    let health = engine.health();
    assert!(health.is_ready() && health.upgrade.unwrap().stuck.is_some());
    assert_eq!(shown(&engine.snapshot().unwrap()), (1..=301).collect::<Vec<_>>());
    assert!(engine.events().after(0).iter().any(|event| event.kind == EventKind::RepairFailed));
    assert!(!exists(&env, "kv.next"));
}

#[test]
fn what_has_no_rows_and_no_word_is_derived_again() {
    // A tree that has come somewhere without a table: only the manifest tells which version found nothing to say.
    let (env, sim) = Env::sim(8);
    let options = HybridOptions::tiny();
    let engine = LsmEngine::<Rows<1, true>>::create(&env, dir(), Rows, &options).unwrap();
    engine.commit(stemedb_lsm::WriteBatch::new()).unwrap();
    engine.flush().unwrap();
    assert!(engine.tables().is_empty());
    engine.close().unwrap();
    let (engine, report) = open::<1, true>(&env, &options).unwrap();
    assert_eq!(report.upgrade, None);
    drop(engine);
    let (engine, report) = open::<2, true>(&env, &options).unwrap();
    assert!(report.upgrade.is_some() || report.journal.last_lsn == Lsn::ZERO);
    pass(&sim, 1);
    assert_upgraded(&engine, &env, 0);
}

#[test]
fn offline_rebuilds_and_salvages_say_their_version() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, _) = grown(9, 120, &options);
    engine.flush().unwrap();
    engine.close().unwrap();
    let salvaged = std::path::Path::new("/salvaged");
    stemedb_hybrid::salvage(&env, dir(), salvaged, &Rows::<2, true>, &options, false).unwrap();
    let rebuilt = std::path::Path::new("/rebuilt");
    stemedb_hybrid::rebuild(&env, &dir().join("wal"), rebuilt, &Rows::<2, true>, &options, &mut |_| {})
        .unwrap();
    let database = {
        let (engine, _) = open::<1, true>(&env, &options).unwrap();
        engine.identity().database
    };
    let derived_by = |dir: &std::path::Path, version| {
        let lsm = stemedb_lsm::LsmOptions { derivation_version: version, ..options.lsm.clone() };
        match stemedb_lsm::LsmStore::open(env.clone(), dir, database, lsm) {
            Ok(store) => (store.derived_by(), store.flushed_lsn()),
            Err(stemedb_lsm::Error::OtherDerivation { found, .. }) => (found, Lsn::ZERO),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(derived_by(salvaged, 1), (DerivedBy::one(1), Lsn(120)));
    assert_eq!(derived_by(salvaged, 2).0, DerivedBy::one(1));
    assert_eq!(derived_by(rebuilt, 2), (DerivedBy::one(2), Lsn(120)));
    // What was derived offline is taken as it is.
    for file in env.fs.list(&dir().join("kv")).unwrap() {
        sim.fs.delete(&dir().join("kv").join(file.name)).unwrap();
    }
    env.fs.remove_dir(&dir().join("kv")).unwrap();
    env.fs.rename(rebuilt, &dir().join("kv")).unwrap();
    let (engine, report) = open::<2, true>(&env, &options).unwrap();
    assert_eq!((report.upgrade, report.rebuilt, report.replayed), (None, false, 0));
    assert_upgraded(&engine, &env, 120);
    assert!(sim.clock.monotonic() < std::time::Duration::from_secs(3600));
}
