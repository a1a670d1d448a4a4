//! What a simulation found wrong.

use std::fmt;

/// The promises of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// What was acknowledged is there.
    Durable,
    /// The recovered state is the fold of the entries 1..M.
    Prefix,
    /// A submission is wholly in or wholly out.
    Atomic,
    /// Nothing is there that was never submitted, or definitely refused.
    NoPhantom,
    /// A read equals the model.
    Linearizable,
    /// An unreadable block is an error, never a shorter answer.
    NeverSilent,
    /// Without faults everything works.
    Live,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How it showed.
    pub detail: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(invariant: Invariant, detail: impl Into<String>) -> Violation {
        Violation { invariant, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.invariant {
            Invariant::Durable => "I1 durable",
            Invariant::Prefix => "I2 prefix",
            Invariant::Atomic => "I3 atomic",
            Invariant::NoPhantom => "I4 no phantom",
            Invariant::Linearizable => "I5 linearizable",
            Invariant::NeverSilent => "I7 never silent",
            Invariant::Live => "I11 live",
        };
        write!(f, "{name}: {}", self.detail)
    }
}

impl std::error::Error for Violation {}
