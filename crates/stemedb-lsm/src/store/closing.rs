//! Finishing the table that closes a change.

use super::core::Core;
use crate::{
    Result,
    manifest::{Edit, Placing, Record},
    table::{TableBuilder, TableMeta},
};

impl Core {
    /// Finishes a table with the record of the change that it closes: the present state of the tree, and `edit`, which is all of the
    /// change but this table. The change must be installed next, or never.
    ///
    /// Cost: a copy of the list of tables, compressed, in the table's properties: some 100 bytes per live table.
    pub(crate) fn finish_closing(
        &self,
        builder: TableBuilder,
        level: usize,
        placing: Placing,
        edit: Edit,
    ) -> Result<TableMeta> {
        let edit = Edit { next_file: self.next_file(), ..edit };
        let level = u32::try_from(level).unwrap_or(u32::MAX);
        // Under the lock of installs: what the record says has been made durable.
        builder.finish_closing(&|| Record::encode(&self.manifest.lock().state, placing, level, &edit))
    }
}
