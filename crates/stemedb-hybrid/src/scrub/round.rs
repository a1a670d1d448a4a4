//! One round through all files.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    time::Duration,
};

use stemedb_env::Micros;

use super::{
    Ground,
    check::{Check, Damage, End, Piece, Trouble},
    files::{FileClass, Item, Key, list},
};
use crate::{Error, EventKind, Result};

/// Damage that was found by reading everything back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When.
    pub at: Micros,
    /// What the file is.
    pub class: FileClass,
    /// The file.
    pub file: PathBuf,
    /// Where in it, if that is known.
    pub offset: Option<u64>,
    /// What is wrong, as the log says it.
    pub text: String,
    /// It was mended at once.
    pub healed: bool,
}

/// Files and bytes of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCount {
    /// Files that were read to their end.
    pub files: u64,
    /// Bytes of them that were read.
    pub bytes: u64,
}

/// What a round has read.
#[derive(Debug, Default)]
pub struct ScrubReport {
    /// By what the files are.
    pub classes: BTreeMap<FileClass, ClassCount>,
    /// Journal entries.
    pub entries: u64,
    /// Their bytes.
    pub entry_bytes: u64,
    /// Rows in tables.
    pub rows: u64,
    /// Places that verified only when they were read once more.
    pub rereads: u64,
    /// Errors of the system that had passed at another try.
    pub transient_errors: u64,
    /// How much damage there is; at most [`FINDINGS_KEPT`] of it is in `findings`.
    pub damages: u64,
    /// The damage, in the order of reading.
    pub findings: Vec<Finding>,
    /// The first that was not mended.
    pub(crate) first_error: Option<Error>,
}

/// Findings beyond these are counted only.
pub const FINDINGS_KEPT: usize = 256;

/// How often a read that the system refuses is tried.
const MOST_TRIES: u32 = 3;
/// Between two tries.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// See the module's head.
pub(super) struct Round {
    left: VecDeque<Item>,
    finished: BTreeSet<Key>,
    /// Where an earlier process had come.
    behind: Option<Key>,
    /// Whether the list is made once more at its end.
    relists: bool,
    current: Option<(Item, Option<Check>)>,
    /// Bytes of the current file so far.
    consumed: u64,
    tries: u32,
    /// The last file that was finished.
    pub after: Option<Key>,
    pub bytes_done: u64,
    pub report: ScrubReport,
}

/// What a step of a round was.
pub(super) struct RoundStep {
    pub bytes: u64,
    /// Before another try.
    pub wait: Option<Duration>,
    pub is_done: bool,
}

impl Round {
    /// A round through everything behind `after`. With `relists`, what is new at its end is read too.
    pub(super) fn begin(
        ground: &Ground,
        after: Option<Key>,
        bytes_done: u64,
        relists: bool,
    ) -> Result<Round> {
        let is_new = after.is_none();
        let mut round = Round {
            left: VecDeque::new(),
            finished: BTreeSet::new(),
            behind: after.clone(),
            relists,
            current: None,
            consumed: 0,
            tries: 0,
            after,
            bytes_done,
            report: ScrubReport::default(),
        };
        round.relist(ground)?;
        for error in ground.journal.unreadable().iter().filter(|_| is_new) {
            if let Trouble::Damage(damage) = Trouble::from(Error::from(error.clone())) {
                round.found(ground, FileClass::Segment, *damage);
            }
        }
        Ok(round)
    }

    /// Takes up files that are new, and drops those that are gone.
    pub(super) fn relist(&mut self, ground: &Ground) -> Result<()> {
        let present = self.current.as_ref().map(|(item, _)| &item.key);
        let is_left = |item: &Item| {
            Some(&item.key) != present
                && !self.finished.contains(&item.key)
                && self.behind.as_ref().is_none_or(|behind| item.key > *behind)
        };
        self.left = list(ground)?.into_iter().filter(is_left).collect();
        Ok(())
    }

    /// Bytes that have still to be read, and files.
    pub(super) fn left(&self) -> (u64, u64) {
        let waiting: u64 = self.left.iter().map(|item| item.bytes).sum();
        let current = self.current.as_ref().map_or(0, |(item, _)| item.bytes.saturating_sub(self.consumed));
        (waiting + current, self.left.len() as u64 + u64::from(self.current.is_some()))
    }

    /// Bytes that have been read.
    pub(super) fn done(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |(item, _)| self.consumed.min(item.bytes));
        self.bytes_done + current
    }

    /// The file that is being read.
    pub(super) fn reading(&self) -> Option<&PathBuf> {
        self.current.as_ref().map(|(item, _)| &item.path)
    }

    /// Reads a piece of about `bytes`.
    pub(super) fn step(&mut self, ground: &Ground, bytes: u64) -> Result<RoundStep> {
        let mut step = RoundStep { bytes: 0, wait: None, is_done: false };
        let Some((item, check)) = self.current.as_mut() else {
            match self.left.pop_front() {
                Some(item) => {
                    self.current = Some((item, None));
                    (self.consumed, self.tries) = (0, 0);
                }
                None if self.relists => {
                    self.relist(ground)?;
                    self.relists = false;
                }
                None => step.is_done = true,
            }
            return Ok(step);
        };
        let outcome = match check {
            Some(check) => check.step(ground, item, bytes),
            None => match Check::open(ground, item) {
                Ok(opened) => check.insert(opened).step(ground, item, bytes),
                Err(error) => Err(Trouble::from(error)),
            },
        };
        let item = item.clone();
        match outcome {
            Ok(piece) => {
                if self.tries > 0 {
                    self.report.transient_errors += 1;
                    self.tries = 0;
                }
                step.bytes = piece.bytes;
                self.consumed += piece.bytes;
                self.count(ground, &item, piece);
            }
            Err(Trouble::Damage(damage)) => {
                self.found(ground, item.class, *damage);
                self.finish(item);
            }
            Err(Trouble::Refused(_)) if self.tries + 1 < MOST_TRIES => {
                self.tries += 1;
                step.wait = Some(RETRY_AFTER);
            }
            Err(Trouble::Refused(error)) => {
                if let Some((_, Some(check))) = &self.current {
                    check.give_up(ground, &item, self.consumed);
                }
                let offset = Some(self.consumed);
                self.found(
                    ground,
                    item.class,
                    Damage { error, file: item.path.clone(), offset, healed: false },
                );
                self.finish(item);
            }
        }
        Ok(step)
    }

    fn count(&mut self, ground: &Ground, item: &Item, piece: Piece) {
        let report = &mut self.report;
        report.entries += piece.entries;
        report.entry_bytes += piece.entry_bytes;
        report.rows += piece.rows;
        report.rereads += piece.rereads;
        let class = report.classes.entry(item.class).or_default();
        class.bytes += piece.bytes;
        class.files += if piece.end == Some(End::Whole) { piece.files.max(1) } else { 0 };
        for damage in piece.damage {
            self.found(ground, item.class, damage);
        }
        if piece.end.is_some() {
            self.finish(item.clone());
        }
    }

    fn finish(&mut self, item: Item) {
        self.bytes_done += item.bytes;
        self.finished.insert(item.key.clone());
        self.after = Some(item.key);
        self.current = None;
    }

    fn found(&mut self, ground: &Ground, class: FileClass, damage: Damage) {
        let Damage { error, file, offset, healed } = damage;
        let text = error.to_string();
        tracing::error!(file = %file.display(), class = %class, healed, "StorageError: found by reading everything back: {text}");
        ground.events.push(EventKind::Damage, Some(file.clone()), text.clone());
        if healed {
            tracing::info!(file = %file.display(), "written again from what is known");
            ground.events.push(EventKind::Repaired, Some(file.clone()), "written again from what is known");
        }
        self.report.damages += 1;
        if self.report.findings.len() < FINDINGS_KEPT {
            let at = ground.env.clock.wall();
            self.report.findings.push(Finding { at, class, file, offset, text, healed });
        }
        if !healed && self.report.first_error.is_none() {
            self.report.first_error = Some(error);
        }
    }
}
