//! Where the parts of a bundle come from.
//!
//! - [`configuration`]: what the server is configured to be, and where each value comes from.
//! - [`server`]: what a running server says.
//! - [`folder`]: the database's files, read and never written, without its lock.
//! - [`logs`]: the ends of logs.
//! - [`process`]: the running process and its limits.
//! - [`machine`]: the system below it, and its clock.

pub mod configuration;
pub mod folder;
pub mod logs;
pub mod machine;
pub mod process;
pub mod server;

use std::path::Path;

use stemedb_env::{Env, OpenMode};

/// Longest file of the system's own that is read.
const TOLD_MAX_BYTES: usize = 256 << 10;

/// A file that the system makes when it is read, such as those below `/proc`: it has no length of its own. `None` if there is none.
pub fn told(env: &Env, path: impl AsRef<Path>) -> Option<String> {
    let file = env.fs.open(path.as_ref(), OpenMode::Read).ok()?;
    let mut bytes = vec![0; TOLD_MAX_BYTES];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64).ok()? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A word of the system's: letters, digits and a little between them; anything else is no such word.
pub fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let is_word = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '.' | '_' | '-' | '+' | ' ' | '(' | ')' | '@' | '/' | ',' | '=')
    };
    ((1..=96).contains(&text.len()) && text.chars().all(is_word)).then(|| text.to_owned())
}
