//! What a writer says on its standard output: one line, one `write`, shorter than a pipe's atomic size.

use std::{fmt, str::FromStr};

/// What a writer of an engine asks for beside its commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A flush of the view.
    Flush,
    /// A merge of the view's tables.
    Merge,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Work::Flush => "flush",
            Work::Merge => "merge",
        }
    }
}

impl FromStr for Work {
    type Err = ();

    fn from_str(name: &str) -> Result<Work, ()> {
        [Work::Flush, Work::Merge].into_iter().find(|work| work.name() == name).ok_or(())
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The journal is open; from now on it exists for good. Also after each reopen.
    Open {
        /// Last LSN that the open reported.
        last_lsn: u64,
    },
    /// An append returned an LSN.
    Acked {
        /// Thread.
        thread: u16,
        /// Which append of the thread.
        seq: u32,
        /// LSN of its first entry.
        lsn: u64,
        /// Checksum of its entries.
        hash: u32,
    },
    /// An append was refused: nothing of it may ever be seen.
    Refused {
        /// Thread.
        thread: u16,
        /// Which append of the thread.
        seq: u32,
        /// The error.
        why: String,
    },
    /// Nobody knows about this append.
    Unknown {
        /// Thread.
        thread: u16,
        /// Which append of the thread.
        seq: u32,
        /// The error.
        why: String,
    },
    /// The journal could not be opened again after a failed write.
    StaysShut {
        /// The error.
        why: String,
    },
    /// The views have flushed up to here; said before the journal is told.
    Flushed {
        /// Their LSN.
        lsn: u64,
    },
    /// Segments with entries up to here are about to be removed.
    Gone {
        /// Last LSN of the last removed segment.
        lsn: u64,
    },
    /// A reader has seen this entry.
    Seen {
        /// Its LSN.
        lsn: u64,
    },
    /// Asked to, the writer has read everything that was acknowledged to it: it is all there.
    Verified {
        /// How many entries of its own.
        entries: u64,
    },
    /// This is about to be asked for.
    Begins(
        /// What.
        Work,
    ),
    /// This was asked for and has returned.
    Ends(
        /// What.
        Work,
    ),
    /// It has written as much as it should.
    Done,
    /// Something is wrong that the writer itself noticed.
    Wrong(
        /// What.
        String,
    ),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Open { last_lsn } => write!(f, "O {last_lsn}"),
            Line::Acked { thread, seq, lsn, hash } => write!(f, "A {thread} {seq} {lsn} {hash:08x}"),
            Line::Refused { thread, seq, why } => write!(f, "N {thread} {seq} {}", Short(why)),
            Line::Unknown { thread, seq, why } => write!(f, "I {thread} {seq} {}", Short(why)),
            Line::StaysShut { why } => write!(f, "C {}", Short(why)),
            Line::Flushed { lsn } => write!(f, "F {lsn}"),
            Line::Gone { lsn } => write!(f, "G {lsn}"),
            Line::Seen { lsn } => write!(f, "S {lsn}"),
            Line::Verified { entries } => write!(f, "V {entries}"),
            Line::Begins(work) => write!(f, "B {}", work.name()),
            Line::Ends(work) => write!(f, "R {}", work.name()),
            Line::Done => f.write_str("D"),
            Line::Wrong(what) => write!(f, "E {}", Short(what)),
        }
    }
}

/// On one line, and not too long for it.
struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().take(400).try_for_each(|c| write!(f, "{}", if c.is_control() { ' ' } else { c }))
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Line, String> {
        let bad = || format!("not a line of a writer: {text:?}");
        fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
            word.and_then(|word| word.parse().ok())
        }
        let mut words = text.splitn(4, ' ');
        let kind = words.next().unwrap_or_default();
        let line = match kind {
            "D" => Some(Line::Done),
            "E" => Some(Line::Wrong(text.get(2..).unwrap_or_default().to_owned())),
            "C" => Some(Line::StaysShut { why: text.get(2..).unwrap_or_default().to_owned() }),
            "O" => number(words.next()).map(|last_lsn| Line::Open { last_lsn }),
            "F" => number(words.next()).map(|lsn| Line::Flushed { lsn }),
            "G" => number(words.next()).map(|lsn| Line::Gone { lsn }),
            "S" => number(words.next()).map(|lsn| Line::Seen { lsn }),
            "B" => number(words.next()).map(Line::Begins),
            "R" => number(words.next()).map(Line::Ends),
            "V" => number(words.next()).map(|entries| Line::Verified { entries }),
            "A" | "N" | "I" => {
                let (thread, seq) = (number(words.next()), number(words.next()));
                let rest = words.next().unwrap_or_default();
                match (thread, seq) {
                    (Some(thread), Some(seq)) if kind == "N" => {
                        Some(Line::Refused { thread, seq, why: rest.to_owned() })
                    }
                    (Some(thread), Some(seq)) if kind == "I" => {
                        Some(Line::Unknown { thread, seq, why: rest.to_owned() })
                    }
                    (Some(thread), Some(seq)) => rest.split_once(' ').and_then(|(lsn, hash)| {
                        let hash = u32::from_str_radix(hash, 16).ok()?;
                        Some(Line::Acked { thread, seq, lsn: lsn.parse().ok()?, hash })
                    }),
                    _ => None,
                }
            }
            _ => None,
        };
        line.ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_as_it_was_said() {
        for line in [
            Line::Open { last_lsn: 0 },
            Line::Acked { thread: 1, seq: 2, lsn: 3, hash: 0xF },
            Line::Refused { thread: 1, seq: 2, why: "the disk is full".to_owned() },
            Line::Unknown { thread: 65_535, seq: 2, why: "no space left (28)".to_owned() },
            Line::StaysShut { why: "still full".to_owned() },
            Line::Flushed { lsn: 9 },
            Line::Gone { lsn: 8 },
            Line::Seen { lsn: 7 },
            Line::Verified { entries: 6 },
            Line::Begins(Work::Flush),
            Line::Ends(Work::Merge),
            Line::Done,
            Line::Wrong("two words".to_owned()),
        ] {
            assert_eq!(line.to_string().parse(), Ok(line));
        }
        assert!("A 1 2".parse::<Line>().is_err());
    }
}
