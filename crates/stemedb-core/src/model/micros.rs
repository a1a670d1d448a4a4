//! Instants in microseconds.

use std::fmt;

use super::Problem;
use crate::object::rfc3339;

/// An instant: microseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

impl Micros {
    /// Reads an RFC 3339 date and time with offset, truncating below the microsecond.
    ///
    /// # Errors
    /// [`Problem::NotATime`].
    pub fn parse_rfc3339(text: &str) -> Result<Micros, Problem> {
        rfc3339::parse(text)
    }
}

/// RFC 3339 in UTC with as many digits of the second as the instant needs (none, three or six); instants outside
/// the years 0000–9999 print as `<microseconds>us`.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        rfc3339::format(*self, f)
    }
}
