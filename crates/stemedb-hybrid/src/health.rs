//! How well the parts are.

use std::fmt;

use stemedb_env::Lsn;

use crate::{FallbackMode, RebuildProgress, ScrubStatus, SpaceHealth, Stall, StallKind, UpgradeHealth};

/// State of one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewHealth {
    /// Up to date and readable.
    Healthy,
    /// Up to date, with known damage: reads that touch it heal it or report it.
    Degraded {
        /// What is damaged.
        cause: String,
    },
    /// Being derived from the journal.
    Rebuilding {
        /// How far it has come.
        progress: RebuildProgress,
    },
    /// Cannot be written; it shows the past up to where it failed.
    Failed {
        /// What failed.
        cause: String,
    },
}

impl ViewHealth {
    /// True when the view follows the newest state.
    pub fn is_readable(&self) -> bool {
        matches!(self, ViewHealth::Healthy | ViewHealth::Degraded { .. })
    }

    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            ViewHealth::Healthy => "healthy",
            ViewHealth::Degraded { .. } => "degraded",
            ViewHealth::Rebuilding { .. } => "rebuilding",
            ViewHealth::Failed { .. } => "failed",
        }
    }

    /// How far a view has come that is being derived.
    pub fn progress(&self) -> Option<RebuildProgress> {
        match self {
            ViewHealth::Rebuilding { progress } => Some(*progress),
            _ => None,
        }
    }

    /// What is wrong with it.
    pub fn cause(&self) -> Option<&str> {
        match self {
            ViewHealth::Degraded { cause } | ViewHealth::Failed { cause } => Some(cause),
            _ => None,
        }
    }
}

impl fmt::Display for ViewHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            ViewHealth::Healthy => Ok(()),
            ViewHealth::Degraded { cause } | ViewHealth::Failed { cause } => write!(f, ": {cause}"),
            ViewHealth::Rebuilding { progress: RebuildProgress { done, end } } => {
                write!(f, ": {done} of {end} entries")
            }
        }
    }
}

/// State of the fallback view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackHealth {
    /// How well it is.
    pub health: ViewHealth,
    /// The last entry that it shows.
    pub published: Lsn,
    /// The last entry that survives in its file.
    pub flushed: Lsn,
}

/// State of the whole engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The primary view.
    pub primary: ViewHealth,
    /// The last entry that the primary view shows.
    pub primary_published: Lsn,
    /// While a view of another derivation version is to take its place.
    pub upgrade: Option<UpgradeHealth>,
    /// When there is a fallback view.
    pub fallback_mode: FallbackMode,
    /// The fallback view, where there is one now.
    pub fallback: Option<FallbackHealth>,
    /// Some view shows everything acknowledged.
    pub readable: bool,
    /// Why writes are refused, if they are.
    pub read_only: Option<String>,
    /// The file system with the least room; `None` before it was looked at.
    pub space: Option<SpaceHealth>,
    /// What does not go on: a sync that has not returned, or the whole commit pipeline.
    pub stall: Option<Stall>,
    /// Last entry that is durable.
    pub durable: Lsn,
    /// Last entry that is acknowledged: what a read must show.
    pub published: Lsn,
    /// Last entry that survives in the primary view without the journal.
    pub flushed: Lsn,
    /// How the reading of every file goes; `None` in an engine without files.
    pub scrub: Option<ScrubStatus>,
    /// The oldest entry in the journal: tables that need older ones cannot be repaired from it. 1: all can.
    pub repair_floor: Lsn,
}

impl Health {
    /// True when the commit pipeline has stood still for so long that it may never go on.
    pub fn is_deadlocked(&self) -> bool {
        self.stall.as_ref().is_some_and(|stall| stall.kind == StallKind::Deadlock)
    }

    /// True when both reads and writes work.
    pub fn is_ready(&self) -> bool {
        self.read_only.is_none() && !self.is_deadlocked() && self.readable
    }
}
