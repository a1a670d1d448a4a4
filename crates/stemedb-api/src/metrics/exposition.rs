//! The Prometheus text format, version 0.0.4.
//!
//! `prometheus-client` writes OpenMetrics, which names a counter without `_total` in its head lines and ends with
//! `# EOF`; tools that read the older format (`promtool check metrics`, `grep`) expect neither.

use std::{collections::BTreeSet, fmt::Write};

use stemedb_wal::histogram::HistogramSnapshot;

/// A text being written.
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    /// Starts with what the library wrote.
    pub(super) fn from_open_metrics(open_metrics: &str) -> Exposition {
        let mut text = String::with_capacity(open_metrics.len() + 16 * 1024);
        let counters: BTreeSet<&str> = open_metrics
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
            .collect();
        for line in open_metrics.lines() {
            if line == "# EOF" || line.starts_with("# UNIT ") {
                continue;
            }
            let head = line.strip_prefix("# ").and_then(|head| head.split_once(' '));
            let of_counter = head.and_then(|(keyword, rest)| {
                let (name, rest) = rest.split_once(' ')?;
                counters.contains(name).then_some((keyword, name, rest))
            });
            match of_counter {
                Some((keyword, name, rest)) => {
                    push(&mut text, format_args!("# {keyword} {name}_total {rest}\n"))
                }
                None => push(&mut text, format_args!("{line}\n")),
            }
        }
        Exposition { text }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        push(&mut self.text, format_args!("# HELP {name} {help}.\n# TYPE {name} {kind}\n"));
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, help, "gauge");
        push(&mut self.text, format_args!("{name} {value}\n"));
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        push(&mut self.text, format_args!("{name} {value}\n"));
    }

    pub(super) fn counter_f64(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, help, "counter");
        push(&mut self.text, format_args!("{name} {value}\n"));
    }

    /// A histogram by powers of two, in units of `unit`. Bucket 0 counts zeros, bucket i values below 2^i.
    pub(super) fn power_of_two_histogram(
        &mut self,
        name: &str,
        help: &str,
        histogram: &HistogramSnapshot,
        unit: f64,
    ) {
        self.head(name, help, "histogram");
        let mut count = 0;
        let last = histogram.buckets.len().saturating_sub(1);
        for (bucket, values) in histogram.buckets.iter().take(last).enumerate() {
            count += values;
            let bound = ((1_u64 << bucket.min(63)) - 1) as f64 * unit;
            push(&mut self.text, format_args!("{name}_bucket{{le=\"{bound}\"}} {count}\n"));
        }
        let (count, sum) = (histogram.count(), histogram.sum as f64 * unit);
        push(
            &mut self.text,
            format_args!("{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n"),
        );
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// Writing to a string cannot fail.
fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_carry_their_full_name_in_every_line_and_the_end_mark_is_gone() {
        let open_metrics = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{m=\"GET\"} 3\n\
                            # HELP b B.\n# TYPE b histogram\nb_sum 1\n# EOF\n";
        let text = Exposition::from_open_metrics(open_metrics).finish();
        let expected = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\n\
                        a_requests_total{m=\"GET\"} 3\n# HELP b B.\n# TYPE b histogram\nb_sum 1\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn buckets_by_powers_of_two_are_cumulative_and_end_with_everything() {
        let histogram = HistogramSnapshot { buckets: vec![1, 2, 3, 4], sum: 40, max: 9 };
        let mut out = Exposition { text: String::new() };
        out.power_of_two_histogram("h", "H", &histogram, 1.0);
        let lines: Vec<&str> = out.text.lines().skip(2).collect();
        let expected = [
            "h_bucket{le=\"0\"} 1",
            "h_bucket{le=\"1\"} 3",
            "h_bucket{le=\"3\"} 6",
            "h_bucket{le=\"+Inf\"} 10",
            "h_sum 40",
            "h_count 10",
        ];
        assert_eq!(lines, expected);
    }
}
