//! `incident-response.md` says of every alert how severe it is. It is written by hand, because the rules know less: of what is
//! `critical` some is for one person at night, and some for everybody at once. What the rules do know must agree.

use std::{fs, path::Path};

use super::super::monitoring::rules::{self, Rule};

const PAGE: &str = "docs/operations/incident-response.md";
/// What the label of an alert may become.
const OF_LABEL: [(&str, &[&str]); 3] =
    [("critical", &["SEV1", "SEV2"]), ("warning", &["SEV3"]), ("info", &["SEV4"])];

/// A row of the page: an alert, its severity, and the page that says what to do.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    alert: String,
    severity: String,
    runbook: String,
}

/// Compares the page with the rules; gives a line about it.
pub fn check(root: &Path) -> Result<String, String> {
    let rules = rules::read(root)?;
    let text = fs::read_to_string(root.join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    let alerts: Vec<&Rule> = rules.iter().filter(|rule| rule.is_alert).collect();
    let problems = problems(&alerts, &rows(&text));
    if problems.is_empty() {
        return Ok(format!("{} alerts, each with a severity and its runbook in {PAGE}", alerts.len()));
    }
    Err(format!("{PAGE}:\n  {}", problems.join("\n  ")))
}

/// The rows of every table whose first two columns are `alert` and `runbook`, with the severity of the heading above.
fn rows(text: &str) -> Vec<Row> {
    let (mut found, mut severity, mut is_table) = (Vec::new(), String::new(), false);
    for (number, line) in text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim_start();
            let word = heading.split([' ', ':']).next().unwrap_or_default();
            severity = if word.starts_with("SEV") { word.to_owned() } else { String::new() };
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, first, second, ..] = cells.as_slice() else {
            is_table = false;
            continue;
        };
        if (*first, *second) == ("alert", "runbook") {
            is_table = true;
        } else if let (true, Some(alert)) = (is_table, first.strip_prefix('`')) {
            let runbook = second.split_once("](").and_then(|(_, behind)| behind.split_once(')'));
            found.push(Row {
                line: number + 1,
                alert: alert.trim_end_matches('`').to_owned(),
                severity: severity.clone(),
                runbook: runbook.map_or(String::new(), |(target, _)| target.to_owned()),
            });
        }
    }
    found
}

fn problems(alerts: &[&Rule], rows: &[Row]) -> Vec<String> {
    let mut problems = Vec::new();
    for rule in alerts {
        let own: Vec<&Row> = rows.iter().filter(|row| row.alert == rule.name).collect();
        let [row] = own.as_slice() else {
            problems.push(format!("{} is there {} times", rule.name, own.len()));
            continue;
        };
        let told = |what: String| format!("line {}: {}: {what}", row.line, rule.name);
        let label = rule.label("severity");
        let allowed = OF_LABEL.iter().find(|(known, _)| *known == label).map_or(&[][..], |(_, all)| *all);
        if !allowed.contains(&row.severity.as_str()) {
            problems.push(told(format!("{:?} is no severity of what is {label:?}", row.severity)));
        }
        if rule.label("escalate") == "immediately" && row.severity != "SEV1" {
            problems.push(told("what is escalated immediately is SEV1".to_owned()));
        }
        let target = rule.annotation("runbook_url");
        if row.runbook != target.strip_prefix("docs/operations/").unwrap_or(target) {
            problems.push(told(format!("its runbook is {target}, not {:?}", row.runbook)));
        }
    }
    let is_known = |row: &&Row| !alerts.iter().any(|rule| rule.name == row.alert);
    problems
        .extend(rows.iter().filter(is_known).map(|row| format!("line {}: no alert {}", row.line, row.alert)));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "## SEV1: all\n\n| alert | runbook | first |\n|---|---|---|\n| `A` | [a](runbooks/a.md) | look |\n\n## Roles\n\n| who | what |\n|---|---|\n| `x` | y |\n";

    fn rule(severity: &str, escalate: &str) -> Rule {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Rule {
            name: "A".to_owned(),
            is_alert: true,
            labels: vec![pair("severity", severity), pair("escalate", escalate)],
            annotations: vec![pair("runbook_url", "docs/operations/runbooks/a.md")],
            ..Rule::default()
        }
    }

    fn told(rule: &Rule, text: &str) -> String {
        problems(&[rule], &rows(text)).join("\n")
    }

    #[test]
    fn a_page_that_agrees_with_the_rules_is_right() {
        assert_eq!(rows(TABLE).len(), 1, "{:?}", rows(TABLE));
        assert_eq!(told(&rule("critical", "immediately"), TABLE), "");
        check(&crate::workspace_root()).unwrap();
    }

    #[test]
    fn whatever_disagrees_is_told() {
        let critical = rule("critical", "immediately");
        assert!(told(&critical, "").contains("A is there 0 times"));
        assert!(told(&critical, &format!("{TABLE}{TABLE}")).contains("A is there 2 times"));
        assert!(told(&critical, &TABLE.replace("`A`", "`B`")).contains("line 5: no alert B"));
        assert!(told(&critical, &TABLE.replace("SEV1", "SEV2")).contains("escalated immediately is SEV1"));
        assert!(told(&critical, &TABLE.replace("a.md", "b.md")).contains("its runbook is"));
        assert!(told(&rule("warning", ""), TABLE).contains("\"SEV1\" is no severity of what is \"warning\""));
        assert!(
            told(&rule("critical", ""), &TABLE.replace("## SEV1", "## S")).contains("\"\" is no severity")
        );
    }
}
