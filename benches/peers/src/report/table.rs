//! Tables that are read on a terminal and can be pasted into a page: Markdown with aligned columns.

use std::fmt;

/// Rows under a header. The first column is aligned to the left, the others to the right.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(header: &[&str]) -> Table {
        Table { rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row. Cells that it lacks stay empty, cells beyond the header are not shown.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        self.rows.get(row).and_then(|cells| cells.get(column)).map_or("", String::as_str)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let longest = (0..self.rows.len()).map(|row| self.cell(row, column).chars().count()).max();
                longest.unwrap_or(0).max(2)
            })
            .collect();
        for row in 0..self.rows.len() {
            for (column, &width) in widths.iter().enumerate() {
                let cell = self.cell(row, column);
                if column == 0 {
                    write!(f, "| {cell:<width$} ")?;
                } else {
                    write!(f, "| {cell:>width$} ")?;
                }
            }
            f.write_str("|")?;
            if row == 0 {
                f.write_str("\n")?;
                for (column, &width) in widths.iter().enumerate() {
                    let end = if column == 0 { "-" } else { ":" };
                    write!(f, "|{}{end}", "-".repeat(width + 1))?;
                }
                f.write_str("|")?;
            }
            if row + 1 < self.rows.len() {
                f.write_str("\n")?;
            }
        }
        Ok(())
    }
}

/// A whole number with commas: `41,234`.
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds with three digits or all whole ones: `4.72`, `211`, `26,300`.
pub fn micros(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => grouped(value),
    }
}

/// A ratio: two decimals, one from 10 on.
pub fn ratio(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let mut table = Table::new(&["", "rate"]);
        table.row(vec!["redb".to_owned(), "1,671".to_owned()]);
        table.row(vec!["µ".to_owned()]);
        assert_eq!(
            table.to_string(),
            "|      |  rate |\n|------|------:|\n| redb | 1,671 |\n| µ    |       |"
        );
    }

    #[test]
    fn numbers_have_as_many_digits_as_they_are_worth() {
        assert_eq!(
            (grouped(999.6), grouped(41_234.0), grouped(12.0)),
            ("1,000".into(), "41,234".into(), "12".into())
        );
        assert_eq!(
            (micros(4.721), micros(42.13), micros(26_312.0)),
            ("4.72".into(), "42.1".into(), "26,312".into())
        );
        assert_eq!((ratio(1.578), ratio(12.34)), ("1.58".into(), "12.3".into()));
    }
}
