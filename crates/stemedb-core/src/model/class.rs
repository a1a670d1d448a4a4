//! Ranks of sources and stages of a claim's life.

use std::fmt;
use std::str::FromStr;

use super::Problem;

/// The rank of a source, 0 (regulatory) to 5 (anecdotal). Smaller is better; classes are compared, never summed.
///
/// | class | name | half-life of a confidence, in days |
/// |---|---|---|
/// | 0 | regulatory | none |
/// | 1 | clinical | 730 |
/// | 2 | observational | 365 |
/// | 3 | expert | 180 |
/// | 4 | community | 90 |
/// | 5 | anecdotal | 30 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceClass(u8);

impl SourceClass {
    /// The best class.
    pub const REGULATORY: SourceClass = SourceClass(0);
    /// The class of a source about which nothing is known.
    pub const ANECDOTAL: SourceClass = SourceClass(5);
    /// How many classes there are.
    pub const COUNT: usize = 6;
    /// All classes, best first.
    pub const ALL: [SourceClass; Self::COUNT] =
        [SourceClass(0), SourceClass(1), SourceClass(2), SourceClass(3), SourceClass(4), SourceClass(5)];

    /// The class with this number.
    ///
    /// # Errors
    /// [`Problem::OutOfRange`] above 5.
    pub const fn new(class: u8) -> Result<SourceClass, Problem> {
        if class < Self::COUNT as u8 {
            Ok(SourceClass(class))
        } else {
            Err(Problem::OutOfRange { min: 0, max: 5 })
        }
    }

    /// The class's number, 0 to 5.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Days after which a confidence has halved; `None` for a class that does not age.
    pub const fn half_life_days(self) -> Option<u32> {
        match self.0 {
            0 => None,
            1 => Some(730),
            2 => Some(365),
            3 => Some(180),
            4 => Some(90),
            _ => Some(30),
        }
    }
}

impl fmt::Display for SourceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a claim stands in its author's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lifecycle {
    /// Said, not looked at.
    Proposed,
    /// Being looked at.
    UnderReview,
    /// Accepted.
    Approved,
    /// Still answers, but should not be built upon.
    Deprecated,
    /// Refused: set aside by every lens.
    Rejected,
}

impl Lifecycle {
    /// All stages, in the order of their canonical codes 0 to 4.
    pub const ALL: [Lifecycle; 5] = [
        Lifecycle::Proposed,
        Lifecycle::UnderReview,
        Lifecycle::Approved,
        Lifecycle::Deprecated,
        Lifecycle::Rejected,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Lifecycle::Proposed => "proposed",
            Lifecycle::UnderReview => "under_review",
            Lifecycle::Approved => "approved",
            Lifecycle::Deprecated => "deprecated",
            Lifecycle::Rejected => "rejected",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Lifecycle> {
        Lifecycle::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Lifecycle {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Lifecycle, Problem> {
        Lifecycle::ALL.into_iter().find(|stage| stage.name() == text).ok_or(Problem::UnknownName)
    }
}
