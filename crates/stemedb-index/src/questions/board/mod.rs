//! The board of conflicts: every question whose claims disagree, the most contested first, and how all questions stand
//! together.
//!
//! One scan finds how every question stands at one LSN. From then on only the questions that entries touch, and those of
//! which a claim begins or ceases to hold, are resolved again, before the next answer: once as it was at the board's moment, which
//! is taken off, and once as it is now, which is added. So nothing need be kept of questions that are in agreement, and
//! the board is at every moment what a full scan would find.
//!
//! ```text
//! begin(lsn) ─ build_step … ─▶ built at lsn ─ note(lsn + 1, rows) … ─ refresh(to, now) ─▶ page
//!                                  ▲                                      │ too much changed, an epoch ended
//!                                  └─────────────── begin ◀───────────────┘
//! ```

mod ranking;
mod standing;
mod touched;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

pub use standing::{Knowledge, Standing};
use stemedb_core::{Micros, Status};
use stemedb_env::Lsn;
use stemedb_lsm::{KvSnapshot, WriteBatch};

use self::{
    ranking::{Rank, Ranking},
    touched::{Effect, Timed, Touched},
};
use crate::{ClaimReader, QuestionKey, Result};

/// Revisions whose order can still be walked over.
const REVISIONS_KEPT: usize = 1024;
/// Below so many questions a change is never too large to follow.
const FOLLOWED_ALWAYS: u64 = 1024;

/// How far the first scan is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardProgress {
    /// The moment that it scans.
    pub lsn: Lsn,
    /// Questions resolved.
    pub questions: u64,
    /// Claims read for them.
    pub claims: u64,
    /// The last of these questions, in key order.
    pub at: Option<QuestionKey>,
    /// Whether it has come to the end.
    pub done: bool,
}

/// A question on the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contested {
    /// The question.
    pub question: QuestionKey,
    /// The conflict in one word.
    pub status: Status,
    /// The conflict score in units of 10⁻⁹.
    pub score: u32,
    /// Sum of the supports of all values, in units of 10⁻⁹.
    pub support: i64,
    /// Number of values.
    pub values: u32,
    /// Number of claims that take part.
    pub considered: u32,
}

/// A place on the board: where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardPlace {
    /// Which board.
    pub board: u64,
    /// Its revision.
    pub revision: u64,
    /// See [`Contested::score`].
    pub score: u32,
    /// See [`Contested::support`].
    pub support: i64,
    /// See [`Contested::values`].
    pub values: u32,
    /// Subject NUL predicate.
    pub question: String,
}

/// A part of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardPage {
    /// The questions, the most contested first.
    pub items: Vec<Contested>,
    /// Where to go on; `None` at the end.
    pub after: Option<BoardPlace>,
    /// How all questions stood together in that revision.
    pub knowledge: Knowledge,
    /// False when the least contested questions found no room.
    pub complete: bool,
}

/// A place of another board, or of a revision that the board has forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the board does not remember that moment any more")]
pub struct MomentGone;

/// See the module's page. Holds at most about the bytes it was given; nothing of it is stored.
#[derive(Debug)]
pub struct ConflictBoard {
    id: u64,
    max_bytes: usize,
    lsn: Lsn,
    evaluated_at: Micros,
    progress: BoardProgress,
    knowledge: Knowledge,
    ranking: Ranking,
    timed: Timed,
    touched: Touched,
    /// The last entry that was noted.
    noted: Lsn,
    /// Something happened that only another scan can find out about.
    outdated: bool,
    revision: u64,
    /// How all stood together in the newest revisions, the oldest first; the last one is the present.
    past: VecDeque<(u64, Knowledge)>,
}

impl ConflictBoard {
    /// A board of one moment, that has scanned nothing yet. `id` tells it from others, for places that come from outside.
    pub fn begin(id: u64, max_bytes: usize, lsn: Lsn, evaluated_at: Micros) -> ConflictBoard {
        ConflictBoard {
            id,
            max_bytes,
            lsn,
            evaluated_at,
            progress: BoardProgress { lsn, questions: 0, claims: 0, at: None, done: false },
            knowledge: Knowledge::default(),
            ranking: Ranking::new(max_bytes / 4 * 3),
            timed: Timed::new(max_bytes / 8),
            touched: Touched::default(),
            noted: lsn,
            outdated: false,
            revision: 1,
            past: VecDeque::new(),
        }
    }

    /// Scans on, until about so many claims more are read. True at the end. Any snapshot of the same database will do that has
    /// reached the board's LSN.
    ///
    /// # Errors
    /// Where the store fails; the same step can be tried again.
    pub fn build_step<S: KvSnapshot>(&mut self, view: S, claims: u64) -> Result<bool> {
        if self.progress.done {
            return Ok(true);
        }
        let reader = ClaimReader::as_of(view, self.lsn)?;
        let enough = self.progress.claims.saturating_add(claims.max(1));
        let mut scan = reader.questions_after(self.progress.at.as_ref());
        while self.progress.claims < enough {
            let Some((question, candidates)) = scan.next_question()? else {
                self.progress.done = true;
                self.past.push_back((self.revision, self.knowledge));
                return Ok(true);
            };
            let standing = Standing::of(&candidates, self.evaluated_at);
            self.knowledge.add(&standing);
            if standing.next_change.is_some() || Rank::of(&standing).is_some() {
                let text: Arc<str> = format!("{}\0{}", question.subject, question.predicate).into();
                self.ranking.enter(&text, &standing, self.revision);
                self.timed.add(&text, standing.next_change);
            }
            self.progress.questions += 1;
            self.progress.claims += candidates.len() as u64;
            self.progress.at = Some(question);
        }
        Ok(false)
    }

    /// How far the scan is.
    pub fn progress(&self) -> &BoardProgress {
        &self.progress
    }

    /// The moment that the board shows.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The instant that validity was measured at.
    pub fn evaluated_at(&self) -> Micros {
        self.evaluated_at
    }

    /// How all questions stand together.
    pub fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// The last entry that the board was told of.
    pub fn noted(&self) -> Lsn {
        self.noted
    }

    /// Whether only another scan can bring the board up to date.
    pub fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// Says that only another scan can bring the board up to date.
    pub fn give_up(&mut self) {
        self.outdated = true;
    }

    /// Tells the board what an entry writes. Entries come in order, each once, from the one behind [`ConflictBoard::noted`]
    /// on, also while it is scanning; one that was left out makes the board outdated.
    ///
    /// # Errors
    /// Where a row cannot be read.
    pub fn note(&mut self, lsn: Lsn, rows: &WriteBatch) -> Result<()> {
        if lsn <= self.noted {
            return Ok(());
        }
        let effect = self.touched.note(lsn, rows)?;
        self.outdated |= effect == Effect::Any
            || lsn.0 != self.noted.0.saturating_add(1)
            || self.touched.bytes() > self.max_bytes / 8;
        self.noted = lsn;
        Ok(())
    }

    /// Brings the board to a later moment that was noted. False if it has to be begun again instead: then nothing has changed
    /// but that it is outdated.
    ///
    /// Cost: two questions resolved for each that was touched.
    ///
    /// # Errors
    /// Where the store fails; nothing has changed then.
    pub fn refresh<S: KvSnapshot>(&mut self, view: S, to: Lsn, now: Micros) -> Result<bool> {
        let now = now.max(self.evaluated_at);
        let to = to.max(self.lsn);
        if self.outdated || !self.progress.done || self.noted < to || self.timed.is_blind(now) {
            self.outdated |= self.progress.done;
            return Ok(false);
        }
        let mut questions = BTreeSet::new();
        self.touched.collect(&view, &mut questions)?;
        questions.extend(self.timed.until(now).map(Arc::clone));
        if questions.len() as u64 > (self.knowledge.questions / 2).max(FOLLOWED_ALWAYS) {
            self.outdated = true;
            return Ok(false);
        }
        let before = ClaimReader::as_of(view.clone(), self.lsn)?;
        let after = ClaimReader::as_of(view, to)?;
        let mut changes = Vec::new();
        for question in questions {
            let (subject, predicate) = question.split_once('\0').unwrap_or((&question, ""));
            let old = Standing::of(&before.candidates(subject, predicate, None)?, self.evaluated_at);
            let new = Standing::of(&after.candidates(subject, predicate, None)?, now);
            if old != new {
                changes.push((question, old, new));
            }
        }
        // Nothing can fail from here on.
        if !changes.is_empty() {
            self.revision += 1;
        }
        for (question, old, new) in &changes {
            self.knowledge.remove(old);
            self.knowledge.add(new);
            self.timed.remove(question, old.next_change);
            self.timed.add(question, new.next_change);
            self.ranking.leave(question, old, self.revision);
            self.ranking.enter(question, new, self.revision);
        }
        if !changes.is_empty() {
            self.past.push_back((self.revision, self.knowledge));
            self.trim_past();
        }
        self.touched.settle(to);
        self.lsn = to;
        self.evaluated_at = now;
        self.outdated = self.ranking.has_thinned();
        Ok(!self.outdated)
    }

    fn trim_past(&mut self) {
        let mut oldest = self.ranking.shrink_past().unwrap_or(0);
        let surplus = self.past.len().saturating_sub(REVISIONS_KEPT);
        oldest = oldest.max(self.past.get(surplus).map_or(0, |(revision, _)| *revision));
        self.ranking.forget_before(oldest);
        while self.past.len() > 1 && self.past.front().is_some_and(|(revision, _)| *revision < oldest) {
            self.past.pop_front();
        }
    }

    /// Questions whose score is at least `min_score`, the most contested first: of the present, or behind a place of the
    /// revision that the place is of.
    ///
    /// # Errors
    /// [`MomentGone`].
    pub fn page(
        &self,
        after: Option<&BoardPlace>,
        min_score: u32,
        items: usize,
    ) -> std::result::Result<BoardPage, MomentGone> {
        let revision = after.map_or(self.revision, |place| place.revision);
        if after.is_some_and(|place| place.board != self.id) {
            return Err(MomentGone);
        }
        let moment = self.past.iter().rev().find(|(known, _)| *known == revision);
        let (_, knowledge) = moment.ok_or(MomentGone)?;
        let behind = after.map(|place| {
            let rank = Rank { score: place.score, support: place.support, values: place.values };
            (rank, place.question.as_str())
        });
        let mut walk =
            self.ranking.walk(revision, behind).take_while(|(place, _)| place.rank.score >= min_score);
        let mut found = Vec::new();
        let mut last = None;
        for (place, spell) in walk.by_ref().take(items.max(1)) {
            let (subject, predicate) = place.question.split_once('\0').unwrap_or((&place.question, ""));
            found.push(Contested {
                question: QuestionKey { subject: subject.to_owned(), predicate: predicate.to_owned() },
                status: spell.status,
                score: place.rank.score,
                support: place.rank.support,
                values: place.rank.values,
                considered: spell.considered,
            });
            last = Some(place);
        }
        let more = walk.next().is_some();
        let after = last.filter(|_| more).map(|place| BoardPlace {
            board: self.id,
            revision,
            score: place.rank.score,
            support: place.rank.support,
            values: place.rank.values,
            question: place.question.to_string(),
        });
        let complete = self.ranking.is_complete();
        Ok(BoardPage { items: found, after, knowledge: *knowledge, complete })
    }
}
