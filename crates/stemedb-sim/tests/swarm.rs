//! The simulation in small, for every test run; `cargo xtask sim` is the large one.

use stemedb_sim::{Event, SwarmOptions, run_seed, swarm};

#[test]
fn acknowledged_submissions_survive_and_answers_equal_the_oracles_in_four_hundred_seeds() {
    let report = swarm(&SwarmOptions { first_seed: 1, seeds: 400, more: 0, twice: 0 }, |_| true);
    println!("{}", report.coverage);
    assert_eq!(report.failure, None);
    assert_eq!(report.missing(), [], "a class that never happened proves nothing");
}

#[test]
fn agents_supersede_what_they_may_and_nothing_else() {
    let report = swarm(&SwarmOptions { first_seed: 2001, seeds: 200, more: 0, twice: 0 }, |_| true);
    println!("{}", report.coverage);
    assert_eq!(report.failure, None);
    assert!(report.coverage.of(Event::Unauthorized) > 100, "too few supersessions of a better class");
    assert!(report.coverage.of(Event::Cycle) > 0, "no circle of supersessions");
}

#[test]
fn the_same_seed_goes_the_same_way_twice() {
    let report = swarm(&SwarmOptions { first_seed: 1_000_000, seeds: 5, more: 0, twice: 5 }, |_| true);
    assert_eq!(report.failure, None);
    assert_ne!(run_seed(1).unwrap().trace, run_seed(2).unwrap().trace);
}

#[test]
fn seeds_that_once_found_a_defect_pass() {
    for line in include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().unwrap().parse().unwrap();
        run_seed(seed).unwrap_or_else(|violation| panic!("{line}: {violation}"));
    }
}
