//! Positions as clients hold them.

use stemedb_env::Lsn;

use crate::errors::{Code, FieldError};

/// Reads `lsn`, or `timeline.lsn` as `Stemedb-Lsn` has it. A position of another timeline means nothing here.
pub(in crate::http) fn parse(name: &'static str, text: &str, timeline: u32) -> Result<Lsn, FieldError> {
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().ok() } else { None }
    };
    let (theirs, lsn) = match text.split_once('.') {
        Some((theirs, lsn)) => (number(theirs), number(lsn)),
        None => (Some(u64::from(timeline)), number(text)),
    };
    match (theirs, lsn) {
        // The next one must be a number too.
        (Some(theirs), Some(lsn)) if theirs == u64::from(timeline) && lsn < u64::MAX => Ok(Lsn(lsn)),
        (Some(theirs), Some(_)) if theirs != u64::from(timeline) => {
            let detail = format!("is of timeline {theirs}; the database is on timeline {timeline}");
            Err(FieldError::in_parameter(name, Code::PositionGone, detail))
        }
        _ => {
            let detail = "is neither an LSN nor timeline.LSN";
            Err(FieldError::in_parameter(name, Code::InvalidParameter, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_number_or_two_with_a_dot_and_of_this_timeline() {
        let read = |text: &str| parse("from", text, 2).map_err(|error| error.code);
        assert_eq!(read("17"), Ok(Lsn(17)));
        assert_eq!(read("2.17"), Ok(Lsn(17)));
        assert_eq!(read("1.17"), Err(Code::PositionGone));
        for text in ["", ".", "2.", ".17", "2.+7", "-1", "a", "2.1.7", "18446744073709551615"] {
            assert_eq!(read(text), Err(Code::InvalidParameter), "{text}");
        }
    }
}
