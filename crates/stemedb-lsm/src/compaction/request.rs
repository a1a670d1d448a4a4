//! Compactions that were asked for.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    column::columns,
    pick::{Facts, Need, column_task, merge_l0},
    task::{Kind, Place, Task},
};
use crate::{
    Error, KeyRange, Result,
    table::Table,
    version::{LAST_LEVEL, Version},
};

/// How far a compaction that was asked for has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionProgress {
    /// Bytes of tables read so far.
    pub done_bytes: u64,
    /// Bytes to read, as estimated at the start. Flushes meanwhile may add some.
    pub total_bytes: u64,
    /// Tables written so far.
    pub tables: u64,
}

/// One request, shared by the one who waits and the job.
#[derive(Debug)]
pub(crate) struct Request {
    range: KeyRange,
    /// Rewrites also what is in shape.
    force: bool,
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
    tables: AtomicU64,
    outcome: Mutex<Option<Result<()>>>,
    /// Largest key of the last column done.
    done_upto: Mutex<Option<Vec<u8>>>,
}

impl Request {
    pub(crate) fn progress(&self) -> CompactionProgress {
        CompactionProgress {
            done_bytes: self.done_bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            tables: self.tables.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn outcome(&self) -> Option<Result<()>> {
        self.outcome.lock().take()
    }

    pub(crate) fn note_bytes(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn note_table(&self) {
        self.tables.fetch_add(1, Ordering::Relaxed);
    }

    fn meets(&self, table: &Table) -> bool {
        let meta = &table.meta;
        meta.largest >= self.range.start && self.range.end.as_ref().is_none_or(|end| meta.smallest < *end)
    }

    fn is_whole(&self) -> bool {
        self.range.start.is_empty() && self.range.end.is_none()
    }

    /// Adds to the estimate what a task that was not foreseen reads.
    pub(crate) fn begin(&self, task: &Task) {
        let planned = self.done_bytes.load(Ordering::Relaxed) + task.input_bytes();
        self.total_bytes.fetch_max(planned, Ordering::Relaxed);
    }
}

/// Requests in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    queue: Mutex<VecDeque<Arc<Request>>>,
}

impl Requests {
    pub(crate) fn ask(&self, range: &KeyRange, force: bool, version: &Version) -> Arc<Request> {
        let request = Arc::new(Request {
            range: range.clone(),
            force,
            done_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            tables: AtomicU64::new(0),
            outcome: Mutex::new(None),
            done_upto: Mutex::new(None),
        });
        let tables = version.tables().filter(|(level, table)| {
            request.meets(table) && (force || *level < LAST_LEVEL || !is_settled(*level, table))
        });
        request.total_bytes.store(tables.map(|(_, table)| table.meta.bytes).sum(), Ordering::Relaxed);
        self.queue.lock().push_back(Arc::clone(&request));
        request
    }

    pub(crate) fn first(&self) -> Option<Arc<Request>> {
        self.queue.lock().front().cloned()
    }

    /// Ends a request.
    pub(crate) fn answer(&self, request: &Arc<Request>, outcome: Result<()>) {
        self.queue.lock().retain(|other| !Arc::ptr_eq(other, request));
        *request.outcome.lock() = Some(outcome);
    }
}

/// In the last run, and without anything that could be forgotten.
fn is_settled(level: usize, table: &Table) -> bool {
    level == LAST_LEVEL && table.meta.is_clean()
}

/// The next task of a request; `Ok(None)` when it is done, an error if it meets a damaged table.
///
/// A request for everything is one merge. One for a range takes level 0, if it has rows there, and then the columns that
/// meet the range, each once: what arrives meanwhile does not make it endless.
pub(crate) fn pick_request(
    facts: &Facts<'_>,
    request: &Request,
    damage: &dyn Fn(u64) -> Error,
) -> Result<Option<Task>> {
    let met = || facts.version.tables().filter(|(_, table)| request.meets(table));
    if let Some((_, table)) = met().find(|(_, table)| (facts.damaged)(table.meta.file)) {
        return Err(damage(table.meta.file));
    }
    if request.is_whole() {
        if request.done_upto.lock().is_some()
            || (!request.force && met().all(|(level, table)| is_settled(level, table)))
        {
            return Ok(None);
        }
        *request.done_upto.lock() = Some(Vec::new());
        return Ok(whole(facts));
    }
    let columns = columns(facts.version, facts.options);
    let mut done_upto = request.done_upto.lock();
    if done_upto.is_none() {
        if facts.version.newest_tables().any(|table| request.meets(table)) {
            return match merge_l0(facts, &columns, Kind::Request) {
                // A damaged table of level 0 keeps newer ones from sinking below it.
                None => Err(facts
                    .version
                    .newest_tables()
                    .find(|table| (facts.damaged)(table.meta.file))
                    .map_or(Error::ReadOnly { cause: "level 0 cannot be merged".to_owned() }, |table| {
                        damage(table.meta.file)
                    })),
                task => Ok(task),
            };
        }
        *done_upto = Some(Vec::new());
    }
    for column in &columns {
        let is_done = done_upto.as_ref().is_some_and(|upto| column.largest <= *upto);
        if is_done || !column.tables.iter().any(|(_, table)| request.meets(table)) {
            continue;
        }
        *done_upto = Some(column.largest.clone());
        if let Some((_, table)) = column.tables.iter().find(|(_, table)| (facts.damaged)(table.meta.file)) {
            return Err(damage(table.meta.file));
        }
        if request.force || column.tables.iter().any(|(level, table)| !is_settled(*level, table)) {
            let task = if request.force {
                Some(rewrite(column.tables.clone(), Kind::Request))
            } else {
                column_task(facts, column, Need::Whole, Kind::Request)
            };
            if task.is_some() {
                return Ok(task);
            }
        }
    }
    Ok(None)
}

fn whole(facts: &Facts<'_>) -> Option<Task> {
    let tables: Vec<_> = facts.version.tables().map(|(level, table)| (level, Arc::clone(table))).collect();
    (!tables.is_empty()).then(|| rewrite(tables, Kind::Request))
}

/// Everything anew, also what could be moved: blocks of the last level are larger and compressed.
fn rewrite(inputs: Vec<(usize, Arc<Table>)>, kind: Kind) -> Task {
    let places = vec![Place { upto: None, level: LAST_LEVEL, is_bottom: true }];
    Task { kind, inputs, moves: Vec::new(), places, borders: Vec::new() }
}
