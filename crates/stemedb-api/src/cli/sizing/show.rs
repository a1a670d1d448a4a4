//! Sizes for people.

use std::io::{self, Write};

use super::{
    figures::Figures,
    model::{Asked, Sizes},
};
use crate::cli::paint::{self, STRONG, bytes, left, right, thousands};

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.1} s"),
        s if s < 5_400.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

/// Prints a table, and where its figures come from.
pub fn print(out: &mut impl Write, asked: &Asked, sizes: &Sizes, figures: &Figures) -> io::Result<()> {
    let Sizes { claims, disk, memory, processors, io, s3, recovery } = sizes;
    writeln!(
        out,
        "{} claims now, {} more a day for {} days: {}; {} questions a second",
        thousands(asked.claims),
        thousands(asked.asserts_per_day),
        thousands(asked.days),
        thousands(*claims),
        thousands(asked.questions_per_second)
    )?;
    let mut section = |title: &str, lines: &[(&str, String, String)]| -> io::Result<()> {
        writeln!(out, "\n{}", paint::paint(STRONG, title))?;
        for (name, value, note) in lines {
            let line = format!("  {}{}  {note}", left(name, 24), right(value, 12));
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    };
    let note = |text: &str| text.to_owned();
    let journal = match asked.retention_days {
        None => note("all of it, packed, and files made ready"),
        Some(days) => format!("{days} days of it, packed, and files made ready"),
    };
    section(
        "disk",
        &[
            (
                "tables and indexes",
                bytes(disk.tables_bytes),
                format!("{:.0} bytes a claim with the journal", disk.bytes_per_claim),
            ),
            ("journal", bytes(disk.journal_bytes), journal),
            ("one merge", bytes(disk.merge_bytes), note("a third of the tables, for a while")),
            ("reserve", bytes(disk.reserve_bytes), note("kept for a full disk")),
            ("size of the disk", bytes(disk.disk_bytes), note("nothing warns of the room")),
        ],
    )?;
    section(
        "memory",
        &[
            (
                "memory_mib",
                thousands(memory.memory_mib),
                format!(
                    "memtables, {} of indexes, {} of hot blocks",
                    bytes(memory.index_bytes),
                    bytes(memory.hot_bytes)
                ),
            ),
            ("cache_mib", thousands(memory.cache_mib), note("questions that were asked before")),
            (
                "connections",
                bytes(memory.connections_bytes),
                format!("{} of them", thousands(asked.connections)),
            ),
            (
                "requests under way",
                bytes(memory.in_flight_bytes),
                note("bodies, and what waits for the journal"),
            ),
            ("the program", bytes(memory.program_bytes), note("under load")),
            ("in all", bytes(memory.total_bytes), String::new()),
        ],
    )?;
    section(
        "processors",
        &[
            ("questions", format!("{:.2}", processors.questions), String::new()),
            (
                "assertions",
                format!("{:.2}", processors.asserts),
                format!("{:.1} a second in the busiest", io.asserts_per_second_peak),
            ),
            ("processors", thousands(processors.count), note("half of each is for peaks")),
        ],
    )?;
    section(
        "disk, a second",
        &[
            (
                "syncs",
                format!("{:.0}", io.syncs_per_second_peak),
                format!("one at most {:.1} ms, if one client writes", io.sync_ms_at_most),
            ),
            ("reads", format!("{:.0}", io.reads_per_second_peak), note("of blocks that are not hot")),
            (
                "written",
                bytes(io.written_bytes_per_second_peak),
                format!("{} a day", bytes(io.written_bytes_per_day)),
            ),
        ],
    )?;
    section(
        "S3",
        &[
            ("archive", bytes(s3.archive_bytes), note("every segment, packed")),
            ("backups", bytes(s3.backups_bytes), format!("{} of them", thousands(asked.backups_kept))),
            ("in all", bytes(s3.total_bytes), String::new()),
            (
                "sent a month",
                bytes(s3.sent_bytes_per_month),
                format!("{} PUT", thousands(s3.put_requests_per_month)),
            ),
            (
                "read a month",
                bytes(s3.read_bytes_per_month),
                format!(
                    "{} GET: a daily backup is restored to prove it",
                    thousands(s3.get_requests_per_month)
                ),
            ),
        ],
    )?;
    section(
        "until it answers again",
        &[
            ("start after a crash", time(recovery.start_s), note("at most")),
            ("view from the journal", time(recovery.rebuild_s), note("lost tables, journal at hand")),
            (
                "restore",
                time(recovery.restore_s),
                format!("lost disk, {} MiB/s from the backups", thousands(asked.network_mib_s)),
            ),
        ],
    )?;
    let mut pages: Vec<&str> = figures.iter().map(|figure| figure.page.as_str()).collect();
    pages.sort_unstable();
    pages.dedup();
    let here = super::figures::HERE;
    let named: Vec<String> = pages
        .iter()
        .map(|page| if *page == here { here.to_owned() } else { format!("docs/benchmarks/{page}.md") })
        .collect();
    writeln!(out)?;
    for line in paint::wrap(named.iter().map(String::as_str), ", ", 68) {
        writeln!(out, "measured: {line}")?;
    }
    Ok(())
}
