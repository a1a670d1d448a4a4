//! Checking a whole table at once.

use super::{Table, check};
use crate::Result;

impl Table {
    /// Reads every byte again from disk, past the caches, and compares with what the manifest says. Returns the rows.
    pub(crate) fn verify(&self) -> Result<u64> {
        check::whole(self).map_err(|error| self.noted(error))
    }
}
