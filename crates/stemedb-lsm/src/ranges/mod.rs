//! Removals of whole ranges of keys.
//!
//! A range removal hides every row of its keys with a smaller LSN. Overlapping removals are cut into fragments: sorted
//! spans that do not overlap, each with the LSNs at which it was removed. Two facts follow that everybody relies on: one
//! binary search says what hides a key, and the LSN alone decides, wherever row and removal were found.
//!
//! - [`fragments`]: the spans of one source, and how those of several become one.
//! - [`growing`]: those of a memtable, which grow while they are read.
//! - [`cover`]: what one reader or one merge sees, walked along with the rows.

mod cover;
mod fragments;
mod growing;

pub(crate) use cover::Cover;
pub(crate) use fragments::{Fragments, successor};
pub(crate) use growing::GrowingRanges;
