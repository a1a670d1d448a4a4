//! Places in a database's journal, as `Stemedb-Lsn` names them.

use std::{fmt, str::FromStr};

/// An entry of the journal of one timeline. The later one is the greater one: a restore begins a later timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which history: a restore to a point in time begins another.
    pub timeline: u32,
    /// The entry's number.
    pub lsn: u64,
}

impl Position {
    /// The place behind this one.
    #[must_use]
    pub fn next(self) -> Position {
        Position { lsn: self.lsn.saturating_add(1), ..self }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.timeline, self.lsn)
    }
}

/// A text that is not `timeline.lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a position: <timeline>.<lsn>")]
pub struct NotAPosition;

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Position, NotAPosition> {
        let (timeline, lsn) = text.split_once('.').ok_or(NotAPosition)?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(timeline) || !is_number(lsn) {
            return Err(NotAPosition);
        }
        let timeline = timeline.parse().map_err(|_| NotAPosition)?;
        Ok(Position { timeline, lsn: lsn.parse().map_err(|_| NotAPosition)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_two_numbers_and_a_later_timeline_is_later() {
        let read = |text: &str| text.parse::<Position>();
        assert_eq!(read("2.17"), Ok(Position { timeline: 2, lsn: 17 }));
        assert_eq!(read("2.17").unwrap().next().to_string(), "2.18");
        assert!(read("2.1").unwrap() > read("1.900").unwrap());
        for text in ["", "17", "2.", ".17", "2.+7", "a.b", "2.1.7"] {
            assert_eq!(read(text), Err(NotAPosition), "{text}");
        }
    }
}
