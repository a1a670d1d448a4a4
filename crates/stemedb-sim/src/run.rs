//! One seed, from an empty disk to a last life in which everything must work.

use std::fmt;

use stemedb_env::Clock;
use stemedb_hybrid::{ClaimEngine, Error, HybridOptions, OpenReport};
use stemedb_index::Claims;

use crate::{
    Coverage, Event, Invariant, Violation,
    life::{Life, Story},
    machine::{Machine, Weather},
    verify::verify,
};

/// Hash over everything that happened.
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    shown: bool,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}

impl Trace {
    pub fn new(seed: u64, shown: bool) -> Trace {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        Trace { hasher, shown }
    }

    pub fn note(&mut self, text: &str) {
        if self.shown {
            println!("{text}");
        }
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text.as_bytes());
    }

    fn finish(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}

/// What a seed showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Hash over everything that happened; the same for every run of the seed.
    pub trace: [u8; 32],
    /// What happened how often.
    pub coverage: Coverage,
    /// Entries at the end.
    pub entries: u64,
}

/// Cuts of power while starting, in a row.
const CUTS_WHILE_STARTING: u64 = 4;

/// Runs one seed.
///
/// # Errors
/// The first promise that was broken.
pub fn run_seed(seed: u64) -> Result<Outcome, Violation> {
    tell(Story::new(seed, false))
}

/// Runs one seed and prints what happens, for whoever looks for the cause of a failure.
///
/// # Errors
/// As [`run_seed`].
pub fn show_seed(seed: u64) -> Result<Outcome, Violation> {
    tell(Story::new(seed, true))
}

fn tell(mut story: Story) -> Result<Outcome, Violation> {
    let mut machine = Machine::new(&mut story.dice);
    let mut engine = Some(create(&mut story, &mut machine)?);
    let lives = 2 + story.dice.below(4);
    for _ in 0..lives {
        let running = match engine.take() {
            Some(engine) => engine,
            None => start(&mut story, &mut machine)?,
        };
        verify(&running, &mut story, machine.clock.wall())?;
        live(&mut story, &mut machine, running)?;
    }
    let running = start(&mut story, &mut machine)?;
    verify(&running, &mut story, machine.clock.wall())?;
    let running = last_life(&mut story, &mut machine, running)?;
    verify(&running, &mut story, machine.clock.wall())?;
    drop(running);
    machine = machine.after_restart(&mut story.dice, &mut story.coverage);
    story.trace.note(&format!("{:032x}", machine.fs.trace_hash()));
    Ok(Outcome { trace: story.trace.finish(), coverage: story.coverage, entries: story.model.last_lsn().0 })
}

fn options() -> HybridOptions {
    HybridOptions::tiny()
}

fn create(story: &mut Story, machine: &mut Machine) -> Result<ClaimEngine, Violation> {
    let mut cuts = 0;
    loop {
        if cuts < CUTS_WHILE_STARTING && story.dice.one_in(3) {
            let mutations = 1 + story.dice.below(30);
            machine.arm_power_cut(mutations);
        }
        // A cut may have come after the last step of creating: then there is a database.
        let made = match ClaimEngine::open(&machine.env, Machine::dir(), Claims, &options()) {
            Err(Error::NotADatabase { .. }) => {
                ClaimEngine::create(&machine.env, Machine::dir(), Claims, &options())
            }
            Err(error) => Err(error),
            Ok((engine, _)) => Ok(engine),
        };
        story.trace.note(&format!("create {:?}", made.as_ref().map(|_| ()).map_err(ToString::to_string)));
        if machine.is_off() {
            drop(made);
            cuts += 1;
            story.coverage.hit(Event::PowerCutInCreate);
            *machine = machine.after_power_cut(&mut story.dice, &mut story.coverage);
            continue;
        }
        machine.disarm_power_cut();
        return made.map_err(|error| Violation::new(Invariant::Live, format!("creating failed: {error}")));
    }
}

/// Opens the database, through power cuts and errors on the way; returns with all faults taken back.
fn start(story: &mut Story, machine: &mut Machine) -> Result<ClaimEngine, Violation> {
    let mut cuts = 0;
    loop {
        let errors_before = machine.errors();
        match story.dice.below(8) {
            0..=2 if cuts < CUTS_WHILE_STARTING => {
                let mutations = 1 + story.dice.below(30);
                machine.arm_power_cut(mutations);
            }
            3 if cuts < CUTS_WHILE_STARTING => machine.arm(Weather::Errors, &mut story.dice),
            4 => machine.arm(Weather::Rough, &mut story.dice),
            _ => {}
        }
        story.trace.note(&machine.files());
        let opened = ClaimEngine::open(&machine.env, Machine::dir(), Claims, &options());
        story.trace.note(&format!("open {:?}", opened.as_ref().map(|_| ()).map_err(ToString::to_string)));
        story.trace.note(&machine.files());
        if machine.is_off() {
            drop(opened);
            cuts += 1;
            story.coverage.hit(Event::PowerCutInRecovery);
            *machine = machine.after_power_cut(&mut story.dice, &mut story.coverage);
            continue;
        }
        machine.disarm_power_cut();
        let met_errors = machine.errors() > errors_before || machine.starts_full();
        machine.disarm();
        match opened {
            Ok((engine, report)) if !met_errors => {
                count(&report, &mut story.coverage);
                return Ok(engine);
            }
            // What was opened under errors may have noted damage that is none: it is opened again.
            _ if met_errors => {
                drop(opened);
                cuts += 1;
                *machine = machine.after_restart(&mut story.dice, &mut story.coverage);
            }
            Ok(_) => unreachable!("both cases of an opened database stand above"),
            Err(error) => return Err(Violation::new(Invariant::Durable, format!("opening failed: {error}"))),
        }
    }
}

fn count(report: &OpenReport, coverage: &mut Coverage) {
    coverage.add(Event::Replayed, u64::from(report.replayed > 0));
    coverage.add(Event::TornTail, u64::from(report.journal.cut.is_some()));
    coverage.add(Event::Adopted, u64::from(report.journal.adopted_entries > 0));
}

/// A life in some weather, to one of five ends.
fn live(story: &mut Story, machine: &mut Machine, engine: ClaimEngine) -> Result<(), Violation> {
    let weather = match story.dice.below(10) {
        0..=3 => Weather::Calm,
        4 => Weather::Rough,
        5 => Weather::DiskFull,
        _ => Weather::Errors,
    };
    machine.arm(weather, &mut story.dice);
    story.trace.note(&format!("a life, {weather:?}"));
    // Latency moves the clock, and what was recorded then could not be read without power.
    if weather != Weather::Rough && story.dice.one_in(2) {
        let mutations = 1 + story.dice.below(400);
        machine.arm_power_cut(mutations);
    }
    let steps = 10 + story.dice.below(60);
    let mut life = Life::new(story, machine, engine);
    life.run(steps)?;
    let Life { engine, story, machine, .. } = life;
    let faults: Vec<_> = machine.faults.fault_counts().iter().collect();
    story.trace.note(&format!(
        "the life ends, power {}, {:?}, {faults:?}",
        !machine.is_off(),
        engine.health()
    ));
    let (dice, coverage) = (&mut story.dice, &mut story.coverage);
    let next = if machine.is_off() {
        coverage.hit(Event::PowerCutInside);
        let next = machine.after_power_cut(dice, coverage);
        drop(engine);
        next
    } else {
        machine.disarm_power_cut();
        match dice.below(6) {
            0 | 1 => {
                coverage.hit(Event::PowerCut);
                let next = machine.after_power_cut(dice, coverage);
                drop(engine);
                next
            }
            2 | 3 => {
                coverage.hit(Event::Kill);
                let next = machine.after_kill(dice, coverage);
                drop(engine);
                next
            }
            4 => {
                machine.disarm();
                let closed = engine.close();
                if let (Err(error), 0) = (closed, machine.errors()) {
                    return Err(Violation::new(Invariant::Live, format!("closing failed: {error}")));
                }
                coverage.hit(Event::CleanRestart);
                machine.after_restart(dice, coverage)
            }
            _ => {
                drop(engine);
                coverage.hit(Event::DroppedRestart);
                machine.after_restart(dice, coverage)
            }
        }
    };
    story.trace.note(&format!("{:032x}", machine.fs.trace_hash()));
    *machine = next;
    Ok(())
}

/// Submissions of the last life.
const LAST_SUBMISSIONS: usize = 12;
/// Steps within which background work must come to rest.
const SETTLED_WITHIN: usize = 100_000;

/// No faults any more: every operation must work, and background work must come to rest. Returns the engine of yet another
/// start.
fn last_life(
    story: &mut Story,
    machine: &mut Machine,
    engine: ClaimEngine,
) -> Result<ClaimEngine, Violation> {
    machine.disarm();
    let mut life = Life::new(story, machine, engine);
    for _ in 0..LAST_SUBMISSIONS {
        life.submit()?;
        life.ask()?;
    }
    let Life { engine, story, machine, .. } = life;
    let works = |what: &str, error: Error| {
        Violation::new(Invariant::Live, format!("{what} failed after the faults had stopped: {error}"))
    };
    let resting = (0..SETTLED_WITHIN).any(|_| !machine.step());
    if !resting {
        return Err(Violation::new(Invariant::Live, "background work never comes to rest"));
    }
    engine.flush().map_err(|error| works("flush", error))?;
    engine.compact().map_err(|error| works("compaction", error))?;
    engine.verify().map_err(|error| works("verify", error))?;
    let flushed = engine.health().flushed;
    let last = story.model.last_lsn();
    if flushed != last {
        return Err(Violation::new(Invariant::Live, format!("flushed up to {flushed}, not {last}")));
    }
    engine.close().map_err(|error| works("close", error))?;
    *machine = machine.after_restart(&mut story.dice, &mut story.coverage);
    let (engine, report) = ClaimEngine::open(&machine.env, Machine::dir(), Claims, &options())
        .map_err(|error| works("open", error))?;
    if report.replayed > 0 {
        let detail = format!("{} entries replayed after flush and close", report.replayed);
        return Err(Violation::new(Invariant::Live, detail));
    }
    Ok(engine)
}
