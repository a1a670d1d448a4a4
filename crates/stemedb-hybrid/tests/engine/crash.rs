//! Power cuts at every point of short histories: exactly the entries 1..M come back, with M at least what was
//! acknowledged.

use stemedb_env::fs::sim::CrashOptions;
use stemedb_hybrid::{ClaimEngine, HybridOptions};
use stemedb_index::Claims;

use super::setup::{assert_claims, create, dir, found, machine, submission};

#[derive(Clone, Copy, Debug)]
enum Step {
    Small,
    Large,
    Flush,
    Compact,
    Background,
    Reopen,
}

const STEPS: [Step; 6] =
    [Step::Small, Step::Large, Step::Flush, Step::Compact, Step::Background, Step::Reopen];

/// Runs a history; entry n holds the claims that `entry(n)` names. Returns every distinct crash image checked.
fn explore(steps: &[Step], samples: usize) -> u64 {
    let (engine, env, sim) = create(1);
    // Something is on disk already, so that the first step does not always meet an empty database.
    assert_claims(&engine, entry(1));
    sim.fs.record(true);
    sim.fs.note(1);
    let mut engine = Some(engine);
    let mut entries = 1;
    for step in steps {
        let current = engine.as_ref().unwrap();
        match step {
            Step::Small | Step::Large => {
                entries += 1;
                let claims = if matches!(step, Step::Large) { large(entries) } else { entry(entries) };
                current.commit(submission(claims)).unwrap();
                sim.fs.note(entries);
            }
            Step::Flush => drop(current.flush().unwrap()),
            Step::Compact => current.compact().unwrap(),
            Step::Background => drop(sim.tasks.settle(200)),
            Step::Reopen => {
                engine.take().unwrap().close().unwrap();
                engine = Some(super::setup::open(&env).0);
            }
        }
    }
    drop(engine);
    sim.fs.record(false);
    let mut states = 0;
    for point in sim.fs.take_crash_points() {
        let options = CrashOptions { exhaustive_units: 5, samples, seed: point.mutations };
        for state in point.fs.crash_states(&options) {
            check(steps, point.note, entries, state.fs);
            states += 1;
        }
    }
    states
}

/// Claims of entry `n`: three of them, so that half an entry would show.
fn entry(n: u64) -> Vec<u64> {
    (n * 1000..n * 1000 + 3).collect()
}

/// More than a memtable of claims in one entry.
fn large(n: u64) -> Vec<u64> {
    (n * 1000..n * 1000 + 20).collect()
}

fn check(steps: &[Step], acknowledged: u64, entries: u64, fs: stemedb_env::fs::SimFs) {
    let (env, _sim) = machine(fs, 2);
    let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &HybridOptions::tiny())
        .unwrap_or_else(|error| panic!("{steps:?}, {acknowledged} acknowledged: {error}"));
    let recovered = report.journal.last_lsn.0;
    assert!(
        (acknowledged..=entries).contains(&recovered),
        "{steps:?}: {recovered} of {acknowledged}..={entries}"
    );
    let mut expected = entry(1);
    let mut number = 1;
    for step in steps {
        if let Step::Small | Step::Large = step {
            number += 1;
            if number <= recovered {
                expected.extend(if matches!(step, Step::Large) { large(number) } else { entry(number) });
            }
        }
    }
    assert_eq!(found(&engine), expected, "{steps:?}, {acknowledged} acknowledged, {recovered} recovered");
    assert!(assert_claims(&engine, [999])[0].created, "and it goes on");
}

#[test]
fn every_power_cut_in_every_history_of_two_steps_recovers_a_prefix_with_all_that_was_acknowledged() {
    let mut states = 0;
    for a in STEPS {
        states += explore(&[a], 8);
        for b in STEPS {
            states += explore(&[a, b], 4);
        }
    }
    println!("{states} crash states");
    assert!(states > 2_000, "only {states} states: the injector is dead");
}

#[test]
fn power_cuts_in_longer_histories_through_flush_compaction_and_restart() {
    use Step::{Background, Compact, Flush, Large, Reopen, Small};
    let histories: [&[Step]; 4] = [
        &[Large, Flush, Large, Compact, Small],
        &[Large, Background, Small, Reopen, Large, Flush],
        &[Small, Reopen, Small, Reopen, Small],
        &[Large, Large, Large, Background, Compact, Reopen],
    ];
    let states: u64 = histories.iter().map(|steps| explore(steps, 4)).sum();
    println!("{states} crash states");
    assert!(states > 500);
}

/// A killed process leaves its writes in the page cache: the next start reads an edit or a frame that was never synced,
/// and acts on it. A power cut during that start takes the edit back.
#[test]
fn a_power_cut_in_the_start_after_a_kill_loses_nothing_that_the_start_had_to_keep() {
    use Step::{Background, Compact, Flush, Large, Small};
    let steps = [Large, Flush, Large, Background, Large, Compact, Small];
    let (engine, _env, sim) = create(1);
    sim.fs.record(true);
    let mut entries = 0;
    for step in steps {
        match step {
            Small | Large => {
                entries += 1;
                engine.commit(submission(large(entries))).unwrap();
                sim.fs.note(entries);
            }
            Flush => drop(engine.flush().unwrap()),
            Compact => engine.compact().unwrap(),
            _ => drop(sim.tasks.settle(200)),
        }
    }
    drop(engine);
    sim.fs.record(false);
    let mut cuts = 0;
    for point in sim.fs.take_crash_points() {
        let killed = point.fs.process_killed();
        killed.record(true);
        let (env, _sim) = machine(killed.clone(), 3);
        drop(super::setup::open(&env));
        killed.record(false);
        for start in killed.take_crash_points() {
            for image in [start.fs.crash_losing_all(), start.fs.crash_keeping_all()] {
                let (env, _sim) = machine(image, 4);
                let (engine, report) = super::setup::open(&env);
                assert!(report.damaged_tables.is_empty(), "{:?} then {:?}", point.operation, start.operation);
                let recovered = report.journal.last_lsn.0;
                assert!(recovered >= point.note);
                assert_eq!(found(&engine), (1..=recovered).flat_map(large).collect::<Vec<_>>());
                cuts += 1;
            }
        }
    }
    println!("{cuts} power cuts");
    assert!(cuts > 1_000, "only {cuts}");
}
