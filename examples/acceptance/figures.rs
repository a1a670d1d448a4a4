//! What was measured, and what it must be.

/// The table.
#[derive(Default)]
pub struct Figures {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    limit: String,
    measured: String,
    reached: bool,
}

impl Figures {
    /// Notes a figure with its limit, and says it at once.
    pub fn judge(&mut self, what: &str, limit: &str, measured: String, reached: bool) {
        eprintln!("{what}: {measured} ({limit})");
        self.rows.push(Row { what: what.to_owned(), limit: limit.to_owned(), measured, reached });
    }

    /// Notes a figure that has no limit.
    pub fn note(&mut self, what: &str, measured: String) {
        self.judge(what, "-", measured, true);
    }

    /// Prints the table.
    pub fn print(&self) {
        println!("| figure | must be | measured | |");
        println!("|---|---|---|---|");
        for Row { what, limit, measured, reached } in &self.rows {
            let verdict = match (limit.as_str(), reached) {
                ("-", _) => "",
                (_, true) => "reached",
                (_, false) => "MISSED",
            };
            println!("| {what} | {limit} | {measured} | {verdict} |");
        }
    }

    /// True when no figure is missed.
    pub fn all_reached(&self) -> bool {
        self.rows.iter().all(|row| row.reached)
    }
}
