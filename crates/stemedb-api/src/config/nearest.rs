//! What somebody may have meant.

use std::fmt;

/// A name as far from the known ones as this is a name of something else. The measure and the threshold are those of the
/// command line's own suggestions.
const ALIKE: f64 = 0.7;
/// Longer ones are no misspelt keys, and comparing them costs time.
const LONGEST: usize = 64;

/// What to write instead of a name that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suggestion {
    /// The nearest known name.
    Nearest(String),
    /// Nothing is near: what is known.
    Known(Vec<String>),
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suggestion::Nearest(name) => write!(f, "did you mean {name}?"),
            Suggestion::Known(names) => write!(f, "known are {}", names.join(", ")),
        }
    }
}

/// The nearest of some names, if it is near; the first of those that are equally near.
pub(super) fn nearest<T>(name: &str, known: impl IntoIterator<Item = (String, T)>) -> Option<T> {
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let mut best: Option<(f64, T)> = None;
    for (candidate, found) in known {
        let candidate = candidate.to_ascii_lowercase();
        // Half a name says as much as a misspelt one.
        let is_part = name.len() >= 4 && (candidate.contains(&name) || name.contains(&candidate));
        let likeness = strsim::jaro(&name, &candidate).max(if is_part { ALIKE } else { 0.0 });
        if likeness >= ALIKE && best.as_ref().is_none_or(|(most, _)| likeness > *most) {
            best = Some((likeness, found));
        }
    }
    best.map(|(_, found)| found)
}
