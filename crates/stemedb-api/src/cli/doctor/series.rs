//! The text of `GET /metrics`, read back.

/// One look at the counters.
#[derive(Debug, Default)]
pub(super) struct Series<'a> {
    samples: Vec<Sample<'a>>,
}

#[derive(Debug)]
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Series<'a> {
    /// Reads the text; lines that are no samples are left out.
    pub(super) fn parse(text: &'a str) -> Series<'a> {
        Series { samples: text.lines().filter_map(sample).collect() }
    }

    /// The sum of all series of this name; `None` if there is none.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        self.sum_where(name, |_| true)
    }

    /// The sum of those whose labels are wanted; `None` if there are none.
    pub(super) fn sum_where(&self, name: &str, wanted: impl Fn(&str) -> bool) -> Option<f64> {
        let mut values = self.samples.iter().filter(|sample| sample.name == name && wanted(sample.labels));
        let first = values.next()?.value;
        Some(values.fold(first, |sum, sample| sum + sample.value))
    }

    /// How many values of a histogram are at most so large, by bound, over all its labels. Ascending; the last bound is infinite.
    pub(super) fn buckets(&self, histogram: &str) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in &self.samples {
            if sample.name.strip_suffix("_bucket") != Some(histogram) {
                continue;
            }
            let Some(bound) = label(sample.labels, "le").and_then(bound) else { continue };
            match buckets.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }
}

/// What happened between two looks. Counters that began anew in between give what they have now.
pub(super) fn since(earlier: &[(f64, f64)], later: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let before = |bound: f64| {
        earlier.iter().find(|(known, _)| known.total_cmp(&bound).is_eq()).map_or(0.0, |found| found.1)
    };
    let has_begun_anew = later.iter().any(|(bound, count)| *count < before(*bound));
    let less = |bound: f64| if has_begun_anew { 0.0 } else { before(bound) };
    later.iter().map(|(bound, count)| (*bound, count - less(*bound))).collect()
}

/// How many values there are.
pub(super) fn count(buckets: &[(f64, f64)]) -> f64 {
    buckets.last().map_or(0.0, |(_, count)| *count)
}

/// The bound under which this part of the values lies: at most one bucket too large. `None` of no values.
pub(super) fn quantile(buckets: &[(f64, f64)], part: f64) -> Option<f64> {
    let all = count(buckets);
    let wanted = (all * part).ceil();
    (all > 0.0).then(|| buckets.iter().find(|(_, count)| *count >= wanted).map(|(bound, _)| *bound))?
}

fn sample(line: &str) -> Option<Sample<'_>> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some(Sample { name, labels: labels.strip_suffix('}').unwrap_or(labels), value: value.parse().ok()? })
}

/// The value of a label. Labels of the program alone: none has a quote in its value.
pub(super) fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

fn bound(text: &str) -> Option<f64> {
    if text == "+Inf" { Some(f64::INFINITY) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE a counter\na{op=\"put\"} 3\na{op=\"get\"} 4\n\
        h_bucket{le=\"0.1\",lens=\"x\"} 98\nh_bucket{le=\"0.2\",lens=\"x\"} 99\nh_bucket{le=\"+Inf\",lens=\"x\"} 99\n\
        h_bucket{le=\"0.1\",lens=\"y\"} 0\nh_bucket{le=\"0.2\",lens=\"y\"} 0\nh_bucket{le=\"+Inf\",lens=\"y\"} 1\n";

    #[test]
    fn series_are_summed_over_their_labels() {
        let series = Series::parse(TEXT);
        assert_eq!(series.sum("a"), Some(7.0));
        assert_eq!(series.sum_where("a", |labels| label(labels, "op") == Some("get")), Some(4.0));
        assert_eq!(series.sum("b"), None);
        assert_eq!(series.buckets("h"), [(0.1, 98.0), (0.2, 99.0), (f64::INFINITY, 100.0)]);
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let buckets = Series::parse(TEXT).buckets("h");
        assert_eq!(quantile(&buckets, 0.98), Some(0.1));
        assert_eq!(quantile(&buckets, 0.99), Some(0.2));
        assert_eq!(quantile(&buckets, 1.0), Some(f64::INFINITY));
        assert_eq!(quantile(&since(&buckets, &buckets), 0.5), None);
        let earlier = [(0.1, 97.0), (0.2, 97.0), (f64::INFINITY, 97.0)];
        assert_eq!(quantile(&since(&earlier, &buckets), 0.5), Some(0.2));
        let of_another_life = [(0.1, 500.0), (0.2, 500.0), (f64::INFINITY, 500.0)];
        assert_eq!(since(&of_another_life, &buckets), buckets);
    }
}
