//! What a contender must be able to do.
//!
//! Two traits, because a contender must be able to say its name when it cannot even open: [`Engine`] is the contender
//! with its configuration, [`Store`] an opened database of it. A workload that needs more (reads, scans, commits that
//! need not be durable) adds a method to [`Store`], with a default that answers "cannot" where not every engine can.

use std::path::Path;

/// Whatever an engine complains about. The engines' own error types have nothing in common but their message.
pub type EngineError = Box<dyn std::error::Error + Send + Sync>;

/// Shorthand for results of engines.
pub type Result<T> = std::result::Result<T, EngineError>;

/// On which side a contender stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// StemeDB.
    Ours,
    /// Another storage engine.
    Peer,
    /// Not an engine but a bound: what the disk, or the processor, allows at best.
    Limit,
}

/// One key with its value.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// A contender: an engine in one configuration.
pub trait Engine: Send + Sync {
    /// Short, unique name: the one for `--only`.
    fn name(&self) -> &'static str;

    /// On which side it stands.
    fn kind(&self) -> Kind;

    /// Version, settings that are not the defaults, and what makes a commit durable, in one line.
    fn configuration(&self) -> &'static str;

    /// Makes a new database in `folder`, which exists and is empty. The database must be gone from memory when the store
    /// is dropped, since the folder is removed then.
    fn open(&self, folder: &Path) -> Result<Box<dyn Store>>;

    /// Most threads that it can serve at a time.
    fn max_writers(&self) -> usize {
        usize::MAX
    }
}

/// An opened database. Shared by all threads of a workload.
pub trait Store: Send + Sync {
    /// Writes a batch atomically; returns when it survives a power cut.
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()>;

    /// Syncs of the log since it was opened, where the engine counts them.
    fn syncs(&self) -> Option<u64> {
        None
    }

    /// A way to commit without waiting, for a contender that is driven by one thread with many commits under way. `None`:
    /// it is driven by threads that call [`Store::commit`].
    fn pipeline(&self) -> Option<Box<dyn Pipeline + '_>> {
        None
    }
}

/// Commits under way, handed in by one thread. First in, first out.
pub trait Pipeline {
    /// Hands a batch in. It is not durable yet.
    fn submit(&mut self, batch: &[Pair<'_>]) -> Result<()>;

    /// Waits until the oldest batch whose end has not been waited for is durable.
    fn wait_oldest(&mut self) -> Result<()>;
}
