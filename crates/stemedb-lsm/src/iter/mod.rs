//! Reading many sources as one: the merge of all versions, and the rows visible at one LSN.

mod merge;
mod visible;

pub(crate) use merge::{Merge, Source};
pub use visible::LsmIter;
