//! The caches of questions.

use stemedb_index::CacheStats;

use super::exposition::Exposition;

/// Writes their counters.
pub(super) fn write(out: &mut Exposition, stats: &CacheStats) {
    for (name, counts) in stats.by_name() {
        let metric = |what: &str| format!("stemedb_cache_{name}_{what}");
        out.counter(&metric("hits_total"), "Asked for, and given from memory", counts.hits);
        out.counter(&metric("misses_total"), "Asked for, and not in memory", counts.misses);
        out.counter(&metric("stale_total"), "In memory, but not for the moment asked about", counts.stale);
        out.gauge(&metric("entries"), "Values in memory", counts.entries as f64);
        out.gauge(&metric("bytes"), "What they hold", counts.bytes as f64);
        out.gauge(&metric("capacity_bytes"), "What they may hold", counts.capacity_bytes as f64);
        out.gauge(&metric("hit_ratio"), "Part that was given from memory, since open", counts.hit_rate());
    }
    out.gauge("stemedb_cache_board_bytes", "What knows of changes", stats.board_bytes as f64);
}
