//! JSON lines (`docs/formats/jsonl.md`).

use std::io::{self, Read, Write};

use stemedb_core::Micros;
use stemedb_index::claims::Recorded;

use super::{Found, ReadRecords, export::WriteRecords};
use crate::{
    database::{Line, Lines},
    errors::{Code, Error, FieldError, Result},
    json::{self, RecordJson},
};

/// Reads JSON lines.
pub(super) struct JsonLines<R> {
    lines: Lines<R>,
    line: u64,
}

impl<R: Read> JsonLines<R> {
    pub(super) fn new(input: R) -> JsonLines<R> {
        JsonLines { lines: Lines::new(input), line: 0 }
    }
}

impl<R: Read> ReadRecords for JsonLines<R> {
    fn lines_read(&self) -> u64 {
        self.line
    }

    fn next_record(&mut self) -> Result<Option<Found>> {
        let record = match self.lines.next_line().map_err(Error::Input)? {
            None => return Ok(None),
            Some(Line::Whole(line)) if line.trim_ascii().is_empty() => None,
            Some(Line::Whole(line)) => Some(json::exported(line)),
            Some(Line::TooLong) => {
                Some(Err(FieldError::in_body("", Code::LineTooLong, "exceeds 1 MiB").into()))
            }
        };
        self.line += 1;
        Ok(Some(Found { line: self.line, read: self.line, record }))
    }
}

/// Writes JSON lines.
pub(super) struct JsonLinesOut<W>(pub W);

impl<W: Write> WriteRecords for JsonLinesOut<W> {
    fn record(&mut self, recorded: &Recorded) -> io::Result<bool> {
        let line = RecordJson {
            command: &recorded.command,
            id: recorded.id,
            recorded: Some((recorded.position, Micros(recorded.recorded_at.0))),
        };
        serde_json::to_writer(&mut self.0, &line)?;
        self.0.write_all(b"\n")?;
        Ok(true)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
