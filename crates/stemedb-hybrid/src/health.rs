//! How well the parts are.

use std::fmt;

use stemedb_env::Lsn;

use crate::{SpaceHealth, Stall, StallKind};

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
    /// The file system with the least room; `None` before it was looked at.
    pub space: Option<SpaceHealth>,
    /// What does not go on: a sync that has not returned, or the whole commit pipeline.
    pub stall: Option<Stall>,
    /// Last entry that is durable.
    pub durable: Lsn,
    /// Last entry that is readable.
    pub published: Lsn,
    /// Last entry that survives in the primary view without the journal.
    pub flushed: Lsn,
}

impl Health {
    /// True when the commit pipeline has stood still for so long that it may never go on.
    pub fn is_deadlocked(&self) -> bool {
        self.stall.as_ref().is_some_and(|stall| stall.kind == StallKind::Deadlock)
    }

    /// True when both reads and writes work.
    pub fn is_ready(&self) -> bool {
        self.read_only.is_none()
            && !self.is_deadlocked()
            && (self.primary.is_readable() || self.fallback.as_ref().is_some_and(ViewHealth::is_readable))
    }
}
