//! Moments of a database's past.

use std::fmt;

use stemedb_core::Micros;
use stemedb_env::Lsn;

use crate::errors::{Code, FieldError};

/// A moment that a question is asked as of: everything is read as it was known then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// After this entry.
    Lsn(Lsn),
    /// After the last entry recorded at or before this time.
    Time(Micros),
}

impl AsOf {
    /// Reads a moment: all digits is an LSN, else it is an RFC 3339 date and time.
    ///
    /// # Errors
    /// [`Code::InvalidParameter`], for the parameter `as_of`.
    pub fn parse(text: &str) -> Result<AsOf, FieldError> {
        AsOf::parse_parameter("as_of", text)
    }

    /// [`AsOf::parse`] for a parameter of another name.
    ///
    /// # Errors
    /// [`Code::InvalidParameter`], for that parameter.
    pub fn parse_parameter(name: &'static str, text: &str) -> Result<AsOf, FieldError> {
        let refuse = |detail: &str| FieldError::in_parameter(name, Code::InvalidParameter, detail);
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let lsn = text.parse().map_err(|_| refuse("is larger than any LSN"))?;
            return Ok(AsOf::Lsn(Lsn(lsn)));
        }
        let time = Micros::parse_rfc3339(text);
        time.map(AsOf::Time)
            .map_err(|_| refuse("is neither an LSN nor an RFC 3339 date and time with an offset"))
    }
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AsOf::Lsn(lsn) => lsn.fmt(f),
            AsOf::Time(time) => time.fmt(f),
        }
    }
}
