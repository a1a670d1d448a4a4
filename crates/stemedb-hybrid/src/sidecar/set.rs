//! Which sidecars there are, and which LSNs nobody covers.

use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
};

use parking_lot::Mutex;
use stemedb_env::{Env, Lsn, TaskHandle};

use super::{
    file::{Sidecar, Unusable},
    format::{Header, MadeFrom, Origin, Unfit},
    name::{SidecarName, is_sidecar_name, temporary_name},
    writer::SidecarWriter,
};
use crate::{EventKind, Events};

/// Sidecars whose index is held in memory: a repair asks the same ones for one span after the other.
const OPEN_FILES: usize = 64;

/// Who answers for a part of a range of LSNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A sidecar, which covers more perhaps.
    Sidecar(SidecarName, RangeInclusive<Lsn>),
    /// Nobody: the journal itself must be read.
    Uncovered(RangeInclusive<Lsn>),
}

/// The job that looks after the files. Whoever holds it stops it.
pub(crate) struct UpkeepTask {
    pub(super) task: OnceLock<TaskHandle>,
}

/// The sidecars of a database. Cheap to ask; nothing is read before it is needed.
#[derive(Debug)]
pub(crate) struct SidecarSet {
    pub(super) env: Env,
    dir: PathBuf,
    origin: Origin,
    events: Events,
    state: Mutex<State>,
    upkeep: OnceLock<Weak<UpkeepTask>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeSet<SidecarName>,
    /// The ones that were used last, the newest at the end.
    open: Vec<Arc<Sidecar>>,
    /// Everything up to here is in tables: what nobody covers below is to be made.
    flushed: Lsn,
}

/// What the sidecars that are found must be of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    /// The last LSN of the journal.
    pub durable: Lsn,
    /// What the tree holds in tables.
    pub flushed: Lsn,
    /// The tree was derived anew while the database was closed.
    pub is_new_tree: bool,
}

impl Past {
    fn allows(&self, name: SidecarName) -> bool {
        let of_a_table_that_is_gone =
            name.made_from == MadeFrom::Table && (self.is_new_tree || name.last > self.flushed);
        name.last <= self.durable && !of_a_table_that_is_gone
    }
}

impl std::fmt::Debug for UpkeepTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpkeepTask").finish_non_exhaustive()
    }
}

impl SidecarSet {
    /// The sidecars in a folder, which is made if it is absent. If it cannot be, there are none: nothing depends on them.
    /// Cost: one listing.
    pub fn open(env: &Env, dir: &Path, origin: Origin, events: &Events, past: Past) -> SidecarSet {
        let fs = env.fs.as_ref();
        let listed = fs.create_dir(dir).and_then(|()| fs.list(dir));
        let found = listed.unwrap_or_else(|error| {
            tracing::warn!(%error, "the sidecars cannot be used");
            Vec::new()
        });
        let mut state = State { flushed: past.flushed, ..State::default() };
        for entry in found.into_iter().filter(|entry| !entry.metadata.is_dir) {
            match SidecarName::parse(&entry.name) {
                Some(name) if past.allows(name) => drop(state.files.insert(name)),
                _ if is_sidecar_name(&entry.name) => remove(env, &dir.join(&entry.name)),
                _ => {}
            }
        }
        SidecarSet {
            env: env.clone(),
            dir: dir.to_path_buf(),
            origin,
            events: events.clone(),
            state: Mutex::new(state),
            upkeep: OnceLock::new(),
        }
    }

    pub(super) fn set_upkeep(&self, task: &Arc<UpkeepTask>) {
        // Set exactly once, when the job is started.
        let _ = self.upkeep.set(Arc::downgrade(task));
    }

    /// Asks the job to look whether there is something to do.
    pub fn wake(&self) {
        let upkeep = self.upkeep.get().and_then(Weak::upgrade);
        if let Some(task) = upkeep.as_ref().and_then(|upkeep| upkeep.task.get()) {
            task.wake();
        }
    }

    pub(super) fn path(&self, name: SidecarName) -> PathBuf {
        self.dir.join(name.file_name())
    }

    /// A sidecar to be written.
    pub(super) fn begin(&self, made_from: MadeFrom) -> SidecarWriter {
        let mut nonce = [0; 8];
        self.env.random.fill(&mut nonce);
        let nonce = u64::from_le_bytes(nonce);
        let header = Header { origin: self.origin, made_from, nonce };
        SidecarWriter::new(&self.env.fs, self.dir.join(temporary_name(nonce)), &header)
    }

    /// Everything up to here is in tables.
    pub fn flushed(&self) -> Lsn {
        self.state.lock().flushed
    }

    /// Tables hold everything up to `lsn` now.
    pub(super) fn set_flushed(&self, lsn: Lsn) {
        let mut state = self.state.lock();
        state.flushed = state.flushed.max(lsn);
    }

    /// A sidecar has its name.
    pub(super) fn add(&self, name: SidecarName) {
        self.state.lock().files.insert(name);
    }

    /// A table was made with these LSNs: sidecars of other tables that say so of one of them are of a tree that is gone. True if
    /// no others cover all of it.
    pub(super) fn wants_table(&self, name: SidecarName) -> bool {
        let (gone, is_wanted) = {
            let mut state = self.state.lock();
            let of_tables = |other: &&SidecarName| other.made_from == MadeFrom::Table && other.meets(&name);
            let gone: Vec<SidecarName> = state.files.iter().filter(of_tables).copied().collect();
            state.files.retain(|other| !gone.contains(other));
            state.open.retain(|open| !gone.contains(&open.name));
            let uncovered = |part: &Part| matches!(part, Part::Uncovered(_));
            (gone, state.plan(&name.lsns()).iter().any(uncovered))
        };
        gone.iter().for_each(|other| remove(&self.env, &self.path(*other)));
        is_wanted
    }

    /// Who answers for a range of LSNs, in order and without overlap.
    pub(super) fn plan(&self, lsns: &RangeInclusive<Lsn>) -> Vec<Part> {
        self.state.lock().plan(lsns)
    }

    /// All sidecars.
    pub(super) fn files(&self) -> Vec<SidecarName> {
        self.state.lock().files.iter().copied().collect()
    }

    /// A sidecar, opened and verified. One that is of no use is gone afterwards, and `None`.
    pub(super) fn load(&self, name: SidecarName) -> Option<Arc<Sidecar>> {
        {
            let mut state = self.state.lock();
            if !state.files.contains(&name) {
                return None;
            }
            if let Some(at) = state.open.iter().position(|open| open.name == name) {
                let open = state.open.remove(at);
                state.open.push(Arc::clone(&open));
                return Some(open);
            }
        }
        match Sidecar::open(self.env.fs.as_ref(), &self.path(name), &self.origin, name) {
            Ok(sidecar) => {
                let sidecar = Arc::new(sidecar);
                let mut state = self.state.lock();
                if state.files.contains(&name) {
                    if state.open.len() >= OPEN_FILES {
                        state.open.remove(0);
                    }
                    state.open.push(Arc::clone(&sidecar));
                }
                Some(sidecar)
            }
            Err(error) => {
                self.reject(name, &error);
                None
            }
        }
    }

    /// Drops a sidecar that is of no use; it is made again.
    pub(super) fn reject(&self, name: SidecarName, error: &Unusable) {
        let was_known = self.state.lock().forget(name);
        if !was_known {
            return;
        }
        let path = self.path(name);
        let text = format!("a sidecar is made again: {error}");
        if matches!(error, Unusable::Unfit(Unfit::Foreign)) {
            tracing::info!(file = %path.display(), "{text}");
        } else {
            tracing::warn!(file = %path.display(), "{text}");
            self.events.push(EventKind::Damage, Some(path.clone()), text);
        }
        remove(&self.env, &path);
        self.wake();
    }

    /// Removes the sidecars that nobody needs: all of whose LSNs lie before the journal's `first`, or are covered by
    /// one other sidecar.
    pub(super) fn tidy(&self, first: Lsn) {
        let mut files = self.files();
        // Of those that begin alike the longest first: what lies within one that came before is of no use.
        files.sort_unstable_by_key(|name| (name.first, std::cmp::Reverse((name.last, name.made_from))));
        let mut longest: Option<SidecarName> = None;
        for name in files {
            let is_past = name.last < first;
            // Only what has been seen to be whole may replace another.
            let is_within =
                longest.is_some_and(|longest| name.last <= longest.last && self.load(longest).is_some());
            if is_past || is_within {
                self.state.lock().forget(name);
                remove(&self.env, &self.path(name));
            } else if longest.is_none_or(|longest| name.last > longest.last) {
                longest = Some(name);
            }
        }
    }
}

impl State {
    /// True if it was known.
    fn forget(&mut self, name: SidecarName) -> bool {
        self.open.retain(|open| open.name != name);
        self.files.remove(&name)
    }

    fn plan(&self, lsns: &RangeInclusive<Lsn>) -> Vec<Part> {
        let (mut at, end) = (*lsns.start(), *lsns.end());
        let mut parts = Vec::new();
        if at > end {
            return parts;
        }
        // Of the sidecars that begin at or before `at`, the one that goes furthest.
        let mut best: Option<SidecarName> = None;
        let mut files = self.files.iter().copied().peekable();
        loop {
            while let Some(name) = files.next_if(|name| name.first <= at) {
                if best.is_none_or(|best| name.last > best.last) {
                    best = Some(name);
                }
            }
            let upto = match best {
                Some(name) if name.last >= at => {
                    let upto = name.last.min(end);
                    parts.push(Part::Sidecar(name, at..=upto));
                    upto
                }
                _ => {
                    let upto = files.peek().map_or(end, |next| next.first.prev()).min(end);
                    parts.push(Part::Uncovered(at..=upto));
                    upto
                }
            };
            if upto == end {
                return parts;
            }
            at = upto.next();
        }
    }
}

/// Removes a file that nobody needs. If that fails it is found and looked at again by the next open.
fn remove(env: &Env, path: &Path) {
    if let Err(error) = env.fs.remove(path)
        && !error.is_not_found()
    {
        tracing::debug!(%error, "a sidecar could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(first: u64, last: u64) -> SidecarName {
        SidecarName { first: Lsn(first), last: Lsn(last), made_from: MadeFrom::Table }
    }

    fn state(files: &[(u64, u64)]) -> State {
        State { files: files.iter().map(|&(first, last)| name(first, last)).collect(), ..State::default() }
    }

    #[test]
    fn every_lsn_has_exactly_one_who_answers() {
        let sets: [&[(u64, u64)]; 6] = [
            &[],
            &[(1, 10), (11, 20)],
            &[(3, 5), (8, 8), (10, 30)],
            &[(1, 30), (4, 6), (29, 29)],
            &[(1, 10), (5, 15), (9, 12), (14, 18)],
            &[(2, 3), (2, 9), (2, 5), (20, 21)],
        ];
        for files in sets {
            let state = state(files);
            for first in 1..=25 {
                for last in first..=25 {
                    let mut next = first;
                    for part in state.plan(&(Lsn(first)..=Lsn(last))) {
                        let lsns = match &part {
                            Part::Sidecar(name, lsns) => {
                                assert!(state.files.contains(name));
                                assert!(name.first <= *lsns.start() && *lsns.end() <= name.last);
                                lsns
                            }
                            Part::Uncovered(lsns) => {
                                let covered = |lsn| files.iter().any(|&(a, b)| a <= lsn && lsn <= b);
                                assert!(
                                    (lsns.start().0..=lsns.end().0).all(|lsn| !covered(lsn)),
                                    "{files:?}"
                                );
                                lsns
                            }
                        };
                        assert_eq!(lsns.start().0, next, "{files:?} {part:?}");
                        next = lsns.end().0 + 1;
                    }
                    assert_eq!(next, last + 1);
                }
            }
        }
        assert!(state(&[]).plan(&(Lsn(3)..=Lsn(2))).is_empty());
        let all = state(&[(1, u64::MAX)]).plan(&(Lsn(1)..=Lsn::MAX));
        assert_eq!(all, [Part::Sidecar(name(1, u64::MAX), Lsn(1)..=Lsn::MAX)]);
    }

    #[test]
    fn what_was_made_with_a_table_goes_with_the_tree() {
        let past = |flushed, is_new_tree| Past { durable: Lsn(50), flushed: Lsn(flushed), is_new_tree };
        let made = |last, made_from| SidecarName { first: Lsn(5), last: Lsn(last), made_from };
        assert!(past(40, false).allows(made(40, MadeFrom::Table)));
        assert!(!past(39, false).allows(made(40, MadeFrom::Table)));
        assert!(!past(40, true).allows(made(40, MadeFrom::Table)));
        assert!(past(0, true).allows(made(50, MadeFrom::Journal)));
        assert!(!past(50, false).allows(made(51, MadeFrom::Journal)));
    }
}
