//! The list of all series, for readers.

use std::fmt::Write;

use super::{Series, table::THEMES};

/// Every series, in the order of the reference page.
pub fn all_series() -> impl Iterator<Item = &'static Series> {
    THEMES.iter().flat_map(|(_, list)| list.iter().copied())
}

/// The page `docs/operations/metrics.md`, made from the table.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Metrics\n\n`GET /metrics` answers in the Prometheus text format, version 0.0.4. Counters begin at zero with the process, \
         and so do\nhistograms. Labels have values of the program alone (`path` is a route's template), so that no client makes \
         series.\n\nThis page is checked against the table in `crates/stemedb-api/src/metrics/table.rs` by a test, and the table \
         against what a\nserver answers.\n",
    );
    for (theme, list) in &THEMES {
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## {theme}\n\n| series | kind | unit | labels | what it says |\n|---|---|---|---|---|\n"
        );
        for series in *list {
            let Series { name, kind, unit, labels, help, present } = series;
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            let present = present.map_or(String::new(), |present| format!(" (there {present})"));
            let _ =
                writeln!(page, "| `{name}` | {kind} | {unit} | {} | {help}{present} |", labels.join(", "));
        }
    }
    page
}
