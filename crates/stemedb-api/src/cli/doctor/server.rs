//! What a running server says of itself.

use std::time::Duration;

use serde_json::Value;
use stemedb_api::core::Micros;
use stemedb_env::Env;

use super::{Client, Failure, Finding, Report, Runbook, ServerUrl, Severity, paint, scrape, series::Series};
use crate::cli::client::ClientError;

/// Events that are older than this are over.
const LATELY: Duration = Duration::from_secs(60 * 60);
/// Before so much was written one forced compaction makes the write amplification large.
const ENOUGH_WRITTEN: u64 = 256 << 20;

/// Asks the server; false if it does not answer. `between` is the time between two looks at its counters.
pub(super) fn look(
    env: &Env,
    url: &ServerUrl,
    between: Duration,
    report: &mut Report,
) -> Result<bool, Failure> {
    report.looked_at(url.to_string());
    let mut client = Client::new(url)?;
    let health = match client.get("/v1/health") {
        Ok(body) => parsed(&body),
        Err(ClientError::Connection(cause)) => {
            report.push(Finding::critical("server", cause, Runbook::ServerWontStart));
            return Ok(false);
        }
        Err(ClientError::Refused(refusal)) => {
            let text = format!("it does not say how it is: {refusal}");
            report.push(Finding::critical("server", text, Runbook::HighStorageErrorRate));
            return Ok(true);
        }
    };
    let metrics = |client: &mut Client| match client.get("/metrics") {
        Ok(body) => String::from_utf8_lossy(&body).into_owned(),
        Err(_) => String::new(),
    };
    let earlier = (!between.is_zero()).then(|| metrics(&mut client));
    judge_health(&health, report);
    if let Err(ClientError::Refused(refusal)) = client.get("/readyz") {
        let text = format!("load balancers send nothing here: {refusal}");
        let runbook = match health["writable"] == false {
            true => cause_of_refusing(&health),
            false => Runbook::HighStorageErrorRate,
        };
        report.push(Finding::warning("ready", text, runbook));
    }
    ask_admin(env, &mut client, report);
    if earlier.is_some() {
        env.clock.sleep(between);
    }
    let now = metrics(&mut client);
    let earlier = earlier.as_deref().map(Series::parse);
    scrape::judge(earlier.as_ref(), &Series::parse(&now), report);
    Ok(true)
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Which page is about writes that are refused.
fn cause_of_refusing(health: &Value) -> Runbook {
    match text(&health["space"]["level"]) {
        "full" => Runbook::DiskFull,
        _ if health["stall"].is_object() => Runbook::SlowFsync,
        // A journal that accepts nothing until its disk answers; a view that is behind says that it is not healthy.
        _ if text(&health["views"][0]["state"]) == "healthy" => Runbook::WalFsyncFailure,
        _ => Runbook::HighStorageErrorRate,
    }
}

fn judge_health(health: &Value, report: &mut Report) {
    if health["readable"] == false {
        let text = format!("reads are refused: {}", text(&health["primary"]));
        report.push(Finding::critical("readable", text, Runbook::HighStorageErrorRate));
    }
    if health["writable"] == false {
        let why = format!("writes are refused: {}", text(&health["refusing_writes"]));
        report.push(Finding::critical("writable", why, cause_of_refusing(health)));
    }
    let stall = &health["stall"];
    if stall.is_object() {
        let file = text(&stall["file"]);
        let what =
            format!("{} {file} has not returned for {} ms", text(&stall["kind"]), number(&stall["for_ms"]));
        report.push(Finding::critical("stall", what, Runbook::SlowFsync));
    }
    let space = &health["space"];
    let room = format!(
        "{} of {} are free, writes are refused below {}",
        paint::bytes(number(&space["available_bytes"])),
        paint::bytes(number(&space["total_bytes"])),
        paint::bytes(number(&space["refuses_below_bytes"]))
    );
    match text(&space["level"]) {
        "full" => report.push(Finding::critical("disk_space", room, Runbook::DiskFull)),
        "low" | "scarce" => report.push(Finding::warning("disk_space", room, Runbook::DiskFull)),
        _ => {}
    }
    for view in health["views"].as_array().into_iter().flatten() {
        let (name, state) = (text(&view["name"]), text(&view["state"]));
        let severity = match (name, state) {
            (_, "healthy") => continue,
            ("primary", "failed") => Severity::Critical,
            _ => Severity::Warning,
        };
        let progress = match &view["progress"] {
            Value::Object(at) => {
                format!(", {} of {} entries", number(&at["done_lsn"]), number(&at["end_lsn"]))
            }
            _ => String::new(),
        };
        let what = format!("the {name} view is {state}{progress} {}", text(&view["cause"]));
        let check = if name == "primary" { "primary_view" } else { "fallback_view" };
        report.push(Finding::new(severity, check, what.trim_end(), Runbook::HighStorageErrorRate));
    }
    let floor = number(&health["repair_floor_lsn"]);
    if floor > 1 {
        let what = format!(
            "the journal has nothing before LSN {floor} here: tables of that cannot be repaired from it"
        );
        report.push(Finding::info("journal_floor", what, Runbook::RestoreFromBackup));
    }
    if let Some(stuck) = health["upgrade"]["stuck"].as_str() {
        let what = format!("the view of this version cannot be built: {stuck}");
        report.push(Finding::critical("upgrade", what, Runbook::ServerWontStart));
    }
    judge_scrub(&health["scrub"], report);
}

fn judge_scrub(scrub: &Value, report: &mut Report) {
    let (findings, healed) = (number(&scrub["findings"]), number(&scrub["healed"]));
    if findings > healed {
        let what = format!(
            "reading everything back found {findings} damaged places, {healed} of them written again"
        );
        report.push(Finding::warning("scrub", what, Runbook::HighStorageErrorRate));
    } else if number(&scrub["transient_errors"]) > 0 {
        let errors = number(&scrub["transient_errors"]);
        let what = format!("{errors} reads were refused by the disk at first: look at its health");
        report.push(Finding::warning("scrub", what, Runbook::HighStorageErrorRate));
    } else if scrub["late"] == true {
        let what = "reading everything back does not come round in its time";
        report.push(Finding::info("scrub", what, Runbook::HighStorageErrorRate));
    }
}

/// What the admin plane knows. Where it asks for a key that is not there, that is said and the rest goes on.
fn ask_admin(env: &Env, client: &mut Client, report: &mut Report) {
    let mut ask = |path: &str| match client.get(path) {
        Ok(body) => Some(Ok(parsed(&body))),
        Err(ClientError::Refused(refusal)) => Some(Err(refusal)),
        Err(ClientError::Connection(_)) => None,
    };
    match ask("/v1/admin/storage/stats") {
        Some(Ok(stats)) => judge_stats(&stats, report),
        Some(Err(refusal)) if matches!(refusal.status, 401 | 403) => {
            let what = "the admin plane was not asked: put an admin key into STEMEDB_API_KEY or STEMEDB_API_KEY_FILE";
            report.push(Finding::info("admin", what, Runbook::ServerWontStart));
            return;
        }
        _ => return,
    }
    if let Some(Ok(events)) = ask("/v1/admin/storage/events") {
        judge_events(&events, env.clock.wall().0, report);
    }
    match ask("/v1/admin/backup/status") {
        Some(Ok(status)) if status["state"] == "failed" => {
            let what = format!("the last backup or archiving failed: {}", text(&status["problem"]["detail"]));
            report.push(Finding::critical("backup_job", what, Runbook::RestoreFromBackup));
        }
        Some(Err(refusal)) if refusal.code() == "unavailable" => {
            let what = "the server has no target of backups: `to` of [backup]";
            report.push(Finding::warning("backup_job", what, Runbook::RestoreFromBackup));
        }
        _ => {}
    }
    if let Some(Ok(slow)) = ask("/v1/admin/slow-queries")
        && let Some(newest) = slow["queries"].as_array().and_then(|queries| queries.last())
    {
        let count = slow["queries"].as_array().map_or(0, Vec::len);
        let what = format!(
            "{count} slow questions are remembered; one of them: {} {} took {} ms over {} claims",
            text(&newest["subject"]),
            text(&newest["predicate"]),
            newest["duration_ms"],
            newest["considered"]
        );
        report.push(Finding::info("slow_queries", what, Runbook::HighQueryLatency));
    }
}

/// The server's own checks, where they say more than its health.
fn judge_stats(stats: &Value, report: &mut Report) {
    for check in stats["checks"].as_array().into_iter().flatten() {
        let severity = match text(&check["verdict"]) {
            "failing" => Severity::Critical,
            "warning" => Severity::Warning,
            _ => continue,
        };
        let value = check["value"].as_f64().unwrap_or(0.0);
        let found = match text(&check["name"]) {
            "sst_file_count" => ("sst_files", format!("{value} tables: compaction falls behind")),
            "pending_compaction_bytes" => {
                ("pending_compaction", format!("{} wait to be merged", paint::bytes(value as u64)))
            }
            "write_amplification" if number(&stats["flushes"]["written_bytes"]) >= ENOUGH_WRITTEN => {
                ("write_amplification", format!("{value:.1} bytes are written per byte applied"))
            }
            "error_rate_5m" => (
                "error_rate",
                format!("{:.1} % of the storage operations of the last minutes failed", value * 100.0),
            ),
            "damaged_tables" => ("damaged_tables", format!("{value} tables are known to be damaged")),
            "disk_free_share" => {
                let room = format!("{:.1} % of the disk are free", value * 100.0);
                report.push(Finding::new(severity, "disk_space", room, Runbook::DiskFull));
                continue;
            }
            // The health says these with more words.
            _ => continue,
        };
        report.push(Finding::new(severity, found.0, found.1, Runbook::HighStorageErrorRate));
    }
}

/// Damage that is not mended, repairs that failed, and a disk that did not answer, all of the last hour.
fn judge_events(events: &Value, now_us: i64, report: &mut Report) {
    let lately = now_us.saturating_sub(i64::try_from(LATELY.as_micros()).unwrap_or(i64::MAX));
    let is_recent = |event: &Value| Micros::parse_rfc3339(text(&event["at"])).is_ok_and(|at| at.0 >= lately);
    let all: Vec<&Value> =
        events["events"].as_array().into_iter().flatten().filter(|event| is_recent(event)).collect();
    let newest = |kind: &str| all.iter().rposition(|event| event["kind"] == kind);
    let say =
        |event: &Value| format!("{} {}", text(&event["file"]), text(&event["text"])).trim_start().to_owned();
    if let Some(event) = newest("repair_failed").and_then(|at| all.get(at)) {
        let what = format!("a repair failed: {}", say(event));
        report.push(Finding::critical("repairs", what, Runbook::HighStorageErrorRate));
    }
    let is_mended = |at: usize, file: &Value| {
        all.iter().skip(at).any(|event| event["kind"] == "repaired" && event["file"] == *file)
    };
    let mut damage = all.iter().enumerate().filter(|(_, event)| event["kind"] == "damage");
    if let Some((_, event)) = damage.rfind(|(at, event)| !is_mended(*at, &event["file"])) {
        let what = format!("damage that is not mended: {}", say(event));
        report.push(Finding::critical("damage", what, Runbook::HighStorageErrorRate));
    } else if let Some(event) = newest("damage").and_then(|at| all.get(at)) {
        let what = format!("damage of the last hour, mended: {}; look at the disk's health", say(event));
        report.push(Finding::warning("damage", what, Runbook::HighStorageErrorRate));
    }
    if let Some(event) = newest("stall").and_then(|at| all.get(at)) {
        report.push(Finding::warning(
            "stalls",
            format!("in the last hour: {}", say(event)),
            Runbook::SlowFsync,
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(judge: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = Report::default();
        judge(&mut report);
        let json = serde_json::to_value(&report).unwrap();
        let name = |value: &Value| value.as_str().unwrap().rsplit('/').next().unwrap().replace(".md", "");
        let findings = json["findings"].as_array().unwrap().iter();
        findings
            .map(|f| format!("{} {} {}", text(&f["severity"]), text(&f["check"]), name(&f["runbook"])))
            .collect()
    }

    #[test]
    fn refused_writes_belong_to_the_page_of_their_cause() {
        let health = |level: &str, stall: Value, view: &str| {
            json!({ "readable": true, "writable": false, "refusing_writes": "so", "stall": stall,
                "space": { "level": level }, "views": [{ "name": "primary", "state": view }] })
        };
        let of = |health: Value| found(|report| judge_health(&health, report));
        let full = of(health("full", Value::Null, "healthy"));
        assert_eq!(full, ["critical writable disk-full", "critical disk_space disk-full"]);
        let journal = of(health("plenty", Value::Null, "healthy"));
        assert_eq!(journal, ["critical writable wal-fsync-failure"]);
        let stalled = of(health("plenty", json!({ "kind": "sync", "for_ms": 1500 }), "healthy"));
        assert_eq!(stalled, ["critical writable slow-fsync", "critical stall slow-fsync"]);
        let view = of(health("plenty", Value::Null, "failed"));
        assert_eq!(
            view,
            ["critical writable high-storage-error-rate", "critical primary_view high-storage-error-rate"]
        );
    }

    #[test]
    fn damage_is_worse_while_it_is_not_mended_and_forgotten_after_an_hour() {
        let event =
            |at: &str, kind: &str, file: &str| json!({ "at": at, "kind": kind, "file": file, "text": "t" });
        let now = Micros::parse_rfc3339("2026-11-27T10:00:00Z").unwrap().0;
        let of = |events: Vec<Value>| {
            let json = json!({ "events": events });
            found(|report| judge_events(&json, now, report))
        };
        let damage = event("2026-11-27T09:50:00Z", "damage", "a");
        let repaired = |file| event("2026-11-27T09:51:00Z", "repaired", file);
        assert_eq!(of(vec![damage.clone()]), ["critical damage high-storage-error-rate"]);
        assert_eq!(of(vec![damage.clone(), repaired("b")]), ["critical damage high-storage-error-rate"]);
        assert_eq!(of(vec![damage, repaired("a")]), ["warning damage high-storage-error-rate"]);
        assert_eq!(of(vec![event("2026-11-27T08:59:59Z", "damage", "a")]), Vec::<String>::new());
        let failed = event("2026-11-27T09:59:00Z", "repair_failed", "a");
        assert_eq!(of(vec![failed]), ["critical repairs high-storage-error-rate"]);
    }

    #[test]
    fn figures_are_judged_as_the_server_judges_them() {
        let stats = |name: &str, verdict: &str, written: u64| json!({ "checks": [{ "name": name, "value": 600.0, "verdict": verdict }], "flushes": { "written_bytes": written } });
        let of = |stats: Value| found(|report| judge_stats(&stats, report));
        assert_eq!(of(stats("sst_file_count", "failing", 0)), ["critical sst_files high-storage-error-rate"]);
        assert_eq!(of(stats("disk_free_share", "warning", 0)), ["warning disk_space disk-full"]);
        assert_eq!(of(stats("error_rate_5m", "healthy", 0)), Vec::<String>::new());
        assert_eq!(of(stats("write_amplification", "warning", 1 << 20)), Vec::<String>::new());
        assert_eq!(
            of(stats("write_amplification", "warning", 1 << 30)),
            ["warning write_amplification high-storage-error-rate"]
        );
    }
}
