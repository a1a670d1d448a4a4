//! Every series of the server, by theme.

use super::series::{Counter, Gauge, Histogram, Kind, Series, Unit, series};

series! { HTTP:
    Counter HTTP_REQUESTS = "stemedb_http_requests_total", Things, ["method", "path", "status"], "HTTP requests answered";
    Histogram HTTP_DURATION = "stemedb_http_request_duration_seconds", Seconds, ["method", "path"], "Time from a request's head to its reply's head";
    Gauge HTTP_IN_FLIGHT = "stemedb_http_requests_in_flight", Things, [], "Requests being handled";
    Counter HTTP_REFUSED = "stemedb_http_refused_total", Things, ["reason"], "Requests refused with `overloaded` before anything of them was read: no place, no room for the body, too long to wait";
    Histogram QUERY_LATENCY = "stemedb_query_latency_seconds", Seconds, ["lens"], "Time to answer a question, waiting for a thread included";
    Counter SLOW_QUERIES = "stemedb_slow_queries_total", Things, [], "Questions that took at least as long as the threshold of slow ones";
    Gauge STREAMS = "stemedb_streams", Things, ["kind"], "Readers of the feed and of watches that are connected";
    Counter FEED_ENTRIES = "stemedb_feed_entries_total", Things, [], "Journal entries sent by the feed";
    Counter WATCH_NOTICES = "stemedb_watch_notices_total", Things, [], "Notices sent to those who watch answers";
    Gauge WATCHES = "stemedb_watches_registered", Things, [], "Answers that are watched", "once watches were used since the start";
    Gauge JOBS_RUNNING = "stemedb_jobs_running", Things, ["kind"], "Jobs of the admin plane that are running";
    Counter OTLP_SPANS = "stemedb_otlp_spans_total", Things, ["outcome"], "Spans made for a collector, by what became of them: all but `exported` are lost";
    Counter JOBS_ENDED = "stemedb_jobs_total", Things, ["kind", "state"], "Jobs of the admin plane that have ended";
}

series! { STORAGE:
    Counter OPERATIONS = "stemedb_storage_operations_total", Things, ["operation"], "Storage operations";
    Counter OPERATION_ERRORS = "stemedb_storage_operation_errors_total", Things, ["operation"], "Storage operations that failed; refused requests are not failures";
    Histogram PUT_DURATION = "stemedb_storage_put_duration_seconds", Seconds, [], "Time to make a write durable and readable";
    Histogram LOCK_WAIT = "stemedb_storage_lock_wait_duration_seconds", Seconds, [], "Time that groups of writes waited for their turn in the commit pipeline";
    Counter ASSERTIONS_INDEXED = "stemedb_assertions_indexed_total", Things, [], "Claims in the index: those found at open (counted in the background) and those since";
    Gauge WRITE_AMPLIFICATION = "stemedb_storage_write_amplification", Ratio, [], "Bytes written by flushes and compactions per byte applied; below 10 is healthy";
    Counter APPLY_WAIT = "stemedb_storage_apply_wait_seconds_total", Seconds, [], "Time that writes waited for flushes";
    Counter FULL_REFUSALS = "stemedb_storage_full_refusals_total", Things, [], "Writes refused because the disk was full, or nearly so";
    Gauge AVAILABLE = "stemedb_storage_available_bytes", Bytes, [], "Bytes that may still be written to the file system with the least room", "once the disk was looked at";
    Gauge SIZE = "stemedb_storage_size_bytes", Bytes, [], "Size of that file system", "once the disk was looked at";
    Gauge REFUSES_BELOW = "stemedb_storage_refuses_below_bytes", Bytes, [], "Below so many free bytes writes are refused", "once the disk was looked at";
    Counter FALLBACK_READS = "stemedb_storage_fallback_reads_total", Things, [], "Reads answered by the fallback view";
    Gauge DURABLE = "stemedb_durable_lsn", Lsn, [], "Last durable entry";
    Gauge PUBLISHED = "stemedb_published_lsn", Lsn, [], "Last readable entry";
    Gauge FLUSHED = "stemedb_flushed_lsn", Lsn, [], "Last entry that survives without the journal";
    Gauge READY = "stemedb_ready", Flag, [], "1 when reads and writes work";
}

series! { COMMIT:
    Gauge QUEUE_BYTES = "stemedb_commit_queue_bytes", Bytes, [], "Bytes waiting in the commit queue";
    Counter TIMED_OUT = "stemedb_commit_timed_out_total", Things, [], "Writes refused because they waited too long for their turn";
    Counter OVERLOADED = "stemedb_commit_overloaded_total", Things, [], "Writes refused because the queue was full";
    Counter DEADLOCKS = "stemedb_commit_deadlocks_total", Things, [], "Times that the commit pipeline was found standing still";
    Gauge STALLED = "stemedb_commit_stalled_seconds", Seconds, [], "How long the commit pipeline has stood still though requests wait";
}

series! { JOURNAL:
    Gauge WAL_DISK_USAGE = "stemedb_wal_disk_usage_bytes", Bytes, [], "Bytes of the journal's files", "while its folder can be listed";
    Gauge WAL_SEGMENTS = "stemedb_wal_segments_count", Things, [], "Journal segments", "while its folder can be listed";
    Histogram WAL_FSYNC = "stemedb_wal_fsync_latency_seconds", Seconds, [], "Time of each sync of the journal";
    Histogram WAL_BATCH = "stemedb_wal_batch_size", Things, [], "Entries per group of the journal";
    Counter WAL_FSYNCS = "stemedb_wal_fsyncs_total", Things, [], "Syncs of the journal";
    Counter WAL_FSYNC_ERRORS = "stemedb_wal_fsync_errors_total", Things, [], "Syncs of the journal that failed";
    Counter WAL_REWRITES = "stemedb_wal_rewrites_total", Things, [], "Groups that were written to a new segment after a failure";
    Counter WAL_READ_ONLY = "stemedb_wal_read_only_total", Things, [], "Times that the journal accepted nothing until its disk answered again";
    Gauge WAL_SYNC_IN_PROGRESS = "stemedb_wal_sync_in_progress_seconds", Seconds, [], "How long the sync that is under way has been waiting for the disk";
    Counter WAL_WRITTEN = "stemedb_wal_written_bytes_total", Bytes, [], "Bytes written to the journal";
    Counter WAL_STUCK = "stemedb_wal_stuck_syncs_total", Things, [], "Times that a write of the journal was found stuck";
}

series! { ARCHIVE:
    Gauge ARCHIVE_ON = "stemedb_archive_enabled", Flag, [], "1 where the journal is archived as it is written";
    Gauge ARCHIVE_EPOCH = "stemedb_archive_epoch", Things, [], "Number of the turn to write that this server has begun; 0 before it has";
    Gauge ARCHIVE_FENCED = "stemedb_archive_fenced", Flag, [], "1 once another server is the writer: this one acknowledges no write";
    Gauge ARCHIVE_LSN = "stemedb_archive_lsn", Lsn, [], "Last entry that counts as archived: no promotion elsewhere loses it";
    Gauge ARCHIVE_LAG = "stemedb_archive_lag_seconds", Seconds, [], "No durable entry that is not archived is older than this; 0 where all are";
    Counter ARCHIVE_RANGES = "stemedb_archive_ranges_total", Things, [], "Ranges of frames that were sent";
    Counter ARCHIVE_SENT = "stemedb_archive_sent_bytes_total", Bytes, [], "Bytes that were sent to the archive";
    Counter ARCHIVE_REQUESTS = "stemedb_archive_requests_total", Things, ["operation"], "Requests to the archive; `create` is two at S3";
    Counter ARCHIVE_ERRORS = "stemedb_archive_errors_total", Things, [], "Times that sending failed; it is tried again";
}

series! { STANDBY:
    Gauge STANDBY_ON = "stemedb_standby", Flag, [], "1 while it follows another server and takes no writes";
    Gauge STANDBY_LSN = "stemedb_standby_lsn", Lsn, [], "Last entry that it has been given and shows; 0 where it is no standby";
    Gauge STANDBY_LAG = "stemedb_standby_lag_seconds", Seconds, [], "For how long it has not been known to have everything that the archive has";
    Gauge STANDBY_AGE = "stemedb_standby_archive_age_seconds", Seconds, [], "How long ago the newest range that it has was sent, by both servers' clocks; 0 before the first";
    Counter STANDBY_ENTRIES = "stemedb_standby_entries_total", Things, [], "Entries that it was given";
    Counter STANDBY_ERRORS = "stemedb_standby_errors_total", Things, [], "Times that following failed; it is tried again";
}

series! { TREE:
    Gauge SST_FILES = "stemedb_lsm_sst_files", Things, [], "Live tables; fewer than 100 is healthy, more than 500 means that compaction fails";
    Gauge TREE_BYTES = "stemedb_lsm_bytes", Bytes, [], "Bytes of the live tables";
    Gauge PENDING_COMPACTION = "stemedb_lsm_pending_compaction_bytes", Bytes, [], "Bytes of the tables that the merges which are due now have to read";
    Gauge MEMTABLE = "stemedb_lsm_memtable_bytes", Bytes, [], "Bytes of all memtables";
    Gauge MEMORY_BUDGET = "stemedb_lsm_memory_budget_bytes", Bytes, [], "What the view may hold in memory";
    Gauge MEMORY = "stemedb_lsm_memory_bytes", Bytes, [], "What the view holds in memory";
    Gauge MEMORY_PEAK = "stemedb_lsm_memory_peak_bytes", Bytes, [], "The most that the view has held in memory since it was opened";
    Gauge BUFFER_MEMORY = "stemedb_lsm_buffer_memory_bytes", Bytes, [], "Buffers of flushes, compactions and reads";
    Gauge PINNED_MEMORY = "stemedb_lsm_pinned_memory_bytes", Bytes, [], "Blocks and memtables that only readers still hold";
    Gauge INDEX_MEMORY = "stemedb_lsm_index_memory_bytes", Bytes, [], "Resident indexes and filters";
    Gauge CACHE_MEMORY = "stemedb_lsm_cache_memory_bytes", Bytes, [], "Cached blocks";
    Gauge DAMAGED_TABLES = "stemedb_lsm_damaged_tables", Things, [], "Tables known to be damaged";
    Counter BLOCK_READS = "stemedb_lsm_block_reads_total", Things, [], "Blocks read from files";
    Counter CACHE_HITS = "stemedb_lsm_cache_hits_total", Things, [], "Blocks found in the cache";
    Counter CACHE_MISSES = "stemedb_lsm_cache_misses_total", Things, [], "Blocks not found in the cache";
    Counter FLUSHES = "stemedb_lsm_flushes_total", Things, [], "Memtables flushed";
    Counter FLUSH_BYTES = "stemedb_lsm_flush_bytes_total", Bytes, [], "Bytes written by flushes";
    Counter COMPACTIONS = "stemedb_lsm_compactions_total", Things, [], "Compactions that rewrote tables";
    Counter COMPACTION_BYTES = "stemedb_lsm_compaction_bytes_total", Bytes, [], "Bytes written by compactions";
    Counter COMPACTION_SECONDS = "stemedb_lsm_compaction_seconds_total", Seconds, [], "Time spent in compactions that rewrote tables";
    Histogram COMPACTION_DURATION = "stemedb_lsm_compaction_duration_seconds", Seconds, [], "Time of each compaction that rewrote tables";
}

series! { KNOWLEDGE:
    Gauge KNOWLEDGE_READY = "stemedb_knowledge_ready", Flag, [], "1 once somebody asked for conflicts, from when on there are the other figures";
    Gauge KNOWLEDGE_BUILDING = "stemedb_knowledge_building_claims", Things, [], "Claims that the scan of all questions has read so far; 0 when none is under way";
    Gauge KNOWLEDGE_LSN = "stemedb_knowledge_lsn", Lsn, [], "The entry that the figures are as of", "once somebody asked for conflicts";
    Gauge KNOWLEDGE_QUESTIONS = "stemedb_knowledge_questions", Things, [], "Questions that a claim answers", "once somebody asked for conflicts";
    Gauge KNOWLEDGE_CONFLICTS = "stemedb_knowledge_open_conflicts", Things, [], "Questions of which no value has four fifths of the support", "once somebody asked for conflicts";
    Gauge KNOWLEDGE_AGREED = "stemedb_knowledge_agreed", Things, [], "Questions with several values, of which one has at least four fifths of the support", "once somebody asked for conflicts";
    Gauge KNOWLEDGE_UNANIMOUS = "stemedb_knowledge_unanimous", Things, [], "Questions with one value", "once somebody asked for conflicts";
    Gauge KNOWLEDGE_CLAIMS = "stemedb_knowledge_claims", Things, [], "Claims that take part in answers", "once somebody asked for conflicts";
    Gauge KNOWLEDGE_SINGLE = "stemedb_knowledge_single_source_share", Ratio, [], "Part of the questions whose claims are all of one source", "once somebody asked for conflicts";
    Gauge KNOWLEDGE_UNSIGNED = "stemedb_knowledge_unsigned_share", Ratio, [], "Part of the claims that nobody signed", "once somebody asked for conflicts";
}

series! { SCRUB:
    Counter SCRUB_READ = "stemedb_scrub_read_bytes_total", Bytes, [], "Bytes read back and checked in the background";
    Counter SCRUB_FINDINGS = "stemedb_scrub_findings_total", Things, [], "Damage found by reading files back";
    Counter SCRUB_HEALED = "stemedb_scrub_healed_total", Things, [], "Of that, what was written again at once";
    Counter SCRUB_REREADS = "stemedb_scrub_rereads_total", Things, [], "Places that verified only when they were read once more";
    Counter SCRUB_TRANSIENT = "stemedb_scrub_transient_errors_total", Things, [], "Reads that the system refused at first";
    Gauge SCRUB_ROUND = "stemedb_scrub_round", Things, [], "Number of the present or last round";
    Gauge SCRUB_RUNNING = "stemedb_scrub_running", Flag, [], "1 while a round is under way";
    Gauge SCRUB_DONE = "stemedb_scrub_bytes_done", Bytes, [], "Bytes that the round has read";
    Gauge SCRUB_TOTAL = "stemedb_scrub_bytes_total", Bytes, [], "Bytes that the round has to read";
    Gauge SCRUB_LATE = "stemedb_scrub_late", Flag, [], "1 when the period cannot be kept at the pace that is allowed";
    Gauge SCRUB_LAST = "stemedb_scrub_last_full_round_timestamp_seconds", Seconds, [], "When every file had last been read; 0 if never";
}

series! { PROCESS:
    Gauge BUILD_INFO = "stemedb_build_info", Flag, ["version"], "1, with the program's version";
    Counter PROCESS_CPU = "process_cpu_seconds_total", Seconds, [], "Processor time of the process, its own and the system's for it", "where the system tells";
    Gauge PROCESS_RESIDENT = "process_resident_memory_bytes", Bytes, [], "Resident memory of the process", "where the system tells";
    Gauge PROCESS_VIRTUAL = "process_virtual_memory_bytes", Bytes, [], "Address space of the process", "where the system tells";
    Gauge PROCESS_FILES = "process_open_fds", Things, [], "Open files and sockets of the process", "where the system tells";
    Gauge PROCESS_FILES_MAX = "process_max_fds", Things, [], "How many it may have open", "where there is a limit";
    Gauge PROCESS_THREADS = "process_threads", Things, [], "Threads of the process", "where the system tells";
    Gauge PROCESS_START = "process_start_time_seconds", Seconds, [], "When the process began", "where the system tells";
}

/// The series of one cache of questions.
pub(super) struct CacheSeries {
    pub cache: &'static str,
    pub hits: Counter,
    pub misses: Counter,
    pub stale: Counter,
    pub entries: Gauge,
    pub bytes: Gauge,
    pub capacity: Gauge,
    pub hit_ratio: Gauge,
}

/// Declares the series of one cache.
macro_rules! cache {
    ($module:ident, $cache:literal) => {
        pub(super) mod $module {
            use super::super::series::{Counter, Gauge, Kind, Series, Unit, series};

            series! { LIST:
                Counter HITS = concat!("stemedb_cache_", $cache, "_hits_total"), Things, [], "Asked for, and given from memory", "with caches of questions";
                Counter MISSES = concat!("stemedb_cache_", $cache, "_misses_total"), Things, [], "Asked for, and not in memory", "with caches of questions";
                Counter STALE = concat!("stemedb_cache_", $cache, "_stale_total"), Things, [], "In memory, but not for the moment asked about", "with caches of questions";
                Gauge ENTRIES = concat!("stemedb_cache_", $cache, "_entries"), Things, [], "Values in memory", "with caches of questions";
                Gauge BYTES = concat!("stemedb_cache_", $cache, "_bytes"), Bytes, [], "What they hold", "with caches of questions";
                Gauge CAPACITY = concat!("stemedb_cache_", $cache, "_capacity_bytes"), Bytes, [], "What they may hold", "with caches of questions";
                Gauge HIT_RATIO = concat!("stemedb_cache_", $cache, "_hit_ratio"), Ratio, [], "Part that was given from memory, since open", "with caches of questions";
            }

            pub(in crate::metrics) const SERIES: super::CacheSeries = super::CacheSeries {
                cache: $cache,
                hits: HITS,
                misses: MISSES,
                stale: STALE,
                entries: ENTRIES,
                bytes: BYTES,
                capacity: CAPACITY,
                hit_ratio: HIT_RATIO,
            };
        }
    };
}

cache!(candidates, "candidates");
cache!(tallies, "tallies");
cache!(answers, "answers");

/// The caches, as [`stemedb_index::CacheStats::by_name`] names them.
pub(super) const CACHES: [CacheSeries; 3] = [candidates::SERIES, tallies::SERIES, answers::SERIES];

series! { BOARD:
    Gauge CACHE_BOARD = "stemedb_cache_board_bytes", Bytes, [], "What knows of changes", "with caches of questions";
}

/// Heading and series of each theme, in the order of the reference.
pub(super) static THEMES: [(&str, &[&Series]); 14] = [
    ("Requests, streams, jobs", HTTP),
    ("Storage", STORAGE),
    ("Commits", COMMIT),
    ("Journal", JOURNAL),
    ("Archiving of the journal", ARCHIVE),
    ("Following another server", STANDBY),
    ("View", TREE),
    ("Reading files back", SCRUB),
    ("Knowledge", KNOWLEDGE),
    ("Candidates of questions in memory", candidates::LIST),
    ("Tallies of claims in memory", tallies::LIST),
    ("Answers in memory", answers::LIST),
    ("Changes in memory", BOARD),
    ("Process", PROCESS),
];
