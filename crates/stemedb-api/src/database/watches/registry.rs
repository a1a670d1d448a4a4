//! The watches of one database, in memory and in its folder.
//!
//! ```text
//! request ─▶ queue ─(whoever has the turn takes all of it)─▶ checked ─ one group, one sync ─▶ in memory ─▶ log of changes
//!                                                                                             followers catch up by it ─┘
//! ```
//!
//! A watch counts from the newest readable entry when it was registered, its `since`. No follower may pass that entry before it knows
//! the watch, so `since` is chosen under the lock that followers take for each entry, and until the watch is in
//! memory they wait.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    collections::{BTreeSet, VecDeque},
    ops::Bound,
    path::PathBuf,
    sync::Arc,
};

use parking_lot::Mutex;
use stemedb_env::{Env, Lsn};
use stemedb_index::watches::{Registered, Watch};
use stemedb_wal::{Error as JournalError, JournalIdentity};

use super::{
    group::Group,
    record::Line,
    store::{Store, of_journal},
};
use crate::errors::Result;

/// Watches that one database may have.
pub const WATCHES_MAX: usize = 1_000_000;
/// Changes that are remembered for followers; who is farther behind takes all watches anew.
const LOG_MAX: usize = 65_536;
/// Bytes of several requests that are written as one group.
const GROUP_BYTES: usize = 8 << 20;

/// One change of a request.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Add(Box<Watch>),
    Remove(String),
}

/// What became of a change.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Added(Arc<Registered>),
    /// The very same was registered before.
    Existing(Arc<Registered>),
    Removed,
    /// There was none to remove.
    Absent,
}

/// A watch in the order of the ids.
#[derive(Clone, Debug)]
struct ById(Arc<Registered>);

impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        &self.0.watch.id
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &ById) -> bool {
        self.0.watch.id == other.0.watch.id
    }
}

impl Eq for ById {}

impl PartialOrd for ById {
    fn partial_cmp(&self, other: &ById) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ById {
    fn cmp(&self, other: &ById) -> Ordering {
        self.0.watch.id.cmp(&other.0.watch.id)
    }
}

/// A change that followers take in.
#[derive(Clone, Debug)]
pub(super) enum Logged {
    Added(Arc<Registered>),
    Removed(Arc<Registered>),
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    loaded: bool,
    watches: BTreeSet<ById>,
    /// Chosen for watches that are not in memory yet.
    pending: Option<Lsn>,
    /// Number of the last change.
    revision: u64,
    /// The changes up to it.
    log: VecDeque<Logged>,
}

impl Shared {
    /// The watch with an id.
    pub fn get(&self, id: &str) -> Option<Arc<Registered>> {
        self.watches.get(id).map(|one| Arc::clone(&one.0))
    }

    /// Watches there are.
    pub fn count(&self) -> usize {
        self.watches.len()
    }

    fn note(&mut self, change: Logged) {
        self.revision += 1;
        self.log.push_back(change);
        if self.log.len() > LOG_MAX {
            self.log.pop_front();
        }
    }
}

/// What a follower must do before it goes on.
pub(super) enum News {
    /// Nothing.
    None,
    /// Take in these changes, up to this revision.
    Changes(Vec<Logged>, u64),
    /// Begin with all watches, at this revision.
    All(Vec<Arc<Registered>>, u64),
    /// Wait: a watch that counts for the next entry is being registered.
    Wait,
}

/// A request in the queue.
#[derive(Debug)]
struct Request {
    changes: Vec<Change>,
    done: Mutex<Option<Result<Vec<Outcome>>>>,
}

/// The watches of one database. Nothing is read or made before it is used.
#[derive(Debug)]
pub(crate) struct Registry {
    env: Env,
    dir: PathBuf,
    identity: JournalIdentity,
    queue: Mutex<Vec<Arc<Request>>>,
    /// The folder; held by whoever writes or loads.
    turn: Mutex<Option<Store>>,
    shared: Mutex<Shared>,
}

impl Registry {
    pub(in crate::database) fn new(env: &Env, dir: PathBuf, identity: JournalIdentity) -> Registry {
        Registry {
            env: env.clone(),
            dir,
            identity,
            queue: Mutex::default(),
            turn: Mutex::default(),
            shared: Mutex::default(),
        }
    }

    /// Watches there are; `None` before they were used, because then nothing has been read.
    pub(in crate::database) fn counted(&self) -> Option<usize> {
        let shared = self.shared.lock();
        shared.loaded.then(|| shared.count())
    }

    /// Carries changes out: all of them or none. Durable when it returns. `newest` gives the newest readable entry.
    ///
    /// Concurrent callers share syncs.
    pub(super) fn change(&self, changes: Vec<Change>, newest: &dyn Fn() -> Lsn) -> Result<Vec<Outcome>> {
        let request = Arc::new(Request { changes, done: Mutex::new(None) });
        self.queue.lock().push(Arc::clone(&request));
        let mut turn = self.turn.lock();
        // Whoever had the turn before may have done it along with its own.
        if let Some(done) = request.done.lock().take() {
            return done;
        }
        let waiting = std::mem::take(&mut *self.queue.lock());
        self.carry_out(&mut turn, &waiting, newest);
        let done = request.done.lock().take();
        done.unwrap_or_else(|| Err(of_journal(JournalError::Abandoned)))
    }

    fn carry_out(&self, turn: &mut Option<Store>, requests: &[Arc<Request>], newest: &dyn Fn() -> Lsn) {
        let mut at = 0;
        while let Some(rest) = requests.get(at..).filter(|rest| !rest.is_empty()) {
            at += self.carry_out_some(turn, rest, newest).max(1);
        }
    }

    /// As many requests as go into one group, at least one. Returns how many.
    fn carry_out_some(
        &self,
        turn: &mut Option<Store>,
        requests: &[Arc<Request>],
        newest: &dyn Fn() -> Lsn,
    ) -> usize {
        let only_removals = requests
            .iter()
            .all(|request| request.changes.iter().all(|change| matches!(change, Change::Remove(_))));
        if let Err(error) = self.load(turn, !only_removals) {
            // One after the other: an error is nobody else's.
            if let Some(first) = requests.first() {
                *first.done.lock() = Some(Err(error));
            }
            return 1;
        }
        let mut group = Group::default();
        let since = {
            let mut shared = self.shared.lock();
            let since = newest();
            shared.pending = Some(since);
            since
        };
        let mut replies: Vec<(&Request, Vec<Outcome>)> = Vec::new();
        let mut taken = 0;
        for request in requests {
            if taken > 0 && group.bytes >= GROUP_BYTES {
                break;
            }
            taken += 1;
            match group.plan(&self.shared.lock(), &request.changes, since) {
                Ok(outcomes) => replies.push((request, outcomes)),
                Err(error) => *request.done.lock() = Some(Err(error.into())),
            }
        }
        let written = match turn {
            Some(store) => store.append(&group.entries, group.lines),
            // Nothing was ever watched, so there is nothing to remove.
            None => Ok(()),
        };
        match written {
            Ok(()) => {
                self.show(group);
                for (request, outcomes) in replies {
                    *request.done.lock() = Some(Ok(outcomes));
                }
                self.tidy(turn);
            }
            Err(error) => {
                if matches!(error, JournalError::Indeterminate { .. } | JournalError::Abandoned) {
                    // What is there is found out by reading it again; until then nobody may pass what may count.
                    *turn = None;
                    self.shared.lock().loaded = false;
                } else {
                    self.shared.lock().pending = None;
                }
                for (request, _) in replies {
                    *request.done.lock() = Some(Err(of_journal(error.clone())));
                }
            }
        }
        taken
    }

    fn show(&self, group: Group) {
        let mut shared = self.shared.lock();
        for change in group.changes {
            match &change {
                Logged::Added(registered) => {
                    shared.watches.insert(ById(Arc::clone(registered)));
                }
                Logged::Removed(registered) => {
                    shared.watches.remove(registered.watch.id.as_str());
                }
            }
            shared.note(change);
        }
        shared.pending = None;
    }

    /// Writes the folder anew where most of it is about watches that are gone.
    fn tidy(&self, turn: &mut Option<Store>) {
        let live: Vec<Arc<Registered>> = {
            let shared = self.shared.lock();
            match turn {
                Some(store) if store.is_mostly_gone(shared.watches.len()) => {
                    shared.watches.iter().map(|one| Arc::clone(&one.0)).collect()
                }
                _ => return,
            }
        };
        let Some(store) = turn.take() else { return };
        match store.rewrite(live.iter()) {
            Ok(store) => *turn = Some(store),
            // It is opened again when it is next needed: both folders say the same.
            Err(error) => tracing::warn!("the folder of watches could not be written anew: {error}"),
        }
    }

    /// Reads the folder, if that has not been done. Makes it only where something is to be written.
    fn load(&self, turn: &mut Option<Store>, create: bool) -> Result<()> {
        let loaded = self.shared.lock().loaded;
        if loaded && (turn.is_some() || (!create && self.shared.lock().watches.is_empty())) {
            return Ok(());
        }
        if !create && !Store::exists(&self.env, &self.dir)? {
            self.shared.lock().loaded = true;
            return Ok(());
        }
        let mut watches = BTreeSet::new();
        let store = Store::open(&self.env, &self.dir, self.identity, |line| {
            match line {
                Line::Add(registered) => {
                    if !watches.insert(ById(registered)) {
                        return Err("a watch is registered twice");
                    }
                }
                Line::Remove(id) => {
                    if !watches.remove(id.as_str()) {
                        return Err("a watch is removed that is not there");
                    }
                }
            }
            Ok(())
        })?;
        *turn = Some(store);
        let mut shared = self.shared.lock();
        if !loaded {
            shared.watches = watches;
            // Nobody can catch up by changes from before.
            shared.revision += 1;
            shared.log.clear();
            shared.loaded = true;
            shared.pending = None;
        }
        Ok(())
    }

    /// Reads the folder if that has not been done, and waits for what is being written.
    pub(super) fn settle(&self) -> Result<()> {
        let mut turn = self.turn.lock();
        {
            let mut shared = self.shared.lock();
            if shared.pending.is_some() {
                // Whoever chose it has gone without a word: what was written is found out by reading.
                shared.loaded = false;
                *turn = None;
            }
            if shared.loaded {
                return Ok(());
            }
        }
        self.load(&mut turn, false)
    }

    fn ready(&self) -> Result<parking_lot::MutexGuard<'_, Shared>> {
        loop {
            let shared = self.shared.lock();
            if shared.loaded {
                return Ok(shared);
            }
            drop(shared);
            self.settle()?;
        }
    }

    /// The watch with an id.
    pub(super) fn get(&self, id: &str) -> Result<Option<Arc<Registered>>> {
        Ok(self.ready()?.get(id))
    }

    /// At most so many watches whose ids begin so, behind an id, in the order of the ids; and how many there are in all.
    pub(super) fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Arc<Registered>>, usize)> {
        let shared = self.ready()?;
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let behind = shared.watches.range::<str, _>((from, Bound::Unbounded));
        let page = behind.take_while(|one| one.0.watch.id.starts_with(prefix)).take(limit);
        Ok((page.map(|one| Arc::clone(&one.0)).collect(), shared.watches.len()))
    }

    /// The last entry that no watch whose id begins so tells anything of; at most the newest readable one.
    pub(super) fn earliest(&self, prefix: &str, newest: &dyn Fn() -> Lsn) -> Result<Lsn> {
        loop {
            self.settle()?;
            let shared = self.shared.lock();
            if !shared.loaded || shared.pending.is_some() {
                continue;
            }
            // Whatever is registered from now on counts from an entry that is not before this one.
            let newest = newest();
            let behind = shared.watches.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
            let fitting = behind.take_while(|one| one.0.watch.id.starts_with(prefix));
            return Ok(fitting.map(|one| one.0.since).min().unwrap_or(newest).min(newest));
        }
    }

    /// What a follower that knows `revision` must do before it goes on by entry `next`.
    pub(super) fn news(&self, revision: Option<u64>, next: Lsn) -> Result<News> {
        let shared = self.shared.lock();
        if !shared.loaded || shared.pending.is_some_and(|since| since < next) {
            return Ok(News::Wait);
        }
        let now = shared.revision;
        if revision == Some(now) {
            return Ok(News::None);
        }
        let behind = revision.and_then(|revision| usize::try_from(now.checked_sub(revision)?).ok());
        Ok(match behind.and_then(|behind| shared.log.len().checked_sub(behind)) {
            Some(first) => News::Changes(shared.log.range(first..).cloned().collect(), now),
            None => News::All(shared.watches.iter().map(|one| Arc::clone(&one.0)).collect(), now),
        })
    }

    /// Groups that were written, and lines in the folder.
    #[cfg(test)]
    pub(super) fn written(&self) -> (u64, usize) {
        let turn = self.turn.lock();
        turn.as_ref().map_or((0, 0), |store| (store.groups(), store.lines()))
    }
}
