//! What can be listed, and in which keys it is found.

use stemedb_core::AgentId;
use stemedb_lsm::KeyRange;

use crate::{
    QuestionKey,
    keys::{self, Family, Position, ValueRange},
};

/// What a listing is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Everything, by subject and predicate.
    All,
    /// All about a subject, by predicate.
    Subject(String),
    /// One question.
    Question(QuestionKey),
    /// All about the subjects that begin with a text, by subject and predicate.
    SubjectPrefix(String),
    /// All under a predicate, by subject.
    Predicate(String),
    /// All under the predicates that begin with a text, by predicate and subject.
    PredicatePrefix(String),
    /// What is claimed under a predicate with a value in a range, by value and subject, oldest first. Texts, references and
    /// JSON have no place in that order.
    Values {
        /// The predicate.
        predicate: String,
        /// The range.
        range: ValueRange,
    },
    /// What a source said, oldest first.
    Source(String),
    /// What an agent asserted, signed or co-signed, by when it did so first.
    Agent(AgentId),
}

/// The keys that a listing walks over.
pub(super) enum Walk {
    /// Rows of the claim family.
    Claims(KeyRange),
    /// Postings of a question each, several of which may be of the same one: by_predicate.
    Groups(KeyRange),
    /// Postings of one claim each: by_value, by_source or by_agent.
    Points(Family, KeyRange),
}

impl Walk {
    /// Whose keys they are.
    pub(super) fn family(&self) -> Family {
        match self {
            Walk::Claims(_) => Family::Claim,
            Walk::Groups(_) => Family::ByPredicate,
            Walk::Points(family, _) => *family,
        }
    }
}

impl Listing {
    /// The keys to walk over, for what was known at an LSN.
    pub(super) fn walk(&self, as_of: stemedb_env::Lsn) -> Walk {
        // Filters know only the prefixes that the store declares; a range that is no such prefix says nothing about them.
        let plain = |prefix: Vec<u8>| KeyRange { prefix_bytes: 0, ..KeyRange::prefix(prefix) };
        let text = |family: Family, text: &str| {
            let mut prefix = keys::family_prefix(family);
            prefix.extend_from_slice(text.as_bytes());
            plain(prefix)
        };
        // Postings of sources and agents stand in the order of positions: what came later is behind the end.
        let until_now = |prefix: Vec<u8>| {
            let mut range = plain(prefix);
            if let Some(next) = as_of.0.checked_add(1) {
                let mut end = range.start.clone();
                end.extend_from_slice(&Position::first_of(stemedb_env::Lsn(next)).oldest_first());
                range.end = Some(end);
            }
            range
        };
        if self.texts().iter().any(|text| text.contains('\0')) {
            // No name holds a NUL; in a key it would end one.
            return Walk::Claims(KeyRange::between([0], [0]));
        }
        match self {
            Listing::All => Walk::Claims(plain(keys::family_prefix(Family::Claim))),
            Listing::Subject(subject) => Walk::Claims(plain(keys::subject_prefix(subject))),
            Listing::Question(QuestionKey { subject, predicate }) => {
                Walk::Claims(KeyRange::prefix(keys::claim_prefix(subject, predicate)))
            }
            Listing::SubjectPrefix(prefix) => Walk::Claims(text(Family::Claim, prefix)),
            Listing::Predicate(predicate) => Walk::Groups(plain(keys::by_predicate_prefix(predicate))),
            Listing::PredicatePrefix(prefix) => Walk::Groups(text(Family::ByPredicate, prefix)),
            Listing::Values { predicate, range } => {
                let (start, end) = keys::by_value_bounds(predicate, range);
                Walk::Points(Family::ByValue, KeyRange::between(start, end))
            }
            Listing::Source(source) => {
                Walk::Points(Family::BySource, until_now(keys::by_source_prefix(source)))
            }
            Listing::Agent(agent) => {
                Walk::Points(Family::ByAgent, until_now(keys::by_agent_prefix(&agent.0)))
            }
        }
    }

    fn texts(&self) -> [&str; 2] {
        match self {
            Listing::All | Listing::Agent(_) => ["", ""],
            Listing::Question(QuestionKey { subject, predicate }) => [subject, predicate],
            Listing::Subject(text)
            | Listing::SubjectPrefix(text)
            | Listing::Predicate(text)
            | Listing::PredicatePrefix(text)
            | Listing::Values { predicate: text, .. }
            | Listing::Source(text) => [text, ""],
        }
    }
}
