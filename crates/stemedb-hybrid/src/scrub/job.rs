//! The background job.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stemedb_env::{Budget, Job, Micros, Step};

use super::{Noted, Shared, pace::Pace, round::Round, state::Saved};
use crate::EventKind;

/// Between the open and the first piece: whoever opens a database has other things to read.
const FIRST_AFTER: Duration = Duration::from_secs(60);
/// Between two writes of how far it has come.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How often new files are looked for.
const LISTS_PER_PERIOD: u32 = 64;
/// After a folder could not be listed.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// See `docs/design/scrub.md`.
pub(super) struct ScrubJob {
    shared: Arc<Shared>,
    /// `None` until the first step.
    saved: Option<Saved>,
    begun_at: Duration,
    listed_at: Duration,
    is_begun: bool,
    saved_at: Option<Duration>,
    is_dirty: bool,
    round: Option<Round>,
    noted: Noted,
}

/// Time from one moment to another; nothing if the clock was set back.
fn since(from: Micros, to: Micros) -> Duration {
    Duration::from_micros(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

impl ScrubJob {
    pub(super) fn new(shared: Arc<Shared>) -> ScrubJob {
        ScrubJob {
            shared,
            saved: None,
            begun_at: Duration::ZERO,
            listed_at: Duration::ZERO,
            is_begun: false,
            saved_at: None,
            is_dirty: false,
            round: None,
            noted: Noted::default(),
        }
    }

    fn now(&self) -> (Duration, Micros) {
        let clock = &self.shared.ground.env.clock;
        (clock.monotonic(), clock.wall())
    }

    /// Begins a round, or goes on with the one that was under way when the database was closed. `None` if neither is due;
    /// then how long it is until then.
    fn begin(&mut self, now: Micros) -> Result<(), Duration> {
        let is_asked = self.shared.asked.swap(false, Ordering::AcqRel);
        let period = self.shared.options.period;
        let ground = &self.shared.ground;
        let saved = self.saved.get_or_insert_with(|| {
            Saved::load(&*ground.env.fs, &ground.layout).unwrap_or(Saved { ended: true, ..Saved::default() })
        });
        // A clock that was set back must not keep a round away for longer than a period.
        let passed = if saved.started > now { period } else { since(saved.started, now) };
        if saved.ended && !is_asked && saved.round > 0 && passed < period {
            self.shared.status.lock().last_full_round = saved.last_full;
            return Err(period - passed);
        }
        if saved.ended {
            saved.round += 1;
            (saved.started, saved.after, saved.ended) = (now, None, false);
            (saved.bytes_done, saved.findings) = (0, 0);
            let text = format!("round {} of reading every file back begins", saved.round);
            tracing::info!("{text}");
            ground.events.push(EventKind::Scrub, None, text);
        }
        match Round::begin(ground, saved.after.clone(), saved.bytes_done, false) {
            Ok(round) => {
                self.round = Some(round);
                self.listed_at = ground.env.clock.monotonic();
                self.noted = Noted::default();
                self.is_dirty = true;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "the files of the database cannot be listed; tried again later");
                Err(RETRY_AFTER)
            }
        }
    }

    /// Writes down how far it has come, at most once in [`SAVE_EVERY`]. How long it is until it may, if it wants to.
    fn save(&mut self, now: Duration) -> Option<Duration> {
        let saved = self.saved.as_ref().filter(|_| self.is_dirty)?;
        if let Some(at) = self.saved_at
            && now.saturating_sub(at) < SAVE_EVERY
        {
            return Some(SAVE_EVERY - now.saturating_sub(at));
        }
        let ground = &self.shared.ground;
        if let Err(error) = saved.store(&*ground.env.fs, &ground.layout) {
            // A restart then reads more again than it would have to.
            tracing::warn!(%error, "how far files have been read back could not be written down");
        }
        self.saved_at = Some(now);
        self.is_dirty = false;
        None
    }

    fn piece(&mut self, budget: Budget) -> Step {
        let (began, wall) = self.now();
        let shared = Arc::clone(&self.shared);
        let (Some(round), Some(saved)) = (self.round.as_mut(), self.saved.as_mut()) else {
            return Step::Again;
        };
        let (period, passed) = (shared.options.period, since(saved.started, wall));
        // Files that come while the first half of the period lasts are part of the round: taken up early, they do not have to be
        // read in a hurry at its end. Later ones are of the next round; otherwise a round might never end.
        let is_due = passed < period / 2 && began.saturating_sub(self.listed_at) >= period / LISTS_PER_PERIOD;
        if is_due && round.reading().is_none() {
            self.listed_at = began;
            if let Err(error) = round.relist(&shared.ground) {
                tracing::warn!(%error, "the files of the database cannot be listed; tried again later");
            }
        }
        let pace = Pace::new(&shared.options, round.left().0, passed);
        let findings = round.report.damages;
        let outcome = round.step(&shared.ground, pace.piece_bytes().min(budget.bytes.max(1)));
        shared.note(round, &mut self.noted);
        let step = match outcome {
            Ok(step) => step,
            Err(error) => {
                tracing::warn!(%error, "the files of the database cannot be listed; tried again later");
                return Step::After(RETRY_AFTER);
            }
        };
        saved.findings += round.report.damages - findings;
        if saved.after != round.after {
            (saved.after, saved.bytes_done) = (round.after.clone(), round.bytes_done);
            self.is_dirty = true;
        }
        let (left_bytes, files_left) = round.left();
        {
            let mut status = shared.status.lock();
            status.running = !step.is_done;
            status.round = saved.round;
            status.started = Some(saved.started);
            status.bytes_done = round.done();
            status.bytes_total = round.done() + left_bytes;
            status.files_left = files_left;
            status.reading = round.reading().cloned();
            status.round_findings = saved.findings;
            status.bytes_read += step.bytes;
            status.late = pace.is_late;
            if step.is_done {
                saved.last_full = Some(wall);
            }
            status.last_full_round = status.last_full_round.max(saved.last_full);
        }
        if step.is_done {
            saved.ended = true;
            self.is_dirty = true;
            let text = format!(
                "round {} of reading every file back ended: {} bytes, {} findings",
                saved.round, saved.bytes_done, saved.findings
            );
            tracing::info!("{text}");
            shared.ground.events.push(EventKind::Scrub, None, text);
            self.round = None;
        }
        let (now, _) = self.now();
        self.save(now);
        let rest = pace.rest(&shared.options, step.bytes, now.saturating_sub(began));
        match step.wait {
            Some(wait) => Step::After(wait.max(rest)),
            // Nothing was read: the next file, or the end.
            None if rest.is_zero() => Step::Again,
            None => Step::After(rest),
        }
    }
}

impl Job for ScrubJob {
    fn step(&mut self, budget: Budget) -> Step {
        let (now, wall) = self.now();
        if !self.is_begun {
            (self.is_begun, self.begun_at) = (true, now);
        }
        let first = self.begun_at + FIRST_AFTER;
        if self.round.is_none() && now < first && !self.shared.asked.load(Ordering::Acquire) {
            return Step::After(first - now);
        }
        if self.round.is_none()
            && let Err(wait) = self.begin(wall)
        {
            // What the end of a round could not write down yet.
            let save = self.save(now);
            return Step::After(save.map_or(wait, |save| save.min(wait)));
        }
        self.piece(budget)
    }
}
