//! Broken promises.

use std::fmt;

/// The promises of a journal, by the names of the test plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// I1: what was acknowledged is there.
    Durable,
    /// I2: what is there are the entries 1..M, in order.
    Prefix,
    /// I3: a group is wholly in or wholly out.
    Atomic,
    /// I4: nothing is there that was never submitted, or that was definitely refused.
    NoPhantom,
    /// I6: what a reader has seen is never lost.
    Stable,
    /// I7: damage is never answered by a shorter or another journal, and nothing whole is called damaged.
    NeverSilent,
    /// I10: memory stays bounded.
    Bounded,
    /// I11: without faults everything works.
    Live,
    /// Everything follows from the seed.
    Deterministic,
    /// No bytes make it panic.
    NoPanic,
    /// An answer is what the naive oracle says.
    AsTheOracle,
    /// The suites notice a defect that was planted, and nothing where none was.
    Noticed,
}

impl Promise {
    /// Does breaking it mean that data is gone?
    pub fn is_loss(self) -> bool {
        matches!(self, Promise::Durable | Promise::Stable)
    }

    fn title(self) -> &'static str {
        match self {
            Promise::Durable => "I1 durable",
            Promise::Prefix => "I2 prefix",
            Promise::Atomic => "I3 atomic",
            Promise::NoPhantom => "I4 no phantom",
            Promise::Stable => "I6 stable",
            Promise::NeverSilent => "I7 never silent",
            Promise::Bounded => "I10 bounded",
            Promise::Live => "I11 live",
            Promise::Deterministic => "determinism",
            Promise::NoPanic => "no panic",
            Promise::AsTheOracle => "answers as the oracle does",
            Promise::Noticed => "suites that can fail",
        }
    }
}

/// A promise that was broken, and how it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// How it showed.
    pub detail: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(promise: Promise, detail: impl Into<String>) -> Violation {
        Violation { promise, detail: detail.into() }
    }

    /// The same with the place in front.
    #[must_use]
    pub fn at(mut self, place: &dyn fmt::Display) -> Violation {
        self.detail = format!("{place}: {}", self.detail);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise.title(), self.detail)
    }
}

impl std::error::Error for Violation {}

/// Runs `work`; a panic is a violation like any other, and must not hide where it happened.
pub fn caught<T>(work: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
            Err(Violation::new(Promise::NoPanic, format!("panicked: {text}")))
        }
    }
}
