//! Every series of the server, read from `docs/operations/metrics.md` (a test of `stemedb-api` holds that page equal to the program's
//! own table, and the table to what a server answers), and those of others, from `deploy/exporters/metrics.txt`.

use std::{collections::BTreeMap, fs, path::Path};

const PAGE: &str = "docs/operations/metrics.md";
const OTHERS: &str = "deploy/exporters/metrics.txt";

/// One series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    pub unit: String,
    pub labels: Vec<String>,
    pub help: String,
}

/// All that expressions may name.
#[derive(Debug, Default)]
pub struct Registry {
    /// In the order of the page.
    pub series: Vec<Series>,
    /// Series of others, with who has them.
    pub others: BTreeMap<String, String>,
}

impl Registry {
    /// Reads both files.
    pub fn read(root: &Path) -> Result<Registry, String> {
        let text =
            |name: &str| fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"));
        let registry = Registry { series: page(&text(PAGE)?), others: others(&text(OTHERS)?) };
        match registry.series.is_empty() || registry.others.is_empty() {
            true => Err(format!("{PAGE} or {OTHERS} names nothing")),
            false => Ok(registry),
        }
    }

    /// A series of the server.
    pub fn get(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }

    /// True for the name of a series, as expressions write it.
    pub fn has(&self, name: &str) -> bool {
        let is_histogram = |base: &str| self.get(base).is_some_and(|series| series.kind == "histogram");
        let parts = ["_bucket", "_sum", "_count"];
        self.others.contains_key(name)
            || self.get(name).is_some_and(|series| series.kind != "histogram")
            || parts.iter().any(|part| name.strip_suffix(part).is_some_and(is_histogram))
    }
}

fn page(text: &str) -> Vec<Series> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
        let [name, kind, unit, labels, help, ..] = cells.as_slice() else { return None };
        let plain = |text: &str| text.trim_matches('`').to_owned();
        let labels = labels.split(", ").filter(|label| !label.is_empty()).map(plain).collect();
        let (kind, unit, help) = ((*kind).to_owned(), (*unit).to_owned(), (*help).to_owned());
        Some(Series { name: plain(name), kind, unit, labels, help })
    };
    text.lines().filter_map(row).collect()
}

fn others(text: &str) -> BTreeMap<String, String> {
    let named = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    named.map(|(who, name)| (name.trim().to_owned(), who.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_page_are_series_and_parts_of_histograms_are_known() {
        let text = "| series | kind |\n|---|---|\n| `a_total` | counter | count | `x`, `y` | Things (there once) |\n\
                    | `b` | gauge | bytes |  | Bytes |\n| `h` | histogram | seconds |  | Time |\n";
        let registry = Registry { series: page(text), others: others("# c\nnode_exporter n\n") };
        assert_eq!(registry.get("a_total").unwrap().labels, ["x", "y"]);
        assert_eq!(registry.get("b").unwrap().help, "Bytes");
        assert!(registry.has("h_bucket") && registry.has("n") && registry.has("b"));
        assert!(!registry.has("h") && !registry.has("b_count") && !registry.has("c"));
    }
}
