//! Damaged journal segments, written again from the views.
//!
//! The journal finds the holes, fills them as far as it can by itself, and proves what fills the rest (see
//! `docs/formats/journal.md`); the views give the entries. Nothing here waits for anybody: readers and writers go on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use stemedb_env::{Budget, Job, Step};
use stemedb_index::Admit;
use stemedb_wal::{HealError, Healed, Healing, LostHole, SegmentedJournal};

use super::ViewEntries;
use crate::{
    EventKind, Events, HybridStore, Result,
    shared::Shared,
    view::{Backoff, ViewStore, Views},
};

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(3600));

/// A segment that stays damaged, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhealed {
    /// The segment.
    pub segment: u64,
    /// Its holes: file, bytes, LSNs, and which of those are lost. Empty if the disk refused instead.
    pub holes: Vec<LostHole>,
    /// In words.
    pub cause: String,
}

/// What [`HybridStore::repair_journal`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalRepair {
    /// Segments that are whole again.
    pub healed: Vec<Healed>,
    /// Segments that are not.
    pub unhealed: Vec<Unhealed>,
}

/// What one healing came to.
type Attempt = std::result::Result<Option<Healed>, Unhealed>;

/// Heals segments, one at a time, and says so.
struct Healer<P, F, D> {
    journal: Arc<SegmentedJournal>,
    views: Arc<Views<P, F>>,
    derive: Arc<D>,
    events: Events,
}

impl<P: ViewStore, F: ViewStore, D: Admit> Healer<P, F, D> {
    fn new(
        journal: Arc<SegmentedJournal>,
        views: Arc<Views<P, F>>,
        derive: Arc<D>,
        events: Events,
    ) -> Healer<P, F, D> {
        Healer { journal, views, derive, events }
    }

    /// Heals one segment. `Ok(None)` if nothing is wrong with it.
    fn heal(&self, segment: u64) -> Attempt {
        if let Ok(holes) = self.journal.holes(segment) {
            for hole in holes {
                self.events.push(
                    EventKind::Damage,
                    Some(hole.file.clone()),
                    format!("Journal damage: {hole}"),
                );
            }
        }
        match self.write_again(segment) {
            Ok(Some(healed)) => {
                tell_healed(&self.events, &healed);
                Ok(Some(healed))
            }
            // Recycled meanwhile: nobody needs it any more.
            Ok(None) | Err(HealError::NoSegment { .. }) => Ok(None),
            Err(error) => {
                let cause = error.to_string();
                tracing::error!(segment, error = ?error, "StorageError: {cause}");
                let holes = match error {
                    HealError::Lost { holes, .. } => holes,
                    _ => Vec::new(),
                };
                let file = holes.first().map(|lost| lost.hole.file.clone());
                self.events.push(EventKind::RepairFailed, file, cause.clone());
                Err(Unhealed { segment, holes, cause })
            }
        }
    }

    /// From the rows of the view that shows everything.
    fn write_again(&self, segment: u64) -> std::result::Result<Option<Healed>, HealError> {
        let (primary, fallback) = (self.views.primary(), self.views.fallback());
        match fallback.filter(|_| !primary.covers()) {
            Some(view) => self.journal.heal(segment, &mut ViewEntries::new(&view.store, &*self.derive)),
            None => self.journal.heal(segment, &mut ViewEntries::new(&primary.store, &*self.derive)),
        }
    }
}

/// Says what was healed, in the list of events and in the log.
pub(crate) fn tell_healed(events: &Events, healed: &Healed) {
    let text = told(healed);
    tracing::info!(segment = healed.segment, file = %healed.file.display(), "{text}");
    events.push(EventKind::Repaired, Some(healed.file.clone()), text);
}

fn told(healed: &Healed) -> String {
    let how = match healed.healing {
        Healing::OtherForm => "another file of it is whole and is used from now on",
        Healing::Exact => "written again byte for byte, proven by the chain",
        Healing::Replacement => "written again with the same entries in other frames",
    };
    let mut text = format!("Journal segment {} repaired: {how}", healed.segment);
    for hole in &healed.holes {
        text.push_str(&format!("; {hole}"));
    }
    for file in &healed.quarantined {
        text.push_str(&format!("; the damaged file is {}", file.display()));
    }
    text
}

/// The background job: sleeps until the journal tells of damage.
pub(crate) struct HealJob<P: ViewStore, F: ViewStore, D: Admit> {
    shared: Arc<Shared<P, F, D>>,
    healer: Healer<P, F, D>,
    /// Segments that could not be healed, and when each may be tried again.
    failed: BTreeMap<u64, (Backoff, Duration)>,
}

impl<P: ViewStore, F: ViewStore, D: Admit> HealJob<P, F, D> {
    pub fn new(shared: Arc<Shared<P, F, D>>) -> HealJob<P, F, D> {
        let (journal, views) = (Arc::clone(&shared.journal), Arc::clone(&shared.views));
        let healer = Healer::new(journal, views, Arc::clone(&shared.derive), shared.events.clone());
        HealJob { shared, healer, failed: BTreeMap::new() }
    }
}

impl<P: ViewStore, F: ViewStore, D: Admit> Job for HealJob<P, F, D> {
    fn step(&mut self, _budget: Budget) -> Step {
        if self.shared.is_closing() || !self.shared.heals_journal {
            return Step::Done;
        }
        let now = self.shared.env.clock.monotonic();
        let damaged = self.shared.journal.damaged_segments();
        self.failed.retain(|segment, _| damaged.contains(segment));
        let due = |segment: &&u64| self.failed.get(segment).is_none_or(|(_, due)| *due <= now);
        if let Some(&segment) = damaged.iter().find(due) {
            let attempt = self.healer.heal(segment);
            // What is still listed is not done, whatever was said: it must not be tried again at once, for ever.
            if attempt.is_err() || self.shared.journal.damaged_segments().contains(&segment) {
                let (backoff, due) = self.failed.entry(segment).or_insert((BACKOFF, now));
                *due = now.saturating_add(backoff.failed());
            } else {
                self.failed.remove(&segment);
            }
            return Step::Again;
        }
        match self.failed.values().map(|(_, due)| *due).min() {
            Some(due) => Step::After(due.saturating_sub(now).max(Duration::from_millis(1))),
            None => Step::Idle,
        }
    }
}

impl<P: ViewStore, F: ViewStore, D: Admit> HybridStore<P, F, D> {
    /// Reads the whole journal and heals every segment that is damaged or missing, from its own checksums, from other files of
    /// it, and from the primary view. The engine does the same by itself with whatever a reader comes across.
    ///
    /// What cannot be healed is reported with file, bytes and LSNs, and stays as it is. Cost: the journal is read once; per
    /// damaged segment up to three times that segment, and a scan of the tables that may hold its entries for every 16 MiB of
    /// their rows. Errors: whatever keeps the journal from being read for reasons of the system.
    pub fn repair_journal(&self) -> Result<JournalRepair> {
        let checked = self.journal.verify();
        let mut segments = self.journal.damaged_segments();
        if segments.is_empty() {
            // A place that the disk refuses is noted, and healed like any other.
            checked?;
        }
        // Where the journal begins with its second segment, the first one is missing (or was recycled).
        if self.journal.first_segment() == Some(2) {
            segments.insert(0, 1);
        }
        let healer = Healer::new(
            Arc::clone(&self.journal),
            Arc::clone(&self.views),
            Arc::clone(&self.derive),
            self.events.clone(),
        );
        let mut repair = JournalRepair::default();
        for segment in segments {
            match healer.heal(segment) {
                Ok(healed) => repair.healed.extend(healed),
                Err(unhealed) => repair.unhealed.push(unhealed),
            }
        }
        Ok(repair)
    }
}
