//! Deaths of a whole engine: what the suites of kills and of power cuts count, and how they start an engine's process.

use std::{
    fmt,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Result,
    child::Writer,
    engine_examine::Examined,
    engine_life::{EngineWriterOptions, threads},
    history::History,
    protocol::{Line, Work},
};

/// A run of fewer deaths may miss a rare state without being broken.
const ENOUGH_DEATHS: u64 = 100;
/// More unusable disks than one in so many cuts would be a way to look away.
const DEATHS_PER_UNUSABLE: u64 = 50;
/// The data directory, below the root of a world.
pub const DATA_DIR: &str = "db";

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// `engine-kills` or `engine-cuts`.
    pub suite: &'static str,
    /// Deaths: of the process, or of the machine below it.
    pub deaths: u64,
    /// Those before the process had said that a database which was there is open.
    pub in_recovery: u64,
    /// Those while a flush was asked for and had not returned.
    pub in_flush: u64,
    /// Those while a merge was.
    pub in_merge: u64,
    /// Opens that cut a torn tail of the journal, among those of examinations.
    pub torn: u64,
    /// Opens that adopted whole groups.
    pub adopted: u64,
    /// Opens that replayed entries into the view.
    pub replayed: u64,
    /// Examinations that found a fallback view which a death had left half made.
    pub half_made: u64,
    /// Examinations.
    pub examined: u64,
    /// Acknowledged submissions that were looked for, and were there.
    pub entries: u64,
    /// Claims that were there, each compared.
    pub claims: u64,
    /// Acknowledged submissions that were not there.
    pub lost: u64,
    /// Writer processes.
    pub lives: u64,
    /// Processes, or machines, that started with what a death had left.
    pub continued: u64,
    /// Disks that told nothing, because the file system had lost synced blocks by itself; not counted as deaths.
    pub unusable: u64,
    /// Everything that is wrong; the run ends at the first (except without syncs).
    pub problems: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "suite={} deaths={} in_recovery={} in_flush={} in_merge={} examined={} torn={} adopted={} replayed={} half_made={} entries={} \
             claims={} lives={} continued={} unusable={} lost={} problems={} seconds={:.1}",
            self.suite,
            self.deaths,
            self.in_recovery,
            self.in_flush,
            self.in_merge,
            self.examined,
            self.torn,
            self.adopted,
            self.replayed,
            self.half_made,
            self.entries,
            self.claims,
            self.lives,
            self.continued,
            self.unusable,
            self.lost,
            self.problems.len(),
            self.took.as_secs_f64()
        )
    }
}

impl Summary {
    /// Nothing yet.
    pub fn new(suite: &'static str) -> Summary {
        Summary { suite, ..Summary::default() }
    }

    /// One death, at this point of a life.
    pub fn died(&mut self, life: &Life) {
        self.deaths += 1;
        self.in_recovery += u64::from(life.recovers && !life.opened);
        self.in_flush += u64::from(life.aside == Some(Work::Flush));
        self.in_merge += u64::from(life.aside == Some(Work::Merge));
    }

    /// What an examination found.
    pub fn add(&mut self, examined: &Examined) {
        self.examined += 1;
        self.entries += examined.verdict.checked;
        self.claims += examined.claims;
        self.lost += examined.verdict.lost;
        self.half_made += u64::from(examined.half_made_fallback);
        if let Some(report) = &examined.report {
            self.torn += u64::from(report.journal.cut.is_some());
            self.adopted += u64::from(report.journal.adopted_entries > 0);
            self.replayed += u64::from(report.replayed > 0);
        }
    }

    /// The end of a run: what never happened proves nothing.
    pub fn end(&mut self, start: Instant) {
        self.took = start.elapsed();
        if self.deaths < ENOUGH_DEATHS || !self.problems.is_empty() {
            return;
        }
        if self.unusable * DEATHS_PER_UNUSABLE > self.deaths {
            self.problems.push(format!("{} disks told nothing, of {}", self.unusable, self.deaths));
        }
        for (count, what) in [
            (self.in_recovery, "a death in recovery"),
            (self.in_flush, "a death in a flush"),
            (self.in_merge, "a death in a merge"),
            (self.replayed, "a replay"),
            (self.entries, "an acknowledged entry that was looked for"),
        ] {
            if count == 0 {
                self.problems.push(format!("never happened, so nothing is proved about it: {what}"));
            }
        }
    }
}

/// How far a writer's life has come, from what it said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Life {
    recovers: bool,
    /// It has said that it is open.
    pub opened: bool,
    /// It has written as much as it should.
    pub done: bool,
    aside: Option<Work>,
}

impl Life {
    /// Takes in what it said, here and in the history. The error is what is wrong with it.
    pub fn hear(
        &mut self,
        number: u32,
        history: &mut History,
        lines: &[Line],
    ) -> std::result::Result<(), String> {
        for line in lines {
            match line {
                Line::Open { .. } => self.opened = true,
                Line::Done => self.done = true,
                Line::Begins(work) => self.aside = Some(*work),
                Line::Ends(_) => self.aside = None,
                _ => {}
            }
            history.record(number, line)?;
        }
        Ok(())
    }
}

/// Starts the process of an engine in `root`/[`DATA_DIR`], as life `number` of its database.
pub fn start(
    root: &Path,
    seed: u64,
    number: u32,
    history: &mut History,
    bytes: u64,
    without_sync: bool,
) -> Result<(Writer, Life)> {
    history.begins(number, threads(seed, number));
    let options = EngineWriterOptions {
        dir: root.join(DATA_DIR),
        seed,
        life: number,
        exists: history.exists(),
        bytes,
        without_sync,
    };
    let life = Life { recovers: history.exists(), ..Life::default() };
    Ok((Writer::start_as("engine-writer", options.arguments())?, life))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_counts_for_what_was_under_way() {
        let (mut summary, mut history) = (Summary::new("engine-kills"), History::of_engine(1));
        let mut life = Life { recovers: true, ..Life::default() };
        summary.died(&life);
        life.hear(1, &mut history, &[Line::Open { last_lsn: 0 }, Line::Begins(Work::Merge)]).unwrap();
        summary.died(&life);
        life.hear(1, &mut history, &[Line::Ends(Work::Merge), Line::Begins(Work::Flush)]).unwrap();
        summary.died(&life);
        assert_eq!((summary.in_recovery, summary.in_merge, summary.in_flush, summary.deaths), (1, 1, 1, 3));
        assert!(life.hear(1, &mut history, &[Line::Wrong("this".to_owned())]).is_err());
    }

    #[test]
    fn a_long_run_without_a_class_of_deaths_fails() {
        let whole = Summary {
            deaths: 100,
            in_recovery: 1,
            in_flush: 1,
            in_merge: 1,
            replayed: 1,
            entries: 1,
            ..Summary::new("engine-cuts")
        };
        let ends = |mut summary: Summary| {
            summary.end(Instant::now());
            summary.problems.len()
        };
        assert_eq!(ends(whole.clone()), 0);
        assert_eq!(ends(Summary { in_flush: 0, ..whole.clone() }), 1);
        assert_eq!(ends(Summary { in_flush: 0, deaths: 99, ..whole.clone() }), 0);
        assert_eq!(ends(Summary { unusable: 3, ..whole }), 1);
    }
}
