//! The caches of questions.

use stemedb_index::CacheStats;

use super::{
    exposition::Exposition,
    table::{CACHE_BOARD, CACHES},
};

/// Writes their counters.
pub(super) fn write(out: &mut Exposition, stats: &CacheStats) {
    for (name, counts) in stats.by_name() {
        let Some(series) = CACHES.iter().find(|series| series.cache == name) else { continue };
        out.counter(series.hits, counts.hits);
        out.counter(series.misses, counts.misses);
        out.counter(series.stale, counts.stale);
        out.gauge(series.entries, counts.entries as f64);
        out.gauge(series.bytes, counts.bytes as f64);
        out.gauge(series.capacity, counts.capacity_bytes as f64);
        out.gauge(series.hit_ratio, counts.hit_rate());
    }
    out.gauge(CACHE_BOARD, stats.board_bytes as f64);
}
