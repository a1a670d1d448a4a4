//! Lines of an input of any length, in bounded memory.

use std::io::{self, BufRead, BufReader, Read};

/// Longest line of an import, without its end, in bytes.
pub const LINE_MAX_BYTES: usize = 1 << 20;

/// Bytes read from the input at once.
const CHUNK_BYTES: usize = 256 << 10;

/// One line of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The line, without `\n` or `\r\n`.
    Whole(&'a [u8]),
    /// A line beyond [`LINE_MAX_BYTES`]: it was skipped.
    TooLong,
}

/// Splits an input into lines.
#[derive(Debug)]
pub struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
}

impl<R: Read> Lines<R> {
    /// The lines of `input`. Buffers a few hundred kilobytes of it.
    pub fn new(input: R) -> Lines<R> {
        Lines { input: BufReader::with_capacity(CHUNK_BYTES, input), line: Vec::new() }
    }

    /// The next line; `None` at the end. The last line needs no end of its own.
    ///
    /// # Errors
    /// Those of the input.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let limit = LINE_MAX_BYTES as u64 + 1;
        if (&mut self.input).take(limit).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > LINE_MAX_BYTES {
            self.input.skip_until(b'\n')?;
            return Ok(Some(Line::TooLong));
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(Some(Line::Whole(&self.line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_or_without_a_carriage_return_and_the_last_needs_no_end() {
        let mut lines = Lines::new(&b"a\r\n\nb\rc\nlast"[..]);
        for expected in [&b"a"[..], b"", b"b\rc", b"last"] {
            assert_eq!(lines.next_line().unwrap(), Some(Line::Whole(expected)));
        }
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_line_beyond_the_bound_is_skipped_and_the_next_one_is_read() {
        let mut input = vec![b'x'; LINE_MAX_BYTES];
        input.push(b'\n');
        input.extend(vec![b'y'; 3 * LINE_MAX_BYTES]);
        input.extend(b"\nz\n");
        let mut lines = Lines::new(input.as_slice());
        assert_eq!(lines.next_line().unwrap(), Some(Line::Whole(&vec![b'x'; LINE_MAX_BYTES])));
        assert_eq!(lines.next_line().unwrap(), Some(Line::TooLong));
        assert_eq!(lines.next_line().unwrap(), Some(Line::Whole(b"z")));
        assert_eq!(lines.next_line().unwrap(), None);
    }
}
