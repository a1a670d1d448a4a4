//! What values a key takes. One reader for all layers, so that none of them is laxer than another.

use std::{ffi::OsStr, net::SocketAddr, path::PathBuf};

use stemedb_hybrid::Line;

use super::{
    Settings,
    room::{self, ROOM_FORM},
    value::{Set, Value},
};

/// The values of a key, each kind with what applies one.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Switch(fn(&mut Settings, bool)),
    /// A whole number.
    Number {
        /// What it counts.
        unit: Unit,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
        /// Applies it.
        set: fn(&mut Settings, u64),
    },
    /// One of a few words.
    Choice(&'static [Choice]),
    /// An IP address and a port.
    Address(fn(&mut Settings, SocketAddr)),
    /// A part of a whole, from 0 to 1.
    Ratio(fn(&mut Settings, f64)),
    /// Free room on a disk: a share of it, a size, or both.
    Room(fn(&mut Settings, Line)),
    /// A path of the file system.
    Path(fn(&mut Settings, PathBuf)),
    /// A text of a form of its own.
    Text {
        /// The form, for people.
        form: &'static str,
        /// True for texts of that form.
        check: fn(&str) -> bool,
        /// Applies it.
        set: fn(&mut Settings, String),
    },
}

/// A word that a key may be.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The word.
    pub name: &'static str,
    /// Applies it.
    pub set: fn(&mut Settings),
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// 1,048,576 bytes each.
    Mebibytes,
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// Its name after a number.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Count => "",
            Unit::Bytes => "bytes",
            Unit::Mebibytes => "MiB",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "seconds",
        }
    }
}

/// A value as a layer has it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'a> {
    /// Of a variable or a flag: a text that may mean any kind.
    Words(&'a OsStr),
    /// Of the file, as the following.
    Boolean(bool),
    /// `None`: below zero, or too large for any key.
    Integer(Option<u64>),
    Float(f64),
    Text(&'a str),
    /// Nothing that any key takes.
    Other,
}

impl<'a> Raw<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Raw::Words(words) => words.to_str(),
            Raw::Text(text) => Some(text),
            Raw::Boolean(_) | Raw::Integer(_) | Raw::Float(_) | Raw::Other => None,
        }
    }

    fn boolean(self) -> Option<bool> {
        match self {
            Raw::Words(words) => words.to_str()?.parse().ok(),
            Raw::Boolean(value) => Some(value),
            Raw::Integer(_) | Raw::Float(_) | Raw::Text(_) | Raw::Other => None,
        }
    }

    fn number(self) -> Option<u64> {
        match self {
            Raw::Words(words) => {
                let words = words.to_str()?;
                // `parse` would take a plus sign.
                let is_number = !words.is_empty() && words.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| words.parse().ok())?
            }
            Raw::Integer(number) => number,
            Raw::Boolean(_) | Raw::Float(_) | Raw::Text(_) | Raw::Other => None,
        }
    }

    fn ratio(self) -> Option<f64> {
        let ratio = match self {
            Raw::Words(words) => {
                let words = words.to_str()?;
                // `parse` would take signs, exponents and words.
                let is_plain = words.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                is_plain.then(|| words.parse().ok())?
            }
            Raw::Float(ratio) => Some(ratio),
            Raw::Integer(number) => match number? {
                0 => Some(0.0),
                1 => Some(1.0),
                _ => None,
            },
            Raw::Boolean(_) | Raw::Text(_) | Raw::Other => None,
        };
        // The sum makes zero of what is zero below zero.
        ratio.filter(|ratio| (0.0..=1.0).contains(ratio)).map(|ratio| ratio + 0.0)
    }

    fn path(self) -> Option<PathBuf> {
        let path = match self {
            Raw::Words(words) => PathBuf::from(words),
            Raw::Text(text) => PathBuf::from(text),
            Raw::Boolean(_) | Raw::Integer(_) | Raw::Float(_) | Raw::Other => return None,
        };
        let is_path = !path.as_os_str().is_empty() && !path.as_os_str().as_encoded_bytes().contains(&0);
        is_path.then_some(path)
    }
}

impl Kind {
    /// Reads a value; `None` where it is not one of this kind.
    pub(super) fn read(&self, raw: Raw<'_>) -> Option<Value> {
        let plain = |text: String, set| Some(Value { text, is_quoted: false, set });
        let quoted = |text: &str, set| Some(Value { text: text.to_owned(), is_quoted: true, set });
        match *self {
            Kind::Switch(set) => raw.boolean().and_then(|on| plain(on.to_string(), Set::Switch(set, on))),
            Kind::Number { least, most, set, .. } => {
                let number = raw.number().filter(|number| (least..=most).contains(number))?;
                plain(number.to_string(), Set::Number(set, number))
            }
            Kind::Choice(choices) => {
                let name = raw.text()?;
                let choice = choices.iter().find(|choice| choice.name == name)?;
                quoted(name, Set::Choice(choice.set))
            }
            Kind::Address(set) => {
                let address: SocketAddr = raw.text()?.parse().ok()?;
                quoted(&address.to_string(), Set::Address(set, address))
            }
            Kind::Ratio(set) => {
                let ratio = raw.ratio()?;
                plain(ratio.to_string(), Set::Ratio(set, ratio))
            }
            Kind::Room(set) => {
                let text = raw.text()?;
                quoted(text, Set::Room(set, room::parse(text)?))
            }
            Kind::Path(set) => {
                let path = raw.path()?;
                quoted(&path.to_string_lossy(), Set::Path(set, path.clone()))
            }
            Kind::Text { check, set, .. } => {
                let text = raw.text().filter(|text| check(text))?;
                quoted(text, Set::Text(set, text.to_owned()))
            }
        }
    }

    /// What is allowed, for whoever gave something else: it stands after "must be".
    pub fn allowed(&self) -> String {
        match self {
            Kind::Switch(_) => "true or false".to_owned(),
            Kind::Number { unit, least, most, .. } => {
                let unit = Some(unit.name()).filter(|name| !name.is_empty());
                let unit = unit.map(|name| format!(" ({name})")).unwrap_or_default();
                format!("a whole number from {least} to {most}{unit}")
            }
            Kind::Choice(choices) => {
                let names: Vec<&str> = choices.iter().map(|choice| choice.name).collect();
                match names.split_last() {
                    Some((last, [])) => (*last).to_owned(),
                    Some((last, first)) => format!("{} or {last}", first.join(", ")),
                    None => "nothing".to_owned(),
                }
            }
            Kind::Address(_) => "an IP address and a port, such as 127.0.0.1:18180 or [::1]:18180".to_owned(),
            Kind::Ratio(_) => "a number from 0 to 1".to_owned(),
            Kind::Room(_) => ROOM_FORM.to_owned(),
            Kind::Path(_) => "a path, not empty".to_owned(),
            Kind::Text { form, .. } => (*form).to_owned(),
        }
    }

    /// The name of its values in help texts.
    pub fn placeholder(&self) -> &'static str {
        match self {
            Kind::Switch(_) => "true|false",
            Kind::Number { unit, .. } => match unit {
                Unit::Count => "N",
                Unit::Bytes => "BYTES",
                Unit::Mebibytes => "MIB",
                Unit::Milliseconds => "MS",
                Unit::Seconds => "SECONDS",
            },
            Kind::Choice(_) => "WORD",
            Kind::Address(_) => "ADDR",
            Kind::Ratio(_) => "RATIO",
            Kind::Room(_) => "ROOM",
            Kind::Path(_) => "PATH",
            Kind::Text { .. } => "TEXT",
        }
    }
}
