//! Two looks at `GET /metrics`: what happens now, and what has happened since the start.

use super::{
    Finding, Report, Runbook, Severity, paint,
    series::{self, Series, label},
};

/// Slower syncs than this are what `WALFsyncSlow` alerts of, slower questions than that what the pilot's gate refuses. Seconds.
const SYNC_P99: f64 = 0.1;
const QUESTION_P99: f64 = 1.0;
/// A sync that has not come back for so long, in seconds.
const STUCK: f64 = 1.0;
/// More replies with 5xx than this are what `HighAPIErrorRate` alerts of.
const FAILED_SHARE: f64 = 0.05;
/// Fewer values than this say nothing about a quantile or a share.
const ENOUGH: f64 = 20.0;
/// More than this part of the open files that the process may have.
const FILES_SHARE: f64 = 0.8;

/// Judges the figures. `earlier` is `None` where only one look was asked for: then everything is since the start.
pub(super) fn judge(earlier: Option<&Series<'_>>, now: &Series<'_>, report: &mut Report) {
    syncs(earlier, now, report);
    commits(earlier, now, report);
    questions(earlier, now, report);
    replies(earlier, now, report);
    process(now, report);
}

/// How much a counter has grown between the looks; all of it where there was one look.
fn growth(earlier: Option<&Series<'_>>, now: &Series<'_>, name: &str) -> f64 {
    let before = earlier.and_then(|earlier| earlier.sum(name)).unwrap_or(0.0);
    let after = now.sum(name).unwrap_or(0.0);
    if after < before { after } else { after - before }
}

/// The values of a histogram between the looks, if these are enough; else since the start, and whether it is that.
fn values(earlier: Option<&Series<'_>>, now: &Series<'_>, histogram: &str) -> (Vec<(f64, f64)>, bool) {
    let all = now.buckets(histogram);
    let lately = earlier.map(|earlier| series::since(&earlier.buckets(histogram), &all));
    match lately {
        Some(lately) if series::count(&lately) >= ENOUGH => (lately, false),
        _ => (all, true),
    }
}

fn ms(seconds: f64) -> String {
    if seconds.is_finite() {
        format!("up to {:.1} ms", seconds * 1e3)
    } else {
        "longer than any bound".to_owned()
    }
}

fn when(since_start: bool) -> &'static str {
    if since_start { "since the start" } else { "at present" }
}

fn syncs(earlier: Option<&Series<'_>>, now: &Series<'_>, report: &mut Report) {
    let failed = now.sum("stemedb_wal_fsync_errors_total").unwrap_or(0.0);
    if failed > 0.0 {
        let fails_now = earlier.is_some() && growth(earlier, now, "stemedb_wal_fsync_errors_total") > 0.0;
        let severity = if fails_now { Severity::Critical } else { Severity::Warning };
        let text = format!(
            "{failed} syncs of the journal have failed since the start; nothing of them was acknowledged"
        );
        report.push(Finding::new(severity, "fsync_errors", text, Runbook::WalFsyncFailure));
    }
    let under_way = now.sum("stemedb_wal_sync_in_progress_seconds").unwrap_or(0.0);
    if under_way > STUCK {
        let text = format!("the sync that is under way has waited for {under_way:.1} s");
        report.push(Finding::critical("fsync_stuck", text, Runbook::SlowFsync));
    }
    let (times, since_start) = values(earlier, now, "stemedb_wal_fsync_latency_seconds");
    if let Some(p99) = series::quantile(&times, 0.99)
        && p99 > SYNC_P99
        && series::count(&times) >= ENOUGH
    {
        let text =
            format!("the slowest hundredth of the journal's syncs takes {} {}", ms(p99), when(since_start));
        report.push(Finding::warning("fsync_latency", text, Runbook::SlowFsync));
    }
}

fn commits(earlier: Option<&Series<'_>>, now: &Series<'_>, report: &mut Report) {
    for (name, what, runbook) in [
        (
            "stemedb_commit_timed_out_total",
            "writes that waited too long for their turn",
            Runbook::HighStorageErrorRate,
        ),
        (
            "stemedb_commit_overloaded_total",
            "writes that found the queue full",
            Runbook::HighStorageErrorRate,
        ),
        ("stemedb_storage_full_refusals_total", "writes that found no room on the disk", Runbook::DiskFull),
        (
            "stemedb_http_refused_total",
            "requests that were more than the server can do",
            Runbook::HighQueryLatency,
        ),
    ] {
        let all = now.sum(name).unwrap_or(0.0);
        if all <= 0.0 {
            continue;
        }
        let lately = earlier.is_some() && growth(earlier, now, name) > 0.0;
        let severity = if lately { Severity::Warning } else { Severity::Info };
        let goes_on = if lately { ", and it goes on" } else { "" };
        report.push(Finding::new(
            severity,
            name,
            format!("{all} {what} were refused since the start{goes_on}"),
            runbook,
        ));
    }
    let stalled = now.sum("stemedb_commit_stalled_seconds").unwrap_or(0.0);
    if stalled > STUCK {
        let text = format!("the commit pipeline has stood still for {stalled:.1} s though requests wait");
        report.push(Finding::critical("commits_stalled", text, Runbook::WalFsyncFailure));
    }
}

fn questions(earlier: Option<&Series<'_>>, now: &Series<'_>, report: &mut Report) {
    let (times, since_start) = values(earlier, now, "stemedb_query_latency_seconds");
    if let Some(p99) = series::quantile(&times, 0.99)
        && p99 > QUESTION_P99
        && series::count(&times) >= ENOUGH
    {
        let text = format!("the slowest hundredth of the questions takes {} {}", ms(p99), when(since_start));
        report.push(Finding::warning("query_latency", text, Runbook::HighQueryLatency));
    }
}

/// Of requests between the looks alone: what failed long ago is not what fails now.
fn replies(earlier: Option<&Series<'_>>, now: &Series<'_>, report: &mut Report) {
    let Some(earlier) = earlier else { return };
    let name = "stemedb_http_requests_total";
    let is_failure = |labels: &str| label(labels, "status").is_some_and(|status| status.starts_with('5'));
    let failures = |series: &Series<'_>| series.sum_where(name, is_failure).unwrap_or(0.0);
    let all = growth(Some(earlier), now, name);
    let failed = (failures(now) - failures(earlier)).max(0.0);
    if all >= ENOUGH && failed > all * FAILED_SHARE {
        let text = format!("{failed} of the last {all} requests were answered with 5xx");
        report.push(Finding::critical("api_errors", text, Runbook::HighStorageErrorRate));
    }
}

fn process(now: &Series<'_>, report: &mut Report) {
    let of = |name: &str| now.sum(name).unwrap_or(0.0);
    let (held, budget) = (of("stemedb_lsm_memory_bytes"), of("stemedb_lsm_memory_budget_bytes"));
    if budget > 0.0 && held > budget * 1.1 {
        let text = format!(
            "the view holds {}, more than the {} that memory_mib gives it",
            paint::bytes(held as u64),
            paint::bytes(budget as u64)
        );
        report.push(Finding::warning("view_memory", text, Runbook::MemoryExhaustion));
    }
    let (open, most) = (of("process_open_fds"), of("process_max_fds"));
    if most > 0.0 && open > most * FILES_SHARE {
        let text = format!(
            "{open} of {most} files and sockets are open; LimitNOFILE of the unit says how many may be"
        );
        report.push(Finding::warning("open_files", text, Runbook::ServerWontStart));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(earlier: Option<&str>, now: &str) -> Vec<(String, String)> {
        let mut report = Report::default();
        let earlier = earlier.map(Series::parse);
        judge(earlier.as_ref(), &Series::parse(now), &mut report);
        let json = serde_json::to_value(&report).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let findings = json["findings"].as_array().unwrap().iter();
        findings.map(|finding| (text(&finding["severity"]), text(&finding["check"]))).collect()
    }

    fn is(severity: &str, check: &str) -> Vec<(String, String)> {
        vec![(severity.to_owned(), check.to_owned())]
    }

    fn syncs(fast: u32, slow: u32) -> String {
        let name = "stemedb_wal_fsync_latency_seconds_bucket";
        let all = fast + slow;
        format!("{name}{{le=\"0.1\"}} {fast}\n{name}{{le=\"0.2\"}} {all}\n{name}{{le=\"+Inf\"}} {all}\n")
    }

    #[test]
    fn what_fails_now_is_worse_than_what_failed_once() {
        let failed = |n: u32| format!("stemedb_wal_fsync_errors_total {n}\n");
        assert_eq!(found(Some(&failed(3)), &failed(3)), is("warning", "fsync_errors"));
        assert_eq!(found(Some(&failed(3)), &failed(4)), is("critical", "fsync_errors"));
        assert_eq!(found(Some(&failed(0)), &failed(0)), []);
        let refused = |n: u32| format!("stemedb_http_refused_total{{reason=\"queue\"}} {n}\n");
        assert_eq!(found(Some(&refused(3)), &refused(3)), is("info", "stemedb_http_refused_total"));
        assert_eq!(found(Some(&refused(3)), &refused(4)), is("warning", "stemedb_http_refused_total"));
    }

    #[test]
    fn slow_syncs_are_seen_behind_a_million_fast_ones() {
        let (before, after) = (syncs(1_000_000, 0), syncs(1_000_000, 30));
        assert_eq!(found(None, &after), []);
        assert_eq!(found(Some(&before), &after), is("warning", "fsync_latency"));
        // Three are no hundredth of anything.
        assert_eq!(found(Some(&before), &syncs(1_000_000, 3)), []);
    }

    #[test]
    fn failed_replies_count_while_they_are_given() {
        let replies = |good: u32, bad: u32| {
            let name = "stemedb_http_requests_total{method=\"POST\",path=\"/v1/assert\"";
            format!("{name},status=\"201\"}} {good}\n{name},status=\"507\"}} {bad}\n")
        };
        assert_eq!(found(Some(&replies(100, 50)), &replies(200, 50)), []);
        assert_eq!(found(Some(&replies(100, 50)), &replies(194, 56)), is("critical", "api_errors"));
        assert_eq!(found(None, &replies(100, 50)), []);
    }
}
