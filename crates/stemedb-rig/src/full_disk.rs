//! A disk that fills up while a process writes to it, and is freed again.
//!
//! Two kinds. *Full*: the file system has no block left, and a write fails. *Thin*: the file system has blocks, but the
//! device below has promised more than it has, so that a **sync** fails, once: the kernel then takes the pages for
//! clean, shows their content, and answers the next sync with "done", although they will be zeros after the next start.
//!
//! ```text
//! write … │ fill │ appends fail, reads work │ (cut) │ free │ write … │ cut
//!                                                   ╰─ at most 1 s ─╯
//! ```

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::{
    Broken, Result,
    dice::Dice,
    disk::{Disk, Kind, Stop},
    image::Variant,
    resume::Policy,
    scratch::Scratch,
};

/// A run of fewer cycles may miss a rare event without being broken.
const ENOUGH_CYCLES: u64 = 10;
/// So many thin file systems may stop for good, and one more for every four cycles.
const MANY_DEAD: u64 = 2;
/// A writer lives for so many cycles, so that a thin device is not full of history.
const CYCLES_PER_LIFE: u64 = 3;
/// How long a full disk may stay unnoticed, and a complete reading may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where nothing will be noticed.
const LITTLE_PATIENCE: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Cycles of each kind of disk.
    pub cycles: u64,
    /// Decides everything but the timing.
    pub seed: u64,
    /// How the writer comes back.
    pub policy: Policy,
    /// The writer believes a sync that is tried again: the run must find losses.
    pub retries_sync: bool,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Times that a disk was filled and freed.
    pub cycles: u64,
    /// Acknowledged entries that were looked for after a cut, and were there.
    pub entries: u64,
    /// Acknowledged entries that were not.
    pub lost: u64,
    /// Appends that were refused: nothing was written.
    pub refused: u64,
    /// Appends of which nobody knew whether they were durable.
    pub unknown: u64,
    /// Power cuts, while the disk was full and afterwards.
    pub cuts: u64,
    /// File systems that stopped for good when the device below failed; their cycles were done again on others.
    pub dead: u64,
    /// The longest time from freeing the space until every thread was served.
    pub slowest: Duration,
    /// Everything that is wrong; the run ends at the first.
    pub problems: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "suite=full-disk cycles={} entries={} refused={} unknown={} cuts={} dead={} resume_ms={} lost={} problems={} \
             seconds={:.1}",
            self.cycles,
            self.entries,
            self.refused,
            self.unknown,
            self.cuts,
            self.dead,
            self.slowest.as_millis(),
            self.lost,
            self.problems.len(),
            self.took.as_secs_f64()
        )
    }
}

/// Fills and frees disks of both kinds.
pub fn run(scratch: &Scratch, options: &Options) -> Result<Summary> {
    let start = Instant::now();
    let mut summary = Summary::default();
    let mut dice = Dice::new(options.seed);
    let (mut done, mut lives) = (0, 0);
    while done < options.cycles && summary.problems.is_empty() {
        let cycles = CYCLES_PER_LIFE.min(options.cycles - done);
        let variant = if lives % 2 == 0 { Variant::Ordered } else { Variant::Writeback };
        for kind in [Kind::Full(variant), Kind::Thin] {
            let mut left = cycles;
            while left > 0 && summary.problems.is_empty() {
                match life(scratch, kind, &mut left, options, &mut summary, &mut dice) {
                    Ok(()) => {}
                    Err(Stop::Wrong(problem) | Stop::Late(problem)) => {
                        summary.problems.push(format!("{kind:?}, cycle {}: {problem}", summary.cycles + 1));
                    }
                    Err(Stop::Broken(broken)) => return Err(broken),
                    Err(Stop::Dead) => summary.dead += 1,
                }
                if summary.dead > MANY_DEAD + options.cycles / 4 {
                    return Err(Broken(format!("{} file systems stopped for good", summary.dead)));
                }
            }
        }
        done += cycles;
        lives += 1;
    }
    if done >= ENOUGH_CYCLES && summary.problems.is_empty() && summary.unknown == 0 {
        let what = "never happened, so nothing is proved about it: an append whose sync failed";
        summary.problems.push(what.to_owned());
    }
    summary.took = start.elapsed();
    Ok(summary)
}

fn life(
    scratch: &Scratch,
    kind: Kind,
    left: &mut u64,
    options: &Options,
    summary: &mut Summary,
    dice: &mut Dice,
) -> std::result::Result<(), Stop> {
    let mut disk = Disk::make(scratch, kind, options, dice.number())?;
    while *left > 0 {
        match cycle(&mut disk, options, summary, dice) {
            Err(Stop::Late(_)) if kind == Kind::Thin && disk.is_dead() => return Err(Stop::Dead),
            outcome => outcome?,
        }
        summary.cycles += 1;
        *left -= 1;
    }
    Ok(())
}

fn cycle(
    disk: &mut Disk<'_>,
    options: &Options,
    summary: &mut Summary,
    dice: &mut Dice,
) -> std::result::Result<(), Stop> {
    disk.all_served(summary, PATIENCE)?;
    if options.retries_sync {
        // The writer notices nothing; that is the defect.
        let _ = disk.fill(summary, LITTLE_PATIENCE);
    } else {
        disk.fill(summary, PATIENCE)?;
    }
    disk.pass(summary, Duration::from_millis(dice.between(20, 300)))?;
    disk.read_all(summary, PATIENCE)?;
    if dice.one_in(2) {
        disk.cut(summary)?;
    }
    let took = disk.free(summary, options.policy.within)?;
    summary.slowest = summary.slowest.max(took);
    disk.pass(summary, Duration::from_millis(dice.between(10, 100)))?;
    disk.cut(summary)
}
