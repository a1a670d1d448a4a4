//! The Prometheus text format, version 0.0.4.
//!
//! `prometheus-client` writes OpenMetrics, which names a counter without `_total` in its head lines and ends with
//! `# EOF`; tools that read the older format (`promtool check metrics`, `grep`) expect neither.

use std::{collections::BTreeSet, fmt::Write};

use super::{
    JobCounts,
    series::{Counter, Gauge, Histogram, Series},
    table::{JOBS_ENDED, JOBS_RUNNING},
};

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

    fn head(&mut self, series: &Series) {
        let Series { name, kind, help, .. } = series;
        push(&mut self.text, format_args!("# HELP {name} {help}.\n# TYPE {name} {kind}\n"));
    }

    pub(super) fn gauge(&mut self, Gauge(series): Gauge, value: f64) {
        self.head(series);
        push(&mut self.text, format_args!("{} {value}\n", series.name));
    }

    /// A gauge whose values differ in its one label.
    pub(super) fn gauges(&mut self, Gauge(series): Gauge, values: &[(&str, f64)]) {
        self.head(series);
        let label = series.labels.first().copied().unwrap_or_default();
        for (at, value) in values {
            push(&mut self.text, format_args!("{}{{{label}=\"{at}\"}} {value}\n", series.name));
        }
    }

    pub(super) fn flag(&mut self, gauge: Gauge, is_so: bool) {
        self.gauge(gauge, f64::from(u8::from(is_so)));
    }

    pub(super) fn counter(&mut self, Counter(series): Counter, value: u64) {
        self.head(series);
        push(&mut self.text, format_args!("{} {value}\n", series.name));
    }

    /// A counter whose values differ in its one label.
    pub(super) fn counters(&mut self, Counter(series): Counter, values: &[(&str, u64)]) {
        self.head(series);
        let label = series.labels.first().copied().unwrap_or_default();
        for (at, value) in values {
            push(&mut self.text, format_args!("{}{{{label}=\"{at}\"}} {value}\n", series.name));
        }
    }

    pub(super) fn counter_f64(&mut self, Counter(series): Counter, value: f64) {
        self.head(series);
        push(&mut self.text, format_args!("{} {value}\n", series.name));
    }

    /// A histogram by powers of two, in units of `unit`. Bucket 0 counts zeros, bucket i values below 2^i.
    pub(super) fn power_of_two_histogram(
        &mut self,
        Histogram(series): Histogram,
        buckets: &[u64],
        sum: f64,
        unit: f64,
    ) {
        self.head(series);
        let name = series.name;
        let mut count = 0;
        let last = buckets.len().saturating_sub(1);
        for (bucket, values) in buckets.iter().take(last).enumerate() {
            count += values;
            let bound = ((1_u64 << bucket.min(63)) - 1) as f64 * unit;
            push(&mut self.text, format_args!("{name}_bucket{{le=\"{bound}\"}} {count}\n"));
        }
        let count: u64 = buckets.iter().sum();
        push(
            &mut self.text,
            format_args!("{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n"),
        );
    }

    /// Jobs of the admin plane.
    pub(super) fn jobs(&mut self, jobs: &[JobCounts]) {
        let running: Vec<_> = jobs.iter().map(|counts| (counts.kind, counts.running as f64)).collect();
        self.gauges(JOBS_RUNNING, &running);
        self.head(JOBS_ENDED.0);
        for JobCounts { kind, ended, .. } in jobs {
            for (state, count) in ended {
                let name = JOBS_ENDED.0.name;
                push(&mut self.text, format_args!("{name}{{kind=\"{kind}\",state=\"{state}\"}} {count}\n"));
            }
        }
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
        let mut out = Exposition { text: String::new() };
        out.power_of_two_histogram(super::super::table::WAL_BATCH, &[1, 2, 3, 4], 40.0, 1.0);
        let lines: Vec<&str> = out.text.lines().collect();
        let expected = [
            "# HELP stemedb_wal_batch_size Entries per group of the journal.",
            "# TYPE stemedb_wal_batch_size histogram",
            "stemedb_wal_batch_size_bucket{le=\"0\"} 1",
            "stemedb_wal_batch_size_bucket{le=\"1\"} 3",
            "stemedb_wal_batch_size_bucket{le=\"3\"} 6",
            "stemedb_wal_batch_size_bucket{le=\"+Inf\"} 10",
            "stemedb_wal_batch_size_sum 40",
            "stemedb_wal_batch_size_count 10",
        ];
        assert_eq!(lines, expected);
    }
}
