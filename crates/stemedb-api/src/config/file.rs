//! The layer of the file.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Keys, Origin, Problem, Suggestion,
    kind::Raw,
    layers::{Given, take},
    nearest::nearest,
};

/// Reads the text of a file. What is wrong is told in the order of the lines.
pub(super) fn read(keys: Keys, path: &Path, bytes: &[u8], problems: &mut Vec<Problem>) -> Vec<Given> {
    let path: Arc<Path> = path.into();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let valid = std::str::from_utf8(valid).unwrap_or_default();
            problems.push(Problem::NotUtf8 { at: Origin::of_byte(&path, valid, valid.len()) });
            return Vec::new();
        }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { keys, path, text, given: Vec::new(), problems: Vec::new() };
    for error in &errors {
        let at = reader.place(error.span().map_or(0, |span| span.start));
        // The error's own text would show the line, and a secret may be written there by mistake.
        reader.problems.push(Problem::Syntax { at, message: error.message().to_owned() });
    }
    // What the parser made of a broken line is not what was meant.
    let broken: BTreeSet<Option<usize>> =
        reader.problems.iter().map(|problem| problem.origin().and_then(line)).collect();
    reader.table(table.get_ref());
    let Reader { mut given, problems: mut found, .. } = reader;
    let is_sound = |at: Option<&Origin>| at.and_then(line).is_none_or(|line| !broken.contains(&Some(line)));
    given.retain(|given| is_sound(Some(&given.origin)));
    found.retain(|problem| matches!(problem, Problem::Syntax { .. }) || is_sound(problem.origin()));
    found.sort_by(|a, b| a.origin().cmp(&b.origin()));
    // What the parser says next of a line follows from the first.
    found.dedup_by(|next, first| {
        let is_syntax = |problem: &Problem| matches!(problem, Problem::Syntax { .. });
        let line = |problem: &Problem| problem.origin().and_then(line);
        is_syntax(next) && is_syntax(first) && line(next) == line(first)
    });
    problems.append(&mut found);
    given
}

fn line(origin: &Origin) -> Option<usize> {
    match origin {
        Origin::File { line, .. } => Some(*line),
        Origin::BuiltIn | Origin::Variable(_) | Origin::Flag(_) => None,
    }
}

struct Reader<'a> {
    keys: Keys,
    path: Arc<Path>,
    text: &'a str,
    given: Vec<Given>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> Origin {
        Origin::of_byte(&self.path, self.text, offset)
    }

    fn table(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let at = self.place(name.span().start);
            let known = self.keys.sections().find(|section| *section == name.get_ref());
            match (known, value.get_ref()) {
                (Some(section), DeValue::Table(members)) => self.section(section, members),
                (Some(name), _) => self.problems.push(Problem::NotASection { at, name }),
                (None, DeValue::Table(_)) => {
                    let name = name.get_ref().to_string();
                    let sections = || self.keys.sections().map(str::to_owned);
                    let suggestion = match nearest(&name, sections().map(|name| (name.clone(), name))) {
                        Some(name) => Suggestion::Nearest(format!("[{name}]")),
                        None => Suggestion::Known(sections().collect()),
                    };
                    self.problems.push(Problem::UnknownSection { at, name, suggestion });
                }
                (None, _) => {
                    let name = name.get_ref().to_string();
                    let suggestion = self.elsewhere(&name);
                    let suggestion = suggestion.unwrap_or_else(|| {
                        Suggestion::Known(self.keys.sections().map(str::to_owned).collect())
                    });
                    self.problems.push(Problem::NoSection { at, name, suggestion });
                }
            }
        }
    }

    fn section(&mut self, section: &'static str, members: &DeTable<'_>) {
        for (name, value) in members {
            match self.keys.find(section, name.get_ref()) {
                Some(key) => {
                    let at = self.place(name.span().start);
                    take(key, raw(value.get_ref()), at, &mut self.given, &mut self.problems);
                }
                None => self.unknown(section, name),
            }
        }
    }

    fn unknown(&mut self, section: &'static str, name: &Spanned<std::borrow::Cow<'_, str>>) {
        let at = self.place(name.span().start);
        let name = name.get_ref().to_string();
        let here = || self.keys.iter().filter(|key| key.section == section).map(|key| key.name.to_owned());
        // A key that was written into another section is meant more likely than one of a similar name.
        let is_elsewhere = self.keys.iter().any(|key| key.name == name);
        let alike = if is_elsewhere { None } else { nearest(&name, here().map(|name| (name.clone(), name))) };
        let suggestion = alike.map(Suggestion::Nearest).or_else(|| self.elsewhere(&name));
        let suggestion = suggestion.unwrap_or_else(|| Suggestion::Known(here().collect()));
        self.problems.push(Problem::UnknownKey { at, section, name, suggestion });
    }

    /// The nearest key of any section.
    fn elsewhere(&self, name: &str) -> Option<Suggestion> {
        let all =
            self.keys.iter().map(|key| (key.name.to_owned(), format!("{} in [{}]", key.name, key.section)));
        nearest(name, all).map(Suggestion::Nearest)
    }
}

fn raw<'a>(value: &'a DeValue<'_>) -> Raw<'a> {
    match value {
        DeValue::String(text) => Raw::Text(text),
        DeValue::Integer(number) => Raw::Integer(u64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Float(number) => number.as_str().parse().map_or(Raw::Other, Raw::Float),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => Raw::Other,
    }
}
