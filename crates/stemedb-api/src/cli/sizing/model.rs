//! From figures to sizes. Every line of arithmetic is here, and `docs/operations/sizing.md` says it in words.

use serde::Serialize;

use super::figures::Figures;

const DAY_S: f64 = 86_400.0;
const MONTH_DAYS: f64 = 30.0;
const MIB: f64 = 1_048_576.0;
/// Kept for a full disk by journal and view, and files made ready for the journal (`docs/design/disk.md`).
const RESERVE_BYTES: f64 = 2.0 * 64.0 * MIB;
const SPARE_BYTES: f64 = 128.0 * MIB;
/// `[disk] low`: less free than this share, at most so much, is warned of.
const LOW_SHARE: f64 = 0.2;
const LOW_MOST_BYTES: f64 = 64.0 * 1024.0 * MIB;
/// One merge writes its tables before it removes those it has read: the last runs of a column, at most a third of the tables.
const MERGE_SHARE: f64 = 1.0 / 3.0;
/// Memtables: two that wait and one that is written, of 64 MiB each.
const MEMTABLES_BYTES: f64 = 3.0 * 64.0 * MIB;
/// `memory_mib` and `cache_mib` as they are built in: no advice is below them.
const MEMORY_LEAST_MIB: f64 = 320.0;
const CACHE_MIB: f64 = 64.0;
/// What waits for the journal, and bodies of requests (`max_in_flight_bytes`): on top of both.
const IN_FLIGHT_BYTES: f64 = 128.0 * MIB;
/// Processors that the figures of load were measured on, the generator's share included.
const LOAD_PROCESSORS: f64 = 2.0;
/// A processor that is busier than this has no room for a peak within a second.
const BUSY_MOST: f64 = 0.5;
/// Parts of a journal in a backup, and of an archived segment on its way.
const PART_BYTES: f64 = MIB;
const PIECE_BYTES: f64 = 8.0 * MIB;
const SEGMENT_BYTES: f64 = 64.0 * MIB;
const TABLE_BYTES: f64 = 32.0 * MIB;
/// What a start replays at most: memtables that no table has yet.
const REPLAY_BYTES: f64 = MEMTABLES_BYTES;

/// What is asked for.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Asked {
    pub claims: u64,
    pub asserts_per_day: u64,
    pub questions_per_second: u64,
    /// Days that the sizes must last.
    pub days: u64,
    /// Days of journal that stay on the disk once they are archived; `None`: all of them.
    pub retention_days: Option<u64>,
    /// How many times the average is the busiest second.
    pub peak: f64,
    /// Part of the tables whose blocks are asked for again and again.
    pub hot_percent: u64,
    pub connections: u64,
    pub backups_kept: u64,
    pub network_mib_s: u64,
}

/// What is needed for it.
#[derive(Clone, Debug, Serialize)]
pub struct Sizes {
    /// Claims at the end of the days.
    pub claims: u64,
    pub disk: Disk,
    pub memory: Memory,
    pub processors: Processors,
    pub io: Io,
    pub s3: S3,
    pub recovery: Recovery,
}

/// Bytes at the end of the days.
#[derive(Clone, Debug, Serialize)]
pub struct Disk {
    pub journal_bytes: u64,
    pub tables_bytes: u64,
    pub merge_bytes: u64,
    pub reserve_bytes: u64,
    pub used_bytes: u64,
    /// So large that nothing warns of the room.
    pub disk_bytes: u64,
    pub bytes_per_claim: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// What to put into `[storage] memory_mib`.
    pub memory_mib: u64,
    pub index_bytes: u64,
    pub hot_bytes: u64,
    /// What to put into `[storage] cache_mib`.
    pub cache_mib: u64,
    pub connections_bytes: u64,
    pub in_flight_bytes: u64,
    pub program_bytes: u64,
    pub total_bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Processors {
    pub questions: f64,
    pub asserts: f64,
    /// Whole ones, at least two: one for requests, one for merges.
    pub count: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Io {
    pub asserts_per_second_peak: f64,
    pub syncs_per_second_peak: f64,
    /// Slowest sync that a lone writer could bear at that rate, in milliseconds.
    pub sync_ms_at_most: f64,
    pub reads_per_second_peak: f64,
    pub written_bytes_per_second_peak: u64,
    pub written_bytes_per_day: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct S3 {
    pub archive_bytes: u64,
    pub backups_bytes: u64,
    pub total_bytes: u64,
    pub sent_bytes_per_month: u64,
    pub put_requests_per_month: u64,
    /// Every backup is restored to prove it.
    pub get_requests_per_month: u64,
    pub read_bytes_per_month: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Recovery {
    /// Starting after a crash.
    pub start_s: f64,
    /// The view again from the journal, while reads wait or a standby answers.
    pub rebuild_s: f64,
    /// A backup over the network onto an empty disk, and starting.
    pub restore_s: f64,
}

fn whole(value: f64) -> u64 {
    value.max(0.0).ceil() as u64
}

/// Computes them.
pub fn sizes(asked: &Asked, figures: &Figures) -> Sizes {
    let get = |name: &str| figures.get(name);
    let per_day = asked.asserts_per_day as f64;
    let claims = asked.claims as f64 + per_day * asked.days as f64;
    // What a claim takes on disk grows with the database a little: the slope between the two largest that were measured.
    let (table, journal) = (get("table_bytes_per_claim"), get("journal_bytes_per_claim"));
    let bytes_per_claim = match figures.is_of_here("table_bytes_per_claim") {
        true => table + journal,
        false => {
            (get("bytes_large") - get("bytes_small")) / (get("claims_large") - get("claims_small")).max(1.0)
        }
    };
    let table_share = table / (table + journal).max(1.0);
    let (table, journal) = (bytes_per_claim * table_share, bytes_per_claim * (1.0 - table_share));
    let journal_claims = match asked.retention_days {
        None => claims,
        Some(days) => claims.min(per_day * days as f64),
    };

    let tables_bytes = claims * table;
    let journal_bytes = journal_claims * journal + SPARE_BYTES;
    let merge_bytes = tables_bytes * MERGE_SHARE;
    let used = tables_bytes + journal_bytes + merge_bytes + RESERVE_BYTES;
    let disk_bytes = (used / (1.0 - LOW_SHARE)).min(used + LOW_MOST_BYTES);

    let index = claims * get("index_bytes_per_claim");
    let hot = tables_bytes * asked.hot_percent as f64 / 100.0;
    let memory_mib = ((MEMTABLES_BYTES + index + hot) / MIB).max(MEMORY_LEAST_MIB);
    let connections = asked.connections as f64 * get("connection_bytes");
    let program = get("server_memory_mib") * MIB;
    let total = (memory_mib + CACHE_MIB) * MIB + connections + IN_FLIGHT_BYTES + program;

    let asserts_peak = per_day / DAY_S * asked.peak;
    let questions = asked.questions_per_second as f64;
    let of_questions = questions * LOAD_PROCESSORS / get("questions_per_second").max(1.0);
    let of_asserts = asserts_peak * LOAD_PROCESSORS / get("asserts_per_second").max(1.0);
    let processors = ((of_questions + of_asserts) / BUSY_MOST).ceil().max(2.0);

    // Each lone assertion is a sync of its own; those that come together share one.
    let syncs = asserts_peak.min(get("lone_commits_per_second"));
    let plain = get("journal_plain_bytes_per_claim");
    let written_per_claim = plain + table * (1.0 + get("write_amplification"));
    let misses = 1.0 - (asked.hot_percent as f64 / 100.0).min(1.0);

    let archive = claims * journal;
    let daily_tables = per_day * table * (1.0 + get("write_amplification"));
    let kept = asked.backups_kept as f64;
    let backups = match asked.backups_kept {
        0 => 0.0,
        _ => tables_bytes + claims * plain + (kept - 1.0) * (daily_tables + per_day * plain),
    };
    let month_plain = per_day * MONTH_DAYS * plain;
    let month_packed = per_day * MONTH_DAYS * journal;
    let month_tables = daily_tables * MONTH_DAYS;
    let has_backups = f64::from(u8::from(asked.backups_kept > 0));
    // Two objects for a segment and its record, two for what describes a backup.
    let segments = month_plain / SEGMENT_BYTES;
    let archive_puts = (month_packed / PIECE_BYTES).ceil() + 2.0 * segments.ceil();
    let backup_puts = has_backups
        * ((month_plain / PART_BYTES).ceil() + (month_tables / PIECE_BYTES).ceil() + 2.0 * MONTH_DAYS);
    let proven = has_backups * (tables_bytes + claims * plain) * MONTH_DAYS;
    let gets = has_backups * (tables_bytes / TABLE_BYTES + claims * plain / PART_BYTES).ceil() * MONTH_DAYS;

    // What a start replays was loaded at least as fast as it is replayed: each entry is derived and put into memory again.
    let load_per_second = get("claims_large") / get("load_s_large").max(0.001);
    let start = (REPLAY_BYTES / table.max(1.0)).min(claims) / load_per_second;
    let network = asked.network_mib_s.max(1) as f64 * MIB;
    Sizes {
        claims: whole(claims),
        disk: Disk {
            journal_bytes: whole(journal_bytes),
            tables_bytes: whole(tables_bytes),
            merge_bytes: whole(merge_bytes),
            reserve_bytes: whole(RESERVE_BYTES),
            used_bytes: whole(used),
            disk_bytes: whole(disk_bytes),
            bytes_per_claim,
        },
        memory: Memory {
            memory_mib: whole(memory_mib),
            index_bytes: whole(index),
            hot_bytes: whole(hot),
            cache_mib: whole(CACHE_MIB),
            connections_bytes: whole(connections),
            in_flight_bytes: whole(IN_FLIGHT_BYTES),
            program_bytes: whole(program),
            total_bytes: whole(total),
        },
        processors: Processors { questions: of_questions, asserts: of_asserts, count: whole(processors) },
        io: Io {
            asserts_per_second_peak: asserts_peak,
            syncs_per_second_peak: syncs,
            sync_ms_at_most: if syncs > 0.0 { 1e3 / syncs } else { 0.0 },
            reads_per_second_peak: questions * misses * get("block_reads_per_question"),
            written_bytes_per_second_peak: whole(asserts_peak * written_per_claim),
            written_bytes_per_day: whole(per_day * written_per_claim),
        },
        s3: S3 {
            archive_bytes: whole(archive),
            backups_bytes: whole(backups),
            total_bytes: whole(archive + backups),
            sent_bytes_per_month: whole(month_packed + has_backups * (month_plain + month_tables)),
            put_requests_per_month: whole(archive_puts + backup_puts),
            get_requests_per_month: whole(gets),
            read_bytes_per_month: whole(proven),
        },
        recovery: Recovery {
            start_s: start,
            rebuild_s: claims / get("rebuild_claims_per_second").max(1.0),
            restore_s: (tables_bytes + claims * plain) / network + start,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked {
            claims: 10_000_000,
            asserts_per_day: 0,
            questions_per_second: 0,
            days: 365,
            retention_days: None,
            peak: 10.0,
            hot_percent: 10,
            connections: 0,
            backups_kept: 0,
            network_mib_s: 100,
        }
    }

    #[test]
    fn a_database_that_was_measured_is_computed_as_it_was_measured() {
        let figures = Figures::built_in().unwrap();
        let sizes = sizes(&asked(), &figures);
        let measured = figures.get("bytes_large");
        // The page counted a closed database: tables, journal, 64 MiB of the one reserve.
        let computed = (sizes.disk.tables_bytes + sizes.disk.journal_bytes) as f64 - SPARE_BYTES + 64.0 * MIB;
        assert!((computed / measured - 1.0).abs() < 0.05, "{computed} {measured}");
        // It asked 10 million claims with less memory than what is advised.
        assert!(sizes.memory.total_bytes > 382 << 20);
        assert_eq!((sizes.processors.count, sizes.s3.total_bytes), (2, sizes.s3.archive_bytes));
        assert!((sizes.recovery.rebuild_s - 10e6 / figures.get("rebuild_claims_per_second")).abs() < 1e-6);
    }

    #[test]
    fn more_of_anything_never_needs_less() {
        let figures = Figures::built_in().unwrap();
        let base = Asked {
            asserts_per_day: 100_000,
            questions_per_second: 100,
            connections: 100,
            backups_kept: 7,
            ..asked()
        };
        let before = sizes(&base, &figures);
        let all = |sizes: &Sizes| {
            [
                sizes.disk.disk_bytes,
                sizes.memory.total_bytes,
                sizes.processors.count,
                sizes.io.written_bytes_per_day,
                sizes.s3.total_bytes,
                sizes.s3.put_requests_per_month,
            ]
        };
        for more in [
            Asked { claims: base.claims * 10, ..base },
            Asked { asserts_per_day: base.asserts_per_day * 100, ..base },
            Asked { questions_per_second: 100_000, ..base },
            Asked { days: 3650, ..base },
            Asked { connections: 8192, ..base },
            Asked { backups_kept: 30, ..base },
            Asked { hot_percent: 100, ..base },
        ] {
            let after = sizes(&more, &figures);
            let (small, large) = (all(&before), all(&after));
            assert!(small.iter().zip(&large).all(|(small, large)| small <= large), "{small:?} {large:?}");
            assert_ne!(small, large, "{more:?} changes nothing");
        }
        let kept = sizes(&Asked { retention_days: Some(30), ..base }, &figures);
        assert!(kept.disk.journal_bytes < before.disk.journal_bytes);
        assert_eq!(kept.s3.archive_bytes, before.s3.archive_bytes);
    }
}
