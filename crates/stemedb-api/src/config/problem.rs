//! What can be wrong with a configuration.

use std::{fmt, path::PathBuf};

use super::{Key, Origin, Rule, Suggestion, layers::FILE_MAX_BYTES};

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file that was named cannot be read.
    #[error("{}: cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: stemedb_env::Error,
    },
    /// The file that was named is a folder, or does not exist.
    #[error("{}: {what}", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// The file is longer than a configuration can be.
    #[error("{}: longer than {FILE_MAX_BYTES} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("{at}: not UTF-8")]
    NotUtf8 {
        /// The first place that is not.
        at: Origin,
    },
    /// The file is not TOML.
    #[error("{at}: {message}")]
    Syntax {
        /// Where.
        at: Origin,
        /// What the parser says; nothing of the file's content is in it.
        message: String,
    },
    /// There is no such section.
    #[error("{at}: unknown section [{}]; {suggestion}", shortened(name))]
    UnknownSection {
        /// Where.
        at: Origin,
        /// Its name.
        name: String,
        /// What may have been meant.
        suggestion: Suggestion,
    },
    /// There is no such key in that section.
    #[error("{at}: unknown key {} in [{section}]; {suggestion}", shortened(name))]
    UnknownKey {
        /// Where.
        at: Origin,
        /// The section.
        section: &'static str,
        /// Its name.
        name: String,
        /// What may have been meant.
        suggestion: Suggestion,
    },
    /// A key stands before the first section.
    #[error("{at}: key {} stands in no section; {suggestion}", shortened(name))]
    NoSection {
        /// Where.
        at: Origin,
        /// Its name.
        name: String,
        /// What may have been meant.
        suggestion: Suggestion,
    },
    /// A section's name has a value.
    #[error("{at}: {name} is a section: write [{name}] and its keys below")]
    NotASection {
        /// Where.
        at: Origin,
        /// The section.
        name: &'static str,
    },
    /// There is no such variable.
    #[error("variable {}: not known; {suggestion}", shortened(name))]
    UnknownVariable {
        /// Its name.
        name: String,
        /// What may have been meant.
        suggestion: Suggestion,
    },
    /// A variable that the container's platform sets for a service of the database's name.
    #[error(
        "variable {}: not known; Kubernetes sets it for a service of that name: say `enableServiceLinks: false`, or call \
         the service differently",
        shortened(name)
    )]
    ServiceLink {
        /// Its name.
        name: String,
    },
    /// The value is not one that the key takes.
    #[error("{at}: {} must be {}{}", key.path(), key.kind.allowed(), given(value.as_deref()))]
    Refused {
        /// Where.
        at: Origin,
        /// The key.
        key: &'static Key,
        /// What it was; `None` where that must not be shown, or cannot.
        value: Option<String>,
    },
    /// Production refuses the value.
    #[error("{at}: {} is unsafe in production: {}{}", rule.key(), rule.reason, given(value.as_deref()))]
    Unsafe {
        /// Where it was set; the program itself, if it was not.
        at: Origin,
        /// What refuses it.
        rule: &'static Rule,
        /// What it is.
        value: Option<String>,
    },
}

impl Problem {
    /// Where it is, if that is a place.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Problem::NotUtf8 { at }
            | Problem::Syntax { at, .. }
            | Problem::UnknownSection { at, .. }
            | Problem::UnknownKey { at, .. }
            | Problem::NoSection { at, .. }
            | Problem::NotASection { at, .. }
            | Problem::Refused { at, .. }
            | Problem::Unsafe { at, .. } => Some(at),
            Problem::Unreadable { .. }
            | Problem::NoFile { .. }
            | Problem::TooLong { .. }
            | Problem::UnknownVariable { .. }
            | Problem::ServiceLink { .. } => None,
        }
    }
}

/// Everything that is wrong, in the order of the layers; at least one thing.
#[derive(Debug)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, problem)| {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")
        })
    }
}

impl std::error::Error for Problems {}

/// A name from outside, so that it does not break the line or fill the screen.
fn shortened(name: &str) -> String {
    cut(name).flat_map(char::escape_debug).collect()
}

/// A value, which is a literal already.
fn given(value: Option<&str>) -> String {
    value.map(|value| format!("; it is {}", cut(value).collect::<String>())).unwrap_or_default()
}

fn cut(text: &str) -> impl Iterator<Item = char> {
    const LONGEST: usize = 80;
    let rest = text.chars().nth(LONGEST).map(|_| '…');
    text.chars().take(LONGEST).chain(rest)
}
