//! What happened how often. A simulation in which a fault never happened has proved nothing about it.

use std::{collections::BTreeMap, fmt};

use stemedb_env::fs::fault::FaultClass;

/// Something that a swarm must have met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// An injected I/O error, by class.
    Fault(FaultClass),
    /// The disk was really full.
    DiskFull,
    /// Power cut between two operations of the engine.
    PowerCut,
    /// Power cut inside an operation of the engine.
    PowerCutInside,
    /// Power cut while opening.
    PowerCutInRecovery,
    /// Power cut while creating the database.
    PowerCutInCreate,
    /// The process alone was killed: everything written is still there.
    Kill,
    /// The database was closed and opened.
    CleanRestart,
    /// The database was dropped without closing, and opened again.
    DroppedRestart,
    /// Opening replayed entries that the view had not flushed.
    Replayed,
    /// Opening cut a torn tail.
    TornTail,
    /// Opening adopted entries that were not proven durable.
    Adopted,
    /// The wall clock was set back.
    ClockBack,
    /// The wall clock was set forward.
    ClockForward,
    /// A submission was acknowledged.
    Acknowledged,
    /// An acknowledged submission had nothing new.
    Duplicate,
    /// A submission named a claim that does not exist.
    Refused,
    /// A submission wanted to set aside a claim of a better class than those behind it.
    Unauthorized,
    /// A submission wanted to close a circle of supersessions.
    Cycle,
    /// A submission failed, and nothing of it may be there.
    Failed,
    /// A submission's outcome was not known, and it was there after the restart.
    UncertainKept,
    /// A submission's outcome was not known, and it was gone after the restart.
    UncertainLost,
    /// What an engine had left open was there when its disk answered again, without a restart.
    Resumed,
    /// A view was flushed by request.
    Flushed,
    /// A view was compacted by request.
    Compacted,
    /// A background step was made.
    BackgroundStep,
    /// A question was answered by all lenses, as of now.
    Answered,
    /// A question was answered by all lenses, as of the past.
    AnsweredAsOf,
    /// A question could not be answered, and the engine said so.
    Unanswered,
}

impl Event {
    /// Everything that a swarm of some size must have met.
    pub const REQUIRED: [Event; 31] = [
        Event::Fault(FaultClass::Eio),
        Event::Fault(FaultClass::StorageFull),
        Event::Fault(FaultClass::TooManyOpenFiles),
        Event::Fault(FaultClass::Short),
        Event::Fault(FaultClass::Interrupted),
        Event::Fault(FaultClass::SyncFailsThenLies),
        Event::Fault(FaultClass::Latency),
        Event::DiskFull,
        Event::PowerCut,
        Event::PowerCutInside,
        Event::PowerCutInRecovery,
        Event::PowerCutInCreate,
        Event::Kill,
        Event::CleanRestart,
        Event::DroppedRestart,
        Event::Replayed,
        Event::TornTail,
        Event::Adopted,
        Event::ClockBack,
        Event::ClockForward,
        Event::Acknowledged,
        Event::Duplicate,
        Event::Refused,
        Event::Failed,
        Event::UncertainKept,
        Event::UncertainLost,
        Event::Resumed,
        Event::Flushed,
        Event::Compacted,
        Event::BackgroundStep,
        Event::Answered,
    ];
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Fault(class) => write!(f, "fault: {class:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Counts of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<Event, u64>,
}

impl Coverage {
    /// Counts an event once.
    pub fn hit(&mut self, event: Event) {
        self.add(event, 1);
    }

    /// Counts an event `times` times.
    pub fn add(&mut self, event: Event, times: u64) {
        if times > 0 {
            *self.counts.entry(event).or_default() += times;
        }
    }

    /// How often it happened.
    pub fn of(&self, event: Event) -> u64 {
        self.counts.get(&event).copied().unwrap_or(0)
    }

    /// Adds what happened in another run.
    pub fn merge(&mut self, other: &Coverage) {
        other.counts.iter().for_each(|(event, times)| self.add(*event, *times));
    }

    /// The events of [`Event::REQUIRED`] that never happened.
    pub fn missing(&self) -> Vec<Event> {
        Event::REQUIRED.into_iter().filter(|event| self.of(*event) == 0).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts.iter().try_for_each(|(event, times)| writeln!(f, "{:<28} {times:>10}", event.to_string()))
    }
}
