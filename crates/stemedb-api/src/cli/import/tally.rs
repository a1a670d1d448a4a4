//! What became of the lines.

use std::{
    io::{self, Write},
    time::Duration,
};

use stemedb_api::{FieldError, Invalid, errors::Place};

use crate::cli::paint::{FAINT, GOOD, STRONG, bytes, count, paint, right, thousands, visible};

/// Refused lines that are shown.
const SHOWN: usize = 10;

/// Counts of an import.
#[derive(Debug, Default)]
pub struct Tally {
    /// Lines with an outcome, empty ones included.
    pub lines: u64,
    /// Claims that were new.
    pub created: u64,
    /// Claims that had been recorded before.
    pub existing: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// Sources registered: new or changed, and known already.
    pub sources: (u64, u64),
    /// The last journal position that a line has.
    pub lsn: u64,
    /// The import ended after a refused line.
    pub stopped: bool,
    /// The first of the refused lines.
    first_refused: Vec<Refused>,
}

/// A line that was refused.
#[derive(Debug)]
struct Refused {
    line: u64,
    /// JSON pointer of the member; empty = the whole line.
    pointer: String,
    code: String,
    detail: String,
    /// Further errors of the same line.
    more: usize,
}

impl Tally {
    /// Notes a refused line, from the library.
    pub fn refuse(&mut self, line: u64, why: &Invalid) {
        let errors: Vec<&FieldError> = why.errors().collect();
        if let Some(first) = errors.first() {
            let pointer = match &first.place {
                Place::Body(pointer) | Place::Parameter(pointer) => pointer.to_string(),
            };
            self.note(line, &pointer, first.code.name(), &first.detail, errors.len() - 1);
        }
    }

    /// Notes a refused line. Does not count it.
    pub fn note(&mut self, line: u64, pointer: &str, code: &str, detail: &str, more: usize) {
        if self.first_refused.len() < SHOWN {
            let (pointer, code, detail) = (pointer.to_owned(), code.to_owned(), detail.to_owned());
            self.first_refused.push(Refused { line, pointer, code, detail, more });
        }
    }

    /// Prints the first refused lines.
    pub fn print_refused(&self, out: &mut impl Write) -> io::Result<()> {
        for Refused { line, pointer, code, detail, more } in &self.first_refused {
            let place = if pointer.is_empty() { String::new() } else { format!("{}: ", visible(pointer)) };
            let more = if *more > 0 { format!(", and {more} more") } else { String::new() };
            let line = paint(STRONG, &format!("line {line}"));
            writeln!(out, "{line}: {place}{} {}", visible(detail), paint(FAINT, &format!("({code}{more})")))?;
        }
        let hidden = self.refused.saturating_sub(self.first_refused.len() as u64);
        if hidden > 0 {
            writeln!(out, "… and {} more refused", count(hidden, "line", "lines"))?;
        }
        Ok(())
    }

    /// Prints the counts.
    pub fn print_summary(
        &self,
        out: &mut impl Write,
        elapsed: Duration,
        peak_bytes: Option<u64>,
    ) -> io::Result<()> {
        let seconds = elapsed.as_secs_f64();
        let rate = (self.lines as f64 / seconds.max(1e-3)) as u64;
        let mut row = |name: &str, number: u64, note: &str| {
            writeln!(out, "{name:<14} {}{note}", right(&thousands(number), 12))
        };
        if self.sources != (0, 0) {
            row(
                "sources",
                self.sources.0,
                &format!("  new or changed, {} known already", thousands(self.sources.1)),
            )?;
        }
        row("lines", self.lines, &format!("  in {seconds:.1} s, {} a second", thousands(rate)))?;
        row("created", self.created, "")?;
        row("already known", self.existing, "")?;
        row("refused", self.refused, "")?;
        if self.lsn > 0 {
            row("journal LSN", self.lsn, "")?;
        }
        if let Some(peak) = peak_bytes {
            writeln!(out, "{:<14} {}", "peak memory", right(&bytes(peak), 12))?;
        }
        if self.created == 0 && self.existing > 0 {
            writeln!(out, "{}", paint(GOOD, "nothing new: every claim was already known"))?;
        }
        Ok(())
    }
}
