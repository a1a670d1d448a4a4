//! How the storage is, in one reply: figures, and what they mean.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use stemedb_hybrid::Stats;

use crate::{
    http::{App, Problem, params::Params, reply},
    metrics::journal_files,
    store_helpers::Operation,
};

/// Tables below this are healthy, above the other compaction fails.
const SST_FILES: (f64, f64) = (100.0, 500.0);
/// Bytes that merges have before them: compaction lags from here on.
const PENDING_BYTES: f64 = 10e9;
/// Bytes written per byte applied.
const WRITE_AMPLIFICATION: f64 = 10.0;
/// Part of the storage operations that fail: an alert, and a reason to escalate.
const ERROR_RATE: (f64, f64) = (0.01, 0.1);
/// Part of the disk that is free: a warning.
const FREE_SHARE: f64 = 0.2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Healthy,
    Warning,
    Failing,
}

/// A figure beside its thresholds.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    value: f64,
    /// Healthy on this side of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy_below: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy_from: Option<f64>,
    /// Beyond this something fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_above: Option<f64>,
    verdict: Verdict,
}

impl Check {
    /// Healthy below the first, failing above the second.
    fn above(name: &'static str, value: f64, healthy_below: f64, failing_above: Option<f64>) -> Check {
        let verdict = match failing_above {
            Some(failing) if value > failing => Verdict::Failing,
            _ if value >= healthy_below => Verdict::Warning,
            _ => Verdict::Healthy,
        };
        Check { name, value, healthy_below: Some(healthy_below), healthy_from: None, failing_above, verdict }
    }

    /// Healthy from here on.
    fn at_least(name: &'static str, value: f64, healthy_from: f64) -> Check {
        let verdict = if value < healthy_from { Verdict::Warning } else { Verdict::Healthy };
        let healthy_from = Some(healthy_from);
        Check { name, value, healthy_below: None, healthy_from, failing_above: None, verdict }
    }

    /// Healthy or failing, nothing between.
    fn flag(name: &'static str, fails: bool) -> Check {
        Check::above(name, f64::from(u8::from(fails)), 1.0, Some(0.0))
    }
}

#[derive(Serialize)]
struct StatsJson {
    sst_file_count: usize,
    total_bytes: u64,
    pending_compaction_bytes: u64,
    index_memory_bytes: u64,
    cache_memory_bytes: u64,
    memtable_bytes: u64,
    write_amplification: f64,
    damaged_tables: usize,
    /// The worst of the checks.
    verdict: Verdict,
    checks: Vec<Check>,
    levels: Vec<LevelJson>,
    memory: MemoryJson,
    flushes: WorkJson,
    compactions: CompactionsJson,
    reads: ReadsJson,
    journal: JournalJson,
    commits: CommitsJson,
    operations: Vec<OperationJson>,
}

#[derive(Serialize)]
struct LevelJson {
    level: usize,
    files: usize,
    bytes: u64,
    target_bytes: u64,
}

#[derive(Serialize)]
struct MemoryJson {
    budget_bytes: u64,
    total_bytes: u64,
    peak_bytes: u64,
    memtable_bytes: u64,
    table_bytes: u64,
    cached_bytes: u64,
    buffer_bytes: u64,
    pinned_bytes: u64,
}

#[derive(Serialize)]
struct WorkJson {
    count: u64,
    written_bytes: u64,
    waiting_memtables: usize,
}

#[derive(Serialize)]
struct CompactionsJson {
    count: u64,
    moves: u64,
    read_bytes: u64,
    written_bytes: u64,
    seconds: f64,
    /// The latest, oldest first.
    recent_ms: Vec<u64>,
    /// Writers are slowed down from 0.5 on and stop at 1.
    load_score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_bytes_per_s: Option<u64>,
}

#[derive(Serialize)]
struct ReadsJson {
    block_reads: u64,
    cache_hits: u64,
    cache_misses: u64,
    fallback_reads: u64,
    healed_blocks: u64,
    failed_healings: u64,
}

#[derive(Serialize)]
struct JournalJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    syncs: u64,
    failed_syncs: u64,
    written_bytes: u64,
    durable_lsn: u64,
    published_lsn: u64,
    flushed_lsn: u64,
    repair_floor_lsn: u64,
}

#[derive(Serialize)]
struct CommitsJson {
    groups: u64,
    requests: u64,
    queued_bytes: u64,
    overloaded: u64,
    timed_out: u64,
    refused_for_room: u64,
    stuck_syncs: u64,
    deadlocks: u64,
    stalled_ms: u64,
}

#[derive(Serialize)]
struct OperationJson {
    operation: &'static str,
    total: u64,
    errors: u64,
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn checks(app: &App, stats: &Stats) -> Vec<Check> {
    let lsm = &stats.lsm;
    let health = app.database.health();
    let (operations, errors) = app.metrics.recent_operations(app.database.env().clock.monotonic());
    let error_rate = if operations == 0 { 0.0 } else { errors as f64 / operations as f64 };
    let mut checks = vec![
        Check::above("sst_file_count", lsm.sst_file_count as f64, SST_FILES.0, Some(SST_FILES.1)),
        Check::above("pending_compaction_bytes", lsm.pending_compaction_bytes as f64, PENDING_BYTES, None),
        Check::above("write_amplification", lsm.write_amplification, WRITE_AMPLIFICATION, None),
        Check::above("error_rate_5m", error_rate, ERROR_RATE.0, Some(ERROR_RATE.1)),
        Check::flag("damaged_tables", lsm.damaged_tables > 0),
        Check::flag("not_readable", !health.readable),
        Check::flag("not_writable", health.read_only.is_some()),
        Check::flag("stalled", health.stall.is_some()),
    ];
    if let Some(space) = &stats.space
        && space.total_bytes > 0
    {
        let share = space.available_bytes as f64 / space.total_bytes as f64;
        checks.push(Check::at_least("disk_free_share", share, FREE_SHARE));
    }
    checks
}

fn json(app: &App) -> StatsJson {
    let stats = app.database.stats();
    let health = app.database.health();
    let checks = checks(app, &stats);
    let (lsm, journal) = (&stats.lsm, &stats.journal);
    let files = journal_files(&app.database);
    let level = |(level, stats): (usize, &stemedb_lsm::LevelStats)| LevelJson {
        level,
        files: stats.files,
        bytes: stats.bytes,
        target_bytes: stats.target_bytes,
    };
    let memory = &lsm.memory;
    StatsJson {
        sst_file_count: lsm.sst_file_count,
        total_bytes: lsm.total_bytes,
        pending_compaction_bytes: lsm.pending_compaction_bytes,
        index_memory_bytes: lsm.index_memory_bytes,
        cache_memory_bytes: lsm.cache_memory_bytes,
        memtable_bytes: lsm.memtable_bytes,
        write_amplification: lsm.write_amplification,
        damaged_tables: lsm.damaged_tables,
        verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Healthy),
        checks,
        levels: lsm.levels.iter().enumerate().map(level).collect(),
        memory: MemoryJson {
            budget_bytes: memory.budget_bytes,
            total_bytes: memory.total_bytes(),
            peak_bytes: memory.peak_bytes,
            memtable_bytes: memory.active_memtable_bytes + memory.sealed_memtable_bytes,
            table_bytes: memory.table_bytes,
            cached_bytes: memory.cached_bytes,
            buffer_bytes: memory.buffer_bytes,
            pinned_bytes: memory.pinned_bytes + memory.pinned_memtable_bytes,
        },
        flushes: WorkJson {
            count: lsm.flushes,
            written_bytes: lsm.flush_bytes,
            waiting_memtables: lsm.sealed_memtables,
        },
        compactions: CompactionsJson {
            count: lsm.compactions,
            moves: lsm.moves,
            read_bytes: lsm.compaction_read_bytes,
            written_bytes: lsm.compaction_bytes,
            seconds: lsm.compaction_time.as_secs_f64(),
            recent_ms: lsm.recent_compactions.iter().copied().map(ms).collect(),
            load_score: lsm.load_score,
            rate_bytes_per_s: lsm.compaction_rate,
        },
        reads: ReadsJson {
            block_reads: lsm.block_reads,
            cache_hits: lsm.cache_hits,
            cache_misses: lsm.cache_misses,
            fallback_reads: stats.fallback_reads,
            healed_blocks: lsm.healed_blocks,
            failed_healings: lsm.failed_healings,
        },
        journal: JournalJson {
            segments: files.map(|(segments, _)| segments),
            bytes: files.map(|(_, bytes)| bytes),
            syncs: journal.syncs,
            failed_syncs: journal.failed_syncs,
            written_bytes: journal.file_bytes,
            durable_lsn: stats.durable.0,
            published_lsn: stats.published.0,
            flushed_lsn: health.flushed.0,
            repair_floor_lsn: health.repair_floor.0,
        },
        commits: CommitsJson {
            groups: stats.commit.groups,
            requests: stats.commit.requests,
            queued_bytes: stats.commit.queued_bytes,
            overloaded: stats.commit.overloaded,
            timed_out: stats.commit.timed_out,
            refused_for_room: stats.refused_for_room,
            stuck_syncs: stats.stuck_syncs,
            deadlocks: stats.deadlocks,
            stalled_ms: ms(app.database.engine().commit_progress().stalled_for),
        },
        operations: Operation::ALL
            .iter()
            .map(|operation| {
                let (total, errors) = app.metrics.operations_so_far(*operation);
                OperationJson { operation: operation.name(), total, errors }
            })
            .collect(),
    }
}

/// `GET /v1/admin/storage/stats`
pub(in crate::http) async fn stats(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    let lsn = app.database.published_lsn();
    let this = app.clone();
    // The journal's folder is listed.
    let json = app.storage.run(Operation::Get, move |_| Ok(json(&this))).await?;
    reply::json(StatusCode::OK, Some(lsn), &json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_the_thresholds() {
        let files = |count| Check::above("f", count, SST_FILES.0, Some(SST_FILES.1)).verdict;
        assert_eq!(files(99.0), Verdict::Healthy);
        assert_eq!(files(100.0), Verdict::Warning);
        assert_eq!(files(500.0), Verdict::Warning);
        assert_eq!(files(501.0), Verdict::Failing);
        assert_eq!(Check::at_least("free", 0.19, FREE_SHARE).verdict, Verdict::Warning);
        assert_eq!(Check::at_least("free", 0.2, FREE_SHARE).verdict, Verdict::Healthy);
        assert_eq!(Check::flag("bad", true).verdict, Verdict::Failing);
        assert_eq!(Check::flag("bad", false).verdict, Verdict::Healthy);
        assert!(Verdict::Healthy < Verdict::Warning && Verdict::Warning < Verdict::Failing);
    }
}
