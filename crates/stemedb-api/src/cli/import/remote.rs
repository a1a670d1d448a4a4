//! Into a running server.
//!
//! The lines go out in chunks, one request each; what is not JSON lines becomes JSON lines here, so that every format can be
//! resumed. The server gives a verdict per line, in their order, as they become
//! durable. When the connection breaks or the server has no room, the chunk is sent again from behind the last line that
//! has a verdict.
//!
//! ```text
//! lines ─▶ chunk ─▶ POST /v1/import?verdicts=all ─▶ verdicts … end record ─▶ next chunk
//!            ▲                                        │ broken, or 503
//!            └──── what has no verdict, after a pause ┘
//! ```

use std::{io::Read, time::Duration};

use bytes::Bytes;
use serde::Deserialize;
use stemedb_api::{
    Format, OnError,
    core::Source,
    database::{LINE_MAX_BYTES, Line, Lines},
    exchange::Records,
    json::RecordJson,
};
use stemedb_env::Env;

use super::{How, Input, tally::Tally};
use crate::cli::{
    client::{Client, ClientError, Content, ServerUrl},
    failure::Failure,
    progress::Progress,
};

/// Bytes after which a chunk is sent.
const CHUNK_BYTES: usize = 4 << 20;
/// How long the server may give no sign of progress before the import gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Imports an input. `tally` is right also when it fails.
pub fn import(
    env: &Env,
    url: &ServerUrl,
    input: Input,
    how: &How<'_>,
    tally: &mut Tally,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let on_error = how.on_error;
    let mut remote =
        Remote { env, client: Client::new(url)?, on_error, tally, quiet_since: None, pause: FIRST_PAUSE };
    for source in how.sources {
        remote.register(source)?;
    }
    let mut lines = match how.read.format {
        Format::Jsonl => Outgoing::AsTheyAre(Lines::new(input.text)),
        _ => Outgoing::Made(Records::new(input.text, how.read), None),
    };
    let mut stop = false;
    while !stop && let Some(chunk) = lines.chunk(on_error, remote.tally)? {
        stop = chunk.refused && on_error == OnError::Stop;
        remote.send(chunk)?;
        remote.tally.stopped |= stop;
        progress.at(remote.tally.lines, input.read.part());
        if remote.tally.stopped {
            break;
        }
    }
    Ok(())
}

/// What is sent.
enum Outgoing<'a> {
    /// The lines of the input.
    AsTheyAre(Lines<Box<dyn Read>>),
    /// Lines made of its records, and what ended these before the input did.
    Made(Records<'a>, Option<stemedb_api::Error>),
}

/// Lines that are sent together.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where each line ends, its line feed included.
    ends: Vec<usize>,
    /// Number of the last line of the input before the chunk.
    before: u64,
    /// Number of the last line of the input that is dealt with by the chunk.
    last: u64,
    /// Numbers of the lines in the input, where they are not one after the other.
    numbers: Option<Vec<u64>>,
    /// Something of the input was refused here.
    refused: bool,
}

impl Outgoing<'_> {
    /// The next chunk; `None` at the end.
    fn chunk(&mut self, on_error: OnError, tally: &mut Tally) -> Result<Option<Chunk>, Failure> {
        match self {
            Outgoing::AsTheyAre(lines) => Chunk::read(lines, tally),
            Outgoing::Made(records, broken) => Chunk::make(records, broken, on_error, tally),
        }
    }
}

impl Chunk {
    /// The next chunk of an input; `None` at its end.
    fn read<R: Read>(lines: &mut Lines<R>, tally: &mut Tally) -> Result<Option<Chunk>, Failure> {
        let mut chunk = Chunk { before: tally.lines, ..Chunk::default() };
        while chunk.bytes.len() < CHUNK_BYTES {
            let line = lines.next_line();
            match line.map_err(|error| Failure::new(error).context("cannot read the input"))? {
                None => break,
                Some(Line::Whole(line)) => chunk.bytes.extend_from_slice(line),
                // Not worth sending. An empty line keeps the numbers right.
                Some(Line::TooLong) => {
                    let line = chunk.before + chunk.ends.len() as u64 + 1;
                    let detail = format!("exceeds {} MiB", LINE_MAX_BYTES >> 20);
                    tally.note(line, "", "line_too_long", &detail, 0);
                    tally.refused += 1;
                }
            }
            chunk.bytes.push(b'\n');
            chunk.ends.push(chunk.bytes.len());
        }
        chunk.last = chunk.before + chunk.ends.len() as u64;
        Ok((!chunk.ends.is_empty()).then_some(chunk))
    }

    /// The next records of an input as lines; `None` at its end.
    fn make(
        records: &mut Records<'_>,
        broken: &mut Option<stemedb_api::Error>,
        on_error: OnError,
        tally: &mut Tally,
    ) -> Result<Option<Chunk>, Failure> {
        let mut chunk = Chunk { before: tally.lines, last: tally.lines, ..Chunk::default() };
        let mut numbers = Vec::new();
        while chunk.bytes.len() < CHUNK_BYTES && !(chunk.refused && on_error == OnError::Stop) {
            if let Some(error) = broken.take() {
                return Err(error.into());
            }
            let found = match records.next_record() {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(error) if chunk.ends.is_empty() => return Err(error.into()),
                // What came before it is sent first.
                Err(error) => {
                    *broken = Some(error);
                    break;
                }
            };
            chunk.last = found.read;
            match found.record {
                None => {}
                Some(Ok(command)) => {
                    let line = RecordJson { command: &command, id: None, recorded: None };
                    serde_json::to_writer(&mut chunk.bytes, &line).map_err(Failure::new)?;
                    chunk.bytes.push(b'\n');
                    chunk.ends.push(chunk.bytes.len());
                    numbers.push(found.line);
                }
                Some(Err(why)) => {
                    tally.refuse(found.line, &why);
                    tally.refused += 1;
                    chunk.refused = true;
                }
            }
        }
        chunk.numbers = Some(numbers);
        Ok((chunk.refused || chunk.last > chunk.before || !chunk.ends.is_empty()).then_some(chunk))
    }

    /// The bytes behind the first `done` lines.
    fn rest(&self, done: usize) -> Bytes {
        let from = done.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        Bytes::copy_from_slice(self.bytes.get(from..).unwrap_or_default())
    }

    /// The number in the input of the chunk's n-th line, from 1.
    fn number(&self, line: u64) -> u64 {
        match &self.numbers {
            None => self.before + line,
            Some(numbers) => {
                let index = usize::try_from(line).unwrap_or(usize::MAX).checked_sub(1);
                index.and_then(|index| numbers.get(index)).copied().unwrap_or(self.before)
            }
        }
    }
}

/// One line of the reply: a verdict, or the end record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Verdict {
    line: u64,
    created: Option<serde_json::Value>,
    lsn: u64,
    code: Option<String>,
    detail: String,
    errors: Vec<LineError>,
    end: bool,
    complete: bool,
    lines: u64,
    error: Option<EndError>,
}

#[derive(Debug, Deserialize)]
struct LineError {
    pointer: String,
    code: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
struct EndError {
    code: String,
    detail: String,
}

/// How a request ended.
enum Ended {
    /// Every line has a verdict.
    Complete,
    /// The server stopped after a refused line, as it was told to.
    Stopped,
    /// The rest is to be sent again.
    Again { cause: String },
}

struct Remote<'a> {
    env: &'a Env,
    client: Client,
    on_error: OnError,
    tally: &'a mut Tally,
    /// Since when nothing has been acknowledged, while trying again.
    quiet_since: Option<Duration>,
    pause: Duration,
}

impl Remote<'_> {
    fn register(&mut self, source: &Source) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Recorded {
            created: bool,
        }
        let body = Bytes::from(source_json(source)?);
        loop {
            let content = Content { media_type: "application/json", body: body.clone() };
            match self.client.post("/v1/source", content) {
                Ok(reply) => {
                    self.progressed();
                    let recorded: Recorded = serde_json::from_slice(&reply).map_err(|error| {
                        Failure::new(error).context("the server's reply is not understood")
                    })?;
                    *(if recorded.created {
                        &mut self.tally.sources.0
                    } else {
                        &mut self.tally.sources.1
                    }) += 1;
                    return Ok(());
                }
                Err(error) => self.pause(error)?,
            }
        }
    }

    fn send(&mut self, chunk: Chunk) -> Result<(), Failure> {
        // Lines of the chunk that are dealt with.
        let mut done = 0;
        // Of a chunk whose records were all refused here, nothing is left to send.
        while done < chunk.ends.len() {
            let error = match self.request(&chunk, &mut done) {
                Ok(Ended::Complete) => break,
                Ok(Ended::Stopped) => {
                    self.tally.lines = chunk.number(done as u64);
                    self.tally.stopped = true;
                    return Ok(());
                }
                Ok(Ended::Again { cause }) => ClientError::Connection(cause),
                Err(error) => error,
            };
            self.tally.lines = chunk.number(done as u64);
            self.pause(error)?;
        }
        self.tally.lines = chunk.last;
        self.progressed();
        Ok(())
    }

    /// Sends what is not dealt with yet and counts the verdicts.
    fn request(&mut self, chunk: &Chunk, done: &mut usize) -> Result<Ended, ClientError> {
        let on_error = match self.on_error {
            OnError::Continue => "continue",
            OnError::Stop => "stop",
        };
        let path = format!("/v1/import?verdicts=all&on_error={on_error}");
        let content = Content { media_type: "application/x-ndjson", body: chunk.rest(*done) };
        let base = *done as u64;
        let mut reply = self.client.post_streaming(&path, content)?;
        let mut waiting: Vec<u8> = Vec::new();
        let mut acknowledged = false;
        let mut ended = None;
        while let Some(part) = reply.next_part()? {
            waiting.extend_from_slice(&part);
            let Some(last) = waiting.iter().rposition(|byte| *byte == b'\n') else { continue };
            for line in waiting.get(..last).unwrap_or_default().split(|byte| *byte == b'\n') {
                let not_ours =
                    |error| ClientError::Connection(format!("the reply is not understood: {error}"));
                let verdict: Verdict = serde_json::from_slice(line).map_err(not_ours)?;
                if verdict.end {
                    ended = Some(end_of(&verdict, base, done));
                    continue;
                }
                acknowledged = true;
                let line_in_chunk = base + verdict.line;
                *done =
                    (*done).max(usize::try_from(line_in_chunk).unwrap_or(usize::MAX)).min(chunk.ends.len());
                count(self.tally, &verdict, chunk.number(line_in_chunk));
            }
            waiting.drain(..=last);
        }
        if acknowledged {
            self.progressed();
        }
        // A reply without its end record was cut off.
        Ok(ended.unwrap_or(Ended::Again { cause: "the reply was cut off".to_owned() }))
    }

    fn progressed(&mut self) {
        self.quiet_since = None;
        self.pause = FIRST_PAUSE;
    }

    /// Waits before trying again, or gives up.
    fn pause(&mut self, error: ClientError) -> Result<(), Failure> {
        let (clock, after) = (
            &self.env.clock,
            match &error {
                ClientError::Connection(_) => None,
                ClientError::Refused(refusal) if refusal.is_retryable() => refusal.retry_after,
                ClientError::Refused(_) => return Err(error.into()),
            },
        );
        let now = clock.monotonic();
        let since = *self.quiet_since.get_or_insert(now);
        if now.saturating_sub(since) >= PATIENCE {
            let lines = self.tally.lines;
            let doing = format!("gave up after line {lines}, with no progress for {} s", PATIENCE.as_secs());
            return Err(Failure::from(error).context(doing).hint("running the same command again continues"));
        }
        clock.sleep(after.unwrap_or(self.pause).min(LONGEST_PAUSE));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

fn count(tally: &mut Tally, verdict: &Verdict, line: u64) {
    if let Some(created) = &verdict.created {
        *(if created.as_bool() == Some(true) { &mut tally.created } else { &mut tally.existing }) += 1;
        tally.lsn = tally.lsn.max(verdict.lsn);
        return;
    }
    tally.refused += 1;
    match verdict.errors.first() {
        Some(LineError { pointer, code, detail }) => {
            tally.note(line, pointer, code, detail, verdict.errors.len() - 1);
        }
        None => tally.note(line, "", verdict.code.as_deref().unwrap_or("refused"), &verdict.detail, 0),
    }
}

/// What an end record says. Lines without a verdict of their own, the empty ones, are dealt with by it.
fn end_of(verdict: &Verdict, base: u64, done: &mut usize) -> Ended {
    *done = (*done).max(usize::try_from(base + verdict.lines).unwrap_or(usize::MAX));
    match &verdict.error {
        Some(EndError { code, detail }) => Ended::Again { cause: format!("{detail} ({code})") },
        None if verdict.complete => Ended::Complete,
        None => Ended::Stopped,
    }
}

/// The body of `POST /v1/source`.
fn source_json(source: &Source) -> Result<Vec<u8>, Failure> {
    let mut record = serde_json::Map::new();
    record.insert("id".to_owned(), source.id.as_str().into());
    record.insert("class".to_owned(), source.class.number().into());
    if let Some(title) = &source.title {
        record.insert("title".to_owned(), title.as_str().into());
    }
    if let Some(uri) = &source.uri {
        record.insert("uri".to_owned(), uri.as_str().into());
    }
    if let Some(hash) = source.content_hash {
        record.insert("content_hash".to_owned(), stemedb_api::core::ClaimId(hash).to_string().into());
    }
    serde_json::to_vec(&record).map_err(Failure::new)
}
