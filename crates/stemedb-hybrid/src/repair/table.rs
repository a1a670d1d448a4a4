//! A damaged or missing table, from the journal range that it covers.

use std::{collections::VecDeque, sync::Arc};

use stemedb_env::Lsn;
use stemedb_index::{Admit, Derive};
use stemedb_lsm::{DerivedWrite, TableInfo, WriteBatch};
use stemedb_wal::{Journal, JournalReader};

use super::primary::health_of;
use crate::{Error, EventKind, HybridStore, Result, view::ViewStore};

/// The writes that meet one table's key range, derived from its LSN range.
struct DerivedWrites<'a, R, D> {
    reader: R,
    derive: &'a D,
    table: &'a TableInfo,
    batch: WriteBatch,
    /// The last LSN that is derived.
    upto: Lsn,
    ready: VecDeque<DerivedWrite>,
    /// What stopped the derivation, if it was not a failure of the store itself.
    failure: &'a mut Option<Error>,
    done: bool,
}

impl<R: JournalReader, D: Derive> DerivedWrites<'_, R, D> {
    /// Derives entries until writes are ready or the LSN range ends.
    fn fill(&mut self) -> Result<()> {
        while self.ready.is_empty() && !self.done {
            let Some(entry) = self.reader.next_entry()? else {
                self.done = true;
                break;
            };
            if entry.lsn > self.upto {
                self.done = true;
                break;
            }
            self.batch.clear();
            let keys = self.table.smallest.as_slice()..=self.table.largest.as_slice();
            self.derive.derive_within(entry.lsn, &entry.bytes, &keys, &mut self.batch)?;
            DerivedWrite::each_of_batch(&self.batch, entry.lsn, |write| self.ready.push_back(write));
        }
        Ok(())
    }
}

impl<R: JournalReader, D: Derive> Iterator for DerivedWrites<'_, R, D> {
    type Item = stemedb_lsm::Result<DerivedWrite>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.fill() {
            // The writes end early; the digest then refuses them, and the caller reports this instead.
            *self.failure = Some(error);
            self.done = true;
            self.ready.clear();
        }
        self.ready.pop_front().map(Ok)
    }
}

/// Derives one part of a store again, from the journal range that it covers: see [`HybridStore::repair_table`].
pub(crate) fn repair_part<J: Journal, P: ViewStore, D: Derive>(
    journal: &J,
    derive: &D,
    store: &P,
    file: u64,
) -> Result<()> {
    let tables = store.parts();
    let table = tables.iter().find(|table| table.file == file).ok_or(Error::NoTable { file })?;
    let (first, from) = (journal.first_lsn(), table.min_lsn.max(Lsn(1)));
    if from < first {
        return Err(Error::JournalGap { first, needed: from });
    }
    let repair = |upto: Lsn| {
        let mut failure = None;
        let mut writes = DerivedWrites {
            reader: journal.read_from(from)?,
            derive,
            table,
            upto,
            batch: WriteBatch::new(),
            ready: VecDeque::new(),
            failure: &mut failure,
            done: false,
        };
        let repaired = store.repair_part(file, &mut writes);
        match failure {
            Some(error) => Err(error),
            None => repaired.map_err(Error::from),
        }
    };
    match repair(table.max_lsn) {
        Err(Error::Store(stemedb_lsm::Error::RepairMismatch { .. })) if table.horizon > table.max_lsn => {
            repair(table.horizon)?;
        }
        repaired => repaired?,
    }
    tracing::info!(file, from = %table.min_lsn, to = %table.max_lsn, rows = table.rows, "SST file repaired from the journal");
    Ok(())
}

impl<P: ViewStore, F: ViewStore, D: Admit> HybridStore<P, F, D> {
    /// Every live table of the primary view.
    pub fn tables(&self) -> Vec<TableInfo> {
        self.views.primary().store.parts()
    }

    /// Derives one table again and puts it in the place of the old file, which goes to `quarantine/`.
    ///
    /// The new content must have the digest that the manifest recorded for the old one: the repair is proven or it is
    /// refused. Reads and writes go on meanwhile. Cost: reads the journal over the table's LSN range; where that proves nothing,
    /// once more up to the table's horizon: removals that were merged away may lie behind its rows.
    pub fn repair_table(&self, file: u64) -> Result<()> {
        let primary = Arc::clone(&self.views.primary());
        repair_part(&*self.journal, &*self.derive, &primary.store, file)?;
        let text =
            format!("table {file:06}.sst was derived again from the journal, and proven by its digest");
        self.events.push(EventKind::Repaired, Some(self.layout().kv().join(format!("{file:06}.sst"))), text);
        Ok(())
    }

    /// Repairs every table of the primary view that is known to be damaged; returns their numbers. A job does the same by
    /// itself.
    pub fn repair_damaged(&self) -> Result<Vec<u64>> {
        let primary = Arc::clone(&self.views.primary());
        let files: Vec<u64> = primary.store.damaged_parts().iter().map(|(file, _)| *file).collect();
        for file in &files {
            match self.repair_table(*file) {
                // The job was faster, or it has been merged away.
                Err(Error::NoTable { .. }) => {}
                repaired => repaired?,
            }
        }
        self.views.note_primary(health_of(&primary.store));
        Ok(files)
    }
}
