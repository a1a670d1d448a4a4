//! Replies: whole, or line by line.

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
};

use serde::de::DeserializeOwned;

use super::retry::Failure;
use crate::{
    error::{Error, Source},
    position::Position,
};

/// Largest reply that is kept whole.
const WHOLE_MAX_BYTES: u64 = 256 << 20;
/// Longest line of a streamed reply.
const LINE_MAX_BYTES: u64 = 64 << 20;

/// A reply that was read whole.
#[derive(Debug)]
pub(crate) struct Whole {
    pub path: String,
    pub status: u16,
    pub body: Vec<u8>,
}

impl Whole {
    /// Reads the body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| not_understood(&self.path, error))
    }

    /// The body as text.
    pub fn text(self) -> Result<String, Error> {
        let path = self.path;
        String::from_utf8(self.body).map_err(|error| not_understood(&path, error))
    }
}

pub(crate) fn not_understood(path: &str, source: impl Into<Source>) -> Error {
    Error::NotUnderstood { path: path.to_owned(), source: source.into() }
}

/// A reply that is read as it comes.
pub(crate) struct Stream {
    pub path: String,
    /// Where the server was when it began to answer.
    pub position: Option<Position>,
    reader: BufReader<ureq::BodyReader<'static>>,
}

impl Stream {
    pub fn new(path: String, position: Option<Position>, body: ureq::Body) -> Stream {
        Stream { path, position, reader: BufReader::with_capacity(64 << 10, body.into_reader()) }
    }

    /// The next line without its end; `None` at the end of the reply, where a line that is not ended is none.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LINE_MAX_BYTES).read_until(b'\n', &mut line);
        match read {
            Err(error) => Err(Failure::Broken(error.into())),
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                Ok(Some(line))
            }
            Ok(_) => Ok(None),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("path", &self.path)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Reads a body to its end.
pub(super) fn whole(body: &mut ureq::Body) -> Result<Vec<u8>, Failure> {
    let read = body.with_config().limit(WHOLE_MAX_BYTES).read_to_vec();
    read.map_err(|error| Failure::Broken(error.into()))
}
