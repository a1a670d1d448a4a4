//! A damaged or missing table, from the journal range that it covers.

use std::collections::VecDeque;

use stemedb_env::Lsn;
use stemedb_index::{Admit, Derive};
use stemedb_lsm::{KvStore, Row, TableInfo, TableRepair, WriteBatch};
use stemedb_wal::{Journal, JournalReader};

use crate::{Error, HybridStore, Result, ViewHealth};

/// The rows of one table's key range, derived from its LSN range.
struct DerivedRows<'a, R, D> {
    reader: R,
    derive: &'a D,
    table: &'a TableInfo,
    batch: WriteBatch,
    ready: VecDeque<Row>,
    /// What stopped the derivation, if it was not a failure of the store itself.
    failure: &'a mut Option<Error>,
    done: bool,
}

impl<R: JournalReader, D: Derive> DerivedRows<'_, R, D> {
    /// Derives entries until rows are ready or the table's LSN range ends.
    fn fill(&mut self) -> Result<()> {
        while self.ready.is_empty() && !self.done {
            let Some(entry) = self.reader.next_entry()? else {
                self.done = true;
                break;
            };
            if entry.lsn > self.table.max_lsn {
                self.done = true;
                break;
            }
            self.batch.clear();
            self.derive.derive(entry.lsn, &entry.bytes, &mut self.batch)?;
            let inside =
                |key: &[u8]| key >= self.table.smallest.as_slice() && key <= self.table.largest.as_slice();
            self.ready.extend(self.batch.iter().filter(|op| inside(op.key())).map(|op| Row {
                key: op.key().to_vec(),
                lsn: entry.lsn,
                value: op.value().map(<[u8]>::to_vec),
            }));
        }
        Ok(())
    }
}

impl<R: JournalReader, D: Derive> Iterator for DerivedRows<'_, R, D> {
    type Item = stemedb_lsm::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.fill() {
            // The rows end early; the digest then refuses them, and the caller reports this instead.
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
    /// refused. Reads and writes go on meanwhile. Cost: reads the journal over the table's LSN range.
    pub fn repair_table(&self, file: u64) -> Result<()> {
        let store = &self.views.primary.store;
        let tables = store.tables();
        let table = tables.iter().find(|table| table.file == file).ok_or(Error::NoTable { file })?;
        let (first, from) = (self.journal.first_lsn(), table.min_lsn.max(Lsn(1)));
        if from < first {
            return Err(Error::JournalGap { first, needed: from });
        }
        let mut failure = None;
        let mut rows = DerivedRows {
            reader: self.journal.read_from(from)?,
            derive: self.derive.as_ref(),
            table,
            batch: WriteBatch::new(),
            ready: VecDeque::new(),
            failure: &mut failure,
            done: false,
        };
        let repaired = store.repair_table(file, &mut rows);
        if let Some(error) = failure {
            return Err(error);
        }
        repaired?;
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
