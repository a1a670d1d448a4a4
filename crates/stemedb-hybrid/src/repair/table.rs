//! A damaged or missing table, from the journal range that it covers.

use std::collections::VecDeque;

use stemedb_env::Lsn;
use stemedb_index::{Admit, Derive};
use stemedb_lsm::{DerivedWrite, KvStore, TableInfo, TableRepair, WriteBatch};
use stemedb_wal::{Journal, JournalReader};

use crate::{Error, HybridStore, Result, ViewHealth};

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
            self.derive.derive(entry.lsn, &entry.bytes, &mut self.batch)?;
            let writes = DerivedWrite::of_batch(&self.batch, entry.lsn);
            let TableInfo { smallest, largest, .. } = self.table;
            self.ready.extend(writes.into_iter().filter(|write| write.meets(smallest, largest)));
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

impl<P: TableRepair, F: KvStore, D: Admit> HybridStore<P, F, D> {
    /// Every live table of the primary view.
    pub fn tables(&self) -> Vec<TableInfo> {
        self.views.primary.store.tables()
    }

    /// Derives one table again and puts it in the place of the old file, which goes to `quarantine/`.
    ///
    /// The new content must have the digest that the manifest recorded for the old one: the repair is proven or it is
    /// refused. Reads and writes go on meanwhile. Cost: reads the journal over the table's LSN range; where that proves nothing,
    /// once more up to the table's horizon: removals that were merged away may lie behind its rows.
    pub fn repair_table(&self, file: u64) -> Result<()> {
        let store = &self.views.primary.store;
        let tables = store.tables();
        let table = tables.iter().find(|table| table.file == file).ok_or(Error::NoTable { file })?;
        let (first, from) = (self.journal.first_lsn(), table.min_lsn.max(Lsn(1)));
        if from < first {
            return Err(Error::JournalGap { first, needed: from });
        }
        let repair = |upto: Lsn| {
            let mut failure = None;
            let mut writes = DerivedWrites {
                reader: self.journal.read_from(from)?,
                derive: self.derive.as_ref(),
                table,
                upto,
                batch: WriteBatch::new(),
                ready: VecDeque::new(),
                failure: &mut failure,
                done: false,
            };
            let repaired = store.repair_table(file, &mut writes);
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
}

impl<F: KvStore, D: Admit> HybridStore<stemedb_lsm::LsmStore, F, D> {
    /// Repairs every table of the primary view that is known to be damaged; returns their numbers.
    pub fn repair_damaged(&self) -> Result<Vec<u64>> {
        let files: Vec<u64> = self.views.primary.store.damaged().iter().map(|(file, _)| *file).collect();
        for file in &files {
            self.repair_table(*file)?;
        }
        if matches!(self.views.primary.health(), ViewHealth::Degraded { .. }) {
            self.views.primary.set_health(ViewHealth::Healthy);
        }
        Ok(files)
    }
}
