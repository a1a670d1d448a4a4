//! Each suite in small; `cargo xtask torture` runs them in full.

use stemedb_torture::{
    answers,
    crash::{self, Plan},
    damage, engine, errors, lsm,
    report::Report,
    swarm,
};

fn must_pass(report: &Report) {
    println!("{}", report.line());
    assert!(report.passed(), "{}", report.shown());
}

fn did(report: &Report, what: &str) -> u64 {
    report.work.iter().find(|(name, _)| name == what).map_or(0, |(_, times)| *times)
}

#[test]
fn every_crash_in_every_shortest_sequence_keeps_what_was_promised() {
    let report = crash::run("crash", "test", &crash::Options::new(Plan::honest(2), 6_000)).unwrap();
    must_pass(&report);
    assert!(did(&report, "torn") > 500 && did(&report, "adopted") > 500, "{}", report.line());
}

#[test]
fn a_disk_that_lies_never_brings_about_other_entries() {
    let report = crash::run("liar", "test", &crash::Options::new(Plan::lying(2), 2_000)).unwrap();
    must_pass(&report);
    let reported: u64 =
        report.outcomes.iter().filter(|((_, what), _)| what == "reported").map(|(_, times)| times).sum();
    assert!(reported > 100, "{}", report.line());
}

#[test]
fn every_answer_is_the_naive_oracles() {
    let report = answers::run("test", &answers::Options::new(200)).unwrap();
    must_pass(&report);
    assert_eq!((did(&report, "questions"), did(&report, "different")), (200, 0));
    for kind in ["votes", "supersessions", "retractions", "epochs", "sources", "agents", "cosignatures"] {
        assert!(did(&report, kind) > 0, "{kind}: {}", report.line());
    }
}

#[test]
fn a_long_run_goes_on_where_it_stopped_and_checks_no_state_twice() {
    let folder = tempfile::tempdir().unwrap();
    let options = |states, resume: bool| crash::Options {
        resume: resume.then(|| folder.path().join("crash.progress")),
        ..crash::Options::new(Plan::honest(1), states)
    };
    let whole = crash::run("crash", "test", &options(u64::MAX, false)).unwrap();
    crash::run("crash", "test", &options(1, true)).unwrap();
    let resumed = crash::run("crash", "test", &options(u64::MAX, true)).unwrap();
    for what in ["states", "distinct", "nested", "sequences"] {
        assert_eq!(did(&whole, what), did(&resumed, what), "{what}");
    }
    assert_eq!(whole.faults, resumed.faults);
    // Nothing is left to do.
    let again = crash::run("crash", "test", &options(u64::MAX, true)).unwrap();
    assert_eq!(did(&again, "states"), did(&whole, "states"));
    // Another plan must not count on it.
    let other = crash::Options { plan: Plan::honest(2), ..options(1, true) };
    assert!(crash::run("crash", "test", &other).unwrap_err().contains("another plan"));
}

#[test]
fn random_histories_keep_what_was_promised_and_go_the_same_way_twice() {
    let options = swarm::Options { twice: 5, ..swarm::Options::new(1, 40) };
    must_pass(&swarm::run("test", &options).unwrap());
    assert_ne!(swarm::run_seed(1, false).unwrap().trace, swarm::run_seed(2, false).unwrap().trace);
}

#[test]
fn seeds_that_once_found_a_defect_pass() {
    for line in include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().unwrap().parse().unwrap();
        swarm::run_seed(seed, false).unwrap_or_else(|violation| panic!("{line}: {violation}"));
    }
}

#[test]
fn every_failing_call_leaves_each_entry_acknowledged_refused_or_honestly_unknown() {
    let options = errors::Options { every: 5, ..errors::Options::default() };
    must_pass(&errors::run("test", &options).unwrap());
}

#[test]
fn damage_is_reported_or_harmless() {
    // A prime that shares no factor with the sizes of the format.
    let options = damage::Options { every: 53, pairs: 200, ..damage::Options::default() };
    must_pass(&damage::run("test", &options).unwrap());
}

#[test]
fn a_tree_equals_its_model_through_power_cuts() {
    let report = lsm::history::run("test", &lsm::history::Options::new(1_000, 100_000)).unwrap();
    must_pass(&report);
    assert!(did(&report, "past") > 20 && did(&report, "compactions") > 20, "{}", report.line());
    assert!(did(&report, "opens") > 100 && did(&report, "levels") > 10, "{}", report.line());
}

#[test]
fn a_long_run_of_the_tree_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let options = |operations, resume: bool| lsm::history::Options {
        resume: resume.then(|| folder.path().join("lsm.progress")),
        ..lsm::history::Options::new(5, operations)
    };
    let whole = lsm::history::run("test", &options(300_000, false)).unwrap();
    lsm::history::run("test", &options(1, true)).unwrap();
    let resumed = lsm::history::run("test", &options(300_000, true)).unwrap();
    for what in ["operations", "seeds", "rows", "opens"] {
        assert_eq!(did(&whole, what), did(&resumed, what), "{what}");
    }
    assert_eq!(whole.faults, resumed.faults);
}

#[test]
fn options_of_a_tree_change_no_answer() {
    let report = lsm::options::run("test", &lsm::options::Options { first: 100, seeds: 2 }).unwrap();
    must_pass(&report);
    assert!(did(&report, "sets") >= 50 && did(&report, "answers") > 15_000, "{}", report.line());
}

#[test]
fn every_failing_call_of_a_tree_is_told_and_loses_nothing() {
    must_pass(&lsm::errors::run("test", &lsm::errors::Options { every: 3, only: None }).unwrap());
}

#[test]
fn damage_to_a_tree_is_named_or_harmless() {
    let options = lsm::damage::Options { every: 7, ..lsm::damage::Options::default() };
    must_pass(&lsm::damage::run("test", &options).unwrap());
}

#[test]
fn reading_a_tree_costs_what_filters_and_windows_promise() {
    must_pass(&lsm::cost::run("test").unwrap());
}

#[test]
fn readers_of_a_tree_see_whole_batches() {
    let report = lsm::threads::run("test", 1_500).unwrap();
    must_pass(&report);
    assert!(did(&report, "looks") > 100 && did(&report, "flushes") > 500, "{}", report.line());
}

#[test]
fn every_crash_of_a_whole_engine_comes_back_as_it_was_at_some_entry() {
    let options = engine::crash::Options { states: 3_000, ..engine::crash::Options::default() };
    must_pass(&engine::crash::run("test", &options).unwrap());
}

#[test]
fn damage_in_any_file_of_a_database_is_healed_or_reported() {
    let options = engine::damage::Options { every: 41, pairs: 100, ..engine::damage::Options::default() };
    let report = engine::damage::run("test", &options).unwrap();
    must_pass(&report);
    assert!(did(&report, "healed") > 300, "{}", report.line());
}
