//! Listings: claims and questions, in pages of one moment.

use stemedb_core::{AgentId, Micros, Object};
use stemedb_env::Lsn;
use stemedb_index::{
    ClaimReader, Position, QuestionKey, SortedValue, StoredClaim, ValueRange,
    questions::{Listing, Mark, Page, PageLimits, QuestionSummary},
};

use super::{
    AsOf, Database, Snapshot,
    cursor::{Cursor, subject_of},
};
use crate::errors::{Code, FieldError, Invalid, Result};

/// What a listing is of, as a caller says it: at most one of the groups below, each a line; nothing at all is everything.
///
/// `subject`, perhaps with `predicate` · `predicate`, perhaps with `min`, `max` or both · `source` · `agent` · `prefix` (of
/// subjects) · `predicate_prefix`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// All about a subject.
    pub subject: Option<String>,
    /// All under a predicate.
    pub predicate: Option<String>,
    /// The smallest value: a number, `true`, `false`, or an RFC 3339 time.
    pub min: Option<String>,
    /// The greatest value, of the same kind.
    pub max: Option<String>,
    /// What a source said.
    pub source: Option<String>,
    /// What an agent asserted, signed or co-signed: 64 hexadecimal digits.
    pub agent: Option<String>,
    /// All about subjects that begin so.
    pub prefix: Option<String>,
    /// All under predicates that begin so.
    pub predicate_prefix: Option<String>,
}

impl Selection {
    /// What is to be listed.
    ///
    /// # Errors
    /// Everything that is wrong, by parameter.
    pub fn listing(&self) -> Result<Listing, Invalid> {
        let mut errors = Vec::new();
        let listing = self.read(&mut errors);
        match Invalid::all(errors) {
            None => Ok(listing),
            Some(invalid) => Err(invalid),
        }
    }

    fn parts(&self) -> [(&'static str, Option<&str>); 8] {
        [
            ("subject", self.subject.as_deref()),
            ("predicate", self.predicate.as_deref()),
            ("min", self.min.as_deref()),
            ("max", self.max.as_deref()),
            ("source", self.source.as_deref()),
            ("agent", self.agent.as_deref()),
            ("prefix", self.prefix.as_deref()),
            ("predicate_prefix", self.predicate_prefix.as_deref()),
        ]
    }

    fn read(&self, errors: &mut Vec<FieldError>) -> Listing {
        let mut refuse = |name: &'static str, detail: String| {
            errors.push(FieldError::in_parameter(name, Code::InvalidParameter, detail));
        };
        for (name, text) in self.parts() {
            match text {
                Some("") => refuse(name, "must not be empty".into()),
                Some(text) if text.contains(char::is_control) => {
                    refuse(name, "contains a control character".into());
                }
                _ => {}
            }
        }
        let groups: [&[&'static str]; 6] = [
            &["subject", "predicate"],
            &["predicate", "min", "max"],
            &["source"],
            &["agent"],
            &["prefix"],
            &["predicate_prefix"],
        ];
        let given: Vec<&'static str> =
            self.parts().into_iter().filter_map(|(name, text)| text.map(|_| name)).collect();
        if !given.is_empty() && !groups.iter().any(|group| given.iter().all(|name| group.contains(name))) {
            for name in given.iter().skip(1) {
                refuse(name, format!("does not go together with {}", given.first().unwrap_or(name)));
            }
            return Listing::All;
        }
        let bound =
            |name: &'static str, text: &Option<String>, refuse: &mut dyn FnMut(&'static str, String)| {
                let text = text.as_deref()?;
                let value = value_of(text);
                if value.is_none() {
                    refuse(name, "is neither a number, nor true or false, nor an RFC 3339 time".into());
                }
                value
            };
        let (min, max) = (bound("min", &self.min, &mut refuse), bound("max", &self.max, &mut refuse));
        match self {
            Selection { subject: Some(subject), predicate: Some(predicate), .. } => {
                Listing::Question(QuestionKey { subject: subject.clone(), predicate: predicate.clone() })
            }
            Selection { subject: Some(subject), .. } => Listing::Subject(subject.clone()),
            Selection { predicate: Some(predicate), min: None, max: None, .. } => {
                Listing::Predicate(predicate.clone())
            }
            Selection { predicate, min: given_min, max: given_max, .. }
                if given_min.is_some() || given_max.is_some() =>
            {
                let Some(predicate) = predicate.clone() else {
                    refuse("predicate", "is required with min and max".into());
                    return Listing::All;
                };
                match ValueRange::new(min, max) {
                    Ok(range) => Listing::Values { predicate, range },
                    // One that cannot be read was refused already.
                    Err(_) if min.is_none() && max.is_none() => Listing::All,
                    Err(error) => {
                        refuse("max", error.to_string());
                        Listing::All
                    }
                }
            }
            Selection { source: Some(source), .. } => Listing::Source(source.clone()),
            Selection { agent: Some(agent), .. } => match agent.parse::<AgentId>() {
                Ok(agent) => Listing::Agent(agent),
                Err(_) => {
                    refuse("agent", "is not 64 hexadecimal digits".into());
                    Listing::All
                }
            },
            Selection { prefix: Some(prefix), .. } => Listing::SubjectPrefix(prefix.clone()),
            Selection { predicate_prefix: Some(prefix), .. } => Listing::PredicatePrefix(prefix.clone()),
            _ => Listing::All,
        }
    }
}

/// The value that a text stands for in a range.
fn value_of(text: &str) -> Option<SortedValue> {
    let object = match text {
        "true" => Object::Boolean(true),
        "false" => Object::Boolean(false),
        text if Micros::parse_rfc3339(text).is_ok() => Object::Time(text.to_owned()),
        text => Object::from_json_number(text).ok()?,
    };
    SortedValue::of(object.as_ref())
}

/// A listing, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Of what.
    pub selection: Selection,
    /// The moment whose knowledge is listed; `None` = now. With a cursor: as it was given with the first page.
    pub as_of: Option<AsOf>,
    /// Most items of the page, 1 to [`ListQuery::LIMIT_MAX`].
    pub limit: usize,
    /// Where to go on: what the page before gave.
    pub cursor: Option<String>,
}

impl ListQuery {
    /// Items of a page, unless said otherwise.
    pub const LIMIT: usize = 100;
    /// Most items of a page.
    pub const LIMIT_MAX: usize = 1000;

    /// The first page of the present.
    pub fn new(selection: Selection) -> ListQuery {
        ListQuery { selection, as_of: None, limit: ListQuery::LIMIT, cursor: None }
    }
}

/// A part of a listing. All pages of a walk show the same moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage<T> {
    /// What it holds; may be empty although there is more.
    pub items: Vec<T>,
    /// The moment.
    pub lsn: Lsn,
    /// Where to go on; `None` at the end.
    pub cursor: Option<String>,
}

impl Database {
    /// Lists claims, those set aside included.
    ///
    /// Cost: see [`ClaimReader::list_claims`].
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for a selection or cursor that is none, [`Code::WrongTimeline`] for a cursor from before a point-in-time
    /// restore; [`crate::Error::Engine`] where the store fails.
    pub fn claims(&self, query: &ListQuery) -> Result<ListPage<StoredClaim>> {
        self.list("claims", query, |reader, listing, after, limits| {
            reader.list_claims(listing, after, limits)
        })
    }

    /// Lists questions: those that the claims of the same selection answer.
    ///
    /// Cost: see [`ClaimReader::list_questions`].
    ///
    /// # Errors
    /// As [`Database::claims`].
    pub fn questions(&self, query: &ListQuery) -> Result<ListPage<QuestionSummary>> {
        self.list("questions", query, |reader, listing, after, limits| {
            reader.list_questions(listing, after, limits)
        })
    }

    fn list<T>(
        &self,
        what: &'static str,
        query: &ListQuery,
        page: impl FnOnce(
            &ClaimReader<Snapshot>,
            &Listing,
            Option<&Mark>,
            PageLimits,
        ) -> stemedb_index::Result<Page<T>>,
    ) -> Result<ListPage<T>> {
        check_limit(query.limit)?;
        let listing = query.selection.listing()?;
        let as_of = query.as_of.map(|as_of| as_of.to_string());
        let mut parts = vec![Some(what.as_bytes()), as_of.as_deref().map(str::as_bytes)];
        parts.extend(query.selection.parts().map(|(_, text)| text.map(str::as_bytes)));
        let subject = subject_of(&parts);
        let identity = *self.engine().identity();
        let cursor = query.cursor.as_deref();
        let cursor = cursor
            .map(|text| Cursor::open(text, identity.database, identity.timeline, subject))
            .transpose()?;
        let reader = self.reader(cursor.as_ref().map(|cursor| AsOf::Lsn(cursor.lsn)).or(query.as_of))?;
        let lsn = reader.lsn();
        let after = cursor.map(|Cursor { after, inside, .. }| Mark {
            key: after,
            inside: inside.map(|(lsn, ordinal)| Position { lsn: Lsn(lsn), ordinal }),
        });
        let Page { items, after } =
            page(&reader, &listing, after.as_ref(), PageLimits::of_items(query.limit))?;
        let cursor = after.map(|mark| {
            let inside = mark.inside.map(|at| (at.lsn.0, at.ordinal));
            let cursor =
                Cursor { timeline: identity.timeline, lsn, listing: subject, after: mark.key, inside };
            cursor.seal(identity.database)
        });
        Ok(ListPage { items, lsn, cursor })
    }
}

pub(super) fn check_limit(limit: usize) -> Result<(), FieldError> {
    if (1..=ListQuery::LIMIT_MAX).contains(&limit) {
        return Ok(());
    }
    let detail = format!("must be from 1 to {}", ListQuery::LIMIT_MAX);
    Err(FieldError::in_parameter("limit", Code::InvalidParameter, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(parts: &[(&str, &str)]) -> Selection {
        let get =
            |name: &str| parts.iter().find(|(other, _)| *other == name).map(|(_, text)| (*text).to_owned());
        Selection {
            subject: get("subject"),
            predicate: get("predicate"),
            min: get("min"),
            max: get("max"),
            source: get("source"),
            agent: get("agent"),
            prefix: get("prefix"),
            predicate_prefix: get("predicate_prefix"),
        }
    }

    #[test]
    fn what_is_given_says_what_is_listed() {
        let listing = |parts: &[(&str, &str)]| selection(parts).listing().unwrap();
        let question = QuestionKey { subject: "s".into(), predicate: "p".into() };
        assert_eq!(listing(&[]), Listing::All);
        assert_eq!(listing(&[("subject", "s")]), Listing::Subject("s".into()));
        assert_eq!(listing(&[("subject", "s"), ("predicate", "p")]), Listing::Question(question));
        assert_eq!(listing(&[("predicate", "p")]), Listing::Predicate("p".into()));
        let values = listing(&[("predicate", "p"), ("min", "-1e3")]);
        assert!(matches!(values, Listing::Values { range, .. } if range.max().is_none()));
        let values =
            listing(&[("predicate", "p"), ("max", "2024-01-01T00:00:00Z"), ("min", "1970-01-01T00:00:00Z")]);
        assert!(matches!(values, Listing::Values { range, .. } if range.min().is_some()));
        assert_eq!(listing(&[("agent", &"01".repeat(32))]), Listing::Agent(AgentId([1; 32])));
        assert_eq!(listing(&[("prefix", "cas:")]), Listing::SubjectPrefix("cas:".into()));
        assert_eq!(listing(&[("predicate_prefix", "b")]), Listing::PredicatePrefix("b".into()));
        assert_eq!(listing(&[("source", "x")]), Listing::Source("x".into()));
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_name() {
        let refused = |parts: &[(&str, &str)]| {
            let invalid = selection(parts).listing().unwrap_err();
            invalid.errors().map(|error| error.place.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(refused(&[("subject", "s"), ("source", "x")]), ["parameter source"]);
        assert_eq!(
            refused(&[("subject", "s"), ("predicate", "p"), ("min", "1")]),
            ["parameter predicate", "parameter min"]
        );
        assert_eq!(refused(&[("min", "1")]), ["parameter predicate"]);
        assert_eq!(refused(&[("predicate", "p"), ("min", "abc")]), ["parameter min"]);
        assert_eq!(refused(&[("predicate", "p"), ("min", "1"), ("max", "true")]), ["parameter max"]);
        assert_eq!(refused(&[("predicate", "p"), ("min", "2"), ("max", "1")]), ["parameter max"]);
        assert_eq!(refused(&[("agent", "xyz")]), ["parameter agent"]);
        assert_eq!(refused(&[("subject", "a\0b")]), ["parameter subject"]);
        assert_eq!(refused(&[("prefix", "")]), ["parameter prefix"]);
    }
}
