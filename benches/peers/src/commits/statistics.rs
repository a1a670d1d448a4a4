//! From slices to the figures that are reported.

use super::{Slice, slice::Measured};

/// What a contender's slices with one number of writers come to.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Summary {
    /// The contender.
    pub contender: &'static str,
    /// Writers.
    pub writers: usize,
    /// Slices.
    pub slices: usize,
    /// Median of the slices.
    pub commits_per_s: f64,
    /// The slowest slice.
    pub least_per_s: f64,
    /// The fastest slice.
    pub greatest_per_s: f64,
    /// Median of the slices' medians.
    pub p50_us: f64,
    /// Median of the slices' 99th percentiles.
    pub p99_us: f64,
    /// Mean of the slices, where the engine counts syncs.
    pub syncs_per_commit: Option<f64>,
}

impl Summary {
    /// Half the distance from the slowest to the fastest slice, as a part of the median: how far the figure can be trusted.
    pub fn spread(&self) -> f64 {
        (self.greatest_per_s - self.least_per_s) / 2.0 / self.commits_per_s
    }
}

/// Sums up one contender with one number of writers; `None` if it has no slice.
pub fn summarize(slices: &[Slice], contender: &str, writers: usize) -> Option<Summary> {
    let own: Vec<&Slice> = select(slices, contender, writers).collect();
    let name = own.first()?.contender;
    let rates = collect(&own, |measured| Some(measured.commits_per_s));
    let syncs = collect(&own, |measured| measured.syncs_per_commit);
    Some(Summary {
        contender: name,
        writers,
        slices: own.len(),
        commits_per_s: median(&rates)?,
        least_per_s: rates.iter().copied().fold(f64::INFINITY, f64::min),
        greatest_per_s: rates.iter().copied().fold(0.0, f64::max),
        p50_us: median(&collect(&own, |measured| Some(measured.p50_us)))?,
        p99_us: median(&collect(&own, |measured| Some(measured.p99_us)))?,
        syncs_per_commit: (!syncs.is_empty()).then(|| syncs.iter().sum::<f64>() / syncs.len() as f64),
    })
}

/// The least and the greatest ratio of two contenders, round by round: slices of one round lie seconds apart, so what
/// the machine did to one of them it mostly did to the other as well. `None` if they never ran in the same round.
pub fn ratios_by_round(
    slices: &[Slice],
    (over, over_writers): (&str, usize),
    (under, under_writers): (&str, usize),
    figure: fn(&Measured) -> f64,
) -> Option<(f64, f64)> {
    let mut range: Option<(f64, f64)> = None;
    for upper in select(slices, over, over_writers) {
        for lower in select(slices, under, under_writers).filter(|lower| lower.round == upper.round) {
            let ratio = figure(&upper.measured) / figure(&lower.measured);
            range = Some(range.map_or((ratio, ratio), |(least, most)| (least.min(ratio), most.max(ratio))));
        }
    }
    range
}

fn select<'a>(slices: &'a [Slice], contender: &str, writers: usize) -> impl Iterator<Item = &'a Slice> {
    slices.iter().filter(move |slice| slice.contender == contender && slice.writers == writers)
}

fn collect(slices: &[&Slice], figure: impl Fn(&Measured) -> Option<f64>) -> Vec<f64> {
    slices.iter().filter_map(|slice| figure(&slice.measured)).collect()
}

/// The middle one, or the mean of the two in the middle; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some((lower + upper) / 2.0)
}

/// The least value that `part` of all values do not exceed (nearest rank); `None` of nothing.
pub fn percentile(sorted: &[u64], part: f64) -> Option<u64> {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(round: usize, contender: &'static str, rate: f64) -> Slice {
        let measured = Measured {
            commits: rate as u64,
            commits_per_s: rate,
            p50_us: 1e6 / rate,
            p99_us: 2e6 / rate,
            max_us: 3e6 / rate,
            syncs_per_commit: (contender == "a").then_some(1.0),
        };
        Slice { round, writers: 1, contender, measured }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[5.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn percentiles_take_the_nearest_rank() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&sorted, 0.50), Some(50));
        assert_eq!(percentile(&sorted, 0.99), Some(99));
        assert_eq!(percentile(&[7], 0.99), Some(7));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn a_summary_has_the_median_and_the_extremes() {
        let slices = [slice(0, "a", 100.0), slice(1, "a", 300.0), slice(2, "a", 200.0), slice(0, "b", 50.0)];
        let summary = summarize(&slices, "a", 1).unwrap();
        assert_eq!((summary.slices, summary.commits_per_s), (3, 200.0));
        assert_eq!((summary.least_per_s, summary.greatest_per_s, summary.spread()), (100.0, 300.0, 0.5));
        assert_eq!(summary.syncs_per_commit, Some(1.0));
        assert!(summarize(&slices, "a", 8).is_none());
        assert_eq!(summarize(&slices, "b", 1).unwrap().syncs_per_commit, None);
    }

    #[test]
    fn ratios_pair_slices_of_the_same_round() {
        let slices = [slice(0, "a", 100.0), slice(0, "b", 50.0), slice(1, "a", 300.0), slice(1, "b", 100.0)];
        let rate = |measured: &Measured| measured.commits_per_s;
        assert_eq!(ratios_by_round(&slices, ("a", 1), ("b", 1), rate), Some((2.0, 3.0)));
        assert_eq!(ratios_by_round(&slices, ("a", 1), ("c", 1), rate), None);
    }
}
