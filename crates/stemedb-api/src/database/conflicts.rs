//! The most contested questions, and how all questions stand together.
//!
//! The board is begun by whoever asks first, and scanned by a job of its own beside the callers that wait for it. What
//! entries touched since is read from the journal when somebody asks, so that writing costs nothing for it.

use std::time::Duration;

use parking_lot::Mutex;
use stemedb_core::Micros;
use stemedb_env::{Budget, Job, Lsn, Step, TaskHandle};
use stemedb_index::{
    Claims, Derive,
    questions::{BoardPlace, BoardProgress, ConflictBoard, Contested, Knowledge},
};
use stemedb_lsm::{KvSnapshot, WriteBatch};
use stemedb_wal::{Journal, JournalReader};

use super::{
    Database, WeakDatabase,
    cursor::{Cursor, Subject, decode_place, encode_place, subject_of},
    list::{ListQuery, check_limit},
};
use crate::errors::{Code, Error, FieldError, Result};

/// Claims that are read while others wait for the board.
const STEP_CLAIMS: u64 = 2000;
/// Before a job looks again at a view that could not be read.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Which part of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictQuery {
    /// The least score, in units of 10⁻⁹; 0 for all.
    pub min_score: u32,
    /// Most items of the page, 1 to [`ListQuery::LIMIT_MAX`].
    pub limit: usize,
    /// Where to go on: what the page before gave.
    pub cursor: Option<String>,
    /// How long a board that is being made is waited for; `None` = until it is there.
    pub wait: Option<Duration>,
}

impl Default for ConflictQuery {
    fn default() -> ConflictQuery {
        ConflictQuery { min_score: 0, limit: ListQuery::LIMIT, cursor: None, wait: None }
    }
}

/// A part of the board. All pages of a walk show the same moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicts {
    /// The questions, the most contested first.
    pub items: Vec<Contested>,
    /// The moment.
    pub lsn: Lsn,
    /// The instant that validity was measured at.
    pub evaluated_at: Micros,
    /// How all questions stood together then.
    pub knowledge: Knowledge,
    /// False when the least contested questions found no room on the board.
    pub complete: bool,
    /// Where to go on; `None` at the end.
    pub cursor: Option<String>,
}

/// How all questions stood when somebody last asked for conflicts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnowledgeReport {
    /// The figures, and their moment; `None` before the board was there for the first time.
    pub knowledge: Option<(Knowledge, Lsn)>,
    /// The scan that is under way.
    pub building: Option<BoardProgress>,
}

/// The board of one database.
#[derive(Debug)]
pub(super) struct Board {
    state: Mutex<Option<ConflictBoard>>,
    shown: Mutex<KnowledgeReport>,
    /// Held so that the job ends with the database.
    job: Mutex<Option<TaskHandle>>,
    max_bytes: usize,
}

impl Board {
    pub(super) fn new(max_bytes: usize) -> Board {
        Board {
            state: Mutex::new(None),
            shown: Mutex::new(KnowledgeReport::default()),
            job: Mutex::new(None),
            max_bytes,
        }
    }

    fn show_progress(&self, progress: &BoardProgress) {
        self.shown.lock().building = Some(progress.clone()).filter(|progress| !progress.done);
    }
}

impl Database {
    /// The questions whose claims disagree, the most contested first: by conflict score, then by support, then by number of
    /// values, then by name.
    ///
    /// Cost: the first call scans all claims; later ones resolve again what was touched since. At most
    /// [`super::DatabaseOptions::conflict_board_bytes`] of memory.
    ///
    /// # Errors
    /// [`Error::Building`] where the board is not there in the time that is given; [`Error::Invalid`] with
    /// [`Code::CursorExpired`] for a cursor of a moment that the board does not remember.
    pub fn conflicts(&self, query: &ConflictQuery) -> Result<Conflicts> {
        check_limit(query.limit)?;
        let subject = subject_of(&[Some(b"conflicts"), Some(&query.min_score.to_le_bytes())]);
        if let Some(text) = &query.cursor {
            return self.conflicts_behind(query, text, subject);
        }
        self.with_board(query.wait, |board| self.page(board, query, None, subject))?
    }

    fn conflicts_behind(&self, query: &ConflictQuery, text: &str, subject: Subject) -> Result<Conflicts> {
        let identity = self.engine().identity();
        let cursor = Cursor::open(text, identity.database, identity.timeline, subject)?;
        let (place, evaluated_at) = decode_place(&cursor.after)?;
        let state = self.board().state.lock();
        let board = state.as_ref().filter(|board| board.progress().done).ok_or_else(expired)?;
        self.page(board, query, Some((place, cursor.lsn, evaluated_at)), subject)
    }

    fn page(
        &self,
        board: &ConflictBoard,
        query: &ConflictQuery,
        after: Option<(BoardPlace, Lsn, Micros)>,
        subject: Subject,
    ) -> Result<Conflicts> {
        let (place, lsn, evaluated_at) = match after {
            Some((place, lsn, evaluated_at)) => (Some(place), lsn, evaluated_at),
            None => (None, board.lsn(), board.evaluated_at()),
        };
        let page = board.page(place.as_ref(), query.min_score, query.limit).map_err(|_| expired())?;
        let identity = self.engine().identity();
        let cursor = page.after.map(|place| {
            let after = encode_place(place, evaluated_at);
            Cursor { timeline: identity.timeline, lsn, listing: subject, after, inside: None }
                .seal(identity.database)
        });
        let (items, knowledge, complete) = (page.items, page.knowledge, page.complete);
        Ok(Conflicts { items, lsn, evaluated_at, knowledge, complete, cursor })
    }

    /// How all questions stand together now.
    ///
    /// Cost and errors: as [`Database::conflicts`].
    pub fn knowledge(&self, wait: Option<Duration>) -> Result<(Knowledge, Lsn)> {
        self.with_board(wait, |board| (*board.knowledge(), board.lsn()))
    }

    /// How all questions stood when somebody last asked, and how far a scan is that is under way. Asks nothing itself.
    pub fn knowledge_report(&self) -> KnowledgeReport {
        self.board().shown.lock().clone()
    }

    /// Does something with a board that shows everything that is readable now.
    fn with_board<T>(&self, wait: Option<Duration>, then: impl FnOnce(&ConflictBoard) -> T) -> Result<T> {
        let clock = &self.env().clock;
        let started = clock.monotonic();
        let at_least = self.published_lsn();
        loop {
            let progress = {
                let mut state = self.board().state.lock();
                match self.advance(&mut state, at_least)? {
                    Advance::Ready(board) => return Ok(then(board)),
                    Advance::Scanning(progress) => progress,
                }
            };
            if wait.is_some_and(|wait| clock.monotonic().saturating_sub(started) >= wait) {
                let BoardProgress { questions, claims, .. } = progress;
                return Err(Error::Building { questions, claims });
            }
        }
    }

    /// Brings the board a step further.
    fn advance<'a>(&self, state: &'a mut Option<ConflictBoard>, at_least: Lsn) -> Result<Advance<'a>> {
        let now = Micros(self.env().clock.wall().0);
        let snapshot = self.engine().snapshot()?;
        let to = snapshot.lsn();
        // One that cannot follow is still right for whoever asked before the moment that it shows.
        let answers = |board: &ConflictBoard| board.progress().done && board.lsn() >= at_least;
        if state.as_ref().is_none_or(|board| board.is_outdated() && !answers(board)) {
            let id = self.env().random.next_u64();
            *state = Some(ConflictBoard::begin(id, self.board().max_bytes, to, now));
            self.wake_job();
        }
        let Some(board) = state else { return Err(super::abandoned()) };
        if !board.progress().done && !board.build_step(snapshot.clone(), STEP_CLAIMS)? {
            self.board().show_progress(board.progress());
            return Ok(Advance::Scanning(board.progress().clone()));
        }
        if !board.is_outdated() && self.follow(board, to)? {
            board.refresh(snapshot, to, now)?;
        }
        if !answers(board) {
            // The next step begins again.
            board.give_up();
            return Ok(Advance::Scanning(board.progress().clone()));
        }
        let knowledge = Some((*board.knowledge(), board.lsn()));
        *self.board().shown.lock() = KnowledgeReport { knowledge, building: None };
        Ok(Advance::Ready(board))
    }

    /// Tells the board what the journal says since. False if that cannot be found out, or is too much.
    fn follow(&self, board: &mut ConflictBoard, to: Lsn) -> Result<bool> {
        if board.noted() >= to {
            return Ok(!board.is_outdated());
        }
        let mut reader = match self.engine().journal().read_from(Lsn(board.noted().0 + 1)) {
            Ok(reader) => reader,
            Err(error) => {
                tracing::debug!("the board of conflicts is scanned again: {error}");
                return Ok(false);
            }
        };
        let mut rows = WriteBatch::new();
        while board.noted() < to && !board.is_outdated() {
            let entry = match reader.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(false),
                Err(error) => {
                    tracing::debug!("the board of conflicts is scanned again: {error}");
                    return Ok(false);
                }
            };
            rows.clear();
            Claims.derive(entry.lsn, &entry.bytes, &mut rows)?;
            board.note(entry.lsn, &rows)?;
        }
        Ok(!board.is_outdated())
    }

    /// Lets a job scan on while nobody waits. Where it cannot be started, those who wait do it all.
    fn wake_job(&self) {
        let mut job = self.board().job.lock();
        if job.is_none() {
            let scan = Scan { database: self.downgrade() };
            *job = self.env().tasks.spawn("stemedb-conflicts", Box::new(scan)).ok();
        }
        if let Some(job) = &*job {
            job.wake();
        }
    }
}

/// How far a board is.
enum Advance<'a> {
    /// It can answer.
    Ready(&'a ConflictBoard),
    /// It is being scanned.
    Scanning(BoardProgress),
}

/// Scans a board to its end, whenever there is one that is not there yet.
struct Scan {
    database: WeakDatabase,
}

impl Job for Scan {
    fn step(&mut self, _: Budget) -> Step {
        let Some(database) = self.database.upgrade() else { return Step::Done };
        let mut state = database.board().state.lock();
        let Some(board) = state.as_mut().filter(|board| !board.progress().done) else { return Step::Idle };
        let view = database.engine().snapshot().map_err(Error::from);
        match view.and_then(|view| Ok(board.build_step(view, STEP_CLAIMS)?)) {
            Ok(done) => {
                database.board().show_progress(board.progress());
                if done { Step::Idle } else { Step::Again }
            }
            Err(error) => {
                tracing::debug!("the scan of conflicts waits: {error}");
                Step::After(LOOK_AGAIN)
            }
        }
    }
}

fn expired() -> Error {
    let detail =
        "is of a moment that the board of conflicts does not remember any more; begin again without it";
    FieldError::in_parameter("cursor", Code::CursorExpired, detail).into()
}
