//! After a start: is everything there, and nothing else?

use stemedb_env::{Lsn, Micros};
use stemedb_hybrid::ClaimEngine;
use stemedb_index::{ClaimReader, claims::Entry};
use stemedb_wal::{Journal, JournalReader};

use crate::{
    Event, Invariant, Violation,
    answers::{self, Asked, Question},
    life::{Story, Unsettled},
};

/// Random questions asked after each start.
const QUESTIONS: usize = 6;

/// Compares a freshly opened engine with the story so far, and learns what became of uncertain submissions. No fault may be
/// active.
pub(crate) fn verify(engine: &ClaimEngine, story: &mut Story, now: Micros) -> Result<(), Violation> {
    entries(engine, story)?;
    let last = story.model.last_lsn();
    let health = engine.health();
    if (health.durable, health.published) != (last, last) || !health.is_ready() {
        return Err(Violation::new(
            Invariant::Prefix,
            format!("after a start: {health:?}, the journal ends at {last}"),
        ));
    }
    let root = engine.state_root();
    let root = root.map_err(|error| unreadable("the view's content", &error))?;
    let expected = story.model.root();
    if root != expected {
        return Err(Violation::new(
            Invariant::Prefix,
            format!("the view is {root:?}, the fold of 1..{last} {expected:?}"),
        ));
    }
    story.trace.note(&format!("verified {last} {root}"));
    for _ in 0..QUESTIONS {
        let question = Question::random(&mut story.dice, last, now.0);
        let view = engine.snapshot().map_err(|error| unreadable("a snapshot", &error))?;
        match answers::compare(view, &story.model.world, &question)? {
            Asked::Same => story.coverage.hit(Event::Answered),
            Asked::Unanswered => {
                return Err(Violation::new(Invariant::Live, format!("no answer after a start: {question}")));
            }
        }
    }
    every_claim_by_id(engine, story)
}

fn unreadable(what: &str, error: &dyn std::fmt::Display) -> Violation {
    Violation::new(Invariant::Live, format!("{what} cannot be read after a start without faults: {error}"))
}

/// The journal is exactly what was acknowledged, and perhaps what was uncertain.
fn entries(engine: &ClaimEngine, story: &mut Story) -> Result<(), Violation> {
    let unsettled = u64::from(story.unsettled.is_some());
    let acknowledged = Lsn(story.model.last_lsn().0 + unsettled);
    let durable = engine.durable_lsn();
    if durable < acknowledged {
        let detail = format!("{acknowledged} was acknowledged, the journal ends at {durable}");
        return Err(Violation::new(Invariant::Durable, detail));
    }
    let uncertain = std::mem::take(&mut story.uncertain);
    let mut uncertain = uncertain.into_iter();
    if durable > Lsn::ZERO {
        let journal = engine.journal();
        let mut reader = journal.read_from(Lsn(1)).map_err(|error| unreadable("the journal", &error))?;
        let mut next = Lsn(1);
        while let Some(read) = reader.next_entry().map_err(|error| unreadable("the journal", &error))? {
            if read.lsn != next {
                return Err(Violation::new(
                    Invariant::Prefix,
                    format!("entry {} stands where {next} should", read.lsn),
                ));
            }
            let (commands, recorded_at) = parts(read.lsn, &read.bytes)?;
            let place = usize::try_from(next.0 - 1).unwrap_or(usize::MAX);
            match story.model.entries.get(place) {
                Some(expected) if expected.commands == commands && expected.recorded_at == recorded_at => {}
                Some(expected) => {
                    let detail = format!(
                        "entry {next} holds {} commands recorded at {}, acknowledged were {} at {}",
                        commands.len(),
                        recorded_at.0,
                        expected.commands.len(),
                        expected.recorded_at.0
                    );
                    return Err(Violation::new(Invariant::Durable, detail));
                }
                None if story.unsettled.is_some() => settle(story, next, &commands, recorded_at)?,
                None => adopt(story, &mut uncertain, next, &commands, recorded_at)?,
            }
            next = next.next();
        }
        if next != durable.next() {
            return Err(Violation::new(
                Invariant::Durable,
                format!("the journal says {durable}, its reader ends before {next}"),
            ));
        }
    }
    story.coverage.add(Event::UncertainLost, uncertain.count() as u64);
    Ok(())
}

fn parts(lsn: Lsn, bytes: &[u8]) -> Result<(Vec<Vec<u8>>, Micros), Violation> {
    let bad =
        |error: stemedb_index::Error| Violation::new(Invariant::Atomic, format!("entry {lsn}: {error}"));
    let entry = Entry::parse(lsn, bytes).map_err(bad)?;
    let mut commands = Vec::new();
    let visited = entry.for_each(|_, _, command| {
        commands.push(command.to_vec());
        Ok(())
    });
    visited.map_err(bad)?;
    Ok((commands, entry.recorded_at))
}

/// The entry that was acknowledged last is there, and its time is now known.
fn settle(story: &mut Story, lsn: Lsn, commands: &[Vec<u8>], recorded_at: Micros) -> Result<(), Violation> {
    let Some(Unsettled { prediction, recorded }) = story.unsettled.take() else { return Ok(()) };
    if prediction.commands() != commands || !recorded.contains(&recorded_at) {
        let detail = format!("entry {lsn}, recorded at {}, is not what was acknowledged", recorded_at.0);
        return Err(Violation::new(Invariant::Durable, detail));
    }
    story.model.accept(prediction, recorded_at)
}

/// An entry that nobody was told about must be one of the uncertain submissions, whole.
fn adopt(
    story: &mut Story,
    uncertain: &mut impl Iterator<Item = Vec<stemedb_core::Command>>,
    lsn: Lsn,
    commands: &[Vec<u8>],
    recorded_at: Micros,
) -> Result<(), Violation> {
    if recorded_at < story.model.last_recorded() {
        return Err(Violation::new(
            Invariant::Prefix,
            format!("entry {lsn} was recorded before the one before it"),
        ));
    }
    for submission in uncertain {
        let prediction = story.model.predict(&submission).unwrap_or_default();
        if prediction.commands() == commands {
            story.coverage.hit(Event::UncertainKept);
            return story.model.accept(prediction, recorded_at);
        }
        story.coverage.hit(Event::UncertainLost);
    }
    let detail = format!("entry {lsn} with {} commands is no submission, or a part of one", commands.len());
    Err(Violation::new(Invariant::NoPhantom, detail))
}

fn every_claim_by_id(engine: &ClaimEngine, story: &Story) -> Result<(), Violation> {
    let view = engine.snapshot().map_err(|error| unreadable("a snapshot", &error))?;
    let reader = ClaimReader::new(view);
    for id in &story.model.ids {
        let found = reader.claim(*id).map_err(|error| unreadable("a claim", &error))?;
        let (found, expected) = (found.map(|claim| claim.position), story.model.position(*id));
        if found != expected {
            let detail = format!("claim {id} is at {found:?}, must be at {expected:?}");
            return Err(Violation::new(Invariant::Durable, detail));
        }
    }
    Ok(())
}
