//! Every figure that a run can find: what it is called, what it counts in, which way is better.

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More is better: rates.
    More,
    /// Less is better: times, sizes.
    Less,
    /// Neither: it explains other figures.
    Neither,
}

/// A figure.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Figure {
    /// By which phases, requirements and JSON know it.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// Which way is better.
    pub better: Better,
    /// It gets a panel in the plot.
    pub drawn: bool,
}

const fn more(id: &'static str, title: &'static str) -> Figure {
    Figure { id, title, better: Better::More, drawn: false }
}

const fn less(id: &'static str, title: &'static str) -> Figure {
    Figure { id, title, better: Better::Less, drawn: false }
}

const fn neither(id: &'static str, title: &'static str) -> Figure {
    Figure { id, title, better: Better::Neither, drawn: false }
}

const fn drawn(figure: Figure) -> Figure {
    Figure { drawn: true, ..figure }
}

/// All figures, in the order of the reports.
pub const FIGURES: &[Figure] = &[
    drawn(more("load_sorted_per_s", "sorted load in batches of 1000, rows/s")),
    more("load_sorted_flushed_per_s", "… until flushed, rows/s"),
    less("load_sorted_batch_p99_us", "… batch p99, µs"),
    less("load_sorted_batch_max_us", "… worst batch, µs"),
    neither("load_sorted_write_amplification", "… bytes written per byte of rows"),
    drawn(more("load_random_per_s", "random load in batches of 1000, rows/s")),
    more("load_random_flushed_per_s", "… until flushed, rows/s"),
    more("load_random_settled_per_s", "… until closed with nothing left to do, rows/s"),
    less("load_random_batch_p99_us", "… batch p99, µs"),
    less("load_random_batch_p999_us", "… batch p99.9, µs"),
    less("load_random_batch_max_us", "… worst batch, µs"),
    drawn(less("load_random_write_amplification", "random load: bytes written per byte of rows")),
    less("load_random_anonymous_mib", "random load: peak anonymous memory, MiB"),
    less("load_random_processor_us", "random load: processor time per row with all that follows, µs"),
    neither("load_random_resident_mib", "random load: peak resident memory, MiB"),
    less("load_random_disk_bytes_per_row", "bytes on disk per row after the random load"),
    drawn(less("compacted_bytes_per_row", "bytes on disk per row, compacted")),
    neither("compacted_with_record_bytes_per_row", "… with the log, where it lies beside the tables"),
    less("compact_s", "full compaction, s"),
    drawn(more("commit_1_per_s", "durable commits of one row, 1 writer, commits/s")),
    less("commit_1_p99_us", "… p99, µs"),
    neither("commit_1_disk_flushes", "… flushes of the disk per commit"),
    drawn(more("commit_8_per_s", "durable commits of one row, 8 writers, commits/s")),
    less("commit_8_p99_us", "… p99, µs"),
    neither("commit_8_disk_flushes", "… flushes of the disk per commit"),
    drawn(more("commit_64_per_s", "durable commits of one row, 64 writers, commits/s")),
    less("commit_64_p99_us", "… p99, µs"),
    neither("commit_64_disk_flushes", "… flushes of the disk per commit"),
    drawn(more("hot_get_per_s", "hot gets, 2 threads, a view per 1000 gets, gets/s")),
    less("hot_get_processor_ns", "… processor time per get, ns"),
    less("hot_get_p50_us", "… p50, µs"),
    less("hot_get_p99_us", "… p99, µs"),
    drawn(more("hot_fresh_get_per_s", "hot gets, 2 threads, a fresh view per get, gets/s")),
    less("hot_fresh_get_processor_ns", "… processor time per get, ns"),
    less("hot_fresh_get_p99_us", "… p99, µs"),
    more("hot_multi_get_per_s", "hot multi-gets of 100, 2 threads, keys/s"),
    less("hot_multi_get_processor_ns", "… processor time per key, ns"),
    less("hot_anonymous_mib", "hot gets: peak anonymous memory, MiB"),
    drawn(more("cold_get_per_s", "cold gets, 2 threads, gets/s")),
    less("cold_get_p50_us", "… p50, µs"),
    less("cold_get_p99_us", "… p99, µs"),
    less("cold_get_kib_read", "… KiB read from disk per get"),
    drawn(more("cold_multi_get_per_s", "cold multi-gets of 100, 2 threads, keys/s")),
    less("cold_multi_get_kib_read", "… KiB read from disk per key"),
    drawn(more("absent_get_per_s", "gets of absent keys, 2 threads, gets/s")),
    less("absent_get_processor_ns", "… processor time per get, ns"),
    less("absent_get_p99_us", "… p99, µs"),
    more("scan_10_per_s", "prefix scans of up to 10 rows, scans/s"),
    less("scan_10_processor_us", "… processor time per scan, µs"),
    less("scan_10_p99_us", "… p99, µs"),
    drawn(more("scan_100_per_s", "prefix scans of up to 100 rows, scans/s")),
    less("scan_100_processor_us", "… processor time per scan, µs"),
    less("scan_100_p99_us", "… p99, µs"),
    drawn(more("full_scan_rows_per_s", "full scan, rows/s")),
    less("full_scan_processor_ns", "… processor time per row, ns"),
    drawn(more("mixed_rate_get_per_s", "gets beside writes at an equal rate, gets/s")),
    less("mixed_rate_get_p99_us", "… get p99, µs"),
    less("mixed_rate_get_p999_us", "… get p99.9, µs"),
    less("mixed_rate_write_p99_us", "… write batch p99, µs"),
    less("mixed_rate_write_p999_us", "… write batch p99.9, µs"),
    neither("mixed_rate_rows_written_per_s", "… rows written/s"),
    more("mixed_unlimited_get_per_s", "gets beside unlimited writes, gets/s"),
    less("mixed_unlimited_get_p99_us", "… get p99, µs"),
    more("mixed_unlimited_rows_written_per_s", "… rows written/s"),
    less("mixed_unlimited_write_max_us", "… worst write batch, µs"),
    less("mixed_unlimited_anonymous_mib", "beside unlimited writes: peak anonymous memory, MiB"),
    more("delete_per_s", "removing every second row in batches of 1000, rows/s"),
    more("delete_scan_rows_per_s", "… full scan of what is left, rows/s"),
    less("delete_compacted_bytes_per_row", "… bytes on disk per row left, compacted"),
    drawn(less("open_crashed_ms", "open after a crash, first get, ms")),
    neither("crash_rows_found_percent", "… rows found again, %"),
    less("open_clean_ms", "open after a clean close, first get, ms"),
    neither("open_clean_and_close_ms", "… and close, ms"),
];

/// The figure of an id.
pub fn figure(id: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_figures_have_the_same_id() {
        let mut ids: Vec<&str> = FIGURES.iter().map(|figure| figure.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), FIGURES.len());
    }
}
