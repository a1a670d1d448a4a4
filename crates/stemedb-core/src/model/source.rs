//! What is known about a source.

use super::text::{NAME_MAX_BYTES, URI_MAX_BYTES, check_name};
use super::{ModelError, SourceClass};

/// What is known about a source. The newest record of an id counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The id that assertions name: 1–512 bytes of UTF-8 without control characters.
    pub id: String,
    /// Its rank.
    pub class: SourceClass,
    /// Its title: same rules as `id`.
    pub title: Option<String>,
    /// Where it can be found: 1–2048 bytes without control characters.
    pub uri: Option<String>,
    /// Digest of its content.
    pub content_hash: Option<[u8; 32]>,
}

impl Source {
    /// A source of which only the rank is known.
    pub fn new(id: impl Into<String>, class: SourceClass) -> Source {
        Source { id: id.into(), class, title: None, uri: None, content_hash: None }
    }

    /// Checks every rule of the model.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn validate(&self) -> Result<(), ModelError> {
        check_name("/id", &self.id, NAME_MAX_BYTES)?;
        if let Some(title) = &self.title {
            check_name("/title", title, NAME_MAX_BYTES)?;
        }
        match &self.uri {
            Some(uri) => check_name("/uri", uri, URI_MAX_BYTES),
            None => Ok(()),
        }
    }
}
