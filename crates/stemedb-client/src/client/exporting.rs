//! Taking everything elsewhere.

use std::io::{self, Read};

use super::Client;
use crate::{
    error::Error,
    position::Position,
    question::Moment,
    transport::{Call, Stream},
};

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// JSON lines: without loss.
    #[default]
    JsonLines,
    /// Claims as a table.
    Csv,
    /// Claims as quads.
    NQuads,
    /// The same, in groups.
    TriG,
    /// Claims with their provenance.
    Nanopublications,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::JsonLines => "jsonl",
            Format::Csv => "csv",
            Format::NQuads => "nquads",
            Format::TriG => "trig",
            Format::Nanopublications => "nanopub",
        }
    }
}

/// What is exported; everything unless said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportQuery {
    /// How it is written.
    pub format: Format,
    /// As of a moment.
    pub as_of: Option<Moment>,
    /// Claims about it.
    pub subject: Option<String>,
    /// Claims about subjects that begin so.
    pub prefix: Option<String>,
    /// Claims under it.
    pub predicate: Option<String>,
    /// Claims of this source.
    pub source: Option<String>,
}

/// An export, to be read to its end. One that breaks off is an error of reading, never a short file.
#[derive(Debug)]
pub struct Export(Stream);

impl Export {
    /// The moment that it shows.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }
}

impl Read for Export {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Client {
    /// Begins an export.
    ///
    /// # Errors
    /// [`Error`] where it does not begin.
    pub fn export(&self, query: &ExportQuery) -> Result<Export, Error> {
        let call = Call::get("/v1/export")
            .with("format", query.format.name())
            .with_some("as_of", query.as_of.as_ref())
            .with_some("subject", query.subject.as_ref())
            .with_some("prefix", query.prefix.as_ref())
            .with_some("predicate", query.predicate.as_ref())
            .with_some("source", query.source.as_ref());
        self.stream(&Call { accept: "*/*", ..call }).map(Export)
    }
}
