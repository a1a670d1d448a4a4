//! What was measured, each figure with the page that it stands on.
//!
//! `measured.json` is compiled in. A test reads every figure again from the pages of `docs/benchmarks`, so that neither can change without
//! the other.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cli::failure::Failure;

const MEASURED: &str = include_str!("measured.json");

/// One figure of a page.
#[derive(Clone, Debug, Deserialize)]
pub struct Figure {
    pub name: String,
    pub unit: String,
    pub value: f64,
    /// `docs/benchmarks/PAGE.json` has it, and `PAGE.md` shows it.
    pub page: String,
    /// Where in the JSON; for the test.
    #[allow(dead_code)]
    pub pointer: String,
    /// How the page shows it; for the test.
    #[allow(dead_code)]
    pub shown: String,
}

/// All figures by their names.
#[derive(Clone, Debug)]
pub struct Figures {
    by_name: BTreeMap<String, Figure>,
}

/// The page of figures that this machine has measured itself.
pub const HERE: &str = "this machine";

impl Figures {
    /// Those that are compiled in.
    pub fn built_in() -> Result<Figures, Failure> {
        let all: Vec<Figure> = serde_json::from_str(MEASURED)
            .map_err(|error| Failure::new(error).context("the figures that are compiled in"))?;
        Ok(Figures { by_name: all.into_iter().map(|figure| (figure.name.clone(), figure)).collect() })
    }

    /// A figure. One that is not there is a slip of this program; 0 shows it.
    pub fn get(&self, name: &str) -> f64 {
        self.by_name.get(name).map_or(0.0, |figure| figure.value)
    }

    /// Puts a figure of this machine in the place of a page's.
    pub fn replace(&mut self, name: &str, value: f64) {
        if let Some(figure) = self.by_name.get_mut(name) {
            figure.value = value;
            figure.page = HERE.to_owned();
        }
    }

    /// True if this machine has measured it.
    pub fn is_of_here(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|figure| figure.page == HERE)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Figure> {
        self.by_name.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)] // the pages are what is looked at
    fn page(name: &str) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[test]
    fn every_figure_stands_on_the_page_that_it_names() {
        let figures = Figures::built_in().unwrap();
        assert!(figures.iter().count() >= 19);
        for figure in figures.iter() {
            let Figure { name, value, page: of, pointer, shown, .. } = figure;
            let json: serde_json::Value = serde_json::from_str(&page(&format!("{of}.json"))).unwrap();
            let found = json.pointer(pointer).and_then(serde_json::Value::as_f64);
            assert_eq!(found, Some(*value), "{name}: {of}.json{pointer}");
            let text = page(&format!("{of}.md"));
            let is_digit = |c: char| c.is_ascii_digit();
            let stands = text.match_indices(shown.as_str()).any(|(at, _)| {
                !text[..at].ends_with(|c: char| is_digit(c) || c == '.' || c == ',')
                    && !text[at + shown.len()..].starts_with(|c: char| is_digit(c))
            });
            assert!(stands, "{name}: {of}.md does not show {shown}");
            // What is shown is the value, rounded, perhaps in larger units.
            let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
            let digits: f64 = digits.parse().unwrap();
            let quotient = value / digits;
            let off = quotient / 10_f64.powf(quotient.log10().round()) - 1.0;
            assert!(off.abs() < 0.51 / digits, "{name}: {value} is shown as {shown}");
        }
    }
}
