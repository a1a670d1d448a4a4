//! What operators' habits and other pages depend on: alerts that must exist with exactly these thresholds, and runbooks.

use std::path::Path;

use super::{
    expr,
    registry::Registry,
    rules::{self, Rule},
};

/// Alert, parts that its expression must have, how long it must hold, severity where that is said.
const ALERTS: &[(&str, &[&str], &str, &str)] = &[
    (
        "HighStorageErrorRate",
        &[
            "stemedb_storage_operation_errors_total[5m]",
            "/ sum",
            "stemedb_storage_operations_total[5m]",
            "> 0.01",
        ],
        "5m",
        "critical",
    ),
    (
        "DiskSpaceWarning",
        &[
            "(node_filesystem_avail_bytes{mountpoint=\"/var/lib/stemedb\"} / node_filesystem_size_bytes{mountpoint=\"/var/lib/stemedb\"}) < 0.2",
        ],
        "10m",
        "",
    ),
    ("LSMCompactionLag", &["stemedb_lsm_pending_compaction_bytes > 10e9"], "15m", ""),
    ("DiskIOErrors", &["rate(node_disk_io_errors_total[5m]) > 0.1"], "", ""),
    ("WALDiskNearlyFull", &["stemedb_storage_available_bytes"], "5m", ""),
    ("WALFsyncFailure", &["stemedb_wal_fsync_errors_total", "> 0"], "1m", ""),
    (
        "WALFsyncSlow",
        &["histogram_quantile(0.99", "stemedb_wal_fsync_latency_seconds_bucket", "> 0.1"],
        "10m",
        "",
    ),
    ("MemoryExhaustion", &["node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.1"], "5m", ""),
    ("HighAPIErrorRate", &["stemedb_http_requests_total", "status=~\"5..\"", "> 0.05"], "5m", ""),
];

const RUNBOOKS: &str = "docs/operations/runbooks";
/// Those that there are to be.
const NAMED: &[&str] = &[
    "high-storage-error-rate",
    "restore-from-backup",
    "disk-full",
    "failover-to-replica",
    "wal-fsync-failure",
    "slow-fsync",
    "memory-exhaustion",
    "disaster-recovery",
    "server-wont-start",
    "high-query-latency",
];
/// What an alert must say.
const ANNOTATIONS: &[&str] = &["summary", "impact", "command", "runbook_url"];

/// What the rules lack.
pub fn problems(root: &Path, rules: &[Rule], registry: &Registry) -> Vec<String> {
    let mut problems = missing(rules);
    let recorded: Vec<&str> =
        rules.iter().filter(|rule| !rule.is_alert).map(|rule| rule.name.as_str()).collect();
    for rule in rules {
        for name in expr::series(&rule.expr) {
            if !registry.has(&name) && !recorded.contains(&name.as_str()) {
                problems.push(format!("{}: no series {name}", rule.name));
            }
        }
        let twice = rules.iter().filter(|other| other.name == rule.name).count() > 1;
        if twice {
            problems.push(format!("{}: there twice", rule.name));
        }
        if rule.is_alert {
            problems.extend(unsaid(root, rule));
        }
    }
    problems
}

fn missing(rules: &[Rule]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, parts, hold, severity) in ALERTS {
        let Some(rule) = rules.iter().find(|rule| rule.is_alert && rule.name == *name) else {
            problems.push(format!("{name}: no such alert"));
            continue;
        };
        for part in parts.iter().filter(|part| !rule.expr.contains(**part)) {
            problems.push(format!("{name}: its expression must have {part}"));
        }
        if rule.hold != *hold || !(severity.is_empty() || rule.label("severity") == *severity) {
            problems.push(format!("{name}: must be for {hold:?} and {severity:?}"));
        }
    }
    problems
}

fn unsaid(root: &Path, rule: &Rule) -> Vec<String> {
    let name = &rule.name;
    let mut problems = Vec::new();
    for annotation in ANNOTATIONS.iter().filter(|annotation| rule.annotation(annotation).is_empty()) {
        problems.push(format!("{name}: no annotation {annotation}"));
    }
    if !["critical", "warning", "info"].contains(&rule.label("severity")) {
        problems.push(format!("{name}: its severity is {:?}", rule.label("severity")));
    }
    // Else each evaluation would make another alert of it, and the tests could not say what it says.
    if rule.annotations.iter().any(|(_, text)| text.replace("{{ $labels.", "").contains("{{")) {
        problems.push(format!("{name}: a template that is no label"));
    }
    let target = rule.annotation("runbook_url");
    let (file, section) = target.split_once('#').unwrap_or((target, ""));
    match file.strip_prefix(RUNBOOKS) {
        Some(runbook) => {
            let is_named = NAMED.contains(&runbook.trim_start_matches('/').trim_end_matches(".md"));
            if !is_named || (root.join(RUNBOOKS).is_dir() && !root.join(file).is_file()) {
                problems.push(format!("{name}: no runbook {file}"));
            }
        }
        None => {
            let page = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            let has = |line: &str| {
                line.starts_with('#') && line.trim_start_matches('#').trim().to_lowercase() == section
            };
            if !page.lines().any(has) {
                problems.push(format!("{name}: no {target}"));
            }
        }
    }
    problems
}

/// The rules once more with one of them changed, and the tests of its alert: `promtool` must notice.
pub fn mutants(rule: &Rule, every_seconds: f64) -> Vec<(String, Rule)> {
    let mut mutants = Vec::new();
    for (factor, time) in [(1.5, 1.5), (0.6, 0.5)] {
        if let Some(expr) = expr::with_thresholds(&rule.expr, factor) {
            mutants.push((format!("thresholds × {factor}"), Rule { expr, ..rule.clone() }));
        }
        // Half of the time between two looks is none.
        if let Some(seconds) = expr::seconds(&rule.hold)
            && (time > 1.0 || seconds > every_seconds)
        {
            let hold = format!("{}s", (seconds * time) as u64);
            mutants.push((format!("for × {time}"), Rule { hold, ..rule.clone() }));
        }
    }
    let never = format!("({}) and on () (vector(0) > 1)", rule.expr);
    mutants.push(("never".to_owned(), Rule { expr: never, ..rule.clone() }));
    mutants
}

/// The rules of the same file, with this one in its place.
pub fn replaced(rules: &[Rule], other: &Rule) -> String {
    let of = |rule: &Rule| if rule.name == other.name { other.clone() } else { rule.clone() };
    let same = rules.iter().filter(|rule| rule.file == other.file);
    rules::written(&same.map(of).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        let annotations = ANNOTATIONS.iter().map(|name| ((*name).to_owned(), "said".to_owned())).collect();
        let labels = vec![("severity".to_owned(), "warning".to_owned())];
        let (name, expr, hold) = ("A".to_owned(), "x > 10".to_owned(), "10m".to_owned());
        Rule { name, expr, hold, is_alert: true, labels, annotations, ..Rule::default() }
    }

    #[test]
    fn unknown_series_runbooks_and_severities_are_told() {
        let mut rule = rule();
        rule.annotations[3].1 = "docs/operations/runbooks/no-such.md".to_owned();
        rule.labels[0].1 = "page".to_owned();
        let told = problems(Path::new("."), &[rule], &Registry::default()).join("\n");
        assert!(told.contains("A: no series x"), "{told}");
        assert!(told.contains("A: no runbook docs/operations/runbooks/no-such.md"), "{told}");
        assert!(told.contains("A: its severity is \"page\""), "{told}");
        assert!(told.contains("WALFsyncSlow: no such alert"), "{told}");
    }

    #[test]
    fn a_rule_of_the_contract_that_was_changed_is_told() {
        let expr = "rate(node_disk_io_errors_total[5m]) > 0.2".to_owned();
        let rule = Rule { name: "DiskIOErrors".to_owned(), expr, hold: String::new(), ..rule() };
        assert!(missing(&[rule]).join("\n").contains("DiskIOErrors: its expression must have"));
    }

    #[test]
    fn a_rule_has_mutants_on_both_sides() {
        let names: Vec<String> = mutants(&rule(), 60.0).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["thresholds × 1.5", "for × 1.5", "thresholds × 0.6", "for × 0.5", "never"]);
        let at_once = Rule { hold: String::new(), expr: "x == 0".to_owned(), ..rule() };
        assert_eq!(mutants(&at_once, 60.0).len(), 1);
    }
}
