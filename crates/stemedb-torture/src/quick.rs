//! All suites in small, one after the other: seconds in total.

use stemedb_env::planted::Part;

use crate::{crash, damage, errors, heal, lsm, report::Report, swarm};

/// States of the crash enumeration: all sequences of one and two operations, and some of three.
const STATES: u64 = 60_000;
/// States on a disk that lies.
const LYING_STATES: u64 = 4_000;
/// Seeds of the swarm; enough for every class.
const SEEDS: u64 = 150;
/// Every so-manieth byte is damaged: 17 is coprime to every size of the format.
const BYTES: usize = 17;
const PAIRS: usize = 300;
/// Operations of the tree's histories.
const OPERATIONS: u64 = 120_000;
/// Histories that are told under all option sets.
const HISTORIES: u64 = 2;
/// Every so-manieth call of the tree fails.
const CALLS: u64 = 7;
/// Every so-manieth byte of the tree's files.
const TREE_BYTES: usize = 13;
const BATCHES: u64 = 600;

type Suite = &'static dyn Fn() -> Result<Report, String>;

const TIER: &str = "quick";

const JOURNAL: [Suite; 6] = [
    &|| {
        let options = damage::Options { every: BYTES, pairs: PAIRS, ..damage::Options::default() };
        damage::run(TIER, &options)
    },
    &|| heal::run(TIER, &heal::Options { every: BYTES as u64 }),
    &|| errors::run(TIER, &errors::Options::default()),
    &|| crash::run("crash", TIER, &crash::Options::new(crash::Plan::honest(3), STATES)),
    &|| swarm::run(TIER, &swarm::Options { twice: 10, ..swarm::Options::new(1, SEEDS) }),
    &|| crash::run("liar", TIER, &crash::Options::new(crash::Plan::lying(2), LYING_STATES)),
];

const TREE: [Suite; 6] = [
    &|| lsm::cost::run(TIER),
    &|| {
        lsm::damage::run(
            TIER,
            &lsm::damage::Options { data_every: TREE_BYTES, every: TREE_BYTES, only: None },
        )
    },
    &|| lsm::errors::run(TIER, &lsm::errors::Options { every: CALLS, only: None }),
    &|| lsm::threads::run(TIER, BATCHES),
    &|| lsm::options::run(TIER, &lsm::options::Options { first: 1, seeds: HISTORIES }),
    &|| lsm::history::run(TIER, &lsm::history::Options::new(1, OPERATIONS)),
];

/// Runs those of one part, or all, up to the first that fails unless it `keeps_going`, and hands each report to `done`.
/// Returns whether all passed.
///
/// # Errors
/// A message when there is no such part, or a suite cannot be run.
pub fn run(part: Option<&str>, keeps_going: bool, mut done: impl FnMut(&Report)) -> Result<bool, String> {
    let suites: Vec<Suite> = match part {
        None => JOURNAL.into_iter().chain(TREE).collect(),
        Some(name) if name == Part::Journal.name() => JOURNAL.to_vec(),
        Some(name) if name == Part::Lsm.name() => TREE.to_vec(),
        Some(other) => return Err(format!("there is no part `{other}`")),
    };
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
