//! How well the parts are.

use std::fmt;

use stemedb_env::Lsn;

/// State of one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewHealth {
    /// Up to date and readable.
    Healthy,
    /// Readable, with known damage that reads will report.
    Degraded {
        /// What is damaged.
        cause: String,
    },
    /// Being derived from the journal.
    Rebuilding,
    /// Cannot be written any more; it shows the past up to where it failed.
    Failed {
        /// What failed.
        cause: String,
    },
}

impl ViewHealth {
    /// True when reads of the newest state may use the view.
    pub fn is_readable(&self) -> bool {
        matches!(self, ViewHealth::Healthy | ViewHealth::Degraded { .. })
    }
}

impl fmt::Display for ViewHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ViewHealth::Healthy => f.write_str("healthy"),
            ViewHealth::Degraded { cause } => write!(f, "degraded: {cause}"),
            ViewHealth::Rebuilding => f.write_str("rebuilding"),
            ViewHealth::Failed { cause } => write!(f, "failed: {cause}"),
        }
    }
}

/// State of the whole engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The primary view.
    pub primary: ViewHealth,
    /// The fallback view, where there is one.
    pub fallback: Option<ViewHealth>,
    /// Why writes are refused, if they are.
    pub read_only: Option<String>,
    /// Last entry that is durable.
    pub durable: Lsn,
    /// Last entry that is readable.
    pub published: Lsn,
    /// Last entry that survives in the primary view without the journal.
    pub flushed: Lsn,
    /// The oldest entry in the journal: tables that need older ones cannot be repaired from it. 1: all can.
    pub repair_floor: Lsn,
}

impl Health {
    /// True when both reads and writes work.
    pub fn is_ready(&self) -> bool {
        self.read_only.is_none()
            && (self.primary.is_readable() || self.fallback.as_ref().is_some_and(ViewHealth::is_readable))
    }
}
