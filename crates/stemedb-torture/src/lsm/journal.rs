//! The journal's part in healing, played by a list.

use std::{ops::RangeInclusive, sync::Arc};

use stemedb_lsm::{
    DerivedWrite, LsmStore, Lsn, ObservedTable, Result, TableObserver, WriteBatch, WriteSource,
};

/// All batches, in LSN order.
#[derive(Debug, Default)]
pub(super) struct Batches(pub(super) Vec<(Lsn, WriteBatch)>);

impl Batches {
    pub(super) fn attach(self: &Arc<Batches>, store: &LsmStore) {
        store.attach(Arc::clone(self) as Arc<dyn WriteSource>, Arc::new(Nobody));
    }

    fn found<'a>(
        &'a self,
        keys: &'a RangeInclusive<&[u8]>,
        lsns: &'a RangeInclusive<Lsn>,
    ) -> impl Iterator<Item = DerivedWrite> + 'a {
        let within = self.0.iter().filter(|(lsn, _)| lsns.contains(lsn));
        let writes = within.flat_map(|(lsn, batch)| DerivedWrite::of_batch(batch, *lsn));
        writes.filter(|write| write.meets(keys.start(), keys.end()))
    }
}

impl WriteSource for Batches {
    fn writes(&self, keys: &RangeInclusive<&[u8]>, lsns: &RangeInclusive<Lsn>) -> Result<Vec<DerivedWrite>> {
        Ok(self.found(keys, lsns).collect())
    }

    fn cuts(
        &self,
        keys: &RangeInclusive<&[u8]>,
        lsns: &RangeInclusive<Lsn>,
        rows: usize,
    ) -> Result<Vec<Vec<u8>>> {
        let rows_of = |write| match write {
            DerivedWrite::Row(row) => Some(row.key),
            DerivedWrite::Range(_) => None,
        };
        let mut all: Vec<Vec<u8>> = self.found(keys, lsns).filter_map(rows_of).collect();
        all.sort();
        all.dedup();
        // More parts than would be worth it, so that there are some.
        Ok(all.into_iter().step_by(rows.clamp(1, 5)).collect())
    }
}

/// Sees no tables.
#[derive(Debug)]
struct Nobody;

impl TableObserver for Nobody {
    fn begin(&self) -> Box<dyn ObservedTable> {
        Box::new(Unseen)
    }
}

struct Unseen;

impl ObservedTable for Unseen {
    fn row(&mut self, _: &[u8], _: Lsn) {}

    fn range(&mut self, _: &[u8], _: &[u8], _: Lsn) {}

    fn finish(self: Box<Self>, _: RangeInclusive<Lsn>) {}
}
