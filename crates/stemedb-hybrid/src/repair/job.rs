//! The job that repairs damaged tables.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use stemedb_env::{Budget, Job, Step};
use stemedb_index::Admit;
use stemedb_lsm::Damage;

use super::{primary::health_of, table::repair_part};
use crate::{
    EventKind,
    shared::Shared,
    view::{Backoff, ViewStore},
};

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

/// Repairs one damaged table a step. Sleeps while there is none.
pub(crate) struct RepairJob<P: ViewStore, F: ViewStore, D: Admit> {
    shared: Arc<Shared<P, F, D>>,
    /// Tables that are known to be damaged, and when each may be tried.
    known: BTreeMap<u64, (Backoff, Duration)>,
}

impl<P: ViewStore, F: ViewStore, D: Admit> RepairJob<P, F, D> {
    pub fn new(shared: Arc<Shared<P, F, D>>) -> RepairJob<P, F, D> {
        RepairJob { shared, known: BTreeMap::new() }
    }

    fn path(&self, file: u64) -> PathBuf {
        self.shared.layout.kv().join(format!("{file:06}.sst"))
    }

    /// Tells about tables that were not known to be damaged, and forgets those that are not any more.
    fn compare(&mut self, damaged: &[(u64, Damage)]) {
        let now = self.shared.env.clock.monotonic();
        for (file, Damage { kind, offset }) in damaged {
            if !self.known.contains_key(file) {
                self.known.insert(*file, (BACKOFF, now));
                // The tree has logged it.
                let text = format!("Corruption: {kind} in table {file:06}.sst at offset {offset}");
                self.shared.events.push(EventKind::Damage, Some(self.path(*file)), text);
            }
        }
        self.known.retain(|file, _| damaged.iter().any(|(damaged, _)| damaged == file));
    }

    fn repair(&mut self, store: &P, file: u64) {
        let path = self.path(file);
        match repair_part(&*self.shared.journal, &*self.shared.derive, store, file) {
            Ok(()) => {
                _ = self.known.remove(&file);
                let text = format!(
                    "table {file:06}.sst was derived again from the journal, and proven by its digest"
                );
                self.shared.inform(EventKind::Repaired, Some(path), text);
            }
            // It has been merged away meanwhile.
            Err(crate::Error::NoTable { .. }) => _ = self.known.remove(&file),
            Err(error) => {
                let now = self.shared.env.clock.monotonic();
                if let Some((backoff, due)) = self.known.get_mut(&file) {
                    *due = now.saturating_add(backoff.failed());
                }
                let text = format!("table {file:06}.sst could not be repaired: {error}");
                self.shared.fail(EventKind::RepairFailed, Some(path), text);
            }
        }
    }
}

impl<P: ViewStore, F: ViewStore, D: Admit> Job for RepairJob<P, F, D> {
    fn step(&mut self, _budget: Budget) -> Step {
        if self.shared.is_closing() {
            return Step::Done;
        }
        let primary = Arc::clone(&self.shared.views.primary());
        let is_of_two_versions = self.shared.views.upgrade().is_some();
        if !primary.is_writable() || self.shared.views.primary_is_in_trouble() || is_of_two_versions {
            // Whoever brings it back looks at its tables.
            return Step::Idle;
        }
        let damaged = primary.store.damaged_parts();
        self.compare(&damaged);
        self.shared.views.note_primary(health_of(&primary.store));
        let now = self.shared.env.clock.monotonic();
        let next = self.known.iter().min_by_key(|(_, (_, due))| *due).map(|(file, (_, due))| (*file, *due));
        match next {
            None => Step::Idle,
            Some((_, due)) if due > now => Step::After(due - now),
            Some((file, _)) => {
                self.repair(&primary.store, file);
                Step::Again
            }
        }
    }
}
