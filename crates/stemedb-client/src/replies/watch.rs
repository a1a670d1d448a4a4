//! Watches: being told when an answer crosses a line.

use serde::{Deserialize, Serialize};

use super::Brief;
use crate::names::Lens;

/// A question with the lines that matter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Its id, where many are registered at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// What it is about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
    /// The lens; consensus unless said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lens: Option<Lens>,
    /// Claims of this epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epoch: Option<String>,
    /// Numbers this near are one value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tolerance: Option<String>,
    /// `source:ID`, `agent:HEX`: as if these had never spoken.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub without: Vec<String>,
    /// Without claims of a worse class.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_class: Option<u8>,
    /// Told when the margin comes to lie on the other side.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub margin_below: Option<f64>,
    /// Told when the conflict score does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub conflict_above: Option<f64>,
}

impl Watch {
    /// Watches the winner of a question.
    pub fn new(subject: impl Into<String>, predicate: impl Into<String>) -> Watch {
        Watch { subject: subject.into(), predicate: predicate.into(), ..Watch::default() }
    }

    /// The watch with an id.
    #[must_use]
    pub fn named(self, id: impl Into<String>) -> Watch {
        Watch { id: Some(id.into()), ..self }
    }
}

/// A watch that is registered.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct RegisteredWatch {
    /// The watch; it has its id.
    #[serde(flatten)]
    pub watch: Watch,
    /// What is recorded after this entry is told.
    pub since: u64,
    /// The timeline of that entry.
    pub timeline: u32,
}

/// A watch that was registered, now or before.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// The watch.
    pub registered: RegisteredWatch,
    /// False if the very same was registered before.
    pub created: bool,
}

/// Watches that were registered together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct WatchesAdded {
    /// How many.
    pub watches: u64,
    /// Of these, new.
    pub created: u64,
    /// Of these, registered before.
    pub existing: u64,
    /// What is recorded after this entry is told.
    pub since: u64,
    /// The timeline of that entry.
    pub timeline: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WatchPage {
    pub watches: Vec<RegisteredWatch>,
    pub next: Option<String>,
}

/// An answer has crossed a line.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Notice {
    /// The watch's id.
    pub watch: String,
    /// The entry that did it.
    pub lsn: u64,
    /// The same, with its timeline.
    pub position: String,
    /// When it was recorded.
    pub recorded_at: String,
    /// Which lines: `value`, `status`, `margin`, `conflict`.
    pub crossed: Vec<String>,
    /// The answer before.
    pub before: Brief,
    /// The answer after.
    pub after: Brief,
}
