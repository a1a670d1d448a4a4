//! What is asked.

use std::fmt;

use crate::{names::Lens, transport::Call};

/// A moment of the database: an entry of its journal, or a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// An LSN.
    Lsn(u64),
    /// A time (RFC 3339).
    Time(String),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Lsn(lsn) => write!(f, "{lsn}"),
            Moment::Time(time) => f.write_str(time),
        }
    }
}

impl From<u64> for Moment {
    fn from(lsn: u64) -> Moment {
        Moment::Lsn(lsn)
    }
}

impl From<&str> for Moment {
    fn from(time: &str) -> Moment {
        Moment::Time(time.to_owned())
    }
}

impl From<String> for Moment {
    fn from(time: String) -> Moment {
        Moment::Time(time)
    }
}

/// Somebody whose word can be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voice {
    /// A source, by its id.
    Source(String),
    /// An agent: 64 hexadecimal digits.
    Agent(String),
}

impl fmt::Display for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Voice::Source(id) => write!(f, "source:{id}"),
            Voice::Agent(id) => write!(f, "agent:{id}"),
        }
    }
}

/// A question, with everything that changes its answer. What is not said is the server's default.
///
/// ```
/// use stemedb_client::{Lens, Question};
/// let question = Question { lens: Some(Lens::Authority), explain: true, ..Question::new("water", "is") };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
    /// The lens; consensus unless said.
    pub lens: Option<Lens>,
    /// As it was known at this moment.
    pub as_of: Option<Moment>,
    /// As `as_of`, and the answer proves that nothing later was used.
    pub known_at: Option<Moment>,
    /// Claims of this epoch.
    pub epoch: Option<String>,
    /// Confidence fades with age.
    pub decay: bool,
    /// When age and validity are measured (RFC 3339); now unless said.
    pub evaluated_at: Option<String>,
    /// Numbers this near are one value: `0.5`, `0.1%`.
    pub tolerance: Option<String>,
    /// As if these had never spoken.
    pub without: Vec<Voice>,
    /// Without claims of a worse class than this.
    pub max_class: Option<u8>,
    /// Voices that copy each other count once.
    pub independent: bool,
    /// Adds how little must be taken away to change the answer. Of `query` alone, as are `explain` and `receipt`.
    pub fragility: bool,
    /// Adds the arithmetic.
    pub explain: bool,
    /// Adds a signed document.
    pub receipt: bool,
}

impl Question {
    /// A question, plainly asked.
    pub fn new(subject: impl Into<String>, predicate: impl Into<String>) -> Question {
        Question { subject: subject.into(), predicate: predicate.into(), ..Question::default() }
    }

    /// The question through a lens.
    #[must_use]
    pub fn lens(self, lens: Lens) -> Question {
        Question { lens: Some(lens), ..self }
    }

    /// The question at a moment.
    #[must_use]
    pub fn as_of(self, moment: impl Into<Moment>) -> Question {
        Question { as_of: Some(moment.into()), ..self }
    }

    /// `GET /v1/query`
    pub(crate) fn call(&self) -> Call {
        self.analysis("/v1/query")
            .with_some("lens", self.lens.as_ref())
            .with_flag("decay", self.decay)
            .with_flag("fragility", self.fragility)
            .with_flag("explain", self.explain)
            .with_flag("receipt", self.receipt)
    }

    /// `GET /v1/skeptic` or `GET /v1/layered`, which have their lens and fewer parameters.
    pub(crate) fn analysis(&self, path: &str) -> Call {
        let call = Call::get(path)
            .with("subject", &self.subject)
            .with("predicate", &self.predicate)
            .with_some("as_of", self.as_of.as_ref())
            .with_some("known_at", self.known_at.as_ref())
            .with_some("epoch", self.epoch.as_ref())
            .with_some("evaluated_at", self.evaluated_at.as_ref())
            .with_some("tolerance", self.tolerance.as_ref())
            .with_some("max_class", self.max_class)
            .with_flag("independent", self.independent);
        self.without.iter().fold(call, |call, voice| call.with("without", voice.to_string()))
    }
}
