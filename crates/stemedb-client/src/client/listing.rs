//! Listings, walked page by page.

use std::{collections::VecDeque, fmt};

use super::{Client, DiffQuery};
use crate::{
    error::Error,
    question::Moment,
    replies::{
        ClaimPage, Conflict, ConflictPage, Knowledge, QuestionChange, QuestionPage, QuestionSummary,
        StoredAssertion,
    },
    transport::Call,
};

/// Which claims, or the questions that they answer: one line of the table in `docs/http.md`, or everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// All about it.
    pub subject: Option<String>,
    /// All under it.
    pub predicate: Option<String>,
    /// With `predicate`: values from here on.
    pub min: Option<String>,
    /// With `predicate`: values up to here.
    pub max: Option<String>,
    /// What it said.
    pub source: Option<String>,
    /// What it asserted, signed or co-signed.
    pub agent: Option<String>,
    /// All about subjects that begin so.
    pub prefix: Option<String>,
    /// All under predicates that begin so.
    pub predicate_prefix: Option<String>,
    /// As of a moment.
    pub as_of: Option<Moment>,
    /// Items of a page; 100 unless said.
    pub limit: Option<u32>,
}

impl Listing {
    /// Everything.
    pub fn all() -> Listing {
        Listing::default()
    }

    /// All about a subject.
    pub fn about(subject: impl Into<String>) -> Listing {
        Listing { subject: Some(subject.into()), ..Listing::default() }
    }

    /// All about subjects that begin so.
    pub fn prefix(prefix: impl Into<String>) -> Listing {
        Listing { prefix: Some(prefix.into()), ..Listing::default() }
    }

    fn call(&self, path: &str, cursor: Option<&str>) -> Call {
        Call::get(path)
            .with_some("subject", self.subject.as_ref())
            .with_some("predicate", self.predicate.as_ref())
            .with_some("min", self.min.as_ref())
            .with_some("max", self.max.as_ref())
            .with_some("source", self.source.as_ref())
            .with_some("agent", self.agent.as_ref())
            .with_some("prefix", self.prefix.as_ref())
            .with_some("predicate_prefix", self.predicate_prefix.as_ref())
            .with_some("as_of", self.as_of.as_ref())
            .with_some("limit", self.limit)
            .with_some("cursor", cursor)
    }
}

/// Items and where to go on; `None` at the end.
type Fetched<T, M> = Result<(Vec<T>, Option<M>), Error>;

/// Items of a listing, fetched page by page as they are asked for. Ends after an error.
pub struct Pages<'a, T> {
    ready: VecDeque<T>,
    fetch: Option<Box<dyn FnMut() -> Fetched<T, ()> + 'a>>,
}

impl<'a, T> Pages<'a, T> {
    /// `fetch` is given where the page before ended; nothing for the first.
    pub(super) fn new<M: 'a>(mut fetch: impl FnMut(Option<M>) -> Fetched<T, M> + 'a) -> Pages<'a, T> {
        let mut mark = None;
        let fetch = move || {
            let (items, next) = fetch(mark.take())?;
            let more = next.is_some().then_some(());
            mark = next;
            Ok((items, more))
        };
        Pages { ready: VecDeque::new(), fetch: Some(Box::new(fetch)) }
    }
}

impl<T> Iterator for Pages<'_, T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Result<T, Error>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            let fetch = self.fetch.as_mut()?;
            match fetch() {
                // A page may be empty and have another one behind it.
                Ok((items, more)) => {
                    self.ready.extend(items);
                    if more.is_none() {
                        self.fetch = None;
                    }
                }
                Err(error) => {
                    self.fetch = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<T> fmt::Debug for Pages<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}

impl Client {
    /// Claims, those set aside included. All pages show the moment of the first.
    pub fn claims(&self, listing: &Listing) -> Pages<'_, StoredAssertion> {
        let listing = listing.clone();
        Pages::new(move |cursor: Option<String>| {
            let page: ClaimPage = self.json(&listing.call("/v1/claims", cursor.as_deref()))?;
            Ok((page.claims, page.cursor))
        })
    }

    /// The questions that claims answer, each once.
    pub fn questions(&self, listing: &Listing) -> Pages<'_, QuestionSummary> {
        let listing = listing.clone();
        Pages::new(move |cursor: Option<String>| {
            let page: QuestionPage = self.json(&listing.call("/v1/questions", cursor.as_deref()))?;
            Ok((page.questions, page.cursor))
        })
    }

    /// The questions whose claims disagree at least so much, the most contested first.
    pub fn conflicts(&self, min_score: f64) -> Pages<'_, Conflict> {
        Pages::new(move |cursor: Option<String>| {
            let call = conflicts_call(Some(min_score), None).with_some("cursor", cursor);
            let page: ConflictPage = self.json(&call)?;
            Ok((page.conflicts, page.cursor))
        })
    }

    /// How all questions stand together.
    ///
    /// # Errors
    /// `conflicts_building` where that takes longer than the retries last.
    pub fn knowledge(&self) -> Result<Knowledge, Error> {
        self.json::<ConflictPage>(&conflicts_call(None, Some(1))).map(|page| page.knowledge)
    }

    /// What changed between two moments, question by question.
    pub fn changes(&self, query: &DiffQuery) -> Pages<'_, QuestionChange> {
        let first = query.clone();
        Pages::new(move |next: Option<DiffQuery>| {
            let query = next.unwrap_or_else(|| first.clone());
            let page = self.diff(&query)?;
            let next = query.behind(&page);
            Ok((page.changes, next))
        })
    }
}

fn conflicts_call(min_score: Option<f64>, limit: Option<u32>) -> Call {
    Call::get("/v1/conflicts").with_some("min_score", min_score).with_some("limit", limit)
}
