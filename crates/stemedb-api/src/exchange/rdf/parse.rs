//! Quads and the lines they stand on.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
};

use oxrdf::Quad;
use oxttl::{NQuadsParser, TriGParser, trig::LowLevelTriGParser};

use crate::{
    database::{LINE_MAX_BYTES, Line, Lines},
    errors::{Code, Error, FieldError, Invalid, Result},
    exchange::broken,
};

/// Bytes of TriG that are looked at together.
const PIECE_BYTES: usize = 16 << 10;
/// Prefixes that a document may declare.
const PREFIXES_MAX: usize = 10_000;

/// A quad, or why a line is none.
pub(super) struct Parsed {
    /// The line it ends on.
    pub line: u64,
    pub quad: Result<Quad, Invalid>,
}

/// The quads of an input.
pub(super) struct Quads<R> {
    input: Input<R>,
    /// Lines read so far.
    line: u64,
    ready: VecDeque<Parsed>,
}

enum Input<R> {
    Lines(Lines<R>),
    TriG(Box<Document<R>>),
}

struct Document<R> {
    input: BufReader<R>,
    parser: LowLevelTriGParser,
    piece: Vec<u8>,
    /// Bytes given to the parser since the last quad came out of it.
    since_quad: usize,
    /// The last piece ended before its line did.
    within_line: bool,
    ended: bool,
    /// What ends the input, once the quads before it are taken.
    failed: Option<Error>,
}

impl<R: Read> Quads<R> {
    /// Reads N-Quads. Each line stands for itself: one that is refused does not touch the next.
    pub(super) fn nquads(input: R) -> Quads<R> {
        Quads { input: Input::Lines(Lines::new(input)), line: 0, ready: VecDeque::new() }
    }

    /// Reads TriG.
    pub(super) fn trig(input: R) -> Quads<R> {
        let document = Document {
            input: BufReader::with_capacity(PIECE_BYTES, input),
            parser: TriGParser::new().low_level(),
            piece: Vec::new(),
            since_quad: 0,
            within_line: false,
            ended: false,
            failed: None,
        };
        Quads { input: Input::TriG(Box::new(document)), line: 0, ready: VecDeque::new() }
    }

    /// Lines read so far.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next quad; `None` at the end.
    ///
    /// # Errors
    /// TriG that is none, and what is too long to be looked at.
    pub(super) fn next_quad(&mut self) -> Result<Option<Parsed>> {
        loop {
            if let Some(parsed) = self.ready.pop_front() {
                return Ok(Some(parsed));
            }
            let more = match &mut self.input {
                Input::Lines(lines) => read_line(lines, &mut self.line, &mut self.ready)?,
                Input::TriG(document) => document.read(&mut self.line, &mut self.ready)?,
            };
            if !more && self.ready.is_empty() {
                return Ok(None);
            }
        }
    }
}

fn read_line<R: Read>(lines: &mut Lines<R>, number: &mut u64, ready: &mut VecDeque<Parsed>) -> Result<bool> {
    let Some(line) = lines.next_line().map_err(Error::Input)? else { return Ok(false) };
    *number += 1;
    let refused = |code, detail: String| Parsed {
        line: *number,
        quad: Err(FieldError::in_body("", code, detail).into()),
    };
    let line = match line {
        Line::Whole(line) => line,
        Line::TooLong => {
            ready.push_back(refused(Code::LineTooLong, "exceeds 1 MiB".to_owned()));
            return Ok(true);
        }
    };
    let mut quads = Vec::new();
    for quad in NQuadsParser::new().for_slice(line) {
        match quad {
            Ok(quad) => quads.push(Parsed { line: *number, quad: Ok(quad) }),
            Err(error) => {
                // Nothing of a line that is refused is taken.
                ready.push_back(refused(Code::InvalidRdf, bounded(error.message())));
                return Ok(true);
            }
        }
    }
    ready.extend(quads);
    Ok(true)
}

impl<R: Read> Document<R> {
    /// Gives a piece of the document, a line at most, to the parser; false at the end.
    fn read(&mut self, line: &mut u64, ready: &mut VecDeque<Parsed>) -> Result<bool> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.ended {
            return Ok(false);
        }
        self.piece.clear();
        let limit = PIECE_BYTES as u64;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.piece);
        if read.map_err(Error::Input)? == 0 {
            self.ended = true;
            self.parser.end();
        } else if !self.within_line {
            *line += 1;
        }
        self.within_line = self.piece.last().is_some_and(|last| *last != b'\n');
        self.since_quad += self.piece.len();
        self.parser.extend_from_slice(&self.piece);
        while let Some(quad) = self.parser.parse_next() {
            match quad {
                Ok(quad) => {
                    self.since_quad = 0;
                    ready.push_back(Parsed { line: *line, quad: Ok(quad) });
                }
                // Which graph the rest belongs to is not known any more. What came before is whole.
                Err(error) => {
                    self.ended = true;
                    self.failed = Some(broken(*line, Code::InvalidRdf, bounded(error.message())));
                    return Ok(true);
                }
            }
        }
        let this_line = *line;
        if self.since_quad > LINE_MAX_BYTES {
            return Err(broken(this_line, Code::LineTooLong, "no statement ends within 1 MiB"));
        }
        if self.parser.prefixes().count() > PREFIXES_MAX {
            let detail = format!("more than {PREFIXES_MAX} prefixes");
            return Err(broken(this_line, Code::TooMany, detail));
        }
        Ok(!self.ended)
    }
}

/// What a parser says about an input, which may hold much of it.
fn bounded(message: &str) -> String {
    message.chars().take(200).collect()
}
