//! Following: everything that was recorded, or that watches tell, in order and once.
//!
//! A reply is lines and an end record. What is handed out is whole entries: where a reply breaks off, the part of an entry that had come is
//! dropped and asked for again, so that nothing is told twice and nothing is left out.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};

use super::Client;
use crate::{
    error::{Code, Error},
    position::Position,
    replies::{Change, Notice},
    transport::{Call, Failure, Stream, not_understood},
};

/// How long the server waits for something to tell, where a follower does.
const WAIT: Duration = Duration::from_secs(30);

/// From where on something is followed, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedQuery {
    /// The first entry; the first of all unless said.
    pub from: Option<Position>,
    /// Of watches: those whose ids begin so.
    pub prefix: Option<String>,
    /// Goes on when everything was told, and waits for more.
    pub follow: bool,
    /// Entries of one reply.
    pub batch: Option<u32>,
}

impl FeedQuery {
    /// Everything there is, from a position on.
    pub fn from(position: Position) -> FeedQuery {
        FeedQuery { from: Some(position), ..FeedQuery::default() }
    }

    /// The same, without an end.
    #[must_use]
    pub fn following(self) -> FeedQuery {
        FeedQuery { follow: true, ..self }
    }
}

/// Something that is told of an entry.
pub trait Told: DeserializeOwned {
    /// The entry.
    fn lsn(&self) -> u64;
}

impl Told for Change {
    fn lsn(&self) -> u64 {
        self.lsn
    }
}

impl Told for Notice {
    fn lsn(&self) -> u64 {
        self.lsn
    }
}

#[derive(Deserialize)]
struct End {
    #[serde(default)]
    end: bool,
    entries: Option<u64>,
    notices: Option<u64>,
    #[serde(default)]
    next: String,
    error: Option<EndError>,
}

#[derive(Deserialize)]
struct EndError {
    code: Code,
    #[serde(default)]
    detail: String,
}

/// What is followed, one by one. Ends after an error that repeating does not help; go on from [`position`](Follow::position).
#[derive(Debug)]
pub struct Follow<T> {
    client: Client,
    path: &'static str,
    query: FeedQuery,
    /// Where the next reply begins, as the server is asked.
    from: Option<String>,
    /// Behind the last entry that was handed out whole.
    position: Option<Position>,
    /// Told, and for the last of an entry what is behind it.
    ready: VecDeque<(T, Option<Position>)>,
    /// Of the entry that is being read.
    pending: Vec<T>,
    reply: Option<Stream>,
    failures: u32,
    is_over: bool,
}

impl<T: Told> Follow<T> {
    fn new(client: &Client, path: &'static str, query: &FeedQuery) -> Follow<T> {
        Follow {
            client: client.clone(),
            path,
            query: query.clone(),
            from: query.from.map(|position| position.to_string()),
            position: query.from,
            ready: VecDeque::new(),
            pending: Vec::new(),
            reply: None,
            failures: 0,
            is_over: false,
        }
    }

    /// Where to go on after what was handed out: give it to [`FeedQuery::from`], in this process or another. `None` if nothing was told
    /// and nothing was said where to begin.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    fn call(&self) -> Call {
        let wait = if self.query.follow { WAIT } else { Duration::ZERO };
        let call = Call::get(self.path)
            .with_some("from", self.from.as_ref())
            .with_some("prefix", self.query.prefix.as_ref())
            .with_some("limit", self.query.batch)
            .with_some("wait", self.query.follow.then_some(wait.as_secs()));
        Call { wait, accept: "application/x-ndjson", ..call }
    }

    /// The entry that was being read is whole.
    fn flush(&mut self, timeline: Option<u32>) {
        let behind = self.pending.last().zip(timeline);
        let behind = behind.map(|(last, timeline)| Position { timeline, lsn: last.lsn() }.next());
        let count = self.pending.len();
        let whole = self.pending.drain(..).enumerate();
        self.ready.extend(whole.map(|(at, told)| (told, behind.filter(|_| at + 1 == count))));
        if let Some(behind) = behind {
            self.from = Some(behind.to_string());
        }
    }

    /// Reads on; an error is the end of it.
    fn read(&mut self) -> Result<(), Error> {
        let reply = match &mut self.reply {
            Some(reply) => reply,
            None => {
                let reply = self.client.stream(&self.call())?;
                self.reply.insert(reply)
            }
        };
        let timeline = reply.position.map(|position| position.timeline);
        let line = match reply.line() {
            Ok(Some(line)) => line,
            Ok(None) => return self.broken(Failure::Broken("the reply was cut off".into())),
            Err(failure) => return self.broken(failure),
        };
        let path = reply.path.clone();
        // The end record is the only one that says so.
        match serde_json::from_slice::<End>(&line) {
            Ok(end) if end.end => self.ended(end, timeline),
            _ => {
                let told: T = serde_json::from_slice(&line).map_err(|error| not_understood(&path, error))?;
                self.failures = 0;
                if self.pending.first().is_some_and(|first| first.lsn() != told.lsn()) {
                    self.flush(timeline);
                }
                self.pending.push(told);
                Ok(())
            }
        }
    }

    fn ended(&mut self, end: End, timeline: Option<u32>) -> Result<(), Error> {
        self.reply = None;
        if let Some(EndError { code, detail }) = end.error {
            // What had come of the entry may not be all of it.
            self.pending.clear();
            let failures = self.failures + 1;
            if failures >= self.client.transport.retry.attempts {
                return Err(Error::EndedEarly { code, detail });
            }
            self.failures = failures;
            self.client.transport.pause(failures);
            return Ok(());
        }
        self.flush(timeline);
        let is_nothing = end.entries.or(end.notices).unwrap_or(0) == 0;
        if !end.next.is_empty() {
            if let (true, Ok(next)) = (self.ready.is_empty(), end.next.parse()) {
                self.position = Some(next);
            }
            // What was looked at without anything to tell is behind, too.
            if let (Some(last), Ok(next)) = (self.ready.back_mut(), end.next.parse()) {
                last.1 = Some(next);
            }
            self.from = Some(end.next);
        }
        self.is_over = is_nothing && !self.query.follow;
        Ok(())
    }

    /// The reply broke: it is asked for again behind the last whole entry.
    fn broken(&mut self, failure: Failure) -> Result<(), Error> {
        self.reply = None;
        self.pending.clear();
        self.failures += 1;
        if self.failures >= self.client.transport.retry.attempts {
            return Err(failure.into_error(self.failures));
        }
        self.client.transport.pause(self.failures);
        Ok(())
    }
}

impl<T: Told> Iterator for Follow<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Result<T, Error>> {
        loop {
            if let Some((told, behind)) = self.ready.pop_front() {
                self.position = behind.or(self.position);
                return Some(Ok(told));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.read() {
                self.is_over = true;
                self.reply = None;
                return Some(Err(error));
            }
        }
    }
}

impl Client {
    /// Everything that was recorded, in order. Goes on by itself where a reply breaks off.
    ///
    /// Ends with `position_gone` where the database was restored to another point in time.
    pub fn feed(&self, query: &FeedQuery) -> Follow<Change> {
        Follow::new(self, "/v1/feed", query)
    }

    /// What watches have to tell. As [`feed`](Client::feed); `batch` means nothing here.
    pub fn watch_events(&self, query: &FeedQuery) -> Follow<Notice> {
        Follow::new(self, "/v1/watches/events", &FeedQuery { batch: None, ..query.clone() })
    }
}
