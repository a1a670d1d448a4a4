//! What a damaged table is healed from: which journal entries wrote which keys.
//!
//! ```text
//! flush ──rows, sorted──▶ observer ──▶ sidecar/FIRST-LAST.keys ◀── upkeep ◀── journal     (what is missing)
//!                                            │
//! damaged block: span, LSNs ──▶ source ──────┴─▶ LSNs ──▶ journal entries ──▶ derive ──▶ writes of the span
//! ```
//!
//! A sidecar lists the keys of one new table, cut to what tells them apart, each with its LSN. It is derived, and nothing relies on
//! it: a missing or damaged one is made again, and until then its entries are read from the journal without it. Only the time
//! of a repair depends on sidecars, never its result. Format: `docs/formats/sidecar.md`.

mod block;
mod check;
mod file;
mod format;
mod name;
mod observer;
mod sample;
mod set;
mod source;
#[cfg(test)]
mod tests;
mod upkeep;
mod writer;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use stemedb_env::{Env, Lsn};
use stemedb_index::Derive;
use stemedb_lsm::{TableObserver, WriteSource};
use stemedb_wal::{Journal, SegmentedJournal};

pub(crate) use self::{
    check::{SidecarCheck, SidecarEnd},
    name::is_sidecar_name,
};
use self::{
    format::Origin,
    name::SidecarName,
    observer::{NothingObserved, SidecarObserver},
    set::{Past, SidecarSet, UpkeepTask},
    source::JournalSource,
    upkeep::Upkeep,
};
use crate::{Events, Identity, Layout, Result, view::ViewStore};

/// The sidecars of an open database, and the job that looks after them.
pub(crate) struct Sidecars {
    pub source: Arc<dyn WriteSource>,
    pub observer: Arc<dyn TableObserver>,
    set: Arc<SidecarSet>,
    _upkeep: Option<Arc<UpkeepTask>>,
}

impl fmt::Debug for Sidecars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sidecars").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Whose sidecars, and where.
pub(crate) struct SidecarParts<'a, D> {
    pub env: &'a Env,
    pub layout: &'a Layout,
    pub identity: &'a Identity,
    pub journal: &'a Arc<SegmentedJournal>,
    /// New tables are written down.
    pub observes: bool,
    pub derive: &'a Arc<D>,
    pub events: &'a Events,
    /// The tree was derived anew since the database was closed.
    pub is_new_tree: bool,
}

impl Sidecars {
    /// Opens the folder, starts the job, and lets the tree heal itself from the journal and tell of its new tables. To be called before
    /// anything is flushed. Where the journal uses its files again nothing can be found in it, so nothing is observed either.
    pub fn attach<P: ViewStore, D: Derive>(parts: &SidecarParts<'_, D>, tree: &P) -> Result<Arc<Sidecars>> {
        let sidecars = Sidecars::attach_later(parts, tree.flushed_lsn())?;
        sidecars.serve(tree);
        Ok(sidecars)
    }

    /// The same for a tree that is yet to be [served](Sidecars::serve), and has flushed so far.
    pub fn attach_later<D: Derive>(parts: &SidecarParts<'_, D>, flushed: Lsn) -> Result<Arc<Sidecars>> {
        Ok(Arc::new(Sidecars::start(parts, flushed)?))
    }

    /// Lets a store that has just been made or opened heal itself from the journal, and tell of its new tables.
    pub fn serve<P: ViewStore>(&self, store: &P) {
        store.heal_from(Arc::clone(&self.source), Arc::clone(&self.observer));
    }

    fn start<D: Derive>(parts: &SidecarParts<'_, D>, flushed: Lsn) -> Result<Sidecars> {
        let SidecarParts { env, layout, identity, journal, derive, events, is_new_tree, .. } = *parts;
        let origin =
            Origin { database: identity.database, timeline: identity.timeline, derivation: D::VERSION };
        let past = Past { durable: journal.durable_lsn(), flushed, is_new_tree };
        let set = Arc::new(SidecarSet::open(env, &layout.sidecars(), origin, events, past));
        let source = Arc::new(JournalSource::new(&set, journal, derive, layout.wal()));
        if !parts.observes {
            return Ok(Sidecars { source, observer: Arc::new(NothingObserved), set, _upkeep: None });
        }
        let upkeep = Arc::new(UpkeepTask { task: OnceLock::new() });
        set.set_upkeep(&upkeep);
        let job = Upkeep::new(&set, journal, derive);
        // Set exactly once, here.
        let _ = upkeep.task.set(env.tasks.spawn("stemedb-sidecars", Box::new(job))?);
        let observer = Arc::new(SidecarObserver { set: Arc::clone(&set), journal: Arc::clone(journal) });
        Ok(Sidecars { source, observer, set, _upkeep: Some(upkeep) })
    }

    /// A check of the sidecar in a file of this name; `None` if it is not one that is used.
    pub fn check(&self, file_name: &str) -> Option<SidecarCheck> {
        let name = SidecarName::parse(file_name).filter(|name| self.set.has(*name))?;
        Some(SidecarCheck::new(&self.set, name))
    }
}
