//! When there is a fallback view, and how far it has come.

use stemedb_env::{OpenMode, Tasks};
use stemedb_hybrid::{ClaimEngine, Error, EventKind, FallbackMode, ViewHealth};
use stemedb_index::Claims;

use super::{
    super::setup::{assert_claims, dir, found, submission},
    assert_healthy, at_once, grown, kinds, options, pass, remove_kv,
};

#[test]
fn a_standby_follows_across_restarts_and_goes_on_where_it_was() {
    let options = options(FallbackMode::Standby);
    let (mut engine, env, sim, _) = grown(20, 40, &options);
    let mut expected: Vec<u64> = (0..80).collect();
    for round in 0..3u64 {
        pass(&sim, 2);
        let health = engine.health();
        let fallback = health.fallback.clone().unwrap();
        assert_eq!((fallback.health, fallback.published), (ViewHealth::Healthy, health.durable));
        engine.close().unwrap();
        let opened = ClaimEngine::open(&env, dir(), Claims, &options).unwrap();
        engine = opened.0;
        for n in 0..20 {
            assert_claims(&engine, [1_000 * (round + 1) + n]);
            expected.push(1_000 * (round + 1) + n);
        }
        pass(&sim, 1);
        assert!(!kinds(&engine).contains(&EventKind::Rebuild), "it must not be filled again");
        assert_eq!(found(&engine), expected);
        assert_eq!(engine.stats().fallback_reads, 0);
    }
}

#[test]
fn a_damaged_or_foreign_fallback_file_is_put_aside_and_filled_again() {
    let options = options(FallbackMode::Standby);
    let file = dir().join("fallback/fallback.redb");
    for foreign in [false, true] {
        let (engine, env, sim, _) = grown(21, 40, &options);
        pass(&sim, 2);
        engine.close().unwrap();
        if foreign {
            let (_other, _env, other, _) = grown(22, 5, &options);
            pass(&other, 2);
            let bytes = other.fs.read_all(&file).unwrap();
            sim.fs.install(&file, &bytes).unwrap();
        } else {
            sim.fs.overwrite(&file, 0, &[0x5a; 4096]).unwrap();
        }
        let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options).unwrap();
        pass(&sim, 2);
        let health = engine.health();
        let fallback = health.fallback.clone().unwrap();
        assert_eq!((fallback.health, fallback.published), (ViewHealth::Healthy, health.durable), "{foreign}");
        let aside = env.fs.list(&dir().join("quarantine")).unwrap();
        assert!(aside.iter().any(|entry| entry.name.contains("redb")), "{aside:?}");
        assert!(kinds(&engine).contains(&EventKind::Damage));
        assert_eq!(found(&engine).len(), 80);
    }
}

#[test]
fn a_fallback_that_lags_behind_what_was_acknowledged_does_not_answer() {
    let standby = options(FallbackMode::Standby);
    let (engine, env, sim, _) = grown(23, 40, &standby);
    pass(&sim, 2);
    engine.close().unwrap();
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options(FallbackMode::Off)).unwrap();
    for n in 0..400 {
        assert_claims(&engine, [1_000 + n]);
    }
    let root = engine.state_root().unwrap();
    engine.close().unwrap();
    remove_kv(&env, &sim);
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &at_once(FallbackMode::Standby)).unwrap();
    let (mut refused, mut by_fallback) = (0, 0);
    while engine.health().primary.progress().is_some() {
        match engine.state_root() {
            Ok(found) => {
                assert_eq!(found, root, "an answer from the past: {:?}", engine.health());
                by_fallback += 1;
            }
            Err(Error::NoView { .. }) => refused += u64::from(engine.health().fallback.is_some()),
            Err(error) => panic!("{error:?}"),
        }
        assert!(
            sim.tasks.drive() || {
                sim.clock.advance(std::time::Duration::from_millis(5));
                true
            }
        );
    }
    println!("{refused} refused with a fallback that lags, {by_fallback} answered by it");
    assert!(refused > 0, "the fallback was never seen lagging");
    pass(&sim, 2);
    assert_healthy(&engine);
    assert_eq!(engine.state_root().unwrap(), root);
}

#[test]
fn a_fallback_elsewhere_leaves_the_owners_folder_alone() {
    let elsewhere = std::path::Path::new("/other disk/second");
    let mut options = options(FallbackMode::Standby);
    options.fallback_dir = Some(elsewhere.to_path_buf());
    let (engine, env, sim, _) = grown(24, 30, &options);
    pass(&sim, 2);
    assert!(env.fs.metadata(&elsewhere.join("fallback.redb")).unwrap().is_some());
    assert!(env.fs.metadata(&dir().join("fallback")).unwrap().is_none());
    engine.close().unwrap();
    options.fallback = FallbackMode::Off;
    let mine = elsewhere.join("mine");
    env.fs.open(&mine, OpenMode::CreateNew).unwrap();
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options).unwrap();
    pass(&sim, 30);
    assert!(env.fs.metadata(&elsewhere.join("fallback.redb")).unwrap().is_some(), "it may be wanted again");
    pass(&sim, 60);
    assert!(env.fs.metadata(&elsewhere.join("fallback.redb")).unwrap().is_none(), "not needed any more");
    assert!(env.fs.metadata(&mine).unwrap().is_some());
    assert_eq!(found(&engine).len(), 60);
}

#[test]
fn commits_of_a_healthy_engine_do_not_touch_the_fallback() {
    for mode in [FallbackMode::OnDemand, FallbackMode::Standby] {
        let (engine, _env, sim, faults) = grown(25, 40, &options(mode));
        pass(&sim, 2);
        faults.reset_call_counts();
        for n in 0..50 {
            engine.commit(submission([5_000 + n])).unwrap();
        }
        let calls = faults.call_counts();
        for op in [stemedb_env::IoOp::Write, stemedb_env::IoOp::Read, stemedb_env::IoOp::SyncData] {
            assert_eq!(calls.of(op, "/fallback").calls, 0, "{mode} {op:?}");
        }
    }
}
