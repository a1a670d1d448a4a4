//! What is resident of a table, from its file.

use std::sync::Arc;

use stemedb_env::{File, OpenMode, fs::Access};

use super::{Loaded, Resident, Table};
use crate::{
    CorruptionKind, Error, Result,
    memory::{Charge, Kind},
    ranges::Fragments,
    table::{
        filter::Bloom,
        format::{BlockHandle, BlockKind, FOOTER_BYTES, Footer, HEADER_BYTES, check_header, short_read},
        heal::is_unreadable,
        index::Index,
    },
};

impl Table {
    /// Reads what is resident, and refuses what is not as it must be.
    pub(in crate::table) fn load(&self) -> Result<Loaded> {
        let path = self.path();
        let identity = self.identity();
        let file = self.context.fs.open(&path, OpenMode::Read).map_err(|error| {
            if error.is_not_found() {
                self.corrupt(CorruptionKind::TableMissing, 0)
            } else {
                self.as_damage(Error::Env(error), 0)
            }
        })?;
        let len = file.len().map_err(|error| self.as_damage(Error::Env(error), 0))?;
        if len != self.meta.bytes || len < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            return Err(self.corrupt(CorruptionKind::TableMismatch, len.min(self.meta.bytes)));
        }
        let read = |bytes: &mut [u8], offset: u64| -> Result<()> {
            let read = || file.read_exact_at(bytes, offset).map_err(Error::Env);
            self.read_again(read).map_err(|error| match self.as_damage(error, offset) {
                Error::Env(error) => short_read(error, &path, CorruptionKind::TableMismatch, offset),
                damage => damage,
            })
        };
        let mut header = [0; HEADER_BYTES];
        read(&mut header, 0)?;
        if !check_header(&identity, self.meta.derivation_version, &header) {
            return Err(self.corrupt(CorruptionKind::SstHeader, 0));
        }
        let footer_at = len - FOOTER_BYTES as u64;
        let mut footer = [0; FOOTER_BYTES];
        read(&mut footer, footer_at)?;
        let Some(footer) = Footer::decode(&identity, &footer, len) else {
            return Err(self.corrupt(CorruptionKind::SstHeader, footer_at));
        };
        let index = self.load_index(&*file, &footer)?;
        let ranges = self.load_ranges(&*file, &footer)?;
        self.assemble(
            file,
            footer,
            Resident { index, ranges, has_own_ranges: true, has_own_index: true, damage: None },
        )
    }

    /// Reads again what the device has refused once, where a second refusal will count as damage.
    fn read_again<T>(&self, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        match read() {
            Err(error) if self.context.healer.is_attached() && is_unreadable(&error) => read(),
            outcome => outcome,
        }
    }

    pub(in crate::table) fn load_index(&self, file: &dyn File, footer: &Footer) -> Result<Index> {
        self.read_raw(file, BlockKind::Index, footer.index, |bytes| {
            Index::decode(bytes, footer.data_end())
                .map_err(|_| self.corrupt(CorruptionKind::BlockFormat, footer.index.offset))
        })
    }

    /// Adds the filters to what cannot be done without.
    pub(in crate::table) fn assemble(
        &self,
        file: Arc<dyn File>,
        footer: Footer,
        resident: Resident,
    ) -> Result<Loaded> {
        let Resident { index, ranges, has_own_ranges, has_own_index, damage } = resident;
        let key_filter = self.load_filter(&*file, BlockKind::KeyFilter, footer.key_filter)?;
        let prefix_filter = match self.context.prefix_extractor {
            Some(_) => self.load_filter(&*file, BlockKind::PrefixFilter, footer.prefix_filter)?,
            None => None,
        };
        // Whoever reads in order reads ahead himself.
        file.advise(Access::Random);
        let slots = self.context.memory.cache().slots(index.blocks());
        let filters = [&key_filter, &prefix_filter].into_iter().flatten().map(Bloom::memory_bytes);
        let held = index.memory_bytes() + filters.sum::<u64>() + ranges.memory_bytes() as u64;
        let held = usize::try_from(held).unwrap_or(usize::MAX);
        let charge = Charge::new(&self.context.memory, Kind::Tables, held);
        Ok(Loaded {
            file: Some(file),
            index,
            key_filter,
            prefix_filter,
            ranges,
            has_own_ranges,
            has_own_index,
            footer,
            slots,
            damage,
            _charge: charge,
        })
    }

    /// An unreadable filter means "maybe"; it is noted as damage all the same.
    fn load_filter(&self, file: &dyn File, kind: BlockKind, handle: BlockHandle) -> Result<Option<Bloom>> {
        let decoded = self.read_raw(file, kind, handle, |bytes| {
            Ok(if bytes.is_empty() { Ok(None) } else { Bloom::decode(bytes).map(Some) })
        });
        match decoded {
            Ok(Ok(filter)) => Ok(filter),
            Ok(Err(_)) => {
                self.context.damage.note(self.meta.file, CorruptionKind::BlockFormat, handle.offset);
                Ok(None)
            }
            Err(error @ Error::Corruption { .. }) => {
                self.noted(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(in crate::table) fn load_ranges(&self, file: &dyn File, footer: &Footer) -> Result<Fragments> {
        let Some(handle) = footer.ranges() else {
            return match self.meta.ranges {
                0 => Ok(Fragments::default()),
                _ => Err(self.corrupt(CorruptionKind::TableMismatch, footer.key_filter.offset)),
            };
        };
        let ranges = self.read_raw(file, BlockKind::RangeRemovals, handle, |bytes| {
            Fragments::decode(bytes).map_err(|_| self.corrupt(CorruptionKind::BlockFormat, handle.offset))
        })?;
        match ranges.len() as u64 == self.meta.ranges {
            true => Ok(ranges),
            false => Err(self.corrupt(CorruptionKind::TableMismatch, handle.offset)),
        }
    }
}
