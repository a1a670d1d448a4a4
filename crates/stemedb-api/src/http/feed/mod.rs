//! `GET /v1/feed`: what changed from a position on, as lines of JSON or as server-sent events.
//!
//! ```text
//! journal ─▶ cursor (a blocking thread, 64 KiB at a time) ─▶ channel of a few chunks ─▶ socket
//!              └ caught up: lines end; events wait for news, without a thread
//! ```
//!
//! Whatever else is followed goes the same way ([`Followed`]): notices of watches do.
//!
//! A reader that does not read holds a few chunks and no thread, and is cut off after a while: it goes on from the last
//! position that it has.

mod cursor;
mod news;
pub(super) mod position;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use serde::Serialize;
use stemedb_env::Lsn;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::Instant,
};

use self::cursor::Cursor;
pub(super) use self::news::News;
use super::{App, Problem, chunks::Chunks, params::Params, reply};
use crate::{
    errors::{Code, Error, FieldError},
    metrics::Stream,
    store_helpers::Operation,
};

pub(super) const PARAMETERS: &[&str] = &["from", "limit", "wait"];

/// Bytes that are read at once and sent as a chunk.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that may wait for the client.
const CHUNKS_WAITING: usize = 4;
/// Entries of a reply that does not follow, unless said.
const LIMIT_DEFAULT: u64 = 1_000;
const LIMIT_MAX: u64 = 1_000_000;
/// Longest wait for something to say.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Events that follow say at least this often that they are alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that have come farther than they said say so after this long without anything to tell.
const PROGRESS: Duration = Duration::from_secs(1);

/// How changes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `application/x-ndjson`: up to now, then an end record.
    Lines,
    /// `text/event-stream`: goes on until the client leaves.
    Events,
}

/// What one step of following has read.
#[derive(Default)]
pub(super) struct Filled {
    pub bytes: Vec<u8>,
    /// There is nothing more yet.
    pub is_caught_up: bool,
    /// All that was asked for has been read.
    pub is_over: bool,
    /// Why there is no more; what was read before it counts.
    pub failed: Option<Error>,
}

/// How much was told, as the end record has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Entries(u64),
    Notices(u64),
}

impl Counted {
    fn number(self) -> u64 {
        match self {
            Counted::Entries(count) | Counted::Notices(count) => count,
        }
    }

    fn stream(self) -> Stream {
        match self {
            Counted::Entries(_) => Stream::Feed,
            Counted::Notices(_) => Stream::Watches,
        }
    }

    fn is_nothing(self) -> bool {
        matches!(self, Counted::Entries(0) | Counted::Notices(0))
    }
}

/// Something that is read from a position of the journal on, a bounded piece at a time.
pub(super) trait Followed: Send + 'static {
    /// How it is written.
    fn form(&self) -> Form;

    /// How much was told.
    fn counted(&self) -> Counted;

    /// Where to go on.
    fn position(&self) -> Lsn;

    /// Reads on, on a thread that may block.
    fn fill(&mut self, bytes: usize) -> Filled;

    /// Whether it has come farther than its events have said.
    fn has_progress(&self) -> bool {
        false
    }

    /// An event that says how far it has come.
    fn progress(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// How far following came.
struct Ended {
    form: Form,
    counted: Counted,
    next: Lsn,
}

impl Ended {
    fn of(followed: &impl Followed) -> Ended {
        Ended { form: followed.form(), counted: followed.counted(), next: followed.position() }
    }
}

/// Where to begin and how to go on, as a request says it.
pub(super) struct Asked {
    pub form: Form,
    pub from: Lsn,
    pub timeline: u32,
    wait: u64,
}

impl Asked {
    /// Reads headers and the parameters `from` and `wait`.
    pub fn read(app: &App, headers: &HeaderMap, from: Option<&str>, wait: u64) -> Result<Asked, Problem> {
        if wait > WAIT_MAX.as_secs() {
            let detail = format!("must be at most {} seconds", WAIT_MAX.as_secs());
            return Err(FieldError::in_parameter("wait", Code::InvalidParameter, detail).into());
        }
        let timeline = app.database.timeline();
        let from = match last_event(headers) {
            Some(position) => position::parse("Last-Event-ID", position, timeline)?.next(),
            None => position::parse("from", from.unwrap_or("1"), timeline)?,
        };
        Ok(Asked { form: form(headers), from, timeline, wait })
    }
}

/// Ends feeds that follow, when a server is about to stop: they would go on for ever.
#[derive(Debug)]
pub struct Drain(watch::Sender<Stage>);

/// What a router is told of a [`Drain`]: an [`Extension`] of its requests.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<Stage>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// Not ready any more; everything is answered as before.
    Announced,
    /// What could go on for ever ends.
    Begun,
}

impl Drain {
    /// The end that stops, and the one that is given to the router with `router.layer(Extension(draining))`.
    pub fn new() -> (Drain, Draining) {
        let (sender, receiver) = watch::channel(Stage::Serving);
        (Drain(sender), Draining(receiver))
    }

    /// `/readyz` says no from now on, so that nobody new is sent here.
    pub fn announce(&self) {
        self.0.send_replace(Stage::Announced);
    }

    /// Ends the feeds.
    pub fn begin(&self) {
        self.0.send_replace(Stage::Begun);
    }
}

impl Draining {
    /// True once the server is about to stop.
    pub(super) fn is_announced(&self) -> bool {
        *self.0.borrow() >= Stage::Announced
    }

    async fn begun(draining: &mut Option<Draining>) {
        match draining {
            // Whoever dropped the other end has stopped too.
            Some(Draining(receiver)) => drop(receiver.wait_for(|stage| *stage == Stage::Begun).await),
            None => std::future::pending().await,
        }
    }
}

/// `GET /v1/feed`
pub(super) async fn feed(
    State(app): State<App>,
    draining: Option<Extension<Draining>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut params = Params::parse(request.uri().query(), PARAMETERS);
    let from = params.text("from");
    let limit = params.number("limit");
    let wait = params.number("wait").unwrap_or(0);
    params.finish()?;
    if limit.is_some_and(|limit| limit == 0 || limit > LIMIT_MAX) {
        let detail = format!("must be 1 to {LIMIT_MAX}");
        return Err(FieldError::in_parameter("limit", Code::InvalidParameter, detail).into());
    }
    let asked = Asked::read(&app, request.headers(), from.as_deref(), wait)?;
    let Asked { form, from, timeline, .. } = asked;
    let limit = match form {
        Form::Lines => limit.unwrap_or(LIMIT_DEFAULT),
        Form::Events => limit.unwrap_or(u64::MAX),
    };
    let begin =
        move |database: &crate::Database| Ok(Cursor::new(database.feed(from)?, form, timeline, limit));
    follow(app, draining, &asked, begin).await
}

/// Answers with what is followed.
pub(super) async fn follow<F: Followed>(
    app: App,
    draining: Option<Extension<Draining>>,
    asked: &Asked,
    begin: impl FnOnce(&crate::Database) -> Result<F, Error> + Send + 'static,
) -> Result<Response, Problem> {
    let permit = Arc::clone(&app.feeds).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::new(Code::Overloaded, "too many feeds are being read"))?;
    // The beginning is read before the reply begins, so that a refusal has its status.
    let begin = move |database: &crate::Database| {
        let mut cursor = begin(database)?;
        let mut filled = cursor.fill(CHUNK_BYTES);
        match filled.failed.take_if(|_| filled.bytes.is_empty()) {
            Some(error) => Err(error),
            None => Ok((cursor, filled)),
        }
    };
    let (cursor, filled) = app.storage.run(Operation::Get, begin).await?;
    let (chunks, ready) = mpsc::channel(CHUNKS_WAITING);
    let complete = Arc::new(AtomicBool::new(false));
    let sender = Sender {
        chunks,
        complete: Arc::clone(&complete),
        slow_after: app.options.body_timeout,
        deadline: (asked.wait > 0).then(|| Instant::now() + Duration::from_secs(asked.wait)),
        draining: draining.map(|Extension(draining)| draining),
        _permit: permit,
        app,
    };
    tokio::spawn(sender.run(cursor, filled));
    let media_type = match asked.form {
        Form::Lines => "application/x-ndjson",
        Form::Events => "text/event-stream",
    };
    let mut response = reply::with_type(media_type, Body::new(Chunks { first: None, ready, complete }));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn form(headers: &HeaderMap) -> Form {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds =
        accepted.flat_map(|list| list.split(',')).map(|one| one.split(';').next().unwrap_or_default());
    match kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")) {
        true => Form::Events,
        false => Form::Lines,
    }
}

fn last_event(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id")?.to_str().ok().filter(|id| !id.is_empty())
}

/// Sends what a cursor reads.
struct Sender {
    app: App,
    chunks: mpsc::Sender<Bytes>,
    /// Whether all of it was sent, its end included.
    complete: Arc<AtomicBool>,
    slow_after: Duration,
    /// Until when lines may wait for something to say.
    deadline: Option<Instant>,
    draining: Option<Draining>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Serialize)]
struct EndRecord {
    end: bool,
    /// Entries sent, of a feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    /// Notices sent, of watches.
    #[serde(skip_serializing_if = "Option::is_none")]
    notices: Option<u64>,
    /// Where to go on.
    next: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<EndError>,
}

#[derive(Serialize)]
struct EndError {
    code: &'static str,
    detail: String,
}

impl Sender {
    async fn run<F: Followed>(mut self, mut cursor: F, mut filled: Filled) {
        let _connected = self.app.metrics.stream(cursor.counted().stream());
        let mut told = 0;
        loop {
            let counted = cursor.counted();
            self.app.metrics.streamed(counted.stream(), counted.number() - told);
            told = counted.number();
            let Filled { bytes, is_caught_up, is_over, failed } = filled;
            let said = !bytes.is_empty();
            if said && !self.send(bytes).await {
                return;
            }
            if let Some(error) = failed {
                if error.code().status() >= 500 {
                    crate::store_helpers::log_failure(Operation::Get, &error);
                }
                return self.end(Ended::of(&cursor), Some(&Problem::from_error(&error))).await;
            }
            if is_over || (is_caught_up && !self.news(&mut cursor).await) || self.chunks.is_closed() {
                return self.end(Ended::of(&cursor), None).await;
            }
            let work = move |_: &crate::Database| {
                let filled = cursor.fill(CHUNK_BYTES);
                Ok((cursor, filled))
            };
            let read = self.app.storage.run(Operation::Get, work).await;
            // Only a panic, which has been logged.
            let Ok((back, read)) = read else { return };
            (cursor, filled) = (back, read);
        }
    }

    /// False if the client has left, or does not read.
    async fn send(&mut self, bytes: Vec<u8>) -> bool {
        let sent = tokio::time::timeout(self.slow_after, self.chunks.send(bytes.into())).await;
        matches!(sent, Ok(Ok(())))
    }

    /// Waits for a next entry. False if there is none and the feed ends.
    async fn news<F: Followed>(&mut self, cursor: &mut F) -> bool {
        let next = cursor.position();
        let mut news = match cursor.form() {
            Form::Events => self.app.news.follow(&self.app.database),
            Form::Lines => match self.deadline.filter(|_| cursor.counted().is_nothing()) {
                None => return false,
                Some(deadline) => {
                    let mut news = self.app.news.follow(&self.app.database);
                    return tokio::select! {
                        arrived = news.reached(next) => arrived,
                        () = tokio::time::sleep_until(deadline) => false,
                        () = self.chunks.closed() => false,
                        () = Draining::begun(&mut self.draining) => false,
                    };
                }
            },
        };
        loop {
            let quiet = if cursor.has_progress() { PROGRESS } else { HEARTBEAT };
            tokio::select! {
                arrived = news.reached(next) => return arrived,
                () = self.chunks.closed() => return false,
                () = Draining::begun(&mut self.draining) => return false,
                () = tokio::time::sleep(quiet) => {}
            }
            let said = if cursor.has_progress() { cursor.progress() } else { b":\n\n".to_vec() };
            if !self.send(said).await {
                return false;
            }
        }
    }

    async fn end(mut self, ended: Ended, problem: Option<&Problem>) {
        let timeline = self.app.database.timeline();
        let (entries, notices) = match ended.counted {
            Counted::Entries(count) => (Some(count), None),
            Counted::Notices(count) => (None, Some(count)),
        };
        let record = EndRecord {
            end: true,
            entries,
            notices,
            next: named(timeline, ended.next),
            error: problem
                .map(|problem| EndError { code: problem.code().name(), detail: problem.detail().to_owned() }),
        };
        // Plain structs always serialize.
        let json = serde_json::to_string(&record).unwrap_or_default();
        let text = match ended.form {
            Form::Lines => format!("{json}\n"),
            Form::Events => format!("event: end\ndata: {json}\n\n"),
        };
        let sent = self.send(text.into_bytes()).await;
        self.complete.store(sent, Ordering::Release);
    }
}

/// A position as replies name it.
pub(super) fn named(timeline: u32, lsn: Lsn) -> String {
    format!("{timeline}.{lsn}")
}
