//! Query parameters: strict, because a misspelt parameter would otherwise change the answer without a word.

use stemedb_core::{
    Decimal, Lens, Micros, Nano, SourceClass,
    lens::{Counterfactual, Tolerance},
};

use crate::{
    database::{AsOf, ListQuery, Query, leave_out},
    errors::{Code, FieldError, Invalid},
    exchange::Format,
    json::instant,
};

/// Parameters that may come more than once.
const REPEATABLE: [&str; 1] = ["without"];

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Params {
    /// Takes a query string apart. Only parameters named in `allowed` may occur, each once
    /// unless it is of those that may be repeated.
    pub(super) fn parse(query: Option<&str>, allowed: &[&'static str]) -> Params {
        let mut params = Params { pairs: Vec::new(), errors: Vec::new() };
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Ok(name) = decode(name) else {
                params.refuse("(unreadable)", Code::InvalidParameter, "a name is not percent-encoded UTF-8");
                continue;
            };
            let Some(known) = allowed.iter().find(|allowed| **allowed == name) else {
                let name: String = name.chars().take(64).collect();
                let detail = format!("is none of {}", allowed.join(", "));
                params.errors.push(FieldError::in_parameter(name, Code::UnknownParameter, detail));
                continue;
            };
            if !REPEATABLE.contains(known) && params.pairs.iter().any(|(other, _)| other == known) {
                params.refuse(known, Code::DuplicateParameter, "is given more than once");
                continue;
            }
            match decode(value) {
                Ok(value) => params.pairs.push((name, value)),
                Err(at) => {
                    let detail = format!("is not percent-encoded UTF-8 at byte {at}");
                    params.errors.push(FieldError::in_parameter(*known, Code::InvalidUtf8, detail));
                }
            }
        }
        params
    }

    fn refuse(&mut self, name: &'static str, code: Code, detail: &str) {
        self.errors.push(FieldError::in_parameter(name, code, detail));
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(other, _)| other == name)?;
        Some(self.pairs.swap_remove(at).1)
    }

    /// How many items a page may have.
    pub(super) fn limit(&mut self) -> usize {
        self.number("limit").map_or(ListQuery::LIMIT, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// A fraction from 0 to 1, in units of 10⁻⁹.
    pub(super) fn fraction(&mut self, name: &'static str) -> Option<u32> {
        let text = self.take(name)?;
        let nano = Decimal::parse(&text).ok().and_then(|number| number.to_nano());
        let fraction = nano.filter(|nano| (0..=Nano::ONE.0).contains(&nano.0));
        if fraction.is_none() {
            self.refuse(name, Code::InvalidParameter, "must be a number from 0 to 1");
        }
        fraction.and_then(|nano| u32::try_from(nano.0).ok())
    }

    /// A text that must be there.
    fn required(&mut self, name: &'static str) -> String {
        match self.take(name) {
            Some(text) if !text.is_empty() => return text,
            Some(_) => self.refuse(name, Code::InvalidParameter, "must not be empty"),
            // A parameter that was refused already is not missing as well.
            None if self
                .errors
                .iter()
                .any(|error| error.place.to_string() == format!("parameter {name}")) => {}
            None => self.refuse(name, Code::MissingParameter, "is required"),
        }
        String::new()
    }

    /// A text that may be there, but not empty.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let text = self.take(name);
        if text.as_deref() == Some("") {
            self.refuse(name, Code::InvalidParameter, "must not be empty");
        }
        text
    }

    /// The format that `format` names.
    pub(super) fn format(&mut self) -> Option<Format> {
        self.one_of("format", &Format::ALL.map(|format| (format.name(), format)))
    }

    /// A yes or no; absent = no.
    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        self.one_of(
            name,
            &[("false", false), ("true", true), ("off", false), ("on", true), ("0", false), ("1", true)],
        )
        .unwrap_or(false)
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let given = self.take(name)?;
        let found = words.iter().find(|(word, _)| *word == given).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let detail = format!("is none of {}", words.join(", "));
            self.errors.push(FieldError::in_parameter(name, Code::InvalidParameter, detail));
        }
        found
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &'static str) -> Option<u64> {
        let text = self.take(name)?;
        let number = text.parse().ok();
        if number.is_none() {
            self.refuse(name, Code::InvalidParameter, "must be a whole number");
        }
        number
    }

    /// An RFC 3339 date and time.
    pub(super) fn time(&mut self, name: &'static str) -> Option<Micros> {
        let text = self.take(name)?;
        match instant(&text) {
            Ok(time) => Some(time),
            Err((_, detail)) => {
                self.refuse(name, Code::InvalidParameter, &detail);
                None
            }
        }
    }

    /// One lens, or `all`; by default consensus.
    pub(super) fn lenses(&mut self) -> Vec<Lens> {
        let single = Lens::ALL.map(|lens| (lens.name(), Some(lens)));
        let words = [&single[..], &[("all", None)]].concat();
        match self.one_of("lens", &words) {
            Some(None) => Lens::ALL.to_vec(),
            Some(Some(lens)) => vec![lens],
            None => vec![Lens::Consensus],
        }
    }

    /// A moment of the database's past.
    pub(super) fn moment(&mut self, name: &'static str) -> Option<AsOf> {
        match AsOf::parse_parameter(name, &self.take(name)?) {
            Ok(moment) => Some(moment),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    /// A whole number within bounds, or what it is when it is not given.
    pub(super) fn bounded(
        &mut self,
        name: &'static str,
        bounds: std::ops::RangeInclusive<u64>,
        absent: u64,
    ) -> u64 {
        match self.number(name) {
            Some(number) if bounds.contains(&number) => number,
            Some(_) => {
                let detail = format!("must be from {} to {}", bounds.start(), bounds.end());
                self.errors.push(FieldError::in_parameter(name, Code::InvalidParameter, detail));
                absent
            }
            None => absent,
        }
    }

    /// What the question leaves out: `without` as often as it is given, and `max_class`.
    fn counterfactual(&mut self) -> Counterfactual {
        let mut counterfactual = Counterfactual::default();
        let mut at = 0;
        while let Some((name, _)) = self.pairs.get(at) {
            if name != "without" {
                at += 1;
                continue;
            }
            let (_, text) = self.pairs.remove(at);
            if let Err(error) = leave_out(&mut counterfactual, &text) {
                self.errors.push(error);
            }
        }
        counterfactual.max_class = self.one_of("max_class", &CLASSES);
        counterfactual
    }

    fn tolerance(&mut self) -> Option<Tolerance> {
        let text = self.take("tolerance")?;
        let tolerance = text.parse();
        if let Err(problem) = &tolerance {
            let detail = format!("{problem}; it is a number such as 0.5, or a percentage such as 0.1%");
            self.refuse("tolerance", Code::InvalidParameter, &detail);
        }
        tolerance.ok()
    }

    /// The question that the parameters ask; `lens` where the route does not choose it itself.
    pub(super) fn question(&mut self, lens: Option<Lens>) -> Query {
        let (subject, predicate) = (self.required("subject"), self.required("predicate"));
        let lenses = Lens::ALL.map(|lens| (lens.name(), lens));
        let lens = match lens {
            Some(lens) => lens,
            None => self.one_of("lens", &lenses).unwrap_or(Lens::Consensus),
        };
        Query {
            as_of: self.moment("as_of"),
            known_at: self.moment("known_at"),
            epoch: self.take("epoch"),
            decay: self.flag("decay"),
            evaluated_at: self.time("evaluated_at"),
            tolerance: self.tolerance(),
            counterfactual: self.counterfactual(),
            independent: self.flag("independent"),
            fragility: self.flag("fragility"),
            ..Query::new(subject, predicate, lens)
        }
    }

    /// Everything that was wrong, if anything was.
    pub(super) fn finish(self) -> Result<(), Invalid> {
        Invalid::all(self.errors).map_or(Ok(()), Err)
    }
}

/// The classes by their numbers.
const CLASSES: [(&str, SourceClass); SourceClass::COUNT] = {
    let [a, b, c, d, e, f] = SourceClass::ALL;
    [("0", a), ("1", b), ("2", c), ("3", d), ("4", e), ("5", f)]
};

/// Decodes `application/x-www-form-urlencoded` text. The error is the byte at which it is not UTF-8 or not encoded.
fn decode(text: &str) -> Result<String, usize> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |at: usize| rest.get(at).and_then(|digit| char::from(*digit).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(bytes.len()) };
                bytes.push((high << 4 | low) as u8);
                rest = rest.get(2..).unwrap_or_default();
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|error| error.utf8_error().valid_up_to())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_and_plus_are_decoded_and_what_is_not_utf8_is_refused_at_its_byte() {
        assert_eq!(decode("cas%3A50-00-0+x%2b"), Ok("cas:50-00-0 x+".to_owned()));
        assert_eq!(decode("ab%ff"), Err(2));
        assert_eq!(decode("ab%4"), Err(2));
        assert_eq!(decode("%zz"), Err(0));
    }

    #[test]
    fn unknown_repeated_and_unreadable_parameters_are_all_named() {
        let mut params = Params::parse(
            Some("subject=a&subject=b&lense=x&predicate=%ff&decay=maybe"),
            &["subject", "predicate", "lens", "decay"],
        );
        params.question(None);
        let invalid = params.finish().unwrap_err();
        let codes: Vec<Code> = invalid.errors().map(|error| error.code).collect();
        let expected =
            [Code::DuplicateParameter, Code::UnknownParameter, Code::InvalidUtf8, Code::InvalidParameter];
        assert_eq!(codes, expected);
    }
}
