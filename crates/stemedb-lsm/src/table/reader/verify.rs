//! Checking a whole table.

use super::Table;
use crate::{
    CorruptionKind, Result,
    codec::Fields,
    table::{TableMeta, decode_meta, filter::Bloom, format::BlockKind, meta_sum::MetaSum},
};

impl Table {
    /// Reads every byte again from disk, past the cache, and compares with what the manifest says. Returns the rows.
    pub(crate) fn verify(&self) -> Result<u64> {
        // A fresh load: the resident index and filters say nothing about what is on disk now.
        let loaded = self.load().map_err(|error| self.noted(error))?;
        let Some(file) = &loaded.file else { return Err(self.no_block()) };
        for (kind, handle) in [
            (BlockKind::KeyFilter, loaded.footer.key_filter),
            (BlockKind::PrefixFilter, loaded.footer.prefix_filter),
        ] {
            self.read_raw(&**file, kind, handle, |bytes| {
                match bytes.is_empty() || Bloom::decode(bytes).is_ok() {
                    true => Ok(()),
                    false => Err(self.corrupt(CorruptionKind::BlockFormat, handle.offset)),
                }
            })
            .map_err(|error| self.noted(error))?;
        }
        let properties = loaded.footer.properties;
        let stored = self
            .read_raw(&**file, BlockKind::Properties, properties, |bytes| {
                decode_meta(&mut Fields::new(bytes))
                    .map_err(|_| self.corrupt(CorruptionKind::BlockFormat, properties.offset))
            })
            .map_err(|error| self.noted(error))?;
        if stored != (TableMeta { bytes: 0, ..self.meta.clone() }) {
            return Err(self.corrupt(CorruptionKind::TableMismatch, properties.offset));
        }
        let mut sum = MetaSum::default();
        for at in 0..loaded.index.blocks() {
            let handle = loaded.index.handle(at).ok_or_else(|| self.no_block())?;
            let block = self.read_data(file, handle)?;
            let ordered = sum.add_block(&block);
            let separated = !loaded.index.block_is_before(at, sum.last_key())
                && (at == 0
                    || loaded.index.block_is_before(at - 1, sum.last_key())
                    || loaded.index.separator_is(at - 1, sum.last_key()));
            if !ordered || !separated {
                return Err(self.corrupt(CorruptionKind::BlockFormat, handle.offset));
            }
            if let Some(filter) = &loaded.key_filter
                && !sum.block_key_hashes().iter().all(|hash| filter.may_contain(*hash))
            {
                return Err(self.corrupt(CorruptionKind::TableMismatch, loaded.footer.key_filter.offset));
            }
        }
        sum.add_ranges(&loaded.ranges);
        if !sum.matches(&self.meta) {
            return Err(self.corrupt(CorruptionKind::TableMismatch, 0));
        }
        Ok(self.meta.rows)
    }
}
