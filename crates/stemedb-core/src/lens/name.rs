//! The lenses by name.

use std::fmt;
use std::str::FromStr;

use crate::model::Problem;

/// A way to turn claims that disagree into an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lens {
    /// The newest claim.
    Recency,
    /// The value with the greatest support.
    Consensus,
    /// The claim with the greatest confidence.
    Confidence,
    /// The best claim of the best class.
    Authority,
    /// No winner: how much the claims disagree.
    Skeptic,
    /// A winner per class, and the best class's winner overall.
    Layered,
}

impl Lens {
    /// The version of the arithmetic. Another version may answer differently from the same claims.
    pub const VERSION: u32 = 2;

    /// All lenses.
    pub const ALL: [Lens; 6] =
        [Lens::Recency, Lens::Consensus, Lens::Confidence, Lens::Authority, Lens::Skeptic, Lens::Layered];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Lens::Recency => "recency",
            Lens::Consensus => "consensus",
            Lens::Confidence => "confidence",
            Lens::Authority => "authority",
            Lens::Skeptic => "skeptic",
            Lens::Layered => "layered",
        }
    }
}

impl fmt::Display for Lens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Lens {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Lens, Problem> {
        Lens::ALL.into_iter().find(|lens| lens.name() == text).ok_or(Problem::UnknownName)
    }
}
