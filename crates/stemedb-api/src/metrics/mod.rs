//! Prometheus metrics, under the names that operators' alerts and dashboards rely on.
//!
//! What happens in requests is counted here as it happens; what the engine counts is read when metrics are asked for.
//! No global registry: two routers in one process count apart.

mod caches;
mod census;
mod exposition;

use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use stemedb_core::Lens;
use stemedb_env::TaskHandle;
use stemedb_hybrid::ScrubStatus;

use self::{census::Census, exposition::Exposition};
use crate::{
    database::{Database, KnowledgeReport},
    store_helpers::Operation,
};

/// The metrics of one router.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_requests: Family<HttpLabels, Counter>,
    http_duration: Family<RouteLabels, Histogram>,
    query_latency: Family<LensLabels, Histogram>,
    operations: Family<OperationLabels, Counter>,
    operation_errors: Family<OperationLabels, Counter>,
    put_duration: Histogram,
    census: Census,
    /// Counts the claims that were there at open. Held so that it stops with the router.
    _counting: Mutex<Option<TaskHandle>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HttpLabels {
    method: String,
    path: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    path: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LensLabels {
    lens: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

/// 100 µs to 13 s.
fn latency_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 18))
}

impl Metrics {
    /// Metrics of a database; starts counting its claims in the background.
    pub fn new(database: &Database) -> Metrics {
        let mut registry = Registry::default();
        let http_requests = Family::default();
        let http_duration = Family::new_with_constructor(latency_buckets as fn() -> Histogram);
        let query_latency = Family::new_with_constructor(latency_buckets as fn() -> Histogram);
        let operations = Family::default();
        let operation_errors = Family::default();
        let put_duration = latency_buckets();
        // The library adds `_total` to the names of counters.
        registry.register("stemedb_http_requests", "HTTP requests answered", http_requests.clone());
        registry.register(
            "stemedb_http_request_duration_seconds",
            "Time from a request's head to its reply's head",
            http_duration.clone(),
        );
        registry.register(
            "stemedb_query_latency_seconds",
            "Time to answer a question, waiting for a thread included",
            query_latency.clone(),
        );
        registry.register("stemedb_storage_operations", "Storage operations", operations.clone());
        registry.register(
            "stemedb_storage_operation_errors",
            "Storage operations that failed; refused requests are not failures",
            operation_errors.clone(),
        );
        registry.register(
            "stemedb_storage_put_duration_seconds",
            "Time to make a write durable and readable",
            put_duration.clone(),
        );
        for operation in [Operation::Put, Operation::Get, Operation::Query] {
            // Series that exist from the start: a rate needs the zero before the first error.
            let labels = OperationLabels { operation: operation.name() };
            let _ = (operations.get_or_create(&labels), operation_errors.get_or_create(&labels));
        }
        let (census, counting) = Census::start(database);
        Metrics {
            registry,
            http_requests,
            http_duration,
            query_latency,
            operations,
            operation_errors,
            put_duration,
            census,
            _counting: Mutex::new(counting),
        }
    }

    /// A request was answered. `path` is the route's template, never the raw path.
    pub(crate) fn http_request(&self, method: &str, path: &str, status: u16, elapsed: Duration) {
        // Methods are the client's to choose; labels are not.
        let method = match method {
            "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "PATCH" => method,
            _ => "other",
        };
        let route = RouteLabels { method: method.to_owned(), path: path.to_owned() };
        self.http_duration.get_or_create(&route).observe(elapsed.as_secs_f64());
        let RouteLabels { method, path } = route;
        self.http_requests.get_or_create(&HttpLabels { method, path, status }).inc();
    }

    /// A question was answered.
    pub(crate) fn query_answered(&self, lens: Lens, elapsed: Duration) {
        self.query_latency.get_or_create(&LensLabels { lens: lens.name() }).observe(elapsed.as_secs_f64());
    }

    /// The storage was used.
    pub(crate) fn storage_operation(&self, operation: Operation, failed: bool, elapsed: Duration) {
        let labels = OperationLabels { operation: operation.name() };
        self.operations.get_or_create(&labels).inc();
        if failed {
            self.operation_errors.get_or_create(&labels).inc();
        }
        if operation == Operation::Put {
            self.put_duration.observe(elapsed.as_secs_f64());
        }
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    pub fn render(&self, database: &Database) -> String {
        let mut open_metrics = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut open_metrics, &self.registry);
        let mut out = Exposition::from_open_metrics(&open_metrics);
        self.engine(&mut out, database);
        out.finish()
    }

    fn engine(&self, out: &mut Exposition, database: &Database) {
        let (stats, health) = (database.stats(), database.health());
        let (lsm, journal) = (&stats.lsm, &stats.journal);
        out.counter(
            "stemedb_assertions_indexed_total",
            "Claims in the index: those found at open (counted in the background) and those since",
            self.census.count(database),
        );

        out.gauge("stemedb_lsm_sst_files", "Live tables", lsm.sst_file_count as f64);
        out.gauge("stemedb_lsm_bytes", "Bytes of the live tables", lsm.total_bytes as f64);
        out.gauge(
            "stemedb_lsm_pending_compaction_bytes",
            "Bytes by which levels exceed their targets",
            lsm.pending_compaction_bytes as f64,
        );
        out.gauge("stemedb_lsm_memtable_bytes", "Bytes of all memtables", lsm.memtable_bytes as f64);
        let memory = &lsm.memory;
        out.gauge(
            "stemedb_lsm_memory_budget_bytes",
            "What the view may hold in memory",
            memory.budget_bytes as f64,
        );
        out.gauge("stemedb_lsm_memory_bytes", "What the view holds in memory", memory.total_bytes() as f64);
        out.gauge(
            "stemedb_lsm_memory_peak_bytes",
            "The most that the view has held in memory since it was opened",
            memory.peak_bytes as f64,
        );
        out.gauge(
            "stemedb_lsm_buffer_memory_bytes",
            "Buffers of flushes, compactions and reads",
            memory.buffer_bytes as f64,
        );
        out.gauge(
            "stemedb_lsm_pinned_memory_bytes",
            "Blocks and memtables that only readers still hold",
            (memory.pinned_bytes + memory.pinned_memtable_bytes) as f64,
        );
        out.gauge(
            "stemedb_lsm_index_memory_bytes",
            "Resident indexes and filters",
            lsm.index_memory_bytes as f64,
        );
        out.gauge("stemedb_lsm_cache_memory_bytes", "Cached blocks", lsm.cache_memory_bytes as f64);
        out.gauge("stemedb_lsm_damaged_tables", "Tables known to be damaged", lsm.damaged_tables as f64);
        out.counter("stemedb_lsm_block_reads_total", "Blocks read from files", lsm.block_reads);
        out.counter("stemedb_lsm_cache_hits_total", "Blocks found in the cache", lsm.cache_hits);
        out.counter("stemedb_lsm_cache_misses_total", "Blocks not found in the cache", lsm.cache_misses);
        out.counter("stemedb_lsm_flushes_total", "Memtables flushed", lsm.flushes);
        out.counter("stemedb_lsm_flush_bytes_total", "Bytes written by flushes", lsm.flush_bytes);
        out.counter("stemedb_lsm_compactions_total", "Compactions that rewrote tables", lsm.compactions);
        out.counter(
            "stemedb_lsm_compaction_bytes_total",
            "Bytes written by compactions",
            lsm.compaction_bytes,
        );
        out.counter_f64(
            "stemedb_lsm_compaction_seconds_total",
            "Time spent in compactions that rewrote tables",
            lsm.compaction_time.as_secs_f64(),
        );
        out.gauge(
            "stemedb_storage_write_amplification",
            "Bytes written by flushes and compactions per byte applied; below 10 is healthy",
            lsm.write_amplification,
        );
        out.counter_f64(
            "stemedb_storage_apply_wait_seconds_total",
            "Time that writes waited for flushes",
            lsm.apply_wait_time.as_secs_f64(),
        );

        if let Some((segments, bytes)) = journal_files(database) {
            out.gauge("stemedb_wal_disk_usage_bytes", "Bytes of the journal's files", bytes as f64);
            out.gauge("stemedb_wal_segments_count", "Journal segments", segments as f64);
        }
        out.power_of_two_histogram(
            "stemedb_wal_fsync_latency_seconds",
            "Time of each sync of the journal",
            &journal.sync_us,
            1e-6,
        );
        out.power_of_two_histogram(
            "stemedb_wal_batch_size",
            "Entries per group of the journal",
            &journal.group_entries,
            1.0,
        );
        out.counter("stemedb_wal_fsyncs_total", "Syncs of the journal", journal.syncs);
        out.counter(
            "stemedb_wal_fsync_errors_total",
            "Syncs of the journal that failed",
            journal.failed_syncs,
        );
        out.counter(
            "stemedb_wal_rewrites_total",
            "Groups that were written to a new segment after a failure",
            journal.rewrites,
        );
        out.counter(
            "stemedb_wal_read_only_total",
            "Times that the journal accepted nothing until its disk answered again",
            journal.gave_up,
        );
        out.gauge(
            "stemedb_wal_sync_in_progress_seconds",
            "How long the sync that is under way has been waiting for the disk",
            journal.writing_for_us as f64 / 1e6,
        );
        out.counter("stemedb_wal_written_bytes_total", "Bytes written to the journal", journal.file_bytes);

        out.gauge(
            "stemedb_commit_queue_bytes",
            "Bytes waiting in the commit queue",
            stats.commit.queued_bytes as f64,
        );
        out.counter(
            "stemedb_commit_timed_out_total",
            "Writes refused because they waited too long for their turn",
            stats.commit.timed_out,
        );
        out.counter(
            "stemedb_storage_full_refusals_total",
            "Writes refused because the disk was full, or nearly so",
            stats.refused_for_room,
        );
        if let Some(space) = &stats.space {
            out.gauge(
                "stemedb_storage_available_bytes",
                "Bytes that may still be written to the file system with the least room",
                space.available_bytes as f64,
            );
            out.gauge("stemedb_storage_size_bytes", "Size of that file system", space.total_bytes as f64);
            out.gauge(
                "stemedb_storage_refuses_below_bytes",
                "Below so many free bytes writes are refused",
                space.refuses_below_bytes as f64,
            );
        }
        out.counter(
            "stemedb_wal_stuck_syncs_total",
            "Times that a write of the journal was found stuck",
            stats.stuck_syncs,
        );
        out.counter(
            "stemedb_commit_deadlocks_total",
            "Times that the commit pipeline was found standing still",
            stats.deadlocks,
        );
        out.counter(
            "stemedb_commit_overloaded_total",
            "Writes refused because the queue was full",
            stats.commit.overloaded,
        );
        out.counter(
            "stemedb_storage_fallback_reads_total",
            "Reads answered by the fallback view",
            stats.fallback_reads,
        );
        if let Some(stats) = database.cache_stats() {
            caches::write(out, &stats);
        }
        knowledge(out, &database.knowledge_report());
        scrub(out, &stats.scrub);
        out.gauge("stemedb_durable_lsn", "Last durable entry", stats.durable.0 as f64);
        out.gauge("stemedb_published_lsn", "Last readable entry", stats.published.0 as f64);
        out.gauge(
            "stemedb_flushed_lsn",
            "Last entry that survives without the journal",
            health.flushed.0 as f64,
        );
        out.gauge("stemedb_ready", "1 when reads and writes work", f64::from(u8::from(health.is_ready())));
    }
}

/// How all questions stood when somebody last asked for conflicts. Before that only that nobody has.
fn knowledge(out: &mut Exposition, report: &KnowledgeReport) {
    let ready = u8::from(report.knowledge.is_some());
    out.gauge(
        "stemedb_knowledge_ready",
        "1 once somebody asked for conflicts, from when on there are the other figures",
        f64::from(ready),
    );
    out.gauge(
        "stemedb_knowledge_building_claims",
        "Claims that the scan of all questions has read so far; 0 when none is under way",
        report.building.as_ref().map_or(0.0, |progress| progress.claims as f64),
    );
    let Some((knowledge, lsn)) = &report.knowledge else { return };
    out.gauge("stemedb_knowledge_lsn", "The entry that the figures are as of", lsn.0 as f64);
    out.gauge("stemedb_knowledge_questions", "Questions that a claim answers", knowledge.questions as f64);
    out.gauge(
        "stemedb_knowledge_open_conflicts",
        "Questions of which no value has four fifths of the support",
        knowledge.contested as f64,
    );
    out.gauge(
        "stemedb_knowledge_agreed",
        "Questions with several values, of which one has at least four fifths of the support",
        knowledge.agreed as f64,
    );
    out.gauge("stemedb_knowledge_unanimous", "Questions with one value", knowledge.unanimous as f64);
    out.gauge("stemedb_knowledge_claims", "Claims that take part in answers", knowledge.claims as f64);
    out.gauge(
        "stemedb_knowledge_single_source_share",
        "Part of the questions whose claims are all of one source",
        knowledge.single_source_share(),
    );
    out.gauge(
        "stemedb_knowledge_unsigned_share",
        "Part of the claims that nobody signed",
        knowledge.unsigned_share(),
    );
}

/// The reading of every file.
fn scrub(out: &mut Exposition, scrub: &ScrubStatus) {
    out.counter(
        "stemedb_scrub_read_bytes_total",
        "Bytes read back and checked in the background",
        scrub.bytes_read,
    );
    out.counter("stemedb_scrub_findings_total", "Damage found by reading files back", scrub.findings);
    out.counter("stemedb_scrub_healed_total", "Of that, what was written again at once", scrub.healed);
    out.counter(
        "stemedb_scrub_rereads_total",
        "Places that verified only when they were read once more",
        scrub.rereads,
    );
    out.counter(
        "stemedb_scrub_transient_errors_total",
        "Reads that the system refused at first",
        scrub.transient_errors,
    );
    out.gauge("stemedb_scrub_round", "Number of the present or last round", scrub.round as f64);
    out.gauge("stemedb_scrub_running", "1 while a round is under way", f64::from(u8::from(scrub.running)));
    out.gauge("stemedb_scrub_bytes_done", "Bytes that the round has read", scrub.bytes_done as f64);
    out.gauge("stemedb_scrub_bytes_total", "Bytes that the round has to read", scrub.bytes_total as f64);
    out.gauge(
        "stemedb_scrub_late",
        "1 when the period cannot be kept at the pace that is allowed",
        f64::from(u8::from(scrub.late)),
    );
    out.gauge(
        "stemedb_scrub_last_full_round_timestamp_seconds",
        "When every file had last been read; 0 if never",
        scrub.last_full_round.map_or(0.0, |at| at.0 as f64 / 1e6),
    );
}

/// Number and bytes of the journal's segments; `None` when the folder cannot be listed.
fn journal_files(database: &Database) -> Option<(u64, u64)> {
    let entries = database.env().fs.list(&database.engine().layout().wal()).ok()?;
    let files = entries.iter().filter(|entry| !entry.metadata.is_dir);
    let segments = entries.iter().filter(|entry| entry.name.contains(".wal")).count();
    Some((segments as u64, files.map(|entry| entry.metadata.len).sum()))
}
