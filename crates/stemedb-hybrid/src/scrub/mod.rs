//! Reading every byte of every file back, in the background and for ever: see `docs/design/scrub.md`.

mod check;
mod files;
mod job;
mod options;
mod pace;
mod round;
mod state;

use std::{
    fmt,
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub use files::FileClass;
pub use options::ScrubOptions;
use parking_lot::Mutex;
pub use round::{ClassCount, FINDINGS_KEPT, Finding, ScrubReport};
use stemedb_env::{Env, Micros, TaskHandle};
use stemedb_index::Admit;
use stemedb_lsm::TableCheck;
use stemedb_wal::SegmentedJournal;

use self::{job::ScrubJob, round::Round};
use crate::{
    Error, Events, HybridStore, Identity, Layout, Result, Verified,
    sidecar::Sidecars,
    view::{ViewStore, Views},
};

/// Bytes read at once by a round that nobody paces.
const UNPACED_BYTES: u64 = 1 << 20;

/// How the reading of every file goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// Whether it goes on in the background.
    pub enabled: bool,
    /// Whether a round is under way there.
    pub running: bool,
    /// The number of the round that is under way, or was last; 0 before the first.
    pub round: u64,
    /// When it began.
    pub started: Option<Micros>,
    /// Bytes of files that it has read.
    pub bytes_done: u64,
    /// Bytes of all files, as far as it knows.
    pub bytes_total: u64,
    /// Files that it has still to read, the present one included.
    pub files_left: u64,
    /// The file that is being read.
    pub reading: Option<PathBuf>,
    /// Damage that it has found.
    pub round_findings: u64,
    /// Damage found since the database was opened, by all rounds.
    pub findings: u64,
    /// Of that, what was mended at once.
    pub healed: u64,
    /// Bytes read since the database was opened.
    pub bytes_read: u64,
    /// Places that verified only when they were read once more, since the database was opened.
    pub rereads: u64,
    /// Errors of the system that had passed at another try, since the database was opened.
    pub transient_errors: u64,
    /// When every file had last been read.
    pub last_full_round: Option<Micros>,
    /// The period cannot be kept with the share of the bandwidth that is allowed.
    pub late: bool,
}

/// What the primary view shows of its files. Nothing while it is being derived again: then its folder is somebody else's, or has
/// no complete files.
pub(crate) trait ScrubbedTree: Send + Sync {
    /// False while the primary view is being derived again.
    fn is_settled(&self) -> bool;
    /// Numbers and lengths of the live tables.
    fn table_files(&self) -> Vec<(u64, u64)>;
    /// The files beside tables that hold its present state.
    fn state_files(&self) -> Vec<PathBuf>;
    /// See [`ViewStore::check_part`].
    fn check_table(&self, file: u64) -> Option<TableCheck>;
    /// See [`ViewStore::has_checked`].
    fn has_checked(&self, check: &TableCheck) -> bool;
    /// See [`ViewStore::check_state`].
    fn check_state(&self) -> stemedb_lsm::Result<u64>;
    /// See [`ViewStore::renew_state`].
    fn renew_state(&self, reason: &str) -> stemedb_lsm::Result<()>;
    /// See [`ViewStore::note_unreadable`].
    fn note_unreadable(&self, file: u64, offset: u64);
}

impl<P: ViewStore, F: ViewStore> ScrubbedTree for Views<P, F> {
    fn is_settled(&self) -> bool {
        !self.primary_is_in_trouble()
    }

    fn table_files(&self) -> Vec<(u64, u64)> {
        match self.is_settled() {
            true => self.primary().store.parts().into_iter().map(|part| (part.file, part.bytes)).collect(),
            false => Vec::new(),
        }
    }

    fn state_files(&self) -> Vec<PathBuf> {
        if self.is_settled() { self.primary().store.state_files() } else { Vec::new() }
    }

    fn check_table(&self, file: u64) -> Option<TableCheck> {
        self.primary().store.check_part(file).filter(|_| self.is_settled())
    }

    fn has_checked(&self, check: &TableCheck) -> bool {
        self.is_settled() && self.primary().store.has_checked(check)
    }

    fn check_state(&self) -> stemedb_lsm::Result<u64> {
        self.primary().store.check_state()
    }

    fn renew_state(&self, reason: &str) -> stemedb_lsm::Result<()> {
        self.primary().store.renew_state(reason)
    }

    fn note_unreadable(&self, file: u64, offset: u64) {
        self.primary().store.note_unreadable(file, offset);
    }
}

/// The folder of a fallback view that lies outside of the data directory.
pub(crate) struct FarFolder {
    pub dir: PathBuf,
    /// True for the names of the view's files: others there are somebody else's.
    pub owns: fn(&str) -> bool,
}

/// What there is to read, and where to tell what was found.
pub(crate) struct Ground {
    pub env: Env,
    pub layout: Layout,
    pub identity: Identity,
    pub journal: Arc<SegmentedJournal>,
    pub tree: Arc<dyn ScrubbedTree>,
    pub sidecars: Arc<Sidecars>,
    pub far: Option<FarFolder>,
    pub events: Events,
}

struct Shared {
    ground: Ground,
    options: ScrubOptions,
    status: Mutex<ScrubStatus>,
    findings: Mutex<Vec<Finding>>,
    /// Somebody wants a round now.
    asked: AtomicBool,
}

impl Shared {
    /// Takes over what a round has found since `before`.
    fn note(&self, round: &Round, noted: &mut Noted) {
        let report = &round.report;
        let fresh = report.findings.get(noted.findings..).unwrap_or_default();
        let mut status = self.status.lock();
        status.findings += report.damages - noted.damages;
        status.healed += fresh.iter().filter(|finding| finding.healed).count() as u64;
        status.rereads += report.rereads - noted.rereads;
        status.transient_errors += report.transient_errors - noted.transient_errors;
        drop(status);
        if !fresh.is_empty() {
            let mut findings = self.findings.lock();
            findings.extend_from_slice(fresh);
            let surplus = findings.len().saturating_sub(FINDINGS_KEPT);
            findings.drain(..surplus);
        }
        *noted = Noted {
            damages: report.damages,
            findings: report.findings.len(),
            rereads: report.rereads,
            transient_errors: report.transient_errors,
        };
    }
}

/// What of a round's report has been taken over.
#[derive(Clone, Copy, Default)]
struct Noted {
    damages: u64,
    findings: usize,
    rereads: u64,
    transient_errors: u64,
}

/// The background reading of one database, and rounds that somebody asks for.
pub(crate) struct Scrubber {
    // Dropped first: it uses the rest.
    task: Option<TaskHandle>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrubber").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Scrubber {
    fn start(ground: Ground, options: ScrubOptions) -> Result<Scrubber> {
        let status = ScrubStatus { enabled: options.enabled, ..ScrubStatus::default() };
        let tasks = Arc::clone(&ground.env.tasks);
        let shared = Arc::new(Shared {
            ground,
            options,
            status: Mutex::new(status),
            findings: Mutex::new(Vec::new()),
            asked: AtomicBool::new(false),
        });
        let task = match options.enabled {
            true => Some(tasks.spawn("stemedb-scrub", Box::new(ScrubJob::new(Arc::clone(&shared))))?),
            false => None,
        };
        Ok(Scrubber { task, shared })
    }

    pub(crate) fn status(&self) -> ScrubStatus {
        self.shared.status.lock().clone()
    }

    fn begin(&self) -> bool {
        let Some(task) = &self.task else { return false };
        self.shared.asked.store(true, Ordering::Release);
        task.wake();
        true
    }

    /// A whole round, now and in this thread; `None` if `watch` ended it.
    fn run(&self, watch: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>) -> Result<Option<ScrubReport>> {
        let shared = &self.shared;
        let ground = &shared.ground;
        let mut round = Round::begin(ground, None, 0, true)?;
        let mut noted = Noted::default();
        loop {
            let step = round.step(ground, UNPACED_BYTES);
            shared.note(&round, &mut noted);
            let step = step?;
            shared.status.lock().bytes_read += step.bytes;
            if step.is_done {
                break;
            }
            let progress = ScrubProgress {
                done_bytes: round.done(),
                left_bytes: round.left().0,
                damages: round.report.damages,
            };
            if watch(progress).is_break() {
                return Ok(None);
            }
            if let Some(wait) = step.wait {
                ground.env.clock.sleep(wait);
            }
        }
        shared.status.lock().last_full_round = Some(ground.env.clock.wall());
        Ok(Some(round.report))
    }
}

/// How far a round has come that somebody waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubProgress {
    /// Bytes read so far.
    pub done_bytes: u64,
    /// Bytes of the files that are still to be read, as far as is known.
    pub left_bytes: u64,
    /// Damage found so far.
    pub damages: u64,
}

impl<P: ViewStore, F: ViewStore, D: Admit> HybridStore<P, F, D> {
    pub(crate) fn start_scrub(
        &mut self,
        env: &Env,
        options: ScrubOptions,
        fallback_dir: Option<PathBuf>,
    ) -> Result<()> {
        let tree: Arc<dyn ScrubbedTree> = Arc::clone(&self.views) as _;
        let far = fallback_dir.filter(|dir| !dir.starts_with(self.layout().dir()));
        let ground = Ground {
            env: env.clone(),
            layout: self.layout().clone(),
            identity: *self.identity(),
            journal: Arc::clone(&self.journal),
            tree,
            sidecars: Arc::clone(&self.sidecars),
            far: far.map(|dir| FarFolder { dir, owns: F::owns }),
            events: self.events.clone(),
        };
        self.scrubber = Some(Scrubber::start(ground, options)?);
        Ok(())
    }

    /// Reads every file back and checks it, in this thread and without rests; see `docs/design/scrub.md`. Damage is told by the
    /// report, by events and by the lists from which repairs are made; it is not an error.
    ///
    /// Errors: [`crate::Error::Env`] if a folder cannot be listed. Cost: every byte of every file from the disk.
    pub fn scrub_now(&self) -> Result<ScrubReport> {
        let report = self.scrub_watched(&mut |_| ControlFlow::Continue(()))?;
        Ok(report.unwrap_or_default())
    }

    /// As [`HybridStore::scrub_now`]; `watch` is told of every megabyte or so, and may end it: then there is no report.
    pub fn scrub_watched(
        &self,
        watch: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Result<Option<ScrubReport>> {
        match &self.scrubber {
            Some(scrubber) => scrubber.run(watch),
            None => Ok(Some(ScrubReport::default())),
        }
    }

    /// Lets the background reading begin a round now; one that is under way goes on. False if it is switched off.
    pub fn scrub_begin(&self) -> bool {
        self.scrubber.as_ref().is_some_and(Scrubber::begin)
    }

    /// How the reading of every file goes.
    pub fn scrub_status(&self) -> ScrubStatus {
        self.scrubber.as_ref().map(Scrubber::status).unwrap_or_default()
    }

    /// Damage that was found since the database was opened, the newest [`FINDINGS_KEPT`], oldest first.
    pub fn scrub_findings(&self) -> Vec<Finding> {
        self.scrubber.as_ref().map(|scrubber| scrubber.shared.findings.lock().clone()).unwrap_or_default()
    }

    /// Reads everything back and checks it, as [`HybridStore::scrub_now`] does. The first damage that was not mended at once is
    /// the error.
    pub fn verify(&self) -> Result<Verified> {
        self.verified(self.scrub_now()?)
    }

    /// What a report says in the words of [`HybridStore::verify`].
    ///
    /// Errors: the first damage that was not mended; [`crate::Error::NoView`] while the primary view is being derived again.
    pub fn verified(&self, report: ScrubReport) -> Result<Verified> {
        match report.first_error {
            Some(error) => Err(error),
            // Its tables have been left out.
            None if self.views.primary_is_in_trouble() => {
                Err(Error::NoView { cause: self.views.primary_health().to_string() })
            }
            None => Ok(Verified {
                entries: report.entries,
                entry_bytes: report.entry_bytes,
                rows: report.rows + self.settled_primary()?.store.verify_the_rest()?,
            }),
        }
    }
}
