//! The list of alerts in `docs/operations/monitoring.md`, made of the rules.

use super::rules::Rule;

/// The page, below the repository's root.
pub const PAGE: &str = "docs/operations/monitoring.md";
const BEGIN: &str = "<!-- alerts: made from deploy/prometheus/rules by cargo xtask monitoring, and compared by cargo xtask ops -->";
const END: &str = "<!-- end of alerts -->";

/// The page with the list as the rules have it.
pub fn with_alerts(page: &str, rules: &[Rule]) -> Result<String, String> {
    let absent = || format!("{PAGE} has no place for the list of alerts");
    let (before, rest) = page.split_once(BEGIN).ok_or_else(absent)?;
    let (_, behind) = rest.split_once(END).ok_or_else(absent)?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{behind}", table(rules)))
}

fn table(rules: &[Rule]) -> String {
    let mut text = String::new();
    let mut group = "";
    for rule in rules.iter().filter(|rule| rule.is_alert) {
        if rule.group != group {
            group = &rule.group;
            let file = &rule.file;
            text += &format!(
                "\n### {group}\n\n[{file}](../../deploy/prometheus/rules/{file})\n\n| alert | severity | when | for | what to do |\n|---|---|---|---|---|\n"
            );
        }
        let expr = rule.expr.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        let hold = if rule.hold.is_empty() { "–" } else { &rule.hold };
        let (name, severity) = (&rule.name, rule.label("severity"));
        text += &format!(
            "| `{name}` | {severity} | `{expr}` | {hold} | {} |\n",
            link(rule.annotation("runbook_url"))
        );
    }
    text
}

/// A link from the page to what a rule names from the repository's root.
fn link(target: &str) -> String {
    let from_here = target.strip_prefix("docs/operations/").unwrap_or(target);
    let from_here = from_here.strip_prefix("monitoring.md").unwrap_or(from_here);
    let name = from_here.trim_start_matches("runbooks/").trim_start_matches('#').trim_end_matches(".md");
    format!("[{}]({from_here})", name.replace('-', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_put_where_the_page_has_room_for_it() {
        let annotations =
            vec![("runbook_url".to_owned(), "docs/operations/runbooks/disk-full.md".to_owned())];
        let rule = Rule {
            name: "A".into(),
            is_alert: true,
            expr: "x{y=~\"a|b\"}\n  > 1".into(),
            annotations,
            ..Rule::default()
        };
        let page = with_alerts(&format!("head\n{BEGIN}\nold\n{END}\nfoot\n"), &[rule]).unwrap();
        assert!(
            page.contains("| `x{y=~\"a\\|b\"} > 1` | – | [disk full](runbooks/disk-full.md) |"),
            "{page}"
        );
        assert!(page.starts_with("head\n") && page.ends_with("foot\n") && !page.contains("old"), "{page}");
        assert!(with_alerts("nothing", &[]).is_err());
    }
}
