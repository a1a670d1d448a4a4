//! The contract between the engine and what it stores.
//!
//! The engine (`stemedb-hybrid`) knows journals and views, not claims. [`Derive`] tells it how a journal entry becomes
//! rows, and how rows become the entry again; [`Admit`] decides, before anything is journaled, what of a request is new.
//! [`crate::Claims`] is the product's implementation, [`KeyValues`] the plainest one: rows in, rows out.

mod identity;
mod observe;
mod within;

use std::ops::RangeInclusive;

pub use identity::KeyValues;
pub use observe::{AppliedRows, Observers};
use stemedb_env::{Lsn, Micros};
use stemedb_lsm::{KvSnapshot, WriteBatch};

use crate::Result;

/// One row of a view: key and value.
pub type ViewRow = (Vec<u8>, Vec<u8>);

/// A pure, versioned function from journal entries to rows, and its inverse.
pub trait Derive: Send + Sync + 'static {
    /// Changes whenever the same entry would give other rows. Stands in every table.
    const VERSION: u32;

    /// True if what [`Derive::invert`] gives is the entry and nothing else could be, once deriving it again has given the same
    /// rows: its rows count and name what belongs to it. False if rows may be missing without a trace, as where keys
    /// are written again or removed; then only the journal's own chain can prove an entry.
    const INVERSE_IS_CERTAIN: bool = false;

    /// Every key is written once and never removed: of each there is one version at most. The engine relies on it for speed
    /// alone, and proves it where an answer depends on it.
    const WRITE_ONCE: bool = false;

    /// True if a reader of this version gets right answers from a view whose earlier entries an older `version` derived, and whose
    /// later ones this one: the view answers then while a new one is built beside it. Of rows that the older one did not
    /// derive a reader must ask [`KvSnapshot::derived_by`] before it takes their absence for an answer. Prefixes that are
    /// declared for filters must be the same for all keys that the older version wrote. See `docs/design/versions.md`.
    fn reads_version(_version: u32) -> bool {
        false
    }

    /// Appends the rows of an entry. Pure: the same LSN and bytes give the same rows, for ever.
    fn derive(&self, lsn: Lsn, entry: &[u8], rows: &mut WriteBatch) -> Result<()>;

    /// Appends those operations of [`Derive::derive`] that meet a key from `keys.start()` to `keys.end()`, both included,
    /// in the same order: puts and removals of such a key, and removals of ranges that have a key in common with the
    /// span, uncut. Nothing if the span is empty. Fails where [`Derive::derive`] does, with the same error.
    ///
    /// As given it derives everything and leaves most of it out. An implementation that does less pays where a damaged
    /// table is derived again: its rows came with many entries, and of each entry it needs a few.
    fn derive_within(
        &self,
        lsn: Lsn,
        entry: &[u8],
        keys: &RangeInclusive<&[u8]>,
        rows: &mut WriteBatch,
    ) -> Result<()> {
        let mut whole = WriteBatch::new();
        self.derive(lsn, entry, &mut whole)?;
        whole.iter().for_each(|op| within::push_if_within(&op, keys, rows));
        Ok(())
    }

    /// Rebuilds an entry from all of its rows, in any order; `None` when rows are missing.
    fn invert(&self, lsn: Lsn, rows: &[ViewRow]) -> Result<Option<Vec<u8>>>;

    /// The time that an entry records, if it records one.
    fn recorded_at(&self, lsn: Lsn, entry: &[u8]) -> Result<Option<Micros>>;

    /// Length of the key prefix that is worth a filter; 0 = none.
    fn filtered_prefix_bytes(key: &[u8]) -> usize;
}

/// What is to be journaled for a request.
#[derive(Debug)]
pub struct Admitted<R> {
    /// The entry's bytes; `None` when nothing in the request is new.
    pub entry: Option<Vec<u8>>,
    /// The reply once the entry (if any) is durable and readable.
    pub reply: R,
}

/// Decides what a request means, in commit order, before it is journaled.
pub trait Admit: Derive {
    /// One atomic request.
    type Request: Send;
    /// Its reply.
    type Reply: Send;
    /// What was admitted but is not in the view yet: the groups in flight.
    type InFlight: Default + Send;

    /// Size of a request in bytes, for the bounds of the commit queue.
    fn cost_bytes(request: &Self::Request) -> usize;

    /// Decides about one request, which will get `lsn` if it has an entry. `view` together with `in_flight` is
    /// everything admitted before. Must leave `in_flight` as it was when it fails.
    fn admit<S: KvSnapshot>(
        &self,
        request: Self::Request,
        view: &S,
        in_flight: &mut Self::InFlight,
        lsn: Lsn,
        now: Micros,
    ) -> Result<Admitted<Self::Reply>>;

    /// Everything up to `lsn` is in the view now, or will never be.
    fn retire(&self, in_flight: &mut Self::InFlight, lsn: Lsn);

    /// The entries from `lsn` on were not journaled: as if they had never been admitted. Their LSNs will be given to
    /// others.
    fn abandon(&self, in_flight: &mut Self::InFlight, lsn: Lsn);
}
