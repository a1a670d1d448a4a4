//! What is required of StemeDB, as ratios within one run.

use super::{
    Slice,
    figures::{Better, figure},
    statistics::{Summary, ratios_by_round, summarize},
};
use crate::engines::names;

/// The peers that "best rival" means. LMDB has requirements of its own: reads from a memory map have another ceiling.
/// sled has a quarter of the data, which flatters it; a verdict against it is marked.
pub const RIVALS: [&str; 6] =
    [names::ROCKSDB, names::ROCKSDB_TUNED, names::FJALL, names::REDB, names::SLED, names::SQLITE];
/// Both configurations of RocksDB.
const ROCKS: [&str; 2] = [names::ROCKSDB, names::ROCKSDB_TUNED];

/// Memory that an engine is given: its cache, one memtable in use and one on its way to disk.
pub const BUDGET_MIB: f64 = 256.0 + 2.0 * 64.0;

/// One requirement and what became of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Verdict {
    /// The requirement in words.
    pub requirement: String,
    /// Whom it was held against, and the figure there.
    pub against: Option<(String, f64)>,
    /// StemeDB's figure.
    pub ours: Option<f64>,
    /// Ratio of the two, or StemeDB's figure where nobody is compared with.
    pub measured: Option<f64>,
    /// The least and the greatest ratio of the two within a round.
    pub by_round: Option<(f64, f64)>,
    /// Whether it is met; `None` if one of the two did not run.
    pub met: Option<bool>,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// What a figure is compared with.
#[derive(Clone, Copy)]
enum Other {
    /// The best of these, in this figure or in another one.
    Best(&'static [&'static str], &'static str),
    /// Nothing: the figure itself has a bound.
    Nothing,
}

struct Requirement {
    ours: &'static str,
    figure: &'static str,
    other: Other,
    bound: Bound,
}

const LMDB: [&str; 1] = [names::LMDB];
const FJALL: [&str; 1] = [names::FJALL];

const fn least(figure: &'static str, peers: &'static [&'static str], ratio: f64) -> Requirement {
    Requirement {
        ours: names::STEMEDB,
        figure,
        other: Other::Best(peers, figure),
        bound: Bound::AtLeast(ratio),
    }
}

const fn most(figure: &'static str, peers: &'static [&'static str], ratio: f64) -> Requirement {
    Requirement { bound: Bound::AtMost(ratio), ..least(figure, peers, ratio) }
}

const fn below(figure: &'static str, bound: f64) -> Requirement {
    Requirement { ours: names::STEMEDB, figure, other: Other::Nothing, bound: Bound::AtMost(bound) }
}

const REQUIREMENTS: &[Requirement] = &[
    least("load_sorted_per_s", &RIVALS, 1.2),
    least("load_sorted_per_s", &LMDB, 1.0),
    least("load_random_per_s", &RIVALS, 1.5),
    least("load_random_per_s", &LMDB, 4.0),
    least("commit_1_per_s", &FJALL, 0.95),
    least("commit_8_per_s", &ROCKS, 2.0),
    least("commit_64_per_s", &ROCKS, 1.7),
    Requirement { ours: names::STEMEDB_ASYNC, ..least("commit_64_per_s", &ROCKS, 4.0) },
    least("commit_1_per_s", &LMDB, 3.0),
    least("commit_8_per_s", &LMDB, 10.0),
    least("commit_64_per_s", &LMDB, 25.0),
    least("hot_get_per_s", &RIVALS, 1.4),
    least("hot_get_per_s", &LMDB, 0.8),
    least("hot_fresh_get_per_s", &RIVALS, 1.3),
    least("hot_fresh_get_per_s", &LMDB, 0.9),
    least("cold_get_per_s", &RIVALS, 1.3),
    least("cold_get_per_s", &LMDB, 1.2),
    Requirement {
        other: Other::Best(&RIVALS, "cold_get_per_s"),
        ..least("cold_multi_get_per_s", &RIVALS, 2.5)
    },
    Requirement { other: Other::Best(&LMDB, "cold_get_per_s"), ..least("cold_multi_get_per_s", &LMDB, 2.5) },
    least("absent_get_per_s", &RIVALS, 2.5),
    least("absent_get_per_s", &LMDB, 2.5),
    least("scan_100_per_s", &RIVALS, 2.2),
    least("scan_100_per_s", &LMDB, 0.7),
    least("full_scan_rows_per_s", &RIVALS, 2.2),
    least("full_scan_rows_per_s", &LMDB, 0.7),
    least("mixed_rate_get_per_s", &ROCKS, 2.0),
    least("mixed_rate_get_per_s", &LMDB, 0.7),
    most("mixed_rate_write_p99_us", &ROCKS, 0.7),
    most("compacted_bytes_per_row", &RIVALS, 1.0),
    most("compacted_bytes_per_row", &LMDB, 0.4),
    below("load_random_write_amplification", 10.0),
    most("open_crashed_ms", &ROCKS, 0.2),
    below("open_clean_ms", 10.0),
    below("load_random_anonymous_mib", BUDGET_MIB * 1.1),
    below("hot_anonymous_mib", BUDGET_MIB * 1.1),
    below("mixed_unlimited_anonymous_mib", BUDGET_MIB * 1.1),
];

/// The best of several contenders in a figure.
pub fn best(slices: &[Slice], peers: &[&str], id: &str) -> Option<Summary> {
    let better = figure(id)?.better;
    let all = peers.iter().filter_map(|name| summarize(slices, name, id));
    match better {
        Better::Less => all.min_by(|one, other| one.median.total_cmp(&other.median)),
        Better::More | Better::Neither => all.max_by(|one, other| one.median.total_cmp(&other.median)),
    }
}

/// Holds the slices of one shape of rows against every requirement.
pub fn check(slices: &[Slice]) -> Vec<Verdict> {
    REQUIREMENTS.iter().map(|requirement| verdict(slices, requirement)).collect()
}

fn verdict(slices: &[Slice], requirement: &Requirement) -> Verdict {
    let Requirement { ours, figure: id, other, bound } = *requirement;
    let own = summarize(slices, ours, id);
    let (against, measured, by_round) = match other {
        Other::Nothing => {
            (None, own.as_ref().map(|own| own.median), own.as_ref().map(|own| (own.least, own.greatest)))
        }
        Other::Best(peers, other_id) => {
            let best = best(slices, peers, other_id);
            let measured = own.as_ref().zip(best.as_ref()).map(|(own, best)| own.median / best.median);
            let by_round =
                best.as_ref().and_then(|best| ratios_by_round(slices, (ours, id), (&best.engine, other_id)));
            (best.map(|best| (best.engine, best.median)), measured, by_round)
        }
    };
    Verdict {
        requirement: words(requirement),
        against,
        ours: own.map(|own| own.median),
        measured,
        by_round,
        met: measured.map(|measured| match bound {
            Bound::AtLeast(least) => measured >= least,
            Bound::AtMost(most) => measured <= most,
        }),
    }
}

fn words(requirement: &Requirement) -> String {
    let Requirement { ours, figure: id, other, bound } = *requirement;
    let title = |id| figure(id).map_or(id, |figure| figure.title.trim_start_matches("… "));
    let (sign, limit) = match bound {
        Bound::AtLeast(least) => ("≥", least),
        Bound::AtMost(most) => ("≤", most),
    };
    let who = if ours == names::STEMEDB { String::new() } else { format!(" ({ours})") };
    match other {
        Other::Nothing => format!("{}{who} {sign} {limit:.0}", title(id)),
        Other::Best(peers, other_id) => {
            let of = match peers {
                [one] => (*one).to_owned(),
                peers if peers == ROCKS => "the better RocksDB".to_owned(),
                _ => "the best rival".to_owned(),
            };
            let figure = if other_id == id { String::new() } else { format!("'s {}", title(other_id)) };
            format!("{}{who} {sign} {limit} × {of}{figure}", title(id))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(values: &[(&str, &str, f64)]) -> Vec<Slice> {
        values
            .iter()
            .map(|&(engine, figure, value)| Slice {
                round: 0,
                engine: engine.to_owned(),
                figure: figure.to_owned(),
                value,
            })
            .collect()
    }

    fn find<'a>(verdicts: &'a [Verdict], words: &str) -> &'a Verdict {
        verdicts.iter().find(|verdict| verdict.requirement.contains(words)).unwrap()
    }

    #[test]
    fn every_requirement_is_about_figures_that_there_are() {
        for Requirement { figure: id, other, .. } in REQUIREMENTS {
            assert!(figure(id).is_some(), "{id}");
            if let Other::Best(_, other_id) = other {
                assert!(figure(other_id).is_some(), "{other_id}");
            }
        }
    }

    #[test]
    fn an_empty_run_has_no_verdicts_but_all_requirements() {
        let verdicts = check(&[]);
        assert_eq!(verdicts.len(), REQUIREMENTS.len());
        assert!(verdicts.iter().all(|verdict| verdict.met.is_none()));
    }

    #[test]
    fn a_rate_is_held_against_the_greatest_of_the_rivals() {
        let id = "load_random_per_s";
        let run =
            slices(&[("stemedb", id, 300.0), ("fjall", id, 100.0), ("redb", id, 200.0), ("lmdb", id, 900.0)]);
        let verdict = check(&run).into_iter().nth(2).unwrap();
        assert_eq!(verdict.requirement, "random load in batches of 1000, rows/s ≥ 1.5 × the best rival");
        assert_eq!((verdict.against, verdict.measured), (Some(("redb".to_owned(), 200.0)), Some(1.5)));
        assert_eq!(verdict.met, Some(true));
    }

    #[test]
    fn a_size_is_held_against_the_least_of_the_rivals() {
        let id = "compacted_bytes_per_row";
        let verdicts =
            check(&slices(&[("stemedb", id, 158.0), ("rocksdb", id, 150.0), ("fjall", id, 160.0)]));
        let verdict = find(&verdicts, "compacted ≤ 1 × the best rival");
        assert_eq!(verdict.against, Some(("rocksdb".to_owned(), 150.0)));
        assert_eq!(verdict.met, Some(false));
    }

    #[test]
    fn a_multi_get_is_held_against_single_gets() {
        let verdicts =
            check(&slices(&[("stemedb", "cold_multi_get_per_s", 250.0), ("lmdb", "cold_get_per_s", 100.0)]));
        let verdict = find(&verdicts, "2.5 × lmdb's cold gets");
        assert_eq!((verdict.measured, verdict.met), (Some(2.5), Some(true)));
    }

    #[test]
    fn a_bound_without_a_peer_is_held_against_the_figure_itself() {
        let verdicts =
            check(&slices(&[("stemedb", "open_clean_ms", 12.0), ("rocksdb", "open_clean_ms", 100.0)]));
        let verdict = find(&verdicts, "first get, ms ≤ 10");
        assert_eq!(
            (verdict.measured, verdict.met, verdict.against.is_none()),
            (Some(12.0), Some(false), true)
        );
    }
}
