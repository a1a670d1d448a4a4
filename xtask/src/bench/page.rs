//! What a suite measured, as files: a page, a drawing with a panel per group, and the numbers.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::json;

use super::{Row, grouped, time, yardstick};
use crate::steps::Outcome;

/// Writes `SUITE.md`, `SUITE.svg` and `SUITE.json`; `command` is the suite with the options that change what is measured.
pub(super) fn write(folder: &Path, suite: &str, command: &str, rows: &[Row]) -> Outcome {
    let shown = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(shown)?;
    let list: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "group": row.group, "function": row.function, "parameter": row.parameter, "median_ns": row.median_ns,
                "per_second": row.per_second().map(|(unit, amount)| json!({ "unit": unit, "amount": amount })),
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&list).map_err(|error| error.to_string())?;
    fs::write(folder.join(format!("{suite}.json")), text + "\n").map_err(shown)?;
    fs::write(folder.join(format!("{suite}.svg")), drawing(rows)).map_err(shown)?;
    fs::write(folder.join(format!("{suite}.md")), markdown(suite, command, rows)).map_err(shown)
}

fn name(row: &Row) -> String {
    let name = row.function.replace('_', " ");
    if row.parameter.is_empty() { name } else { format!("{name}, {}", row.parameter) }
}

fn groups(rows: &[Row]) -> Vec<&str> {
    let mut groups: Vec<&str> = rows.iter().map(|row| row.group.as_str()).collect();
    groups.dedup();
    groups
}

fn markdown(suite: &str, command: &str, rows: &[Row]) -> String {
    let mut page = format!(
        "# Benchmark of `{suite}`\n\nMade by `cargo xtask bench {command} --out DIR`. Medians; a ratio is a time divided by that of its \
         group's yardstick in the same run.\n"
    );
    for group in groups(rows) {
        let _ = write!(
            page,
            "\n## {}\n\n| | time | throughput | ratio |\n|---|---:|---:|---:|\n",
            group.replace('_', " ")
        );
        for row in rows.iter().filter(|row| row.group == group) {
            let per_second = row
                .per_second()
                .map_or(String::new(), |(unit, amount)| format!("{} {unit}", grouped(amount)));
            let ratio = match yardstick(rows, row) {
                Some(yardstick) if yardstick.function != row.function => {
                    format!("{:.2} ×", row.median_ns / yardstick.median_ns)
                }
                _ => String::new(),
            };
            let _ = writeln!(page, "| {} | {} | {per_second} | {ratio} |", name(row), time(row.median_ns));
        }
    }
    let _ = write!(page, "\n![Medians by group]({suite}.svg)\n");
    page
}

/// Bars from zero, every group on a scale of its own.
fn drawing(rows: &[Row]) -> String {
    const WIDTH: f64 = 900.0;
    const LEFT: f64 = 250.0;
    const RIGHT: f64 = 190.0;
    const BAR: f64 = 24.0;
    const HEAD: f64 = 44.0;
    let groups = groups(rows);
    let height = 30.0 + HEAD * groups.len() as f64 + BAR * rows.len() as f64;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif">
<rect width="{WIDTH}" height="{height}" fill="#fcfcfa"/>
"##
    );
    let mut top = 10.0;
    for group in groups {
        let of: Vec<&Row> = rows.iter().filter(|row| row.group == group).collect();
        let most = of.iter().map(|row| row.median_ns).fold(1.0, f64::max);
        let _ = writeln!(
            svg,
            r##"<text x="28" y="{:.0}" font-size="16" font-weight="600" fill="#1d2a33">{}</text>"##,
            top + 28.0,
            group.replace('_', " ")
        );
        top += HEAD;
        for row in of {
            let width = (row.median_ns / most * (WIDTH - LEFT - RIGHT)).max(1.0);
            let fill = if row.function.starts_with("yardstick") { "#b9c4cb" } else { "#1f6f8b" };
            let per_second = row
                .per_second()
                .map_or(String::new(), |(unit, amount)| format!(" · {} {unit}", grouped(amount)));
            let _ = writeln!(
                svg,
                r##"<text x="{:.0}" y="{:.0}" font-size="13" text-anchor="end" fill="#1d2a33">{}</text>
<rect x="{LEFT}" y="{top:.0}" width="{width:.1}" height="16" fill="{fill}"/>
<text x="{:.1}" y="{:.0}" font-size="12" fill="#1d2a33">{}{per_second}</text>"##,
                LEFT - 10.0,
                top + 13.0,
                name(row),
                LEFT + width + 6.0,
                top + 13.0,
                time(row.median_ns)
            );
            top += BAR;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_on_the_page_and_in_the_drawing() {
        let row = |function: &str, median_ns| Row {
            group: "read_one_row".to_owned(),
            function: function.to_owned(),
            parameter: String::new(),
            median_ns,
            work: Some(("/s", 1.0)),
        };
        let rows = [row("fallback", 3_000.0), row("yardstick_primary", 1_000.0)];
        let page = markdown("hybrid", "hybrid --quick", &rows);
        assert!(page.contains("xtask bench hybrid --quick --out"), "{page}");
        assert!(page.contains("| fallback | 3.00 µs | 333 333 /s | 3.00 × |"), "{page}");
        let drawn = drawing(&rows);
        assert!(
            drawn.contains(">yardstick primary</text>") && drawn.matches("<rect").count() == 3,
            "{drawn}"
        );
    }
}
