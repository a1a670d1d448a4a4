//! Many records in one request, with a verdict for each.
//!
//! Records go out in chunks so small that the server can say all its verdicts without being read meanwhile. Where a reply breaks off, what
//! has no verdict is sent again: records are their content, so the second time changes nothing.

use std::io::Read;

use serde::{Deserialize, Serialize};

use super::{Client, body_of};
use crate::{
    error::{Code, Error, FieldError},
    transport::{Call, Failure, not_understood},
};

const ROUTE: &str = "/v1/import";
const JSON_LINES: &str = "application/x-ndjson";
/// Records of a chunk: verdicts of so many wait in the server until the request was sent.
const CHUNK_RECORDS: usize = 512;
const CHUNK_BYTES: usize = 1 << 20;

/// What happens after a record that is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The others are recorded.
    #[default]
    Continue,
    /// Nothing more is.
    Stop,
}

impl OnError {
    fn name(self) -> &'static str {
        match self {
            OnError::Continue => "continue",
            OnError::Stop => "stop",
        }
    }
}

/// How records are imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// What happens after a record that is refused.
    pub on_error: OnError,
}

/// What became of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Verdict {
    /// Its number, from 1, in all that was given.
    pub line: u64,
    /// Its id; none if it was refused, empty if such records have none.
    pub id: Option<String>,
    /// The entry that it stands in.
    pub lsn: Option<u64>,
    /// False if it was there already; none if it was refused.
    pub created: Option<bool>,
    /// Why it was refused, for programs.
    pub code: Option<Code>,
    /// Why, for people.
    pub detail: Option<String>,
    /// Every member that is wrong.
    pub errors: Vec<FieldError>,
}

impl Verdict {
    /// Whether it is recorded, now or before.
    pub fn is_recorded(&self) -> bool {
        self.created.is_some()
    }
}

/// How an import ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Whether every record was dealt with.
    pub complete: bool,
    /// Records that were dealt with.
    pub lines: u64,
    /// Newly recorded.
    pub created: u64,
    /// There already; also what was recorded by a request whose reply was lost.
    pub existing: u64,
    /// Refused.
    pub refused: u64,
    /// The newest entry.
    pub lsn: u64,
}

/// Tells the end record from verdicts.
#[derive(Deserialize)]
struct Mark {
    #[serde(default)]
    end: bool,
}

#[derive(Deserialize)]
struct End {
    #[serde(default)]
    complete: bool,
    #[serde(default)]
    lines: u64,
    #[serde(default)]
    created: u64,
    #[serde(default)]
    existing: u64,
    #[serde(default)]
    refused: u64,
    #[serde(default)]
    lsn: u64,
    error: Option<EndError>,
}

#[derive(Deserialize)]
struct EndError {
    code: Code,
    #[serde(default)]
    detail: String,
}

/// Lines of one request.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.ends.len() >= CHUNK_RECORDS || self.bytes.len() >= CHUNK_BYTES
    }

    fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }

    /// The lines behind the first `done`.
    fn rest(&self, done: usize) -> &[u8] {
        let from = done.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        self.bytes.get(from..).unwrap_or_default()
    }
}

impl Client {
    /// Records many: claims ([`Assertion`](crate::Assertion)), or [`Record`](crate::Record)s of any kind. They are read as they are
    /// sent, so they may be more than fit into memory. `on_verdict` is told of each, in their order.
    ///
    /// # Errors
    /// [`Error`] where an import cannot go on. What has a verdict is recorded; importing everything again is safe.
    pub fn import<R: Serialize>(
        &self,
        records: impl IntoIterator<Item = R>,
        options: &ImportOptions,
        mut on_verdict: impl FnMut(Verdict),
    ) -> Result<ImportReport, Error> {
        let mut report = ImportReport { complete: true, ..ImportReport::default() };
        let mut records = records.into_iter();
        loop {
            let mut chunk = Chunk::default();
            while !chunk.is_full()
                && let Some(record) = records.next()
            {
                chunk.push(&body_of(&record)?);
            }
            if chunk.ends.is_empty() {
                return Ok(report);
            }
            let before = report.lines;
            let went_on = self.send_chunk(&chunk, options, &mut |mut verdict| {
                verdict.line += before;
                match verdict.created {
                    Some(true) => report.created += 1,
                    Some(false) => report.existing += 1,
                    None => report.refused += 1,
                }
                report.lsn = report.lsn.max(verdict.lsn.unwrap_or(0));
                report.lines = report.lines.max(verdict.line);
                on_verdict(verdict);
            })?;
            if !went_on {
                report.complete = false;
                return Ok(report);
            }
            report.lines = before + chunk.ends.len() as u64;
        }
    }

    /// Sends a chunk until each of its lines has a verdict. False if the server stopped at a refused one, as it was told to.
    fn send_chunk(
        &self,
        chunk: &Chunk,
        options: &ImportOptions,
        on_verdict: &mut dyn FnMut(Verdict),
    ) -> Result<bool, Error> {
        let mut done = 0;
        let mut failures = 0;
        loop {
            let base = done;
            let call = Call::send("POST", ROUTE, chunk.rest(base).to_vec())
                .with("verdicts", "all")
                .with("on_error", options.on_error.name())
                .of_type(JSON_LINES);
            let mut reply = self.stream(&call)?;
            let failure = loop {
                let line = match reply.line() {
                    Ok(Some(line)) => line,
                    Ok(None) => break Failure::Broken("the verdicts were cut off".into()),
                    Err(failure) => break failure,
                };
                let understood = |error| not_understood(ROUTE, error);
                if !serde_json::from_slice::<Mark>(&line).map_err(understood)?.end {
                    let mut verdict: Verdict = serde_json::from_slice(&line).map_err(understood)?;
                    verdict.line += base as u64;
                    let line = usize::try_from(verdict.line).unwrap_or(usize::MAX);
                    done = done.max(line).min(chunk.ends.len());
                    failures = 0;
                    on_verdict(verdict);
                    continue;
                }
                match serde_json::from_slice(&line).map_err(understood)? {
                    End { error: Some(EndError { code, detail }), .. } => {
                        break Failure::Final(Error::EndedEarly { code, detail });
                    }
                    End { complete, .. } => return Ok(complete),
                }
            };
            failures += 1;
            if failures >= self.transport.retry.attempts {
                return Err(failure.into_error(failures));
            }
            self.transport.pause(failures);
        }
    }

    /// Records a document of another format whole, in one request: a table (`text/csv`), RDF (`application/n-quads`,
    /// `application/trig`), or JSON lines. Only refused records have verdicts.
    ///
    /// # Errors
    /// `400` for a document that is not of its format.
    pub fn import_document(
        &self,
        media_type: &'static str,
        mut document: impl Read,
        options: &ImportOptions,
        mut on_refused: impl FnMut(Verdict),
    ) -> Result<ImportReport, Error> {
        let mut body = Vec::new();
        let unreadable =
            |error: std::io::Error| Error::Unsendable { member: "the document", detail: error.to_string() };
        document.read_to_end(&mut body).map_err(unreadable)?;
        let call = Call::send("POST", ROUTE, body).with("on_error", options.on_error.name());
        let reply = self.whole(&call.of_type(media_type))?;
        for line in reply.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let understood = |error| not_understood(ROUTE, error);
            if !serde_json::from_slice::<Mark>(line).map_err(understood)?.end {
                on_refused(serde_json::from_slice(line).map_err(understood)?);
                continue;
            }
            let end: End = serde_json::from_slice(line).map_err(understood)?;
            if let Some(EndError { code, detail }) = end.error {
                return Err(Error::EndedEarly { code, detail });
            }
            return Ok(ImportReport {
                complete: end.complete,
                lines: end.lines,
                created: end.created,
                existing: end.existing,
                refused: end.refused,
                lsn: end.lsn,
            });
        }
        Err(not_understood(ROUTE, "there is no end record"))
    }
}
