//! Tables, for people and as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::slices::{Paired, PerOperation, Summary};

/// A column: its name in JSON, and above the figures.
#[derive(Clone, Copy)]
pub struct Column(pub &'static str, pub &'static str);

pub const P50: Column = Column("p50_us", "p50 µs");
pub const P99: Column = Column("p99_us", "p99 µs");
pub const MAX: Column = Column("max_us", "max µs");
pub const PER_SECOND: Column = Column("per_second", "/s");
pub const MB: Column = Column("mb_per_second", "MB/s");
pub const RATIO: Column = Column("ratio", "ratio");
pub const SPREAD: Column = Column("spread_percent", "± %");
pub const COUNT: Column = Column("operations", "n");
pub const WRITES: Column = Column("writes_per_op", "writes");
pub const WRITTEN: Column = Column("written_kib_per_op", "KiB wr.");
pub const READ: Column = Column("read_kib_per_op", "KiB read");
pub const FLUSHES: Column = Column("flushes_per_op", "flushes");

/// Figures of one group of variants.
pub struct Table {
    /// Its name in JSON, and where conclusions look for it.
    pub key: String,
    pub title: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    pub notes: Vec<String>,
}

pub struct Row {
    pub name: String,
    /// One per column.
    pub values: Vec<Option<f64>>,
    /// The p50 of each round, where there are rounds.
    pub by_round_us: Vec<f64>,
    /// Why there are no figures.
    pub refused: Option<String>,
}

/// Variants of a group, with what each gave or why it gave nothing.
pub type Measured = Vec<(String, Result<Summary, String>)>;

impl Table {
    pub fn new(key: &str, title: &str, columns: &[Column]) -> Self {
        let (key, title) = (key.to_owned(), title.to_owned());
        Self { key, title, columns: columns.to_vec(), rows: Vec::new(), notes: Vec::new() }
    }

    /// A table of summaries: latencies, rates, the ratio of the p50 to the group's best, requests to the disk.
    pub fn of(key: &str, title: &str, columns: &[Column], measured: Measured) -> Self {
        let mut table = Self::new(key, title, columns);
        let all = measured.iter().filter_map(|(_, outcome)| outcome.as_ref().ok());
        let best = all.min_by(|a, b| a.p50_us.total_cmp(&b.p50_us)).cloned();
        for (name, outcome) in measured {
            let (values, by_round_us) = match (&outcome, &best) {
                (Ok(summary), Some(best)) => (
                    columns.iter().map(|column| figure(summary, best, *column)).collect(),
                    summary.p50_by_round_us.clone(),
                ),
                _ => (vec![None; columns.len()], Vec::new()),
            };
            table.rows.push(Row { name, values, by_round_us, refused: outcome.err() });
        }
        table
    }

    pub fn push(&mut self, name: &str, values: Vec<Option<f64>>) {
        self.rows.push(Row { name: name.to_owned(), values, by_round_us: Vec::new(), refused: None });
    }

    pub fn by_round(&self, row: &str) -> Option<&[f64]> {
        Some(&self.rows.iter().find(|each| each.name == row)?.by_round_us)
    }

    /// A figure by the names of its row and column.
    pub fn get(&self, row: &str, column: Column) -> Option<f64> {
        let at = self.columns.iter().position(|each| each.0 == column.0)?;
        let row = self.rows.iter().find(|each| each.name == row)?;
        row.values.get(at).copied().flatten()
    }

    pub fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(36);
        let mut text = format!("\n{}\n{:width$}", self.title, "");
        for column in &self.columns {
            let _ = write!(text, " {:>9}", column.1);
        }
        text.push('\n');
        for row in &self.rows {
            let _ = write!(text, "{:width$}", row.name);
            match &row.refused {
                Some(reason) => {
                    let _ = write!(text, "   NOT AVAILABLE: {reason}");
                }
                None => row.values.iter().for_each(|value| {
                    let _ = write!(text, " {:>9}", value.map_or("–".to_owned(), number));
                }),
            }
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "  {note}");
        }
        text
    }

    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let mut fields = Map::from_iter([("name".to_owned(), json!(row.name))]);
                if let Some(reason) = &row.refused {
                    fields.insert("not_available".to_owned(), json!(reason));
                }
                if !row.by_round_us.is_empty() {
                    fields.insert("p50_us_by_round".to_owned(), json!(row.by_round_us));
                }
                let values = self.columns.iter().zip(&row.values);
                fields.extend(
                    values.filter_map(|(column, value)| Some((column.0.to_owned(), json!((*value)?)))),
                );
                Value::Object(fields)
            })
            .collect();
        json!({ "key": self.key, "title": self.title, "rows": rows, "notes": self.notes })
    }
}

fn figure(summary: &Summary, best: &Summary, column: Column) -> Option<f64> {
    let device = |field: fn(&PerOperation) -> f64| summary.device.as_ref().map(field);
    match column.0 {
        "p50_us" => Some(summary.p50_us),
        "p99_us" => Some(summary.p99_us),
        "max_us" => Some(summary.max_us),
        "per_second" => Some(summary.per_second),
        "mb_per_second" => Some(summary.mb_per_second),
        "ratio" => Paired::of(&summary.p50_by_round_us, &best.p50_by_round_us).map(|paired| paired.ratio),
        "spread_percent" => Some(summary.spread_percent),
        "operations" => Some(summary.operations as f64),
        "writes_per_op" => device(|device| device.writes),
        "written_kib_per_op" => device(|device| device.written_kib),
        "read_kib_per_op" => device(|device| device.read_kib),
        "flushes_per_op" => device(|device| device.flushes),
        _ => None,
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 99_950.0 => format!("{:.0}k", value / 1e3),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
