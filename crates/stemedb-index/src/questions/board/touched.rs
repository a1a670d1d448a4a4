//! Which questions must be looked at again: because entries touched them, or because time did.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stemedb_core::{Command, Micros};
use stemedb_env::Lsn;
use stemedb_lsm::{KvSnapshot, WriteBatch};

use crate::{
    Result,
    keys::{self, Family},
};

/// Bytes that one thing takes besides its text, roughly.
const NODE_BYTES: usize = 64;

/// Questions and claims that entries touched, with the newest entry that did.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// By subject NUL predicate.
    questions: BTreeMap<Arc<str>, Lsn>,
    claims: BTreeMap<[u8; 32], Lsn>,
    bytes: usize,
}

/// What the rows of an entry do to the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// They touch the questions that were taken down.
    Some,
    /// They may touch any question.
    Any,
}

impl Touched {
    /// Takes down what an entry's rows touch.
    pub(super) fn note(&mut self, lsn: Lsn, rows: &WriteBatch) -> Result<Effect> {
        let mut effect = Effect::Some;
        for row in rows.iter() {
            let key = row.key();
            match Family::of(key) {
                Some(Family::Claim) => {
                    let claim = keys::parse_claim(key)?;
                    self.question(lsn, claim.subject, claim.predicate);
                }
                Some(Family::Vote | Family::Superseded | Family::Cosigned) => {
                    if let Some(id) = key.get(1..).and_then(|rest| rest.first_chunk::<32>())
                        && self.claims.insert(*id, lsn).is_none()
                    {
                        self.bytes += NODE_BYTES;
                    }
                }
                Some(Family::Epoch) if supersedes(row.value().unwrap_or_default())? => {
                    // Claims of an epoch are not found by it.
                    effect = Effect::Any;
                }
                _ => {}
            }
        }
        Ok(effect)
    }

    fn question(&mut self, lsn: Lsn, subject: &str, predicate: &str) {
        let text = format!("{subject}\0{predicate}");
        if let Some(newest) = self.questions.get_mut(text.as_str()) {
            *newest = lsn;
            return;
        }
        self.bytes += NODE_BYTES + text.len();
        self.questions.insert(text.into(), lsn);
    }

    /// Roughly what it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the questions that were touched to a set.
    pub(super) fn collect<S: KvSnapshot>(&self, view: &S, into: &mut BTreeSet<Arc<str>>) -> Result<()> {
        into.extend(self.questions.keys().map(Arc::clone));
        for id in self.claims.keys() {
            if let Some(place) = view.get(&keys::by_id(id))? {
                let (_, subject, predicate) = keys::parse_by_id_value(&place)?;
                into.insert(format!("{subject}\0{predicate}").into());
            }
        }
        Ok(())
    }

    /// Forgets what entries up to `lsn` touched.
    pub(super) fn settle(&mut self, lsn: Lsn) {
        self.questions.retain(|_, newest| *newest > lsn);
        self.claims.retain(|_, newest| *newest > lsn);
        let texts: usize = self.questions.keys().map(|text| text.len()).sum();
        self.bytes = texts + (self.questions.len() + self.claims.len()) * NODE_BYTES;
    }
}

fn supersedes(row: &[u8]) -> Result<bool> {
    match crate::claims::command_of_row(Family::Epoch, row)? {
        Command::Epoch(epoch) => Ok(epoch.supersedes.is_some()),
        _ => Ok(true),
    }
}

/// Questions of which a claim begins or ceases to hold at a known instant, the next such instant first.
#[derive(Debug)]
pub(super) struct Timed {
    due: BTreeSet<(Micros, Arc<str>)>,
    bytes: usize,
    max_bytes: usize,
    /// The first instant that was let go for want of room: from then on not all is known.
    horizon: Option<Micros>,
}

impl Timed {
    pub(super) fn new(max_bytes: usize) -> Timed {
        Timed { due: BTreeSet::new(), bytes: 0, max_bytes, horizon: None }
    }

    pub(super) fn add(&mut self, question: &Arc<str>, at: Option<Micros>) {
        let Some(at) = at.filter(|at| self.horizon.is_none_or(|horizon| *at < horizon)) else { return };
        if self.due.insert((at, Arc::clone(question))) {
            self.bytes += NODE_BYTES + question.len();
        }
        while self.bytes > self.max_bytes {
            let Some((at, question)) = self.due.pop_last() else { return };
            self.bytes = self.bytes.saturating_sub(NODE_BYTES + question.len());
            self.horizon = Some(at);
        }
    }

    pub(super) fn remove(&mut self, question: &Arc<str>, at: Option<Micros>) {
        if let Some(at) = at
            && self.due.remove(&(at, Arc::clone(question)))
        {
            self.bytes = self.bytes.saturating_sub(NODE_BYTES + question.len());
        }
    }

    /// The questions whose instant has come.
    pub(super) fn until(&self, now: Micros) -> impl Iterator<Item = &Arc<str>> {
        self.due.iter().take_while(move |(at, _)| *at <= now).map(|(_, question)| question)
    }

    /// Whether instants have come that are not known any more.
    pub(super) fn is_blind(&self, now: Micros) -> bool {
        self.horizon.is_some_and(|horizon| horizon <= now)
    }
}
