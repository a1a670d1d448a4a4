//! Questions, single claims, and what changed.

use super::Client;
use crate::{
    error::Error,
    names::Lens,
    question::{Moment, Question},
    replies::{
        AgentKnown, Answer, Difference, Disagreement, History, Impact, Layers, QuestionRef, StoredAssertion,
    },
    transport::{Call, path_of},
};

/// Which page of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// As of a moment: the `as_of` of the first page, for the next ones.
    pub as_of: Option<Moment>,
    /// Leaves out the first so many remarks.
    pub offset: u64,
    /// At most so many; 1000 unless said.
    pub limit: Option<u32>,
}

/// What is to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffQuery {
    /// The earlier moment.
    pub from: Moment,
    /// The later one; now unless said.
    pub to: Option<Moment>,
    /// The lens; consensus unless said.
    pub lens: Option<Lens>,
    /// Through every lens, whatever `lens` says.
    pub all_lenses: bool,
    /// Questions about this alone.
    pub subject: Option<String>,
    /// Questions of this property alone.
    pub predicate: Option<String>,
    /// Claims of this epoch.
    pub epoch: Option<String>,
    /// Confidence fades with age.
    pub decay: bool,
    /// When age and validity are measured; now unless said.
    pub evaluated_at: Option<String>,
    /// At most so many questions on a page; 100 unless said.
    pub limit: Option<u32>,
    /// Only questions behind this one: `next` of the page before.
    pub after: Option<QuestionRef>,
}

impl DiffQuery {
    /// What changed from a moment on.
    pub fn since(from: impl Into<Moment>) -> DiffQuery {
        DiffQuery {
            from: from.into(),
            to: None,
            lens: None,
            all_lenses: false,
            subject: None,
            predicate: None,
            epoch: None,
            decay: false,
            evaluated_at: None,
            limit: None,
            after: None,
        }
    }

    fn call(&self) -> Call {
        let lens = if self.all_lenses { Some("all") } else { self.lens.as_ref().map(Lens::as_str) };
        Call::get("/v1/diff")
            .with("from", self.from.to_string())
            .with_some("to", self.to.as_ref())
            .with_some("lens", lens)
            .with_some("subject", self.subject.as_ref())
            .with_some("predicate", self.predicate.as_ref())
            .with_some("epoch", self.epoch.as_ref())
            .with_flag("decay", self.decay)
            .with_some("evaluated_at", self.evaluated_at.as_ref())
            .with_some("limit", self.limit)
            .with_some("after_subject", self.after.as_ref().map(|after| &after.subject))
            .with_some("after_predicate", self.after.as_ref().map(|after| &after.predicate))
    }

    /// The query of the page behind this one.
    pub(super) fn behind(self, page: &Difference) -> Option<DiffQuery> {
        Some(DiffQuery {
            after: Some(page.next.clone()?),
            to: Some(Moment::Lsn(page.to)),
            evaluated_at: Some(page.evaluated_at.clone()),
            ..self
        })
    }
}

impl Client {
    /// Answers a question.
    ///
    /// # Errors
    /// [`Error`]. A question about which nothing is claimed is no error.
    pub fn query(&self, question: &Question) -> Result<Answer, Error> {
        self.json(&question.call())
    }

    /// How much the claims disagree. Lens, `decay`, `fragility`, `explain` and `receipt` of the question are not looked at.
    ///
    /// # Errors
    /// [`Error`].
    pub fn skeptic(&self, question: &Question) -> Result<Disagreement, Error> {
        self.json(&question.analysis("/v1/skeptic"))
    }

    /// What each class of sources says; as [`skeptic`](Client::skeptic).
    ///
    /// # Errors
    /// [`Error`].
    pub fn layered(&self, question: &Question) -> Result<Layers, Error> {
        self.json(&question.analysis("/v1/layered"))
    }

    /// A claim as it was asserted.
    ///
    /// # Errors
    /// `claim_not_found`.
    pub fn assertion(&self, id: &str) -> Result<StoredAssertion, Error> {
        self.json(&Call::get(path_of("/v1/assertions/", id, "")))
    }

    /// What was said about a claim: its votes, co-signatures and supersessions.
    ///
    /// # Errors
    /// `claim_not_found`.
    pub fn history(&self, id: &str, query: &HistoryQuery) -> Result<History, Error> {
        let call = Call::get(path_of("/v1/assertions/", id, "/history"))
            .with_some("as_of", query.as_of.as_ref())
            .with_some("limit", query.limit)
            .with_some("offset", (query.offset > 0).then_some(query.offset));
        self.json(&call)
    }

    /// What derives from a claim.
    ///
    /// # Errors
    /// `claim_not_found`.
    pub fn impact(&self, id: &str, as_of: Option<&Moment>) -> Result<Impact, Error> {
        self.json(&Call::get(path_of("/v1/assertions/", id, "/impact")).with_some("as_of", as_of))
    }

    /// What is known about an agent.
    ///
    /// # Errors
    /// [`Error`].
    pub fn agent_known(&self, id: &str, as_of: Option<&Moment>) -> Result<AgentKnown, Error> {
        self.json(&Call::get(path_of("/v1/agents/", id, "")).with_some("as_of", as_of))
    }

    /// What changed between two moments: one page. [`changes`](Client::changes) goes through all of them.
    ///
    /// # Errors
    /// `lsn_not_reached`, `too_large`.
    pub fn diff(&self, query: &DiffQuery) -> Result<Difference, Error> {
        self.json(&query.call())
    }
}
