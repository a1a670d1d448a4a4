//! Power cuts while views are replaced.

use std::time::Duration;

use stemedb_env::fs::sim::CrashOptions;
use stemedb_hybrid::{ClaimEngine, FallbackMode};
use stemedb_index::Claims;

use super::{
    super::setup::{assert_claims, dir, found, machine, submission},
    assert_healthy, at_once, grown, options, pass, remove_kv,
};

/// Opens every image that a power cut can leave at the recorded points; each must have exactly what was acknowledged, at
/// the latest when its own rebuild has ended, and never show anything else before.
fn check(fs: &stemedb_env::fs::SimFs, mode: FallbackMode, samples: usize) -> u64 {
    let mut states = 0;
    // One in four, whichever the number of operations makes of it: all of them take minutes.
    for point in fs.take_crash_points().into_iter().step_by(4) {
        let cut = CrashOptions { exhaustive_units: 3, samples, seed: point.mutations };
        for state in point.fs.crash_states(&cut) {
            let (env, sim) = machine(state.fs, 3);
            let options = if states % 2 == 0 { options(mode) } else { at_once(mode) };
            let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options)
                .unwrap_or_else(|error| panic!("after {:?}: {error}", point.operation));
            let right = |shown: &[u64]| {
                shown.len() as u64 >= point.note && shown.windows(2).all(|two| two[1] == two[0] + 1)
            };
            if engine.health().readable {
                let shown = found(&engine);
                assert!(right(&shown), "after {:?}: {} of {}", point.operation, shown.len(), point.note);
            }
            pass(&sim, 1);
            let shown = found(&engine);
            assert!(right(&shown), "after {:?}: {} of {}", point.operation, shown.len(), point.note);
            assert_healthy(&engine);
            assert!(assert_claims(&engine, [1_000_000])[0].created);
            states += 1;
        }
    }
    states
}

#[test]
fn a_power_cut_anywhere_in_a_rebuild_at_open_is_recovered_from() {
    let (engine, env, sim, _) = grown(40, 40, &options(FallbackMode::Off));
    engine.close().unwrap();
    remove_kv(&env, &sim);
    sim.fs.note(80);
    sim.fs.record(true);
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &at_once(FallbackMode::Off)).unwrap();
    pass(&sim, 1);
    assert_healthy(&engine);
    drop(engine);
    sim.fs.record(false);
    let states = check(&sim.fs, FallbackMode::Off, 3);
    println!("{states} crash states");
    assert!(states > 100, "only {states}");
}

#[test]
fn a_power_cut_anywhere_while_a_deleted_folder_comes_back_under_writes_is_recovered_from() {
    for mode in [FallbackMode::Off, FallbackMode::OnDemand] {
        let (engine, env, sim, _) = grown(41, 30, &options(mode));
        engine.flush().unwrap();
        let _ = found(&engine);
        remove_kv(&env, &sim);
        sim.fs.note(60);
        sim.fs.record(true);
        sim.clock.advance(Duration::from_secs(1));
        for n in 60..90 {
            engine.commit(submission([n])).unwrap();
            sim.fs.note(n + 1);
            sim.tasks.settle(3);
        }
        pass(&sim, 2);
        assert_healthy(&engine);
        drop(engine);
        sim.fs.record(false);
        let states = check(&sim.fs, mode, 2);
        println!("{mode}: {states} crash states");
        assert!(states > 200, "only {states}");
    }
}

#[test]
fn a_power_cut_while_a_damaged_tree_is_put_aside_is_recovered_from() {
    let (engine, env, sim, _) = grown(42, 30, &options(FallbackMode::Off));
    engine.flush().unwrap();
    engine.close().unwrap();
    for file in env.fs.list(&dir().join("kv")).unwrap() {
        if file.name.starts_with("MANIFEST") || file.name == "CURRENT" {
            let path = dir().join("kv").join(&file.name);
            let len = sim.fs.read_all(&path).unwrap().len();
            sim.fs.overwrite(&path, 0, &vec![0x5a; len]).unwrap();
        }
    }
    sim.fs.settle();
    sim.fs.note(60);
    sim.fs.record(true);
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &at_once(FallbackMode::Off)).unwrap();
    pass(&sim, 1);
    drop(engine);
    sim.fs.record(false);
    let states = check(&sim.fs, FallbackMode::Off, 3);
    println!("{states} crash states");
    assert!(states > 50, "only {states}");
}
