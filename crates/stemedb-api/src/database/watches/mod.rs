//! Answers that somebody wants to be told about: who asked, and what there is to tell.
//!
//! What is registered is durable; what was told is not kept at all, because it follows from the journal and what is registered:
//! see [`stemedb_index::watches`] and `docs/design/watches.md`.

mod group;
mod notices;
mod record;
mod registry;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use notices::Notices;
#[cfg(feature = "server")]
pub(crate) use notices::Stepped;
pub(crate) use registry::Registry;
pub use registry::WATCHES_MAX;
use stemedb_env::{Lsn, frame::DatabaseId};
use stemedb_index::watches::{Registered, Watch};
pub use store::WatchesDamaged;

use self::registry::{Change, Outcome};
use super::Database;
use crate::{
    errors::{Code, FieldError, Invalid, Result},
    json::{check_watch, check_watch_id},
};

/// Most watches on a page.
pub(crate) const WATCH_PAGE_MAX: usize = 10_000;

/// A watch that was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The watch, and since when it counts.
    pub registered: Arc<Registered>,
    /// False if the very same was registered before.
    pub created: bool,
}

/// Some of the watches, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchPage {
    /// The watches.
    pub watches: Vec<Arc<Registered>>,
    /// Watches there are, whatever their ids.
    pub registered: usize,
    /// The `after` of the next page; `None` at the end.
    pub next: Option<String>,
}

impl Database {
    /// Registers a watch, durably. What changes from now on is told by [`Database::notices`]. Registering the very same again changes nothing.
    ///
    /// Costs commits nothing: whoever asks for notices reads the journal.
    ///
    /// # Errors
    /// [`Code::WatchExists`] if there is another one with its id; [`Code::TooMany`] beyond [`WATCHES_MAX`]; the codes of members that
    /// break a rule; [`crate::Error::Engine`] where it cannot be written.
    pub fn watch(&self, watch: Watch) -> Result<Watched> {
        let mut watched = self.watch_all(vec![watch])?;
        // One watch, one outcome: anything else is a defect, answered as a lost commit.
        watched.pop().ok_or_else(super::abandoned)
    }

    /// Registers watches all together or not at all, with one sync.
    ///
    /// # Errors
    /// As [`Database::watch`], with the watch's number in the pointer; [`Code::TooLarge`] for more than about 39 MB of them.
    pub fn watch_all(&self, mut watches: Vec<Watch>) -> Result<Vec<Watched>> {
        for (index, watch) in watches.iter_mut().enumerate() {
            let left_out = &mut watch.counterfactual;
            left_out.without_sources.sort_unstable();
            left_out.without_sources.dedup();
            left_out.without_agents.sort_unstable();
            left_out.without_agents.dedup();
            check_watch(watch).map_err(|invalid| at_number(invalid, index))?;
        }
        if watches.is_empty() {
            return Ok(Vec::new());
        }
        let changes = watches.into_iter().map(|watch| Change::Add(Box::new(watch))).collect();
        let outcomes = self.registry().change(changes, &|| self.published_lsn())?;
        let watched = outcomes.into_iter().filter_map(|outcome| match outcome {
            Outcome::Added(registered) => Some(Watched { registered, created: true }),
            Outcome::Existing(registered) => Some(Watched { registered, created: false }),
            Outcome::Removed | Outcome::Absent => None,
        });
        Ok(watched.collect())
    }

    /// Removes a watch, durably. False if there was none.
    ///
    /// # Errors
    /// [`crate::Error::Engine`] where it cannot be written.
    pub fn unwatch(&self, id: &str) -> Result<bool> {
        let outcomes =
            self.registry().change(vec![Change::Remove(id.to_owned())], &|| self.published_lsn())?;
        Ok(outcomes.iter().any(|outcome| matches!(outcome, Outcome::Removed)))
    }

    /// The watch with an id.
    ///
    /// # Errors
    /// Where the folder of watches cannot be read.
    pub fn watched(&self, id: &str) -> Result<Option<Arc<Registered>>> {
        self.registry().get(id)
    }

    /// Watches there are; `None` before they were used since the database was opened. Reads nothing.
    pub fn watches_counted(&self) -> Option<usize> {
        self.registry().counted()
    }

    /// At most `limit` (10,000) watches whose ids begin with `prefix`, behind the id `after`.
    ///
    /// # Errors
    /// Where the folder of watches cannot be read.
    pub fn watches(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<WatchPage> {
        let limit = limit.clamp(1, WATCH_PAGE_MAX);
        // One more shows whether there are more.
        let (mut watches, registered) = self.registry().page(prefix, after, limit + 1)?;
        let more = watches.len() > limit;
        watches.truncate(limit);
        let next = watches.last().filter(|_| more).map(|last| last.watch.id.clone());
        Ok(WatchPage { watches, registered, next })
    }

    /// What there is to tell about the watches whose ids begin with `prefix`, from an entry on (0 counts as 1): each notice once, in the
    /// order of entries and ids. The same position always gives the same, so that whoever keeps [`Notices::position`] misses nothing and hears
    /// nothing twice. What lies before the first of these watches was registered is passed over at once.
    ///
    /// Cost: one scan of its claims for each watched question, before the first entry; then see [`stemedb_index::watches::Follower::step`].
    ///
    /// # Errors
    /// As [`Database::feed`], and where the folder of watches cannot be read.
    pub fn notices(&self, from: Lsn, prefix: &str) -> Result<Notices> {
        if !prefix.is_empty()
            && let Err(error) = check_watch_id(prefix)
        {
            return Err(FieldError::in_parameter("prefix", Code::InvalidParameter, error.detail).into());
        }
        Notices::begin(self, from, prefix)
    }
}

/// Whose the journal of watches is: of an id of its own, so that its segments are never taken for those of the database's journal.
pub(super) fn journal_identity(identity: &stemedb_hybrid::Identity) -> stemedb_wal::JournalIdentity {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"stemedb watches v1\0").update(&identity.database.0);
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    stemedb_wal::JournalIdentity { database: DatabaseId(id), timeline: identity.timeline }
}

fn at_number(invalid: Invalid, index: usize) -> Invalid {
    let errors = invalid.errors().map(|error| {
        FieldError::in_body(
            match &error.place {
                crate::errors::Place::Body(pointer) => format!("/{index}{pointer}"),
                crate::errors::Place::Parameter(name) => format!("/{index}/{name}"),
            },
            error.code,
            error.detail.clone(),
        )
    });
    Invalid::all(errors).unwrap_or(invalid)
}
