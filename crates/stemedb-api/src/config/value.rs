//! A value that was read, and what applying it does.

use std::{fmt, net::SocketAddr, path::PathBuf};

use stemedb_hybrid::Line;

use super::Settings;

/// A value of a key.
#[derive(Clone, Debug)]
pub struct Value {
    pub(super) text: String,
    pub(super) is_quoted: bool,
    pub(super) set: Set,
}

/// A value together with where it goes: nothing can be applied to the field of another type.
#[derive(Clone, Debug)]
pub(super) enum Set {
    Switch(fn(&mut Settings, bool), bool),
    Number(fn(&mut Settings, u64), u64),
    Choice(fn(&mut Settings)),
    Address(fn(&mut Settings, SocketAddr), SocketAddr),
    Ratio(fn(&mut Settings, f64), f64),
    Room(fn(&mut Settings, Line), Line),
    Path(fn(&mut Settings, PathBuf), PathBuf),
    Text(fn(&mut Settings, String), String),
}

impl Value {
    /// As a variable or a flag has it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As the file has it: texts stand in quotes.
    pub fn literal(&self) -> String {
        if self.is_quoted { quoted(&self.text) } else { self.text.clone() }
    }

    pub(super) fn apply(&self, to: &mut Settings) {
        match &self.set {
            Set::Switch(set, on) => set(to, *on),
            Set::Number(set, number) => set(to, *number),
            Set::Choice(set) => set(to),
            Set::Address(set, address) => set(to, *address),
            Set::Ratio(set, ratio) => set(to, *ratio),
            Set::Room(set, line) => set(to, *line),
            Set::Path(set, path) => set(to, path.clone()),
            Set::Text(set, text) => set(to, text.clone()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.literal())
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => literal.extend(['\\', character]),
            character if character.is_control() => {
                literal.push_str(&format!("\\u{:04X}", u32::from(character)));
            }
            character => literal.push(character),
        }
    }
    literal.push('"');
    literal
}
