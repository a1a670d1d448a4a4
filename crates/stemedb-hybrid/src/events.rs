//! What happened to the files: a bounded list of the newest storage events, always on.
//!
//! The log has the same events; the list is for whoever asks the engine itself, without a restart and without a log.

use std::{collections::VecDeque, fmt, path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use stemedb_env::{Clock, Micros};

/// How many events are kept.
pub const EVENTS_KEPT: usize = 1024;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A place of a file cannot be read or is wrong.
    Damage,
    /// What was damaged is whole again, and that is proven.
    Repaired,
    /// A repair was tried and could not be proven or finished.
    RepairFailed,
    /// A view is derived again from the journal, began or ended.
    Rebuild,
    /// A view became better or worse.
    Health,
    /// Reads are answered by another view than the primary one.
    Failover,
    /// Room on the disk became scarce, ran out, or came back.
    Space,
    /// The disk or the commit path is slow or does not answer.
    Stall,
    /// A round of reading everything back began or ended.
    Scrub,
    /// A checkpoint, backup, archive or restore.
    Backup,
}

impl EventKind {
    /// Its name in the API and in logs.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Damage => "damage",
            EventKind::Repaired => "repaired",
            EventKind::RepairFailed => "repair_failed",
            EventKind::Rebuild => "rebuild",
            EventKind::Health => "health",
            EventKind::Failover => "failover",
            EventKind::Space => "space",
            EventKind::Stall => "stall",
            EventKind::Scrub => "scrub",
            EventKind::Backup => "backup",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts from 1; the numbers of events that were dropped from the list are missing at its front.
    pub number: u64,
    /// When.
    pub at: Micros,
    /// What it is about.
    pub kind: EventKind,
    /// The file or folder, where there is one.
    pub file: Option<PathBuf>,
    /// What happened, as the log says it.
    pub text: String,
}

/// The newest [`EVENTS_KEPT`] events of an engine. Clones share them.
#[derive(Clone)]
pub struct Events {
    clock: Arc<dyn Clock>,
    list: Arc<Mutex<List>>,
}

#[derive(Default)]
struct List {
    newest: u64,
    events: VecDeque<Event>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("newest", &self.list.lock().newest).finish_non_exhaustive()
    }
}

impl Events {
    /// An empty list whose times come from this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Events {
        Events { clock, list: Arc::default() }
    }

    /// Keeps an event; the oldest one makes room for it. Logging it is the caller's affair: he knows the level.
    pub fn push(&self, kind: EventKind, file: Option<PathBuf>, text: impl Into<String>) {
        let (at, text) = (self.clock.wall(), text.into());
        let mut list = self.list.lock();
        list.newest += 1;
        let number = list.newest;
        if list.events.len() == EVENTS_KEPT {
            list.events.pop_front();
        }
        list.events.push_back(Event { number, at, kind, file, text });
    }

    /// Where the times come from.
    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The events after number `seen`, oldest first; 0 for all that are kept.
    pub fn after(&self, seen: u64) -> Vec<Event> {
        self.list.lock().events.iter().filter(|event| event.number > seen).cloned().collect()
    }

    /// The number of the newest event: how many there have been.
    pub fn newest(&self) -> u64 {
        self.list.lock().newest
    }
}

#[cfg(test)]
mod tests {
    use stemedb_env::Env;

    use super::*;

    #[test]
    fn the_newest_are_kept_and_their_numbers_show_what_was_dropped() {
        let events = Events::new(Env::real().clock);
        for n in 1..=EVENTS_KEPT + 3 {
            events.push(EventKind::Damage, None, n.to_string());
        }
        let kept = events.after(0);
        assert_eq!(kept.len(), EVENTS_KEPT);
        assert_eq!((kept[0].number, kept[0].text.as_str()), (4, "4"));
        assert_eq!(events.after(events.newest() - 1).len(), 1);
        assert_eq!(events.after(events.newest()).len(), 0);
    }
}
