//! From slices to the figures that are reported.

use super::Slice;
use crate::commits::statistics::median;

/// What a contender's slices of one figure come to.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// The contender.
    pub engine: String,
    /// The figure.
    pub figure: String,
    /// Slices.
    pub slices: usize,
    /// Median of the slices.
    pub median: f64,
    /// The least one.
    pub least: f64,
    /// The greatest one.
    pub greatest: f64,
}

impl Summary {
    /// Half the distance from the least to the greatest slice, as a part of the median: how far it can be trusted.
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.greatest - self.least) / 2.0 / self.median }
    }
}

/// Sums up one figure of one contender; `None` without slices.
pub fn summarize(slices: &[Slice], engine: &str, figure: &str) -> Option<Summary> {
    let values: Vec<f64> = select(slices, engine, figure).map(|slice| slice.value).collect();
    Some(Summary {
        engine: engine.to_owned(),
        figure: figure.to_owned(),
        slices: values.len(),
        median: median(&values)?,
        least: values.iter().copied().fold(f64::INFINITY, f64::min),
        greatest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    })
}

/// The least and the greatest ratio of two figures, round by round: what the machine did to one of them in a round it
/// mostly did to the other as well. `None` if they never ran in the same round.
pub fn ratios_by_round(slices: &[Slice], over: (&str, &str), under: (&str, &str)) -> Option<(f64, f64)> {
    let mut range: Option<(f64, f64)> = None;
    for upper in select(slices, over.0, over.1) {
        for lower in select(slices, under.0, under.1).filter(|lower| lower.round == upper.round) {
            let ratio = upper.value / lower.value;
            range = Some(range.map_or((ratio, ratio), |(least, most)| (least.min(ratio), most.max(ratio))));
        }
    }
    range
}

fn select<'a>(slices: &'a [Slice], engine: &'a str, figure: &'a str) -> impl Iterator<Item = &'a Slice> {
    slices.iter().filter(move |slice| slice.engine == engine && slice.figure == figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(round: usize, engine: &str, value: f64) -> Slice {
        Slice { round, engine: engine.to_owned(), figure: "f".to_owned(), value }
    }

    #[test]
    fn a_summary_has_the_median_and_the_extremes() {
        let slices = [slice(0, "a", 100.0), slice(1, "a", 300.0), slice(2, "a", 200.0), slice(0, "b", 1.0)];
        let summary = summarize(&slices, "a", "f").unwrap();
        assert_eq!((summary.slices, summary.median, summary.spread()), (3, 200.0, 0.5));
        assert_eq!((summary.least, summary.greatest), (100.0, 300.0));
        assert!(summarize(&slices, "a", "g").is_none());
    }

    #[test]
    fn ratios_pair_slices_of_the_same_round() {
        let slices = [slice(0, "a", 100.0), slice(0, "b", 50.0), slice(1, "a", 300.0), slice(1, "b", 100.0)];
        assert_eq!(ratios_by_round(&slices, ("a", "f"), ("b", "f")), Some((2.0, 3.0)));
        assert_eq!(ratios_by_round(&slices, ("a", "f"), ("c", "f")), None);
    }
}
