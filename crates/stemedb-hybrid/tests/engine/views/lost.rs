//! A primary view that is missing, beyond opening, taken away, or unable to take entries.

use std::time::Duration;

use stemedb_env::{
    IoOp, Tasks,
    fs::fault::{Fault, FaultRule},
};
use stemedb_hybrid::{ClaimEngine, Error, EventKind, FallbackMode, FileClass, ViewHealth};
use stemedb_index::Claims;

use super::{
    super::setup::{assert_claims, dir, found, machine, submission},
    assert_healthy, at_once, grown, kinds, kv, options, pass, remove_kv,
};

#[test]
fn a_view_that_is_missing_at_open_is_derived_in_the_background_and_never_answers_short() {
    for mode in [FallbackMode::Off, FallbackMode::OnDemand] {
        let (engine, env, sim, _) = grown(1, 300, &options(mode));
        let root = engine.state_root().unwrap();
        engine.close().unwrap();
        remove_kv(&env, &sim);
        let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &at_once(mode)).unwrap();
        assert!(report.rebuilt && report.catching_up);
        let health = engine.health();
        let progress = health.primary.progress().unwrap();
        assert_eq!((progress.end.0, health.readable, health.published.0), (300, false, 300), "{health:?}");
        // Neither an answer that is too short, nor "not found".
        assert!(matches!(engine.state_root(), Err(Error::NoView { .. })));
        assert!(matches!(engine.get(b"anything"), Err(Error::NoView { .. })));
        assert!(matches!(engine.commit(submission([9_999])), Err(Error::NoView { .. })));
        let mut refused = 0;
        while engine.health().primary.progress().is_some() {
            match engine.state_root() {
                Ok(found) => assert_eq!(found, root),
                Err(Error::NoView { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(sim.tasks.drive(), "nobody works on it: {:?}", engine.health());
        }
        assert!(refused > 1, "{refused}");
        assert_healthy(&engine);
        assert_eq!(engine.state_root().unwrap(), root);
        assert_claims(&engine, [9_999]);
        assert_eq!(found(&engine).len(), 601);
        assert!(kinds(&engine).contains(&EventKind::Rebuild));
        engine.verify().unwrap();
        engine.close().unwrap();
        let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &options(mode)).unwrap();
        assert!(!report.rebuilt && !report.catching_up);
        assert_eq!(found(&engine).len(), 601);
    }
}

#[test]
fn a_tree_beyond_opening_goes_to_quarantine_whole_and_a_new_one_answers() {
    let (engine, env, sim, _) = grown(2, 120, &options(FallbackMode::Off));
    let root = engine.state_root().unwrap();
    engine.close().unwrap();
    let before = env.fs.list(&kv()).unwrap();
    for file in &before {
        if file.name.starts_with("MANIFEST") || file.name == "CURRENT" {
            let path = kv().join(&file.name);
            let bytes = sim.fs.read_all(&path).unwrap();
            sim.fs.overwrite(&path, 0, &vec![0x5a; bytes.len()]).unwrap();
        }
    }
    let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &options(FallbackMode::Off)).unwrap();
    // Whoever can make the manifest again needs no new tree.
    if report.rebuilt {
        let aside = env.fs.list(&dir().join("quarantine/kv")).unwrap();
        let names =
            |list: &[stemedb_env::DirEntry]| list.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&aside), names(&before));
        assert!(kinds(&engine).contains(&EventKind::Damage));
    }
    assert_eq!(engine.state_root().unwrap(), root);
    assert_healthy(&engine);
    assert_claims(&engine, [9_999]);
}

#[test]
fn a_tree_that_the_journal_cannot_give_back_is_not_touched() {
    let mut options = options(FallbackMode::Off);
    options.journal.retention = stemedb_wal::Retention::Recycle;
    let (engine, env, sim, _) = grown(3, 200, &options);
    engine.flush().unwrap();
    pass(&sim, 2);
    engine.close().unwrap();
    let current = kv().join("CURRENT");
    sim.fs.overwrite(&current, 0, b"nonsense").unwrap();
    let names = env.fs.list(&kv()).unwrap().len();
    match ClaimEngine::open(&env, dir(), Claims, &options) {
        // It could be made again from the tables.
        Ok((engine, report)) => assert!(!report.rebuilt && found(&engine).len() == 400),
        Err(Error::Store(stemedb_lsm::Error::Corruption { .. })) => {
            assert_eq!(env.fs.list(&kv()).unwrap().len(), names, "nothing was moved");
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_folder_deleted_under_the_running_engine_comes_back_while_reads_and_writes_go_on() {
    for mode in [FallbackMode::Off, FallbackMode::OnDemand, FallbackMode::Standby] {
        let (engine, env, sim, _) = grown(4, 150, &options(mode));
        engine.flush().unwrap();
        pass(&sim, 2);
        let _ = found(&engine);
        remove_kv(&env, &sim);
        let mut expected: Vec<u64> = (0..300).collect();
        let (mut acknowledged, mut refused, mut unanswered, mut hidden) = (0, 0, 0, Vec::new());
        for n in 300..700u64 {
            match engine.commit(submission([n])) {
                Ok(outcomes) => {
                    assert!(outcomes[0].created, "{n}");
                    acknowledged += 1;
                    expected.push(n);
                }
                // Durable, and shown later.
                Err(Error::NotReadable { .. }) => hidden.push(n),
                Err(Error::ReadOnly { .. } | Error::NoView { .. }) => refused += 1,
                Err(error) => panic!("{mode}: {error:?}"),
            }
            if n % 3 == 0 {
                sim.tasks.settle(n as usize % 40);
            }
            if n % 25 == 0 {
                sim.clock.advance(std::time::Duration::from_millis(300));
                let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| found(&engine)));
                match shown {
                    Ok(mut shown) => {
                        shown.retain(|n| !hidden.contains(n));
                        assert_eq!(shown, expected, "{mode}: after {n}");
                    }
                    // A table whose file was not open yet: an error, never a shorter answer.
                    Err(_) => unanswered += 1,
                }
            }
        }
        pass(&sim, 5);
        assert_healthy(&engine);
        assert!(env.fs.metadata(&kv().join("CURRENT")).unwrap().is_some());
        expected.extend(&hidden);
        expected.sort_unstable();
        assert_eq!(found(&engine), expected, "{mode}");
        println!(
            "{mode}: {acknowledged} acknowledged, {} hidden, {refused} refused, {unanswered} unanswered",
            hidden.len()
        );
        assert!(acknowledged > 100, "{mode}: {acknowledged} acknowledged, {refused} refused");
        assert_claims(&engine, [9_999]);
        expected.push(9_999);
        let root = engine.state_root().unwrap();
        engine.flush().unwrap();
        drop(engine);
        let (env, _sim) = machine(sim.fs.crash_losing_all(), 5);
        let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &options(mode)).unwrap();
        assert_eq!(report.damaged_tables, [0; 0]);
        assert_eq!(found(&engine), expected);
        assert_eq!(engine.state_root().unwrap(), root);
    }
}

#[test]
fn a_view_that_is_derived_again_is_not_taken_for_damaged() {
    let (engine, env, sim, _) = grown(7, 200, &options(FallbackMode::Off));
    pass(&sim, 2);
    let root = engine.state_root().unwrap();
    assert!(engine.scrub_now().unwrap().classes[&FileClass::Table].files > 0);
    remove_kv(&env, &sim);
    let mut checked = 0;
    for _ in 0..100_000 {
        if engine.health().primary.progress().is_some() {
            // The old view goes on from open files; of the new one nothing is finished.
            let report = engine.scrub_now().unwrap();
            assert_eq!(report.damages, 0, "{:?}", report.findings);
            assert!(!report.classes.contains_key(&FileClass::Table) && report.rows == 0);
            assert!(matches!(engine.verify(), Err(Error::NoView { .. })));
            checked += 1;
        } else if checked > 0 {
            break;
        }
        if !sim.tasks.drive() {
            sim.clock.advance(Duration::from_millis(100));
        }
    }
    assert!(checked > 1, "{checked}");
    assert_healthy(&engine);
    let report = engine.scrub_now().unwrap();
    assert_eq!(report.damages, 0, "{:?}", report.findings);
    assert!(report.classes[&FileClass::Table].files > 0 && report.classes[&FileClass::Manifest].files == 2);
    assert_eq!(engine.state_root().unwrap(), root);
    engine.verify().unwrap();
}

#[test]
fn when_the_primary_cannot_be_written_the_standby_takes_over_and_gives_back() {
    let (engine, _env, sim, faults) = grown(6, 60, &options(FallbackMode::Standby));
    pass(&sim, 2);
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Write).path("/kv/"));
    let mut expected: Vec<u64> = (0..120).collect();
    for n in 120..520u64 {
        engine.commit(submission([n])).unwrap_or_else(|error| panic!("{n}: {error}"));
        expected.push(n);
        sim.tasks.settle(20);
        if n % 40 == 0 {
            assert_eq!(found(&engine), expected);
            sim.clock.advance(std::time::Duration::from_millis(60));
        }
    }
    let health = engine.health();
    assert!(!matches!(health.primary, ViewHealth::Healthy), "{health:?}");
    assert!(health.is_ready());
    let reads = engine.stats().fallback_reads;
    assert!(reads > 0);
    assert!(kinds(&engine).contains(&EventKind::Failover));
    faults.clear();
    pass(&sim, 60);
    assert_healthy(&engine);
    assert_eq!(found(&engine), expected);
    assert!(engine.stats().fallback_reads >= reads);
    let reads = engine.stats().fallback_reads;
    assert_eq!(found(&engine), expected);
    assert_eq!(engine.stats().fallback_reads, reads, "the primary answers again");
    assert!(engine.events().after(0).iter().any(|event| event.text.contains("by the primary view again")));
}

#[test]
fn on_demand_an_entry_that_no_view_could_take_is_shown_as_soon_as_one_has_it() {
    let (engine, env, sim, faults) = grown(7, 60, &options(FallbackMode::OnDemand));
    pass(&sim, 2);
    assert!(env.fs.metadata(&dir().join("fallback")).unwrap().is_none(), "it costs nothing before");
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Write).path("/kv/"));
    let mut expected: Vec<u64> = (0..120).collect();
    let mut hidden = None;
    for n in 120..900u64 {
        match engine.commit(submission([n])) {
            Ok(_) => expected.push(n),
            Err(Error::NotReadable { .. }) => {
                hidden = Some(n);
                break;
            }
            Err(error) => panic!("{n}: {error:?}"),
        }
    }
    let hidden = hidden.expect("the memtables are full by now");
    assert_eq!(found(&engine), expected, "the failed view shows what it has");
    // It must not be told "there already" before it is shown.
    assert!(matches!(engine.commit(submission([hidden])), Err(Error::ReadOnly { .. })));
    assert!(engine.health().read_only.is_some());
    pass(&sim, 1);
    assert_eq!(engine.health().read_only, None, "the fallback view has it now");
    expected.push(hidden);
    assert_eq!(found(&engine), expected);
    assert!(engine.stats().fallback_reads > 0);
    assert!(!assert_claims(&engine, [hidden])[0].created);
    for n in 2_000..2_050 {
        assert_claims(&engine, [n]);
        expected.push(n);
    }
    assert_eq!(found(&engine), expected);
    faults.clear();
    pass(&sim, 60);
    assert_healthy(&engine);
    assert_eq!(found(&engine), expected);
    pass(&sim, 90);
    assert!(engine.health().fallback.is_none());
    assert!(env.fs.metadata(&dir().join("fallback")).unwrap().is_none(), "and nothing is left of it");
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_derived_anew() {
    let (engine, _env, sim, faults) = grown(8, 60, &options(FallbackMode::Off));
    faults.add(FaultRule::new(Fault::StorageFull).on(IoOp::Write).path("/kv/"));
    let mut n = 1_000;
    while engine.health().read_only.is_none() {
        let _ = engine.commit(submission([n]));
        n += 1;
        assert!(n < 3_000, "the memtables are full by now");
    }
    pass(&sim, 60);
    assert!(engine.health().read_only.is_some());
    assert!(!kinds(&engine).contains(&EventKind::Rebuild), "{:?}", engine.events().after(0));
    faults.clear();
    pass(&sim, 30);
    assert_eq!(engine.health().read_only, None);
    assert_healthy(&engine);
    assert!(!kinds(&engine).contains(&EventKind::Rebuild));
    assert_claims(&engine, [99_999]);
}

/// A view whose list of tables is taken away, over a journal with a damaged segment that cannot be healed yet.
fn lost_over_a_damaged_journal(seed: u64, is_known: bool) {
    let mut options = options(FallbackMode::Off);
    options.journal.pack_level = None;
    let (engine, env, sim, faults) = grown(seed, 200, &options);
    engine.flush().unwrap();
    pass(&sim, 2);
    let root = engine.state_root().unwrap();
    let segments = engine.journal().segments().unwrap();
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Write).path("heal.tmp"));
    sim.fs.overwrite(&segments[1].path, 512 * 2 + 30, &[0xEE; 450]).unwrap();
    if is_known {
        engine.journal().verify().unwrap();
        assert_eq!(engine.journal().damaged_segments(), [segments[1].id]);
    }
    sim.fs.delete(&kv().join("CURRENT")).unwrap();
    let count = |dir: &std::path::Path| env.fs.list(dir).map_or(0, |files| files.len());
    pass(&sim, 20);
    assert_eq!(engine.journal().damaged_segments(), [segments[1].id]);
    if is_known {
        assert_eq!(count(&dir().join("quarantine/kv")), 0, "all stays where it was");
        assert!(count(&kv()) > 100 && env.fs.metadata(&kv().join("CURRENT")).unwrap().is_none());
    } else {
        // Derived up to the damage, beside a view that goes on from open files.
        assert!(engine.health().primary.progress().is_some(), "{:?}", engine.health());
        let report = engine.scrub_now().unwrap();
        assert!(!report.classes.contains_key(&FileClass::Table), "{:?}", report.findings);
        assert_eq!(engine.stats().lsm.damaged_tables, 0);
    }
    faults.clear();
    pass(&sim, 180);
    assert_eq!(engine.journal().damaged_segments(), [0; 0]);
    assert_healthy(&engine);
    assert_eq!(engine.state_root().unwrap(), root);
    engine.verify().unwrap();
}

#[test]
fn a_view_is_not_put_aside_before_the_journal_is_healed_from_it() {
    lost_over_a_damaged_journal(30, true);
}

#[test]
fn a_view_that_was_stopped_is_in_trouble_until_another_has_its_place() {
    lost_over_a_damaged_journal(31, false);
}

#[test]
fn what_a_full_disk_has_left_of_a_fallback_view_on_demand_is_removed() {
    let (engine, env, sim, faults) = grown(32, 60, &options(FallbackMode::OnDemand));
    pass(&sim, 2);
    faults.add(FaultRule::new(Fault::StorageFull).on(IoOp::Write).path("/fallback/").after(4));
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Write).path("/kv/"));
    let mut n = 1_000;
    while engine.health().read_only.is_none() {
        _ = engine.commit(submission([n]));
        n += 1;
        assert!(n < 3_000, "the memtables are full by now");
    }
    pass(&sim, 5);
    let fallback = dir().join("fallback");
    assert!(env.fs.metadata(&fallback).unwrap().is_some());
    faults.clear();
    faults.add(FaultRule::new(Fault::StorageFull).on(IoOp::Write).path("/fallback/"));
    pass(&sim, 60);
    assert_healthy(&engine);
    pass(&sim, 90);
    assert!(env.fs.metadata(&fallback).unwrap().is_none(), "nothing is left of it");
}
