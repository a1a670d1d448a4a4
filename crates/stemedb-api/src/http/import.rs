//! `POST /v1/import`: many records in one request, in any format of `docs/formats/`: the media type says which, or `format`.
//!
//! ```text
//! socket ─ parts ─▶ channel ─▶ blocking thread: decompress ─ lines ─ Database::import ─▶ verdicts ─▶ channel ─▶ socket
//!          (bounded)                                                            (held back at first)
//! ```
//!
//! The body is read as fast as batches become durable, in bounded memory. Verdicts are held back while they are few: an
//! import that fails before any was sent is answered with the status of its failure. Once they fill the hold, the reply
//! starts with 200 and flows while the body still arrives; what fails then stands in the last line. No last line means
//! that the reply was cut off.

use std::{
    fmt,
    io::{self, Read},
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use http_body::Frame;
use serde::Serialize;
use stemedb_env::Lsn;
use stemedb_index::Outcome;
use tokio::sync::mpsc;

use super::{
    App, Problem,
    body::{Encoding, Parts, encoding, media_type, require_media_type},
    envelope::AboutLsn,
    params::Params,
    reply,
};
use crate::{
    database::{ImportFailed, ImportOptions, ImportReport, ImportSink, OnError},
    errors::{Code, Error, Invalid},
    exchange::{Format, ReadOptions},
    store_helpers::Operation,
};

pub(super) const PARAMETERS: &[&str] = &["verdicts", "on_error", "format", "source", "scope"];
pub(super) const MEDIA_TYPES: &[&str] = &[
    "application/x-ndjson",
    "application/jsonl",
    "application/json",
    "application/octet-stream",
    "text/csv",
    "application/n-quads",
    "application/trig",
];

/// Parts of the body that may wait for the importing thread.
const PARTS_WAITING: usize = 16;
/// Verdicts that are held back before the reply starts.
const HOLD_BYTES: usize = 256 << 10;
/// Size of a chunk of verdicts on the wire.
const CHUNK_BYTES: usize = 32 << 10;
/// Chunks that may wait for the client.
const CHUNKS_WAITING: usize = 16;
/// Largest window of a zstd frame, as a power of two: 8 MiB, as RFC 9659 demands of content encodings, doubled twice
/// for files made with long-distance matching.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// Why the body cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputFault {
    /// The client was too slow.
    Timeout,
    /// The connection ended.
    CutOff,
    /// More than the limit came out of it.
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
}

impl InputFault {
    pub(super) fn code(self) -> Code {
        match self {
            InputFault::Timeout => Code::RequestTimeout,
            InputFault::CutOff => Code::BadRequest,
            InputFault::TooLarge { .. } => Code::BodyTooLarge,
        }
    }

    fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputFault::Timeout => f.write_str("no part of the body arrived in time"),
            InputFault::CutOff => f.write_str("the body ends early"),
            InputFault::TooLarge { limit_bytes } => {
                write!(f, "the decompressed body exceeds {limit_bytes} bytes")
            }
        }
    }
}

impl std::error::Error for InputFault {}

/// `POST /v1/import`
pub(super) async fn import(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let mut params = Params::parse(head.uri.query(), PARAMETERS);
    let all = params.one_of("verdicts", &[("errors", false), ("all", true)]).unwrap_or(false);
    let on_error = params
        .one_of("on_error", &[("continue", OnError::Continue), ("stop", OnError::Stop)])
        .unwrap_or_default();
    let format = params.format();
    let (default_source, blank_scope) = (params.text("source"), params.text("scope"));
    params.finish()?;
    require_media_type(&head.headers, MEDIA_TYPES)?;
    let format = format.or_else(|| Format::of_media_type(media_type(&head.headers))).unwrap_or_default();
    let read = ReadOptions { format, default_source, blank_scope };
    let encoding = encoding(&head.headers)?;
    let permit = std::sync::Arc::clone(&app.imports).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::new(Code::Overloaded, "too many imports are running"))?;

    let (parts, received) = mpsc::channel(PARTS_WAITING);
    let timeout = app.options.body_timeout;
    tokio::spawn(pump(Parts::new(body, timeout), parts));

    let (chunks, mut ready) = mpsc::channel(CHUNKS_WAITING);
    let agent = super::gate::bound_agent(&head.extensions);
    let options = ImportOptions { on_error, report_recorded: all, agent, ..ImportOptions::default() };
    let span = tracing::Span::current();
    let work = tokio::task::spawn_blocking(move || {
        let _request = span.enter();
        let _permit = permit;
        let limit_bytes = app.options.import_max_bytes;
        let mut verdicts = Verdicts::new(chunks);
        let ended = match decompressed(encoding, BodyReader::new(received)) {
            Ok(input) => {
                let input = Limited { input, left: limit_bytes, limit_bytes };
                app.storage
                    .guard(Operation::Put, |database| run(database, input, &read, options, &mut verdicts))
            }
            Err(error) => Err(Error::Input(error)),
        };
        verdicts.end(ended)
    });

    // The channel ends without a chunk when the import is done before its verdicts fill the hold.
    if let Some(first) = ready.recv().await {
        let body = Body::new(Chunks { first: Some(first), ready });
        return Ok(reply::with_type("application/x-ndjson", body));
    }
    let finished = work.await.map_err(|error| {
        tracing::error!("an import panicked: {error}");
        Problem::of(Code::InternalError)
    })?;
    match finished {
        Finished { failed: Some(problem), .. } => Err(problem),
        Finished { failed: None, rest, lsn } => {
            let mut response = reply::with_type("application/x-ndjson", rest);
            *response.status_mut() = StatusCode::OK;
            if lsn > Lsn::ZERO {
                response.extensions_mut().insert(AboutLsn(lsn));
            }
            Ok(response)
        }
    }
}

/// The import's report, kept where the guard sees only the error.
fn run(
    database: &crate::Database,
    input: impl Read,
    read: &ReadOptions,
    options: ImportOptions,
    verdicts: &mut Verdicts,
) -> Result<ImportReport, Error> {
    match database.import_as(input, read, options, verdicts) {
        Ok(report) => Ok(report),
        Err(ImportFailed { report, error }) => {
            verdicts.acknowledged_before = report;
            Err(*error)
        }
    }
}

/// Moves the body's parts to the importing thread.
async fn pump(mut body: Parts, parts: mpsc::Sender<Result<Bytes, InputFault>>) {
    loop {
        let part = match body.next().await {
            Ok(None) => return,
            Ok(Some(part)) => Ok(part),
            Err(problem) if problem.code() == Code::RequestTimeout => Err(InputFault::Timeout),
            Err(_) => Err(InputFault::CutOff),
        };
        let last = part.is_err();
        if parts.send(part).await.is_err() || last {
            return;
        }
    }
}

/// The body on the importing thread.
struct BodyReader {
    parts: mpsc::Receiver<Result<Bytes, InputFault>>,
    current: Bytes,
}

impl BodyReader {
    fn new(parts: mpsc::Receiver<Result<Bytes, InputFault>>) -> BodyReader {
        BodyReader { parts, current: Bytes::new() }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.parts.blocking_recv() {
                None => return Ok(0),
                Some(Ok(part)) => self.current = part,
                Some(Err(fault)) => return Err(fault.into_io()),
            }
        }
        let count = self.current.len().min(buffer.len());
        let taken = self.current.split_to(count);
        if let Some(buffer) = buffer.get_mut(..count) {
            buffer.copy_from_slice(&taken);
        }
        Ok(count)
    }
}

fn decompressed(encoding: Encoding, body: BodyReader) -> io::Result<Box<dyn Read>> {
    Ok(match encoding {
        Encoding::Identity => Box::new(body),
        Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(body)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

/// Refuses to give more than its limit: the size of a compressed body says nothing about what comes out of it.
struct Limited<R> {
    input: R,
    left: u64,
    limit_bytes: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| InputFault::TooLarge { limit_bytes: self.limit_bytes }.into_io())?;
        Ok(count)
    }
}

/// Verdicts on their way to the client.
struct Verdicts {
    chunks: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
    acknowledged_before: ImportReport,
    /// The reply has started.
    flowing: bool,
    /// The client has left.
    gone: bool,
}

#[derive(Serialize)]
struct RecordedLine<'a> {
    line: u64,
    id: &'a str,
    lsn: u64,
    created: bool,
}

#[derive(Serialize)]
struct RefusedLine<'a> {
    line: u64,
    code: &'static str,
    detail: String,
    errors: Vec<LineError<'a>>,
}

#[derive(Serialize)]
struct LineError<'a> {
    pointer: String,
    code: &'static str,
    detail: &'a str,
}

#[derive(Serialize)]
struct EndRecord {
    end: bool,
    /// True when every line of the input was dealt with.
    complete: bool,
    lines: u64,
    created: u64,
    existing: u64,
    refused: u64,
    lsn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<EndError>,
}

#[derive(Serialize)]
struct EndError {
    code: &'static str,
    detail: String,
}

impl EndRecord {
    fn new(report: &ImportReport, error: Option<&Problem>) -> EndRecord {
        EndRecord {
            end: true,
            complete: error.is_none() && !report.stopped,
            lines: report.lines,
            created: report.created,
            existing: report.existing,
            refused: report.refused,
            lsn: report.lsn.0,
            error: error
                .map(|problem| EndError { code: problem.code().name(), detail: problem.detail().to_owned() }),
        }
    }
}

/// What is left to say when the import has ended.
struct Finished {
    /// The failure, where no verdict was sent before.
    failed: Option<Problem>,
    /// Everything held back, with the end record.
    rest: Vec<u8>,
    lsn: Lsn,
}

impl Verdicts {
    fn new(chunks: mpsc::Sender<Bytes>) -> Verdicts {
        let acknowledged_before = ImportReport::default();
        Verdicts { chunks, buffer: Vec::new(), acknowledged_before, flowing: false, gone: false }
    }

    fn write(&mut self, line: &impl Serialize) {
        // Plain structs always serialize.
        if serde_json::to_writer(&mut self.buffer, line).is_ok() {
            self.buffer.push(b'\n');
        }
        let full = if self.flowing { CHUNK_BYTES } else { HOLD_BYTES };
        if self.buffer.len() >= full {
            self.flow();
        }
    }

    /// Hands over what is buffered; waits while the client does not read.
    fn flow(&mut self) {
        self.flowing = true;
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        self.gone = self.gone || self.chunks.blocking_send(chunk).is_err();
    }

    fn end(mut self, ended: Result<ImportReport, Error>) -> Finished {
        let (report, problem) = match ended {
            Ok(report) => (report, None),
            Err(error) => (self.acknowledged_before, Some(Problem::from_error(&error))),
        };
        let record = EndRecord::new(&report, problem.as_ref());
        if !self.flowing
            && let Some(problem) = problem
        {
            let import = serde_json::to_value(&record).unwrap_or_default();
            return Finished {
                failed: Some(problem.with("import", import)),
                rest: Vec::new(),
                lsn: report.lsn,
            };
        }
        self.write(&record);
        if self.flowing && !self.buffer.is_empty() {
            self.flow();
        }
        Finished { failed: None, rest: self.buffer, lsn: report.lsn }
    }
}

impl ImportSink for Verdicts {
    fn refused(&mut self, line: u64, why: &Invalid) {
        let errors = why.errors().map(|error| LineError {
            pointer: match &error.place {
                crate::errors::Place::Body(pointer) => pointer.to_string(),
                crate::errors::Place::Parameter(name) => name.to_string(),
            },
            code: error.code.name(),
            detail: &error.detail,
        });
        let verdict =
            RefusedLine { line, code: why.code().name(), detail: why.to_string(), errors: errors.collect() };
        self.write(&verdict);
    }

    fn recorded(&mut self, line: u64, outcome: &Outcome) {
        let id = outcome.id.map(|id| id.to_string()).unwrap_or_default();
        let verdict = RecordedLine { line, id: &id, lsn: outcome.position.lsn.0, created: outcome.created };
        self.write(&verdict);
    }

    fn acknowledged(&mut self, _: &ImportReport) -> ControlFlow<()> {
        if self.flowing && !self.buffer.is_empty() {
            // Once the reply flows, each batch's verdicts go out with its acknowledgement.
            self.flow();
        }
        if self.gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Verdicts as a body.
struct Chunks {
    first: Option<Bytes>,
    ready: mpsc::Receiver<Bytes>,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.ready.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}
