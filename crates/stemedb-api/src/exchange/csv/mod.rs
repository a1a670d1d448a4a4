//! Claims as a table (`docs/formats/csv.md`).

mod columns;
mod read;
mod write;

pub(super) use read::Rows;
pub(super) use write::RowsOut;
