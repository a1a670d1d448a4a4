//! Notices as a stream that can be begun at any position.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use stemedb_env::Lsn;
use stemedb_index::watches::{FollowCounts, Follower, Notice};

use super::registry::{Logged, News};
use crate::{
    database::{Database, Feed, Snapshot},
    errors::Result,
};

/// Questions that are looked at in one step.
const LOOK_AT_ONCE: usize = 256;

/// Reads notices from a position of the journal on, up to what is readable; see [`Database::notices`].
///
/// Holds what [`Follower`] says it holds, and what a [`Feed`] does. Watches that are registered or removed meanwhile are taken in.
#[derive(Debug)]
pub struct Notices {
    database: Database,
    feed: Feed,
    prefix: String,
    follower: Follower,
    /// The last change of watches that the follower knows.
    revision: Option<u64>,
    /// An entry that was read and not gone by yet.
    current: Option<Bytes>,
    snapshot: Option<Snapshot>,
    ready: VecDeque<Notice>,
}

/// What one step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// Some way on, or a notice is ready.
    On,
    /// There is no next entry yet.
    CaughtUp,
}

impl Notices {
    pub(super) fn begin(database: &Database, from: Lsn, prefix: &str) -> Result<Notices> {
        let nothing_up_to = database.registry().earliest(prefix, &|| database.published_lsn())?;
        let feed = database.feed(from.max(nothing_up_to.next()))?;
        Ok(Notices {
            database: database.clone(),
            follower: Follower::new(feed.position()),
            feed,
            prefix: prefix.to_owned(),
            revision: None,
            current: None,
            snapshot: None,
            ready: VecDeque::new(),
        })
    }

    /// Where to go on: all notices of earlier entries were given. In the middle of an entry's notices, that entry.
    pub fn position(&self) -> Lsn {
        self.ready.front().map_or_else(|| self.follower.position(), |notice| notice.lsn)
    }

    /// What following has cost.
    pub fn counts(&self) -> FollowCounts {
        self.follower.counts()
    }

    /// The next notice; `None` if there is none up to the newest entry.
    ///
    /// # Errors
    /// [`crate::Code::PositionGone`] if the journal has let go of what comes next; [`crate::Error::Engine`] where something cannot be
    /// read. It can be called again.
    pub fn next_notice(&mut self) -> Result<Option<Notice>> {
        loop {
            if let Some(notice) = self.ready.pop_front() {
                return Ok(Some(notice));
            }
            if self.step()? == Stepped::CaughtUp {
                return Ok(None);
            }
        }
    }

    /// The next notice that is ready, and whether it is the last one of its entry.
    #[cfg(feature = "server")]
    pub(crate) fn take_ready(&mut self) -> Option<(Notice, bool)> {
        let notice = self.ready.pop_front()?;
        Some((notice, self.ready.is_empty()))
    }

    /// Whether notices of one entry were given in part.
    #[cfg(feature = "server")]
    pub(crate) fn is_inside(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Goes on by one entry at most, or looks at a few questions: a bounded piece of work while there is nothing to tell.
    pub(crate) fn step(&mut self) -> Result<Stepped> {
        if !self.ready.is_empty() {
            return Ok(Stepped::On);
        }
        let stepped = self.go_on();
        if !matches!(stepped, Ok(Stepped::On)) {
            // Nothing is held while there is nothing to do, and a view that failed is asked anew.
            self.snapshot = None;
        }
        stepped
    }

    fn go_on(&mut self) -> Result<Stepped> {
        if self.current.is_none() {
            let Some((_, bytes)) = self.feed.next_bytes()? else { return Ok(Stepped::CaughtUp) };
            self.current = Some(bytes);
        }
        let next = self.follower.position();
        loop {
            match self.database.registry().news(self.revision, next)? {
                News::None => break,
                News::Wait => self.database.registry().settle()?,
                News::Changes(changes, revision) => {
                    for change in changes {
                        match change {
                            Logged::Added(new) if new.watch.id.starts_with(&self.prefix) => {
                                self.follower.add(new)
                            }
                            Logged::Removed(old) => self.follower.remove(&old),
                            Logged::Added(_) => {}
                        }
                    }
                    self.revision = Some(revision);
                }
                News::All(all, revision) => {
                    self.follower = Follower::new(next);
                    let fitting = all.iter().filter(|one| one.watch.id.starts_with(&self.prefix));
                    fitting.for_each(|one| self.follower.add(Arc::clone(one)));
                    self.revision = Some(revision);
                }
            }
        }
        let snapshot =
            match self.snapshot.take().filter(|snapshot| stemedb_lsm::KvSnapshot::lsn(snapshot) >= next) {
                Some(snapshot) => snapshot,
                None => self.database.engine().snapshot()?,
            };
        let snapshot = self.snapshot.insert(snapshot);
        if !self.follower.look(snapshot, LOOK_AT_ONCE)? {
            return Ok(Stepped::On);
        }
        if let Some(entry) = &self.current {
            self.ready = self.follower.step(entry, snapshot)?.into();
            self.current = None;
        }
        Ok(Stepped::On)
    }

    /// Waits until there is a next entry, at most for `limit`. True if there is one: that need not be one with a notice.
    pub fn wait(&self, limit: Duration) -> bool {
        self.current.is_some() || !self.ready.is_empty() || self.feed.wait(limit)
    }
}
