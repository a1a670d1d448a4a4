//! What the engine counts, read when metrics are asked for.

use stemedb_hybrid::{ScrubStatus, Stats};

use super::{exposition::Exposition, table::*};
use crate::database::{Database, KnowledgeReport};

/// Writes everything that the engine and the database say of themselves.
pub(super) fn write(out: &mut Exposition, database: &Database) {
    let (stats, health) = (database.stats(), database.health());
    tree(out, &stats.lsm);
    journal(out, database, &stats);
    commits(out, database, &stats);
    storage(out, &stats);
    out.gauge(FLUSHED, health.flushed.0 as f64);
    out.flag(READY, health.is_ready());
    if let Some(stats) = database.cache_stats() {
        super::caches::write(out, &stats);
    }
    archive(out, database);
    standby(out, database);
    knowledge(out, &database.knowledge_report());
    scrub(out, &stats.scrub);
    if let Some(watches) = database.watches_counted() {
        out.gauge(WATCHES, watches as f64);
    }
}

fn tree(out: &mut Exposition, lsm: &stemedb_lsm::Stats) {
    out.gauge(SST_FILES, lsm.sst_file_count as f64);
    out.gauge(TREE_BYTES, lsm.total_bytes as f64);
    out.gauge(PENDING_COMPACTION, lsm.pending_compaction_bytes as f64);
    out.gauge(MEMTABLE, lsm.memtable_bytes as f64);
    let memory = &lsm.memory;
    out.gauge(MEMORY_BUDGET, memory.budget_bytes as f64);
    out.gauge(MEMORY, memory.total_bytes() as f64);
    out.gauge(MEMORY_PEAK, memory.peak_bytes as f64);
    out.gauge(BUFFER_MEMORY, memory.buffer_bytes as f64);
    out.gauge(PINNED_MEMORY, (memory.pinned_bytes + memory.pinned_memtable_bytes) as f64);
    out.gauge(INDEX_MEMORY, lsm.index_memory_bytes as f64);
    out.gauge(CACHE_MEMORY, lsm.cache_memory_bytes as f64);
    out.gauge(DAMAGED_TABLES, lsm.damaged_tables as f64);
    out.counter(BLOCK_READS, lsm.block_reads);
    out.counter(CACHE_HITS, lsm.cache_hits);
    out.counter(CACHE_MISSES, lsm.cache_misses);
    out.counter(FLUSHES, lsm.flushes);
    out.counter(FLUSH_BYTES, lsm.flush_bytes);
    out.counter(COMPACTIONS, lsm.compactions);
    out.counter(COMPACTION_BYTES, lsm.compaction_bytes);
    let seconds = lsm.compaction_time.as_secs_f64();
    out.counter_f64(COMPACTION_SECONDS, seconds);
    out.power_of_two_histogram(COMPACTION_DURATION, &lsm.compaction_buckets, seconds, 1e-6);
    out.gauge(WRITE_AMPLIFICATION, lsm.write_amplification);
    out.counter_f64(APPLY_WAIT, lsm.apply_wait_time.as_secs_f64());
}

fn journal(out: &mut Exposition, database: &Database, stats: &Stats) {
    let journal = &stats.journal;
    if let Some((segments, bytes)) = journal_files(database) {
        out.gauge(WAL_DISK_USAGE, bytes as f64);
        out.gauge(WAL_SEGMENTS, segments as f64);
    }
    let (sync, group) = (&journal.sync_us, &journal.group_entries);
    out.power_of_two_histogram(WAL_FSYNC, &sync.buckets, sync.sum as f64 / 1e6, 1e-6);
    out.power_of_two_histogram(WAL_BATCH, &group.buckets, group.sum as f64, 1.0);
    out.counter(WAL_FSYNCS, journal.syncs);
    out.counter(WAL_FSYNC_ERRORS, journal.failed_syncs);
    out.counter(WAL_REWRITES, journal.rewrites);
    out.counter(WAL_READ_ONLY, journal.gave_up);
    out.gauge(WAL_SYNC_IN_PROGRESS, journal.writing_for_us as f64 / 1e6);
    out.counter(WAL_WRITTEN, journal.file_bytes);
    out.counter(WAL_STUCK, stats.stuck_syncs);
}

fn commits(out: &mut Exposition, database: &Database, stats: &Stats) {
    let wait = &stats.commit.wait_us;
    out.power_of_two_histogram(LOCK_WAIT, &wait.buckets, wait.sum as f64 / 1e6, 1e-6);
    out.gauge(QUEUE_BYTES, stats.commit.queued_bytes as f64);
    out.counter(TIMED_OUT, stats.commit.timed_out);
    out.counter(OVERLOADED, stats.commit.overloaded);
    out.counter(DEADLOCKS, stats.deadlocks);
    out.gauge(STALLED, database.engine().commit_progress().stalled_for.as_secs_f64());
}

fn storage(out: &mut Exposition, stats: &Stats) {
    out.counter(FULL_REFUSALS, stats.refused_for_room);
    if let Some(space) = &stats.space {
        out.gauge(AVAILABLE, space.available_bytes as f64);
        out.gauge(SIZE, space.total_bytes as f64);
        out.gauge(REFUSES_BELOW, space.refuses_below_bytes as f64);
    }
    out.counter(FALLBACK_READS, stats.fallback_reads);
    out.gauge(DURABLE, stats.durable.0 as f64);
    out.gauge(PUBLISHED, stats.published.0 as f64);
}

/// The continuous archiving of the journal; zeros where it is off, so that a rule can name the series.
fn archive(out: &mut Exposition, database: &Database) {
    let status = database.archive_status();
    out.flag(ARCHIVE_ON, status.is_on);
    out.gauge(ARCHIVE_EPOCH, status.epoch.unwrap_or(0) as f64);
    out.flag(ARCHIVE_FENCED, database.role().fenced().is_some());
    out.gauge(ARCHIVE_LSN, status.lsn.0 as f64);
    out.gauge(ARCHIVE_LAG, status.lag.as_secs_f64());
    out.counter(ARCHIVE_RANGES, status.ranges);
    out.counter(ARCHIVE_SENT, status.sent_bytes);
    out.counters(ARCHIVE_REQUESTS, &status.requests);
    out.counter(ARCHIVE_ERRORS, status.errors);
}

fn standby(out: &mut Exposition, database: &Database) {
    let status = database.standby_status();
    let lsn = if status.is_standby { database.published_lsn().0 } else { 0 };
    out.flag(STANDBY_ON, status.is_standby);
    out.gauge(STANDBY_LSN, lsn as f64);
    out.gauge(STANDBY_LAG, status.lag.as_secs_f64());
    out.gauge(STANDBY_AGE, status.archive_age.unwrap_or_default().as_secs_f64());
    out.counter(STANDBY_ENTRIES, status.entries);
    out.counter(STANDBY_ERRORS, status.errors);
}

/// How all questions stood when somebody last asked for conflicts. Before that only that nobody has.
fn knowledge(out: &mut Exposition, report: &KnowledgeReport) {
    out.flag(KNOWLEDGE_READY, report.knowledge.is_some());
    out.gauge(KNOWLEDGE_BUILDING, report.building.as_ref().map_or(0.0, |progress| progress.claims as f64));
    let Some((knowledge, lsn)) = &report.knowledge else { return };
    out.gauge(KNOWLEDGE_LSN, lsn.0 as f64);
    out.gauge(KNOWLEDGE_QUESTIONS, knowledge.questions as f64);
    out.gauge(KNOWLEDGE_CONFLICTS, knowledge.contested as f64);
    out.gauge(KNOWLEDGE_AGREED, knowledge.agreed as f64);
    out.gauge(KNOWLEDGE_UNANIMOUS, knowledge.unanimous as f64);
    out.gauge(KNOWLEDGE_CLAIMS, knowledge.claims as f64);
    out.gauge(KNOWLEDGE_SINGLE, knowledge.single_source_share());
    out.gauge(KNOWLEDGE_UNSIGNED, knowledge.unsigned_share());
}

/// The reading of every file.
fn scrub(out: &mut Exposition, scrub: &ScrubStatus) {
    out.counter(SCRUB_READ, scrub.bytes_read);
    out.counter(SCRUB_FINDINGS, scrub.findings);
    out.counter(SCRUB_HEALED, scrub.healed);
    out.counter(SCRUB_REREADS, scrub.rereads);
    out.counter(SCRUB_TRANSIENT, scrub.transient_errors);
    out.gauge(SCRUB_ROUND, scrub.round as f64);
    out.flag(SCRUB_RUNNING, scrub.running);
    out.gauge(SCRUB_DONE, scrub.bytes_done as f64);
    out.gauge(SCRUB_TOTAL, scrub.bytes_total as f64);
    out.flag(SCRUB_LATE, scrub.late);
    out.gauge(SCRUB_LAST, scrub.last_full_round.map_or(0.0, |at| at.0 as f64 / 1e6));
}

/// Number and bytes of the journal's segments; `None` when the folder cannot be listed.
pub(crate) fn journal_files(database: &Database) -> Option<(u64, u64)> {
    let entries = database.env().fs.list(&database.engine().layout().wal()).ok()?;
    let files = entries.iter().filter(|entry| !entry.metadata.is_dir);
    let segments = entries.iter().filter(|entry| entry.name.contains(".wal")).count();
    Some((segments as u64, files.map(|entry| entry.metadata.len).sum()))
}
