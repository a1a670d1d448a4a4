//! `GET /v1/export`: everything, or the claims that fit, in one streamed reply.
//!
//! ```text
//! blocking thread: replay ─ writer of the format ─▶ chunks ─▶ channel (bounded) ─▶ socket
//! ```
//!
//! The reply begins with its first chunk, so that what fails before has its status. What fails later cuts the reply off: the
//! last chunk of a chunked reply is then missing, which no client takes for an end. A client that does not read for as long as
//! a body may pause is cut off too, because its snapshot keeps files from being removed.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use tokio::{runtime::Handle, sync::mpsc};

use super::{App, Problem, chunks::Chunks, envelope::AboutLsn, params::Params, reply};
use crate::{
    errors::{Code, Error},
    exchange::{ExportOptions, Filter, Format, export_from},
    store_helpers::Operation,
};

pub(super) const PARAMETERS: &[&str] = &["format", "as_of", "subject", "prefix", "predicate", "source"];
pub(super) const MEDIA_TYPES: &[&str] =
    &["application/x-ndjson", "text/csv", "application/n-quads", "application/trig"];

/// Size of a chunk on the wire.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that may wait for the client.
const CHUNKS_WAITING: usize = 4;

/// `GET /v1/export`
pub(super) async fn export(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let mut params = Params::parse(head.uri.query(), PARAMETERS);
    let format = params.format();
    let as_of = params.moment("as_of");
    let filter = Filter {
        subject: params.text("subject"),
        prefix: params.text("prefix"),
        predicate: params.text("predicate"),
        source: params.text("source"),
    };
    params.finish()?;
    let format = match format {
        Some(format) => format,
        None => acceptable(&head.headers)?,
    };
    let permit = Arc::clone(&app.exports).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::new(Code::Overloaded, "too many exports are running"))?;
    let reader = app.storage.run(Operation::Query, move |database| database.reader(as_of)).await?;
    let lsn = reader.lsn();

    let options = ExportOptions { format, as_of: None, filter, ..ExportOptions::default() };
    let (parts, mut ready) = mpsc::channel(CHUNKS_WAITING);
    let complete = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&complete);
    let patience = app.options.body_timeout;
    let span = tracing::Span::current();
    let work = tokio::task::spawn_blocking(move || {
        let _request = span.enter();
        let _permit = permit;
        let mut out = Chunked { parts, buffer: Vec::new(), patience, runtime: Handle::current() };
        let ended = app.storage.guard(Operation::Query, |_| {
            let written = export_from(&reader, &options, &mut out, &mut |_| {});
            match written.and_then(|_| out.flush().map_err(Error::Output)) {
                // A client that has left is no failure of the storage.
                Err(Error::Output(error)) => Ok(Err(error)),
                other => other.map(Ok),
            }
        });
        match ended {
            Ok(Ok(())) => {
                done.store(true, Ordering::Release);
                None
            }
            Ok(Err(error)) => {
                tracing::debug!("an export was not read to its end: {error}");
                None
            }
            Err(error) => Some(Problem::from_error(&error)),
        }
    });
    let first = ready.recv().await;
    if first.is_none() {
        // Nothing was sent: either there is nothing, or it failed at once.
        let failed = work.await.map_err(|error| {
            tracing::error!("an export panicked: {error}");
            Problem::of(Code::InternalError)
        })?;
        if let Some(problem) = failed {
            return Err(problem);
        }
    }
    let mut response = reply::with_type(format.media_type(), Body::new(Chunks { first, ready, complete }));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(AboutLsn(lsn));
    Ok(response)
}

/// The format that `Accept` asks for; JSON lines where anything will do.
fn acceptable(headers: &HeaderMap) -> Result<Format, Problem> {
    let mut given = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if given.peek().is_none() {
        return Ok(Format::Jsonl);
    }
    let mut best: Option<(u16, Format)> = None;
    for range in given.flat_map(|list| list.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1000), thousandths);
        let format = match essence {
            "*/*" | "application/*" => Some(Format::Jsonl),
            "text/*" => Some(Format::Csv),
            essence => Format::of_media_type(essence),
        };
        if let (Some(format), Some(weight @ 1..)) = (format, weight)
            && best.is_none_or(|(heaviest, _)| weight > heaviest)
        {
            best = Some((weight, format));
        }
    }
    best.map(|(_, format)| format).ok_or_else(|| {
        Problem::new(Code::NotAcceptable, format!("this route answers with {}", MEDIA_TYPES.join(", ")))
    })
}

/// A weight of an `Accept` header in thousandths.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction:0<3}");
    let weight: u16 = digits.parse().ok()?;
    (whole.len() == 1 && fraction.len() <= 3 && weight <= 1000).then_some(weight)
}

/// Hands what is written to the client, chunk by chunk.
struct Chunked {
    parts: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
    patience: Duration,
    runtime: Handle,
}

impl Chunked {
    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        let sent = self
            .runtime
            .block_on(async { tokio::time::timeout(self.patience, self.parts.send(chunk)).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for Chunked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Chunks are sent when they are full; what is left goes out at the end.
        self.send()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_of_what_is_accepted_decides() {
        let asked = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            acceptable(&headers).map_err(|problem| problem.code())
        };
        assert_eq!(acceptable(&HeaderMap::new()).unwrap(), Format::Jsonl);
        assert_eq!(asked("*/*"), Ok(Format::Jsonl));
        assert_eq!(asked("text/html, text/csv;q=0.9, */*;q=0.1"), Ok(Format::Csv));
        assert_eq!(asked("application/n-quads;q=0.5, application/trig"), Ok(Format::TriG));
        assert_eq!(asked("application/n-quads;q=0, text/html"), Err(Code::NotAcceptable));
        assert_eq!(asked("text/csv;q=7"), Err(Code::NotAcceptable));
    }
}
