//! What is required of StemeDB's commits, as ratios within one run.

use super::{
    Outcome,
    report::writers_title,
    slice::Measured,
    statistics::{Summary, ratios_by_round, summarize},
};
use crate::engines::names;

/// The peers that "best of the others" means. sled is not among them: it is no longer developed, and survives a power
/// cut only with a sync that it does not do itself. fjall counts with the better of its two modes.
pub const RIVALS: [&str; 5] = [names::FJALL, names::FJALL_DATA, names::REDB, names::LMDB, names::SQLITE];

/// One requirement and what became of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Verdict {
    /// The requirement in words.
    pub requirement: String,
    /// The measured ratio; `None` if one of the two did not run.
    pub measured: Option<f64>,
    /// The least and the greatest ratio of the two within a round.
    pub by_round: Option<(f64, f64)>,
    /// Whether the ratio meets the requirement.
    pub met: Option<bool>,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Whom a ratio is taken to.
#[derive(Clone, Copy)]
enum Other {
    One(&'static str),
    BestRival,
}

/// A figure of a summary, and the same one of a slice.
type Figure = (fn(&Summary) -> f64, fn(&Measured) -> f64);

struct Requirement {
    ours: &'static str,
    other: Other,
    writers: usize,
    p99: bool,
    bound: Bound,
}

const fn rate(ours: &'static str, other: Other, writers: usize, least: f64) -> Requirement {
    Requirement { ours, other, writers, p99: false, bound: Bound::AtLeast(least) }
}

const REQUIREMENTS: [Requirement; 9] = [
    rate(names::STEMEDB, Other::One(names::ROCKSDB), 1, 1.5),
    rate(names::STEMEDB, Other::One(names::ROCKSDB), 8, 2.0),
    rate(names::STEMEDB, Other::One(names::ROCKSDB), 64, 1.7),
    rate(names::STEMEDB_ASYNC, Other::One(names::ROCKSDB), 64, 4.0),
    rate(names::STEMEDB, Other::BestRival, 1, 0.95),
    rate(names::STEMEDB, Other::BestRival, 64, 10.0),
    rate(names::STEMEDB, Other::One(names::RAW), 1, 0.95),
    rate(names::STEMEDB, Other::One(names::STEMEDB_NO_SYNC), 64, 0.5),
    Requirement {
        ours: names::STEMEDB,
        other: Other::One(names::RAW),
        writers: 1,
        p99: true,
        bound: Bound::AtMost(2.0),
    },
];

/// The fastest rival with this number of writers.
pub fn best_rival(outcome: &Outcome, writers: usize) -> Option<Summary> {
    RIVALS
        .iter()
        .filter_map(|name| summarize(&outcome.slices, name, writers))
        .max_by(|one, other| one.commits_per_s.total_cmp(&other.commits_per_s))
}

/// Holds a run against every requirement.
pub fn check(outcome: &Outcome) -> Vec<Verdict> {
    REQUIREMENTS.iter().map(|requirement| verdict(outcome, requirement)).collect()
}

fn verdict(outcome: &Outcome, requirement: &Requirement) -> Verdict {
    let Requirement { ours, other, writers, p99, bound } = *requirement;
    let own = summarize(&outcome.slices, ours, writers);
    let other_summary = match other {
        Other::One(name) => summarize(&outcome.slices, name, writers),
        Other::BestRival => best_rival(outcome, writers),
    };
    let (of_summary, of_slice): Figure = if p99 {
        (|summary| summary.p99_us, |measured| measured.p99_us)
    } else {
        (|summary| summary.commits_per_s, |measured| measured.commits_per_s)
    };
    let measured =
        own.as_ref().zip(other_summary.as_ref()).map(|(own, other)| of_summary(own) / of_summary(other));
    let by_round = other_summary.as_ref().and_then(|other| {
        ratios_by_round(&outcome.slices, (ours, writers), (other.contender, writers), of_slice)
    });
    Verdict {
        requirement: words(requirement, other_summary.as_ref()),
        measured,
        by_round,
        met: measured.map(|ratio| match bound {
            Bound::AtLeast(least) => ratio >= least,
            Bound::AtMost(most) => ratio <= most,
        }),
    }
}

fn words(requirement: &Requirement, found: Option<&Summary>) -> String {
    let Requirement { ours, other, writers, p99, bound } = *requirement;
    let figure = if p99 { "p99 of " } else { "" };
    let against = match (other, found) {
        (Other::One(name), _) => name.to_owned(),
        (Other::BestRival, None) => "best of the rivals".to_owned(),
        (Other::BestRival, Some(best)) => format!("best of the rivals ({})", best.contender),
    };
    let (sign, limit) = match bound {
        Bound::AtLeast(least) => (">=", least),
        Bound::AtMost(most) => ("<=", most),
    };
    format!("{}: {figure}{ours} {sign} {limit} x {figure}{against}", writers_title(writers))
}

#[cfg(test)]
mod tests {
    use super::{super::Slice, *};

    fn outcome(rates: &[(&'static str, usize, f64)]) -> Outcome {
        let slices = rates
            .iter()
            .map(|&(contender, writers, rate)| {
                let measured = Measured {
                    commits: rate as u64,
                    commits_per_s: rate,
                    p50_us: 1.0,
                    p99_us: 1e6 / rate,
                    max_us: 2e6 / rate,
                    syncs_per_commit: None,
                };
                Slice { round: 0, writers, contender, measured }
            })
            .collect();
        Outcome { slices, ..Outcome::default() }
    }

    #[test]
    fn a_run_without_contenders_has_no_verdicts_but_all_requirements() {
        let verdicts = check(&Outcome::default());
        assert_eq!(verdicts.len(), 9);
        assert!(verdicts.iter().all(|verdict| verdict.met.is_none()));
    }

    #[test]
    fn the_best_rival_is_the_fastest_one_and_never_sled_or_rocksdb() {
        let run = outcome(&[
            ("fjall", 1, 100.0),
            ("fjall-data", 1, 200.0),
            ("sled", 1, 300.0),
            ("rocksdb", 1, 400.0),
        ]);
        assert_eq!(best_rival(&run, 1).unwrap().contender, "fjall-data");
    }

    #[test]
    fn a_ratio_at_the_bound_meets_it() {
        let run =
            outcome(&[("stemedb", 1, 150.0), ("rocksdb", 1, 100.0), ("redb", 1, 200.0), ("raw", 1, 300.0)]);
        let verdicts = check(&run);
        assert_eq!((verdicts[0].measured, verdicts[0].met), (Some(1.5), Some(true)));
        assert_eq!(verdicts[4].requirement, "1 writer: stemedb >= 0.95 x best of the rivals (redb)");
        assert_eq!((verdicts[4].measured, verdicts[4].met), (Some(0.75), Some(false)));
        let p99 = &verdicts[8];
        assert_eq!(p99.requirement, "1 writer: p99 of stemedb <= 2 x p99 of raw");
        assert_eq!((p99.measured, p99.met), (Some(2.0), Some(true)));
    }
}
