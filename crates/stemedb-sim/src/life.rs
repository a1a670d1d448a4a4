//! What happens between a start of the engine and its end.

use std::{ops::RangeInclusive, time::Duration};

use stemedb_core::{AuthorityPolicy, Command};
use stemedb_env::{Clock, Lsn, Micros};
use stemedb_hybrid::{ClaimEngine, Error};
use stemedb_index::{ClaimReader, Submission};

use crate::{
    Coverage, Dice, Event, Invariant, Violation,
    answers::{self, Asked, Question},
    claims,
    machine::Machine,
    model::{Model, Prediction},
    run::Trace,
};

/// Everything that outlives the engine.
#[derive(Debug)]
pub(crate) struct Story {
    pub dice: Dice,
    /// Whether submissions tell of agents as well.
    agents: bool,
    pub model: Model,
    pub coverage: Coverage,
    pub trace: Trace,
    /// Submissions whose outcome was not known, in their order.
    pub uncertain: Vec<Vec<Command>>,
    /// An entry that was acknowledged, but could not be read any more to learn its recorded time.
    pub unsettled: Option<Unsettled>,
    /// Submissions that may be repeated.
    told: Vec<Vec<Command>>,
}

/// Seeds up to here tell of claims as they did when some of them found a defect; of the others every second one tells of
/// agents as well.
const PLAIN_SEEDS: u64 = 2000;

impl Story {
    pub fn new(seed: u64, shown: bool) -> Story {
        let mut dice = Dice::new(seed);
        let agents = seed > PLAIN_SEEDS && seed.is_multiple_of(2);
        let enforced = agents && dice.one_in(2);
        let authority = if enforced { AuthorityPolicy::Enforce } else { AuthorityPolicy::Off };
        Story {
            dice,
            agents,
            model: Model::under(authority),
            coverage: Coverage::default(),
            trace: Trace::new(seed, shown),
            uncertain: Vec::new(),
            unsettled: None,
            told: Vec::new(),
        }
    }
}

/// An acknowledged entry whose recorded time is known within bounds only.
#[derive(Debug)]
pub(crate) struct Unsettled {
    pub prediction: Prediction,
    pub recorded: RangeInclusive<Micros>,
}

/// Submissions kept for being repeated.
const TOLD: usize = 64;

/// A running engine.
pub(crate) struct Life<'a> {
    pub story: &'a mut Story,
    pub machine: &'a mut Machine,
    pub engine: ClaimEngine,
    /// The latest time that this engine may have given to a submission, journaled or not: recorded times do not go
    /// back behind it.
    latest: Micros,
    /// A submission whose fate this engine left open. It is journaled first when the disk answers again, so the next LSN is
    /// its own.
    pending: Option<(Vec<Command>, RangeInclusive<Micros>)>,
}

impl<'a> Life<'a> {
    pub fn new(story: &'a mut Story, machine: &'a mut Machine, engine: ClaimEngine) -> Life<'a> {
        let latest = story.model.last_recorded();
        Life { story, machine, engine, latest, pending: None }
    }

    /// Makes `steps` random steps; ends early when the power goes or only a restart can help.
    pub fn run(&mut self, steps: u64) -> Result<(), Violation> {
        for _ in 0..steps {
            self.step()?;
            let writes_are_refused = self.engine.health().read_only.is_some();
            if self.machine.is_off()
                || self.story.unsettled.is_some()
                || (writes_are_refused && self.story.dice.one_in(6))
            {
                break;
            }
        }
        Ok(())
    }

    /// May the engine fail now?
    fn may_fail(&self) -> bool {
        self.machine.is_off() || self.machine.errors() > 0
    }

    fn must_work<T, E: std::fmt::Display>(
        &self,
        what: &str,
        result: Result<T, E>,
    ) -> Result<Option<T>, Violation> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.may_fail() => Ok(None),
            Err(error) => {
                Err(Violation::new(Invariant::Live, format!("{what} failed without any fault: {error}")))
            }
        }
    }

    /// Takes notice when the engine has gone on after a failure: what it had left open is there then, and is the next
    /// entry.
    fn settle_pending(&mut self) -> Result<(), Violation> {
        if self.pending.is_none() {
            return Ok(());
        }
        let last = self.story.model.last_lsn();
        if self.engine.durable_lsn() > last {
            // Anything that is committed now finds it published first; an empty submission has no entry of its own.
            let _ = self.engine.commit(Submission::new());
        }
        if self.engine.published_lsn() <= last {
            return Ok(());
        }
        let Some((commands, recorded)) = self.pending.take() else { return Ok(()) };
        self.story.uncertain.retain(|uncertain| *uncertain != commands);
        let Some(prediction) = self.story.model.predict(&commands) else {
            return Err(Violation::new(
                Invariant::NoPhantom,
                "an entry appeared that cannot be one".to_owned(),
            ));
        };
        self.story.trace.note("resumed");
        self.story.coverage.hit(Event::Resumed);
        match self.recorded_at(last.next(), &recorded)? {
            Some(recorded_at) => self.story.model.accept(prediction, recorded_at),
            None => {
                self.story.unsettled = Some(Unsettled { prediction, recorded });
                Ok(())
            }
        }
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.settle_pending()?;
        if self.story.unsettled.is_some() {
            return Ok(());
        }
        match self.story.dice.below(40) {
            0..=20 => self.submit(),
            21..=28 => {
                for _ in 0..=self.story.dice.below(12) {
                    if !self.machine.step() {
                        break;
                    }
                    self.story.coverage.hit(Event::BackgroundStep);
                }
                Ok(())
            }
            29..=33 => self.ask(),
            34 => {
                let flushed = self.engine.flush();
                let published = self.engine.published_lsn();
                self.story.trace.note(&format!("flush {:?}", flushed.as_ref().map_err(ToString::to_string)));
                if let Some(flushed) = self.must_work("flush", flushed)? {
                    if flushed > published {
                        let detail = format!("flushed {flushed}, published {published}");
                        return Err(Violation::new(Invariant::NoPhantom, detail));
                    }
                    self.story.coverage.hit(Event::Flushed);
                }
                Ok(())
            }
            35 => {
                let compacted = self.engine.compact();
                self.story
                    .trace
                    .note(&format!("compact {:?}", compacted.as_ref().map_err(ToString::to_string)));
                if self.must_work("compaction", compacted)?.is_some() {
                    self.story.coverage.hit(Event::Compacted);
                }
                Ok(())
            }
            36 => {
                self.machine.write_back(&mut self.story.dice);
                Ok(())
            }
            37 => {
                self.jump();
                Ok(())
            }
            38 if !self.machine.is_rough() && self.story.dice.one_in(3) => self.submit_as_the_power_goes(),
            _ => {
                self.machine.clock.advance(Duration::from_millis(self.story.dice.below(10_000)));
                Ok(())
            }
        }
    }

    fn jump(&mut self) {
        let days = self.story.dice.around_zero(40);
        let wall = self.machine.clock.wall();
        self.machine.clock.set_wall(Micros(wall.0 + days * 86_400_000_000));
        self.story.coverage.hit(if days < 0 { Event::ClockBack } else { Event::ClockForward });
    }

    /// Submits something and holds the engine to what the model says of it.
    pub fn submit(&mut self) -> Result<(), Violation> {
        let story = &mut *self.story;
        let now = self.machine.clock.wall().0;
        let repeats = !story.told.is_empty() && story.dice.one_in(5);
        let commands = if repeats {
            let index = usize::try_from(story.dice.below(story.told.len() as u64)).unwrap_or(0);
            story.told[index].clone()
        } else {
            claims::submission(&mut story.dice, now, &story.model.ids, story.agents)
        };
        self.commit(commands)
    }

    /// Submits many commands, and the power goes at one of the next writes: a frame of many sectors between its write
    /// and its sync is what leaves a torn tail. An armed cut seldom falls there by itself.
    fn submit_as_the_power_goes(&mut self) -> Result<(), Violation> {
        let story = &mut *self.story;
        let now = self.machine.clock.wall().0;
        let commands = claims::long_submission(&mut story.dice, now, &story.model.ids, story.agents);
        let mutations = 1 + story.dice.below(3);
        self.machine.arm_power_cut(mutations);
        self.commit(commands)
    }

    fn commit(&mut self, commands: Vec<Command>) -> Result<(), Violation> {
        let story = &mut *self.story;
        let before = self.machine.clock.wall();
        let mut submission = Submission::new().under(story.model.authority);
        for command in &commands {
            if let Err(error) = submission.push(command) {
                return Err(Violation::new(Invariant::Live, format!("a valid command was refused: {error}")));
            }
        }
        if story.told.len() < TOLD {
            story.told.push(commands.clone());
        } else {
            let index = usize::try_from(story.dice.below(TOLD as u64)).unwrap_or(0);
            story.told[index] = commands.clone();
        }
        let prediction = story.model.predict(&commands);
        let answer = self.engine.commit(submission);
        let now = self.machine.clock.wall();
        let recorded = self.story.model.last_recorded().max(before)..=self.latest.max(now);
        self.latest = self.latest.max(now);
        self.story.trace.note(&format!("commit {:?}", answer.as_ref().map_err(ToString::to_string)));
        match (answer, prediction) {
            (Ok(outcomes), Some(prediction)) => {
                if outcomes != prediction.outcomes {
                    let detail = format!("outcomes {outcomes:?}, must be {:?}", prediction.outcomes);
                    return Err(Violation::new(Invariant::Linearizable, detail));
                }
                self.story.coverage.hit(Event::Acknowledged);
                if prediction.is_empty() {
                    self.story.coverage.hit(Event::Duplicate);
                    return Ok(());
                }
                let lsn = self.story.model.last_lsn().next();
                match self.recorded_at(lsn, &recorded)? {
                    Some(recorded_at) => {
                        self.story.model.accept(prediction, recorded_at)?;
                        self.read_back(lsn)
                    }
                    None => {
                        self.story.unsettled = Some(Unsettled { prediction, recorded });
                        Ok(())
                    }
                }
            }
            (Ok(outcomes), None) => {
                let detail = format!("a submission that must be refused was accepted: {outcomes:?}");
                Err(Violation::new(Invariant::NoPhantom, detail))
            }
            (Err(Error::Index(stemedb_index::Error::UnknownClaim { .. })), None) => {
                self.story.coverage.hit(Event::Refused);
                Ok(())
            }
            (Err(Error::Index(stemedb_index::Error::AuthorityTooLow { .. })), None) => {
                self.story.coverage.hit(Event::Unauthorized);
                Ok(())
            }
            (Err(Error::Index(stemedb_index::Error::SupersessionCycle { .. })), None) => {
                self.story.coverage.hit(Event::Cycle);
                Ok(())
            }
            (Err(Error::NotReadable { lsn, .. }), Some(prediction)) if self.may_fail() => {
                if lsn != self.story.model.last_lsn().next() {
                    let detail = format!("entry {lsn} is said to be durable, the next one is another");
                    return Err(Violation::new(Invariant::Linearizable, detail));
                }
                self.story.unsettled = Some(Unsettled { prediction, recorded });
                Ok(())
            }
            (Err(Error::Indeterminate { .. }), Some(_)) if self.may_fail() => {
                self.story.uncertain.push(commands.clone());
                self.pending = Some((commands, recorded));
                Ok(())
            }
            (Err(error), prediction) => {
                self.story.coverage.hit(Event::Failed);
                let expected = if prediction.is_some() { "accepted" } else { "refused" };
                self.must_work::<(), _>(&format!("a submission (to be {expected})"), Err(error)).map(|_| ())
            }
        }
    }

    /// The time that an entry carries: not before the last one's, and else the wall clock's. `None` if it cannot be read
    /// for a reason.
    fn recorded_at(&self, lsn: Lsn, bounds: &RangeInclusive<Micros>) -> Result<Option<Micros>, Violation> {
        self.machine.faults.pause(true);
        let read = self.engine.snapshot().and_then(|view| Ok(ClaimReader::new(view).recorded_at(lsn)?));
        self.machine.faults.pause(false);
        match self.must_work("reading a recorded time", read)? {
            None => Ok(None),
            Some(Some(recorded)) if bounds.contains(&recorded) => Ok(Some(recorded)),
            Some(other) => {
                let detail = format!("entry {lsn} was recorded at {other:?}, not within {bounds:?}");
                Err(Violation::new(Invariant::Linearizable, detail))
            }
        }
    }

    /// What was acknowledged is readable at once.
    fn read_back(&mut self, lsn: Lsn) -> Result<(), Violation> {
        let visible = self.engine.published_lsn();
        if visible != lsn {
            let detail = format!("LSN {lsn} was acknowledged, {visible} is visible");
            return Err(Violation::new(Invariant::Linearizable, detail));
        }
        let Some(id) = self.story.model.ids.last().copied() else { return Ok(()) };
        let read = self.engine.snapshot().and_then(|view| Ok(ClaimReader::new(view).claim(id)?));
        let Some(found) = self.must_work("reading a claim", read)? else { return Ok(()) };
        let (found, expected) = (found.map(|claim| claim.position), self.story.model.position(id));
        if found != expected {
            let detail = format!("claim {id} is at {found:?}, must be at {expected:?}");
            return Err(Violation::new(Invariant::NeverSilent, detail));
        }
        Ok(())
    }

    /// Asks something; under faults the engine may say that it cannot answer, and nothing else.
    pub fn ask(&mut self) -> Result<(), Violation> {
        let newest = self.story.model.last_lsn();
        let now = self.machine.clock.wall();
        let question = Question::random(&mut self.story.dice, newest, now.0);
        let Some(view) = self.must_work("a snapshot", self.engine.snapshot())? else { return Ok(()) };
        let asked = answers::compare(view, &self.story.model.world, &question)?;
        self.story.trace.note(&format!("{question}: {asked:?}"));
        match asked {
            Asked::Same if question.as_of == newest => self.story.coverage.hit(Event::Answered),
            Asked::Same => self.story.coverage.hit(Event::AnsweredAsOf),
            Asked::Unanswered if self.may_fail() => self.story.coverage.hit(Event::Unanswered),
            Asked::Unanswered => {
                let detail = format!("no answer without any fault: {question}");
                return Err(Violation::new(Invariant::Live, detail));
            }
        }
        Ok(())
    }
}
