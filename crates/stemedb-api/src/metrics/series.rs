//! What a series is.

use std::fmt;

/// How the values of a series behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows while the process lives.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size, with their sum.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        })
    }
}

/// What a series counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Seconds, or seconds since 1970-01-01T00:00:00Z where the name says `timestamp` or `start_time`.
    Seconds,
    /// Things, as the name says.
    Things,
    /// A quotient.
    Ratio,
    /// 1 for yes, 0 for no.
    Flag,
    /// A place in the journal.
    Lsn,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Bytes => "bytes",
            Unit::Seconds => "seconds",
            Unit::Things => "count",
            Unit::Ratio => "ratio",
            Unit::Flag => "0 or 1",
            Unit::Lsn => "LSN",
        })
    }
}

/// A series, or a family of them that differ in their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// Its name in full.
    pub name: &'static str,
    /// How its values behave.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// The names of its labels. Their values come from the program, never from a client.
    pub labels: &'static [&'static str],
    /// What it says, without a full stop.
    pub help: &'static str,
    /// When it is there, unless always.
    pub present: Option<&'static str>,
}

/// A counter of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter(pub &'static Series);

/// A gauge of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge(pub &'static Series);

/// A histogram of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Histogram(pub &'static Series);

/// Declares series as constants of their kind, and the list of them. Whoever writes a value names the constant: a series that is
/// not in the table, or of another kind, does not compile.
macro_rules! series {
    ($list:ident: $($kind:ident $constant:ident = $name:expr, $unit:ident, [$($label:literal),*], $help:literal $(, $present:literal)?;)+) => {
        $(pub(in crate::metrics) const $constant: $kind = $kind(&Series {
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: &[$($label),*],
            help: $help,
            present: series!(@present $($present)?),
        });)+
        pub(in crate::metrics) const $list: &[&Series] = &[$($constant.0),+];
    };
    (@present) => { None };
    (@present $present:literal) => { Some($present) };
}

pub(super) use series;
