//! The files in `deploy/prometheus/tests`, made of the rules and the [cases](super::cases): `promtool test rules` reads them.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    cases::{Case, Cases, Input},
    rules::{Rule, quoted},
};

/// Alerts without a test in which they fire, or one in which they do not, or one of how long it takes; tests without an alert.
pub fn unmatched(rules: &[Rule], all: &[Cases]) -> Vec<String> {
    let cases: Vec<&Case> = all.iter().flat_map(|cases| &cases.cases).collect();
    let mut problems = Vec::new();
    for rule in rules.iter().filter(|rule| rule.is_alert) {
        let has =
            |what: &dyn Fn(&Case) -> bool| cases.iter().any(|case| case.alert == rule.name && what(case));
        if !has(&|case| !case.fires.is_empty()) {
            problems.push(format!("{}: no test in which it fires", rule.name));
        }
        if !has(&|case| !case.quiet.is_empty()) {
            problems.push(format!("{}: no test in which it does not fire", rule.name));
        }
        if !rule.hold.is_empty() && !has(&|case| !case.pending.is_empty()) {
            problems.push(format!("{}: no test of its `for`", rule.name));
        }
    }
    for case in cases {
        if !rules.iter().any(|rule| rule.is_alert && rule.name == case.alert) {
            problems.push(format!("{}: a test, and no such alert", case.alert));
        }
    }
    problems
}

/// Where they are kept, below the repository's root.
pub const FOLDER: &str = "deploy/prometheus/tests";

/// All files of tests, name and content: of each file of rules its own, so that no test computes the rules of the others.
pub fn files(rules: &[Rule], all: &[Cases]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.file.as_str()).collect();
    for name in names {
        for Cases { every, ends, cases } in all {
            let is_here =
                |case: &&Case| rules.iter().any(|rule| rule.file == name && rule.name == case.alert);
            if cases.iter().any(|case| is_here(&case)) {
                let text = file(rules, &format!("../rules/{name}"), every, cases.iter().filter(is_here));
                files.push((format!("{FOLDER}/{}{ends}", name.trim_end_matches(".yml")), text));
            }
        }
    }
    files
}

/// A file of tests. `rule_files` is as promtool wants it: relative to the file.
pub fn file<'a>(
    rules: &[Rule],
    rule_files: &str,
    every: &str,
    cases: impl Iterator<Item = &'a Case>,
) -> String {
    let mut text = format!(
        "# Made by `cargo xtask monitoring` from the rules and from xtask/src/ops/monitoring/cases*.txt; `promtool test rules` runs it.\n\
         rule_files:\n  - {rule_files}\n\nevaluation_interval: {every}\n\ntests:\n"
    );
    for case in cases {
        let Some(rule) = rules.iter().find(|rule| rule.is_alert && rule.name == case.alert) else { continue };
        for input in &case.fires {
            let pending = (!case.pending.is_empty()).then_some((case.pending.as_str(), false));
            one(&mut text, rule, case, "fires", input, &[pending, Some((&case.at, true))]);
        }
        for input in &case.quiet {
            one(&mut text, rule, case, "does not fire", input, &[Some((&case.at, false))]);
        }
    }
    text
}

fn one(
    text: &mut String,
    rule: &Rule,
    case: &Case,
    what: &str,
    input: &Input,
    looks: &[Option<(&str, bool)>],
) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  - name: {} {what}\n    interval: 1m\n    input_series:", case.alert);
    for (series, values) in input {
        let _ = writeln!(text, "      - series: {}\n        values: {}", quoted(series), quoted(values));
    }
    let _ = writeln!(text, "    alert_rule_test:");
    for (at, is_firing) in looks.iter().flatten() {
        let _ = writeln!(text, "      - eval_time: {at}\n        alertname: {}", case.alert);
        if !is_firing {
            let _ = writeln!(text, "        exp_alerts: []");
            continue;
        }
        let _ = writeln!(text, "        exp_alerts:\n          - exp_labels:");
        for (name, value) in case.labels.iter().chain(&rule.labels) {
            let _ = writeln!(text, "              {name}: {}", quoted(value));
        }
        let _ = writeln!(text, "            exp_annotations:");
        for (name, value) in &rule.annotations {
            let _ = writeln!(text, "              {name}: {}", quoted(&expanded(value, &case.labels)));
        }
    }
}

/// What Prometheus makes of an annotation. No other templates than these are used: a value that changes with each evaluation would
/// make another alert of it each time.
fn expanded(text: &str, labels: &[(String, String)]) -> String {
    labels.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{ $labels.{name} }}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str) -> Rule {
        let annotations = vec![("summary".to_owned(), "{{ $labels.instance }} isn't".to_owned())];
        let labels = vec![("severity".to_owned(), "critical".to_owned())];
        let (name, hold) = (name.to_owned(), "1m".to_owned());
        Rule { name, is_alert: true, labels, annotations, hold, ..Rule::default() }
    }

    #[test]
    fn a_case_becomes_tests_that_fire_and_tests_that_do_not() {
        let all = crate::ops::monitoring::cases::all().unwrap();
        let cases = all[0].cases.iter().filter(|case| case.alert == "StemeDBDown");
        let text = file(&[rule("StemeDBDown")], "rules/*.yml", "1m", cases);
        assert!(text.contains("summary: 'db1:18180 isn''t'"), "{text}");
        assert_eq!(text.matches("exp_alerts: []").count(), 3, "{text}");
        assert_eq!(text.matches("exp_labels:").count(), 1, "{text}");
        assert!(text.contains("series: 'up{instance=\"db1:18180\",job=\"stemedb\"}'"), "{text}");
    }

    #[test]
    fn an_alert_without_a_test_and_a_test_without_an_alert_are_told() {
        let all = crate::ops::monitoring::cases::all().unwrap();
        let mut rules: Vec<Rule> =
            all.iter().flat_map(|cases| &cases.cases).map(|case| rule(&case.alert)).collect();
        // Those that fire at once have no `for`.
        rules.iter_mut().for_each(|rule| rule.hold.clear());
        assert_eq!(unmatched(&rules, &all), Vec::<String>::new());
        rules.retain(|rule| rule.name != "WALReadOnly");
        rules.push(rule("Untested"));
        let problems = unmatched(&rules, &all).join("\n");
        assert!(problems.contains("WALReadOnly: a test, and no such alert"), "{problems}");
        assert!(problems.contains("Untested: no test in which it fires"), "{problems}");
        assert!(problems.contains("Untested: no test in which it does not fire"), "{problems}");
        assert!(problems.contains("Untested: no test of its `for`"), "{problems}");
    }
}
