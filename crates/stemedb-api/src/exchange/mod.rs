//! Import and export: the formats (`docs/formats/{jsonl,csv,rdf}.md`).
//!
//! ```text
//! input  ─ reader of the format ─▶ Found (line, command or refusal) ─▶ Database::import_as ─▶ batches
//! Database::export ─ replay, in the order of the journal ─▶ writer of the format ─▶ output
//! ```
//!
//! Every reader works in bounded memory, whatever the length of its input, and names the line of what it refuses. Adding a
//! kind of record touches the table in [`crate::json::RECORD_KINDS`] and its writer beside it: the formats carry whatever has
//! a line of JSON.

mod csv;
mod export;
mod format;
mod jsonl;
mod rdf;

use std::io::Read;

#[cfg(feature = "server")]
pub(crate) use export::export_from;
pub use export::{ExportOptions, ExportReport, Filter};
pub use format::{Format, UnknownFormat};
use stemedb_core::Command;

use crate::errors::{Invalid, Result};

/// How an input is to be read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Its format.
    pub format: Format,
    /// The source of quads that are in no named graph.
    pub default_source: Option<String>,
    /// The name under which blank nodes are known outside of their file.
    pub blank_scope: Option<String>,
}

impl ReadOptions {
    /// A format, and nothing else.
    pub fn of(format: Format) -> ReadOptions {
        ReadOptions { format, ..ReadOptions::default() }
    }
}

/// Something found in an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The line it is told of by, from 1.
    pub line: u64,
    /// Lines read so far.
    pub read: u64,
    /// A record, or why there is none; `None` for what means nothing, such as an empty line.
    pub record: Option<Result<Command, Invalid>>,
}

/// Reads the records of one format.
trait ReadRecords {
    /// The next thing found; `None` at the end.
    ///
    /// # Errors
    /// Where the input cannot be read on: [`crate::Error::Input`], or [`crate::Error::Invalid`] with the line in its detail.
    fn next_record(&mut self) -> Result<Option<Found>>;

    /// Lines read so far.
    fn lines_read(&self) -> u64;
}

/// The records of an input, whatever its format.
pub struct Records<'a> {
    reader: Box<dyn ReadRecords + 'a>,
    /// Lines that were told of.
    told: u64,
}

impl<'a> Records<'a> {
    /// Begins to read an input (decompressed).
    pub fn new(input: impl Read + 'a, options: &ReadOptions) -> Records<'a> {
        let reader: Box<dyn ReadRecords + 'a> = match options.format {
            Format::Jsonl => Box::new(jsonl::JsonLines::new(input)),
            Format::Csv => Box::new(csv::Rows::new(input)),
            Format::NQuads | Format::TriG => Box::new(rdf::Statements::new(input, options)),
            Format::Nanopub => Box::new(rdf::Nanopublications::new(input, options)),
        };
        Records { reader, told: 0 }
    }

    /// The next thing found; `None` at the end.
    ///
    /// # Errors
    /// Where the input cannot be read on: [`crate::Error::Input`], or [`crate::Error::Invalid`] with the line in its detail.
    pub fn next_record(&mut self) -> Result<Option<Found>> {
        if let Some(found) = self.reader.next_record()? {
            self.told = found.read;
            return Ok(Some(found));
        }
        // Lines after the last record are lines too.
        let read = self.reader.lines_read();
        let more = read > self.told;
        self.told = read;
        Ok(more.then_some(Found { line: read, read, record: None }))
    }
}

/// Refuses an input as a whole, at a line.
fn broken(line: u64, code: crate::Code, detail: impl std::fmt::Display) -> crate::Error {
    crate::FieldError::in_body("", code, format!("line {line}: {detail}")).into()
}
