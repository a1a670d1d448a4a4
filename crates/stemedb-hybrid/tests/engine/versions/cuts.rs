//! Power cuts at every step of an upgrade, and kills within the open after one.

use stemedb_env::{
    Env, IoOp,
    fs::{SimFs, sim::CrashOptions},
};
use stemedb_hybrid::{Error, FallbackMode, HybridOptions};

use super::{super::setup::machine, assert_upgraded, entry, grown, open, options, pass, shown};

/// A recorded upgrade under writes; the notes are the entries that were acknowledged.
fn recorded<const READS: bool>(seed: u64, options: &HybridOptions) -> SimFs {
    let (engine, env, sim, _) = grown(seed, 40, options);
    engine.close().unwrap();
    sim.fs.settle();
    sim.fs.note(40);
    sim.fs.record(true);
    let (engine, report) = open::<2, READS>(&env, options).unwrap();
    assert!(report.upgrade.is_some());
    let mut n = 40;
    while engine.health().upgrade.is_some() {
        if n < 60 {
            match engine.commit(entry(n + 1)) {
                Ok(_) => {
                    n += 1;
                    sim.fs.note(n);
                }
                Err(Error::NoView { .. }) if !READS => {}
                Err(error) => panic!("{error}"),
            }
        }
        sim.tasks.settle(2);
    }
    pass(&sim, 1);
    assert_upgraded(&engine, &env, n);
    drop(engine);
    sim.fs.record(false);
    sim.fs.clone()
}

/// Opens what a crash has left; it must answer rightly at once, if at all, and be whole in the end.
fn check<const READS: bool>(fs: SimFs, acknowledged: u64, at_once: bool, what: &str) {
    let mut options = options(FallbackMode::Off);
    if at_once {
        options.replay_at_open_bytes = 0;
    }
    let (env, sim) = machine(fs, 9);
    let (engine, report) =
        open::<2, READS>(&env, &options).unwrap_or_else(|error| panic!("after {what}: {error}"));
    let recovered = report.journal.last_lsn.0;
    assert!(recovered >= acknowledged, "after {what}: {recovered} of {acknowledged}");
    assert!(!report.rebuilt, "after {what}: some view was always there");
    match engine.snapshot() {
        Ok(snapshot) => assert_eq!(shown(&snapshot), (1..=recovered).collect::<Vec<_>>(), "after {what}"),
        Err(Error::NoView { .. }) if !READS || at_once => {}
        Err(error) => panic!("after {what}: {error}"),
    }
    pass(&sim, 2);
    assert_upgraded(&engine, &env, recovered);
    engine.commit(entry(recovered + 1)).unwrap();
    assert_eq!(shown(&engine.snapshot().unwrap()).len() as u64, recovered + 1);
}

/// Points in the neighbourhood of changes of names in the data directory itself, and every `nth` of the others.
fn is_chosen(at: usize, operation: Option<&stemedb_env::fs::sim::Operation>, nth: usize) -> bool {
    let of_folders = operation.is_some_and(|operation| {
        let is_top = operation.path.parent() == Some(super::dir()) || operation.path == super::dir();
        is_top || (operation.op == IoOp::Rename && operation.path.to_string_lossy().contains("kv"))
    });
    of_folders || at.is_multiple_of(nth)
}

fn explore<const READS: bool>(seed: u64, nth: usize) -> (u64, u64) {
    let fs = recorded::<READS>(seed, &options(FallbackMode::Off));
    let (mut states, mut of_folders) = (0, 0);
    for (at, point) in fs.take_crash_points().into_iter().enumerate() {
        if !is_chosen(at, point.operation.as_ref(), nth) {
            continue;
        }
        of_folders += u64::from(!at.is_multiple_of(nth));
        let cut = CrashOptions { exhaustive_units: 4, samples: 2, seed: point.mutations };
        let what = format!("{:?}", point.operation);
        for state in point.fs.crash_states(&cut) {
            check::<READS>(state.fs, point.note, states % 3 == 2, &what);
            states += 1;
        }
        check::<READS>(point.fs.process_killed(), point.note, false, &what);
    }
    (states, of_folders)
}

#[test]
fn a_power_cut_anywhere_in_an_upgrade_loses_nothing_and_the_upgrade_ends() {
    let (states, of_folders) = explore::<true>(20, 7);
    println!("{states} crash states, {of_folders} points at renames");
    assert!(states > 150 && of_folders >= 3, "{states} {of_folders}");
}

#[test]
fn a_power_cut_in_an_upgrade_of_a_view_that_does_not_answer_loses_nothing_either() {
    let (states, _) = explore::<false>(21, 11);
    println!("{states} crash states");
    assert!(states > 80, "{states}");
}

/// A kill leaves what was written in the page cache; the open after it acts on that, and is cut itself.
#[test]
fn a_power_cut_in_the_open_after_a_kill_between_the_renames_loses_nothing() {
    let fs = recorded::<true>(22, &options(FallbackMode::Off));
    let mut cuts = 0;
    for (at, point) in fs.take_crash_points().into_iter().enumerate() {
        if !is_chosen(at, point.operation.as_ref(), usize::MAX) {
            continue;
        }
        let killed = point.fs.process_killed();
        killed.record(true);
        let (env, _sim): (Env, _) = machine(killed.clone(), 3);
        drop(open::<2, true>(&env, &options(FallbackMode::Off)).unwrap());
        killed.record(false);
        for (within, start) in killed.take_crash_points().into_iter().enumerate() {
            if !is_chosen(within, start.operation.as_ref(), 5) {
                continue;
            }
            let what = format!("{:?} then {:?}", point.operation, start.operation);
            for image in [start.fs.crash_losing_all(), start.fs.crash_keeping_all()] {
                check::<true>(image, point.note, false, &what);
                cuts += 1;
            }
        }
    }
    println!("{cuts} power cuts");
    assert!(cuts > 40, "{cuts}");
}
