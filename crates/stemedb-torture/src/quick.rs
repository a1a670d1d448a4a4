//! All suites in small, one after the other: seconds in total.

use crate::{crash, damage, errors, report::Report, swarm};

/// States of the crash enumeration: all sequences of one and two operations, and some of three.
const STATES: u64 = 60_000;
/// States on a disk that lies.
const LYING_STATES: u64 = 4_000;
/// Seeds of the swarm; enough for every class.
const SEEDS: u64 = 150;
/// Every so-manieth byte is damaged: 17 is coprime to every size of the format.
const BYTES: usize = 17;
const PAIRS: usize = 300;

/// Runs them, up to the first that fails unless it `keeps_going`, and hands each report to `done`. Returns whether all
/// passed.
///
/// # Errors
/// A message when a suite cannot be run.
pub fn run(keeps_going: bool, mut done: impl FnMut(&Report)) -> Result<bool, String> {
    const TIER: &str = "quick";
    let suites: [&dyn Fn() -> Result<Report, String>; 5] = [
        &|| {
            let options = damage::Options { every: BYTES, pairs: PAIRS, ..damage::Options::default() };
            damage::run(TIER, &options)
        },
        &|| errors::run(TIER, &errors::Options::default()),
        &|| crash::run("crash", TIER, &crash::Options::new(crash::Plan::honest(3), STATES)),
        &|| swarm::run(TIER, &swarm::Options { twice: 10, ..swarm::Options::new(1, SEEDS) }),
        &|| crash::run("liar", TIER, &crash::Options::new(crash::Plan::lying(2), LYING_STATES)),
    ];
    let mut passed = true;
    for suite in suites {
        let report = suite()?;
        done(&report);
        passed &= report.passed();
        if !passed && !keeps_going {
            break;
        }
    }
    Ok(passed)
}
