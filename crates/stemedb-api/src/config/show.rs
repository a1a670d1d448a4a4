//! The effective configuration as text.

use std::fmt::Write;

use super::{BuiltIn, Config};

impl Config {
    /// A file that says what this configuration is, whole; with the origin of each value as a comment if that is asked for.
    ///
    /// It is TOML that gives the same configuration again. Of a secret it shows the path of its file, never what is in it.
    pub fn show(&self, with_origins: bool) -> String {
        let lines: Vec<(&str, String, String)> = self
            .entries()
            .iter()
            .map(|entry| {
                let key = entry.key;
                let line = match (&entry.value, key.built_in) {
                    (Some(value), _) => format!("{} = {value}", key.name),
                    (None, BuiltIn::Unset { means, .. }) => format!("# {} is not set: {means}", key.name),
                    (None, BuiltIn::Is(_)) => format!("# {} is not set", key.name),
                };
                (key.section, line, entry.origin.to_string())
            })
            .collect();
        // Long lines stand out instead of pushing all comments to the right.
        let width = lines.iter().map(|(_, line, _)| line.chars().count()).filter(|width| *width <= 56).max();
        let width = width.unwrap_or(0);
        let (mut text, mut section) = (String::new(), "");
        for (of, line, origin) in &lines {
            if *of != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{of}]");
                section = *of;
            }
            let _ = if with_origins {
                writeln!(text, "{line:width$}  # {origin}")
            } else {
                writeln!(text, "{line}")
            };
        }
        text
    }
}
