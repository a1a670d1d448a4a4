//! The files of a database, read and never written.

use std::path::Path;

use stemedb_api::{config::Settings, core::Micros};
use stemedb_env::{Env, OpenMode};
use stemedb_hybrid::Layout;
use stemedb_wal::inspect::{self, Finding as Seen};

use super::{Finding, Report, Runbook, paint};

/// A journal up to this size is read whole without being asked.
const JOURNAL_MAX_BYTES: u64 = 1 << 30;
/// Less free than this part of the disk is what `DiskSpaceWarning` alerts of.
const FREE_SHARE: f64 = 0.2;
/// Tables below the first are healthy, above the second compaction fails.
const TABLES: (usize, usize) = (100, 500);
/// How much of the end of the storage's log is read.
const LOG_TAIL_BYTES: u64 = 256 << 10;
/// Its errors that are older than this are over, in microseconds.
const LATELY_US: i64 = 60 * 60 * 1_000_000;

/// Looks at the folder.
pub(super) fn look(env: &Env, settings: &Settings, full: bool, report: &mut Report) {
    let dir = &settings.data_dir;
    report.looked_at(dir.display().to_string());
    let layout = Layout::of(dir);
    if let Err(finding) = is_database(env, &layout) {
        report.push(finding);
        return;
    }
    room(env, dir, report);
    names(env, &layout, report);
    journal(env, &layout, full, report);
    if let Some(log) = &settings.logs.storage_file {
        storage_log(env, log, report);
    }
}

fn is_database(env: &Env, layout: &Layout) -> Result<(), Finding> {
    let dir = layout.dir().display();
    let missing = |what: String| Finding::critical("folder", what, Runbook::ServerWontStart);
    match env.fs.list(layout.dir()) {
        Err(error) if error.is_not_found() => return Err(missing(format!("{dir} does not exist"))),
        Err(error) => return Err(missing(format!("{dir} cannot be read: {error}"))),
        Ok(entries) if entries.iter().all(|entry| entry.name == "lost+found") => {
            return Err(missing(format!("{dir} is empty: is its disk mounted?")));
        }
        Ok(_) => {}
    }
    let there =
        layout.identities().iter().filter(|path| matches!(env.fs.metadata(path), Ok(Some(_)))).count();
    match there {
        0 => Err(missing(format!("{dir} holds no database: it has no IDENTITY"))),
        _ => Ok(()),
    }
}

fn room(env: &Env, dir: &Path, report: &mut Report) {
    let Ok(space) = env.fs.space(dir) else { return };
    if space.total_bytes > 0 && (space.available_bytes as f64) < space.total_bytes as f64 * FREE_SHARE {
        let share = space.available_bytes as f64 / space.total_bytes as f64 * 100.0;
        let what = format!(
            "{} of {} are free ({share:.1} %)",
            paint::bytes(space.available_bytes),
            paint::bytes(space.total_bytes)
        );
        report.push(Finding::warning("disk_space", what, Runbook::DiskFull));
    }
}

/// What names alone tell.
fn names(env: &Env, layout: &Layout, report: &mut Report) {
    let list = |dir: &Path| env.fs.list(dir).unwrap_or_default();
    let aside: Vec<String> = list(layout.dir())
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| name.starts_with("kv.corrupted.") || name == "kv.salvaged" || name == "kv.old")
        .collect();
    if !aside.is_empty() {
        let what = format!("moved aside and ignored, remove it when nobody needs it: {}", aside.join(", "));
        report.push(Finding::warning("moved_aside", what, Runbook::HighStorageErrorRate));
    }
    let evidence = list(&layout.quarantine()).len();
    if evidence > 0 {
        let what = format!(
            "{} in quarantine: what was damaged and mended",
            paint::count(evidence as u64, "file", "files")
        );
        report.push(Finding::warning("quarantine", what, Runbook::HighStorageErrorRate));
    }
    let tables = list(&layout.kv()).iter().filter(|entry| entry.name.ends_with(".sst")).count();
    let what = format!("{tables} tables: compaction falls behind");
    if tables > TABLES.1 {
        report.push(Finding::critical("sst_files", what, Runbook::HighStorageErrorRate));
    } else if tables >= TABLES.0 {
        report.push(Finding::warning("sst_files", what, Runbook::HighStorageErrorRate));
    }
    if !matches!(env.fs.metadata(&layout.kv().join("CURRENT")), Ok(Some(_))) {
        let what = "there is no view: the next start derives it from the journal";
        report.push(Finding::warning("view", what, Runbook::HighStorageErrorRate));
    }
}

/// Reads the segments as `wal verify` does.
fn journal(env: &Env, layout: &Layout, full: bool, report: &mut Report) {
    let bytes: u64 =
        env.fs.list(&layout.wal()).unwrap_or_default().iter().map(|entry| entry.metadata.len).sum();
    if bytes > JOURNAL_MAX_BYTES && !full {
        let what = format!("{} of journal were not read: --full does, or `wal verify`", paint::bytes(bytes));
        report.push(Finding::info("journal", what, Runbook::RestoreFromBackup));
        return;
    }
    let (mut damage, mut gap) = (None, None);
    let sums = inspect::inspect(env, &layout.wal(), &[], &mut |seen| match seen {
        Seen::Damage(error) => {
            damage.get_or_insert_with(|| error.to_string());
        }
        Seen::Gap { first_segment, last_segment, recycled: false, first_lsn, last_lsn, .. }
            if last_lsn.is_none_or(|last| last >= *first_lsn) =>
        {
            gap.get_or_insert((*first_segment, *last_segment));
        }
        _ => {}
    });
    if let Err(error) = sums {
        damage.get_or_insert_with(|| error.to_string());
    }
    if let Some(what) = damage {
        report.push(Finding::critical("journal", format!("the journal: {what}"), Runbook::RestoreFromBackup));
    }
    if let Some((first, last)) = gap {
        let what = format!(
            "segments {first} to {last} of the journal are not here: tables that need them cannot be repaired until they are"
        );
        report.push(Finding::warning("journal_gaps", what, Runbook::RestoreFromBackup));
    }
}

/// The newest error that the storage's own log has of the last hour.
fn storage_log(env: &Env, path: &Path, report: &mut Report) {
    let Some(text) = tail(env, path) else { return };
    report.looked_at(path.display().to_string());
    if let Some((count, newest)) = errors(&text, env.clock.wall().0) {
        let what = format!("{count} errors in the last hour, the newest: {newest}");
        report.push(Finding::warning("storage_log", what, Runbook::HighStorageErrorRate));
    }
}

fn tail(env: &Env, path: &Path) -> Option<String> {
    let file = env.fs.open(path, OpenMode::Read).ok()?;
    let len = file.len().ok()?;
    let from = len.saturating_sub(LOG_TAIL_BYTES);
    let mut bytes = vec![0; usize::try_from(len - from).ok()?];
    let read = file.read_up_to_at(&mut bytes, from).ok()?;
    bytes.truncate(read);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// How many lines are errors of the last hour, and what the newest says.
fn errors(text: &str, now_us: i64) -> Option<(usize, String)> {
    let mut count = 0;
    let mut newest = None;
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let at = line["timestamp"].as_str().and_then(|at| Micros::parse_rfc3339(at).ok());
        if line["level"] == "ERROR" && at.is_some_and(|at| at.0 >= now_us - LATELY_US) {
            count += 1;
            newest = line["message"].as_str().map(str::to_owned);
        }
    }
    newest.map(|newest| (count, newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_last_hour_are_counted_and_the_newest_is_said() {
        let now = Micros::parse_rfc3339("2026-11-27T10:00:00Z").unwrap().0;
        let line = |at: &str, level: &str, what: &str| {
            format!("{{\"timestamp\":\"{at}\",\"level\":\"{level}\",\"message\":\"{what}\"}}\n")
        };
        let text = [
            "cut off at its front\"}\n".to_owned(),
            line("2026-11-27T08:59:59Z", "ERROR", "long ago"),
            line("2026-11-27T09:30:00.5Z", "ERROR", "first"),
            line("2026-11-27T09:31:00Z", "ERROR", "second"),
            line("2026-11-27T09:32:00Z", "INFO", "fine"),
        ];
        assert_eq!(errors(&text.concat(), now), Some((2, "second".to_owned())));
        assert_eq!(errors(&text[4], now), None);
    }
}
