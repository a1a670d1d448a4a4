//! Upgrades in which something fails: the disk, a folder, the new view, the old one.

use stemedb_env::{
    IoOp,
    fs::fault::{Fault, FaultRule},
};
use stemedb_hybrid::{Error, EventKind, FallbackMode};

use super::{super::setup::dir, assert_upgraded, entry, exists, grown, open, options, pass, shown};

/// Names in the folder of what is put aside.
fn quarantined(env: &stemedb_env::Env) -> Vec<String> {
    match env.fs.list(&dir().join("quarantine")) {
        Ok(list) => list.into_iter().map(|file| file.name).collect(),
        Err(_) => Vec::new(),
    }
}

#[test]
fn a_rename_that_fails_is_tried_again_and_nothing_acknowledged_is_lost() {
    // A manifest's name is changed in the new folder too, before the folder's own.
    for (failing, after) in [("kv.old", 0), ("kv.next", 0), ("kv.next", 1)] {
        for times in [1, 4] {
            let options = options(FallbackMode::Off);
            let (engine, env, sim, faults) = grown(30, 120, &options);
            engine.close().unwrap();
            let (engine, _) = open::<2, true>(&env, &options).unwrap();
            faults.add(FaultRule::new(Fault::Eio).on(IoOp::Rename).path(failing).after(after).times(times));
            let (mut durable, mut n) = (120, 120);
            for round in 0..600 {
                if n < 200 && round % 3 == 0 {
                    match engine.commit(entry(n + 1)) {
                        Ok(_) => (n, durable) = (n + 1, n + 1),
                        // Durable, and shown later.
                        Err(Error::NotReadable { lsn, .. }) => (n, durable) = (lsn.0, lsn.0),
                        Err(Error::ReadOnly { .. } | Error::NoView { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
                if let Ok(snapshot) = engine.snapshot() {
                    let found = shown(&snapshot).len() as u64;
                    assert!(
                        found == durable || (found < durable && engine.health().read_only.is_some()),
                        "{found} of {durable}"
                    );
                }
                sim.tasks.settle(2);
                if round % 50 == 0 {
                    sim.clock.advance(std::time::Duration::from_millis(300));
                }
            }
            assert!(faults.fault_counts().total() > 0, "{failing} {after}");
            faults.clear();
            pass(&sim, 90);
            assert_upgraded(&engine, &env, durable);
            engine.commit(entry(durable + 1)).unwrap();
        }
    }
}

#[test]
fn a_disk_that_refuses_the_new_view_costs_the_old_one_nothing() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, faults) = grown(31, 120, &options);
    engine.close().unwrap();
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Write).path("/kv.next/"));
    let (engine, report) = open::<2, true>(&env, &options).unwrap();
    assert!(report.upgrade.is_some());
    for n in 121..=160 {
        engine.commit(entry(n)).unwrap();
        sim.tasks.settle(20);
        sim.clock.advance(std::time::Duration::from_millis(500));
    }
    let health = engine.health();
    assert!(health.is_ready() && health.upgrade.as_ref().unwrap().stuck.is_some(), "{health:?}");
    assert_eq!(shown(&engine.snapshot().unwrap()), (1..=160).collect::<Vec<_>>());
    assert!(engine.events().after(0).iter().any(|event| event.kind == EventKind::RepairFailed));
    faults.clear();
    pass(&sim, 90);
    assert_upgraded(&engine, &env, 160);
}

#[test]
fn a_new_view_that_is_damaged_is_put_aside_and_begun_again() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, faults) = grown(32, 200, &options);
    engine.close().unwrap();
    super::hold_back(&faults);
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    sim.tasks.settle(50);
    drop(engine);
    assert!(exists(&env, "kv.next/CURRENT"));
    faults.clear();
    sim.fs.overwrite(&dir().join("kv.next/CURRENT"), 0, b"nonsense").unwrap();
    let (engine, report) = open::<2, true>(&env, &options).unwrap();
    assert_eq!(report.upgrade.unwrap().progress.done.0, 0);
    assert_eq!(shown(&engine.snapshot().unwrap()).len(), 200);
    pass(&sim, 2);
    assert_upgraded(&engine, &env, 200);
    assert!(quarantined(&env).iter().any(|name| name == "kv.next"), "{:?}", quarantined(&env));
}

#[test]
fn an_old_view_that_is_lost_meanwhile_is_followed_by_the_new_one() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, _) = grown(33, 300, &options);
    engine.close().unwrap();
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    // Opens its files.
    assert_eq!(shown(&engine.snapshot().unwrap()).len(), 300);
    (0..5).for_each(|_| _ = stemedb_env::Tasks::drive(&*sim.tasks));
    assert!(engine.health().upgrade.is_some());
    for file in env.fs.list(&dir().join("kv")).unwrap() {
        sim.fs.delete(&dir().join("kv").join(file.name)).unwrap();
    }
    sim.clock.advance(std::time::Duration::from_secs(2));
    pass(&sim, 3);
    assert_upgraded(&engine, &env, 300);
    engine.commit(entry(301)).unwrap();
    drop(engine);
    let (engine, report) = open::<2, true>(&env, &options).unwrap();
    assert_eq!((report.upgrade, report.rebuilt), (None, false));
    assert_upgraded(&engine, &env, 301);
}

#[test]
fn an_old_view_that_is_lost_while_closed_is_followed_by_what_was_built() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, _) = grown(34, 200, &options);
    engine.close().unwrap();
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    while engine.health().upgrade.is_some_and(|upgrade| upgrade.progress.done.0 < 200) {
        assert!(stemedb_env::Tasks::drive(&*sim.tasks));
    }
    drop(engine);
    for file in env.fs.list(&dir().join("kv")).unwrap() {
        sim.fs.delete(&dir().join("kv").join(file.name)).unwrap();
    }
    let (engine, report) = open::<2, true>(&env, &options).unwrap();
    assert_eq!(report.upgrade, None);
    pass(&sim, 2);
    assert_upgraded(&engine, &env, 200);
}

#[test]
fn an_old_view_whose_manifest_is_lost_is_upgraded_all_the_same() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, _) = grown(35, 200, &options);
    engine.close().unwrap();
    sim.fs.delete(&dir().join("kv/CURRENT")).unwrap();
    let (engine, report) = open::<2, true>(&env, &options).unwrap();
    assert!(report.upgrade.is_some_and(|upgrade| upgrade.readable) && !report.rebuilt);
    assert_eq!(shown(&engine.snapshot().unwrap()).len(), 200);
    pass(&sim, 2);
    assert_upgraded(&engine, &env, 200);
}

#[test]
fn a_standby_of_an_older_version_is_filled_again_and_not_kept() {
    let options = options(FallbackMode::Standby);
    let (engine, env, sim, _) = grown(36, 120, &options);
    pass(&sim, 5);
    assert!(exists(&env, "fallback/fallback.redb"));
    engine.close().unwrap();
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    pass(&sim, 5);
    assert_upgraded(&engine, &env, 120);
    assert_eq!(engine.health().fallback.unwrap().published.0, 120);
    assert!(quarantined(&env).is_empty(), "{:?}", quarantined(&env));
    // It is of the new version.
    drop(engine);
    for file in env.fs.list(&dir().join("kv")).unwrap() {
        sim.fs.delete(&dir().join("kv").join(file.name)).unwrap();
    }
    let options = stemedb_hybrid::HybridOptions { replay_at_open_bytes: 0, ..options };
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    while !engine.health().readable {
        assert!(stemedb_env::Tasks::drive(&*sim.tasks));
    }
    assert_eq!(engine.state_root().unwrap(), super::fresh_root(&engine));
}

#[test]
fn a_damaged_block_of_the_upgraded_view_is_healed_and_one_of_the_old_view_never_wrongly() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, _) = grown(37, 200, &options);
    engine.flush().unwrap();
    engine.compact().unwrap();
    let largest =
        |tables: Vec<stemedb_lsm::TableInfo>| tables.into_iter().max_by_key(|table| table.rows).unwrap();
    let table = largest(engine.tables());
    engine.close().unwrap();
    let damage = |file: u64| {
        let path = dir().join(format!("kv/{file:06}.sst"));
        sim.fs.overwrite(&path, 60, &[0x5a; 40]).unwrap();
    };
    damage(table.file);
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    // Rows of version 1 cannot be derived by version 2: an error, never rows of another version.
    let read = engine.get(&table.smallest);
    assert!(matches!(read, Err(Error::Store(stemedb_lsm::Error::Corruption { .. }))), "{read:?}");
    pass(&sim, 2);
    assert_upgraded(&engine, &env, 200);
    engine.close().unwrap();
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    let table = largest(engine.tables());
    drop(engine);
    damage(table.file);
    let (engine, _) = open::<2, true>(&env, &options).unwrap();
    assert_eq!(shown(&engine.snapshot().unwrap()).len(), 200);
    assert!(engine.stats().lsm.healed_blocks > 0);
    pass(&sim, 3);
    assert_upgraded(&engine, &env, 200);
}
