//! What the engine's background jobs share, and the end of their work.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use stemedb_env::{Env, TaskHandle, frame::DatabaseId};
use stemedb_index::Admit;
use stemedb_wal::SegmentedJournal;

use crate::{
    EventKind, Events, HybridOptions, Layout,
    commit::Halt,
    sidecar::Sidecars,
    view::{View, ViewStore, Views},
};

/// What the engine's background jobs share.
pub(crate) struct Shared<P: ViewStore, F: ViewStore, D: Admit> {
    pub env: Env,
    pub layout: Layout,
    pub database: DatabaseId,
    /// With what the derivation decides.
    pub options: HybridOptions,
    pub journal: Arc<SegmentedJournal>,
    pub views: Arc<Views<P, F>>,
    pub derive: Arc<D>,
    pub halt: Arc<Halt<SegmentedJournal, P, F, D>>,
    pub events: Events,
    /// What every new primary view is healed from.
    pub sidecars: Arc<Sidecars>,
    /// Damaged segments are written again, and the fallback view is looked after. Not where an operator wants to look first.
    pub heals_journal: bool,
    /// What will be the primary view, while it is being filled.
    pub building: Mutex<Option<Arc<View<P>>>>,
    pub keepers: OnceLock<Weak<Keepers>>,
    closing: AtomicBool,
}

impl<P: ViewStore, F: ViewStore, D: Admit> Shared<P, F, D> {
    pub fn new(
        env: Env,
        layout: Layout,
        database: DatabaseId,
        options: HybridOptions,
        halt: &Arc<Halt<SegmentedJournal, P, F, D>>,
        events: Events,
        sidecars: Arc<Sidecars>,
    ) -> Shared<P, F, D> {
        Shared {
            env,
            layout,
            database,
            options,
            journal: Arc::clone(&halt.journal),
            views: Arc::clone(&halt.views),
            derive: Arc::clone(&halt.derive),
            halt: Arc::clone(halt),
            events,
            sidecars,
            heals_journal: true,
            building: Mutex::new(None),
            keepers: OnceLock::new(),
            closing: AtomicBool::new(false),
        }
    }

    /// Says whether damaged segments are written again.
    pub fn healing_journal(self, heals_journal: bool) -> Shared<P, F, D> {
        Shared { heals_journal, ..self }
    }

    /// Jobs end at their next step.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Ends what would take long.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        if let Some(building) = &*self.building.lock() {
            building.store.stop();
        }
    }

    /// Wakes the job that repairs tables.
    pub fn call_repair(&self) {
        if let Some(keepers) = self.keepers.get().and_then(Weak::upgrade) {
            keepers.repair.wake();
        }
    }

    /// An event at the level of a warning.
    pub fn warn(&self, kind: EventKind, file: Option<PathBuf>, text: String) {
        tracing::warn!("{text}");
        self.events.push(kind, file, text);
    }

    /// An event at the level of an error.
    pub fn fail(&self, kind: EventKind, file: Option<PathBuf>, text: String) {
        tracing::error!("StorageError: {text}");
        self.events.push(kind, file, text);
    }

    /// An event that is good news.
    pub fn inform(&self, kind: EventKind, file: Option<PathBuf>, text: String) {
        tracing::info!("{text}");
        self.events.push(kind, file, text);
    }
}

/// The jobs that look after the views. Dropping it ends them.
pub(crate) struct Keepers {
    pub primary: TaskHandle,
    pub fallback: TaskHandle,
    pub repair: TaskHandle,
    pub journal: TaskHandle,
    /// Called before the jobs are waited for.
    pub close: Box<dyn Fn() + Send + Sync>,
}

impl Keepers {
    /// Wakes those that look after whole views.
    pub fn wake(&self) {
        self.primary.wake();
        self.fallback.wake();
    }
}

impl Drop for Keepers {
    fn drop(&mut self) {
        (self.close)();
    }
}
