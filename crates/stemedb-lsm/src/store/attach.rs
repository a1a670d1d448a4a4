//! Attaching those who can derive rows again.

use std::sync::Arc;

use super::LsmStore;
use crate::{DerivedBy, TableObserver, WriteSource};

impl LsmStore {
    /// From now on, what cannot be read of tables is derived again from `source`: single blocks, and tables whose file is
    /// missing or of no use. Reads give the right answer then, damage is noted as before ([`LsmStore::damaged`]), and
    /// [`crate::Stats::healed_blocks`] counts. `observer` is told the rows of tables that begin to be written from now on.
    ///
    /// Before it, and where the source fails, a damaged place is an error that names it. Cost where nothing is damaged: none.
    ///
    /// `source` gives what the newest version derives, so it heals tables of that version alone.
    ///
    /// Once for a store: false, and nothing changes, if somebody is attached already.
    pub fn attach(&self, source: Arc<dyn WriteSource>, observer: Arc<dyn TableObserver>) -> bool {
        let version = DerivedBy::of(&self.core.options).newest;
        self.core.context.healer.attach(source, observer, version)
    }
}
