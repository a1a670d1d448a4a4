//! Sorted string tables: immutable files of rows in the order key ascending, LSN descending.
//!
//! ```text
//! header | data block … | key filter | prefix filter | index | properties | footer
//! ```
//!
//! Every byte lies under a checksum that is seeded with the database, the file number and the offset. Index and filters
//! are read at the first use of a table and stay resident. See `docs/formats/sst.md`.

pub(crate) mod block;
mod builder;
mod cursor;
mod describe;
pub(crate) mod filter;
pub(crate) mod format;
mod heads;
pub(crate) mod heal;
pub(crate) mod index;
mod meta;
mod meta_sum;
mod pack;
mod read_ahead;
mod reader;
mod run;
pub(crate) mod scan;

use std::path::{Path, PathBuf};

pub(crate) use builder::{TableBuilder, TableShape};
pub(crate) use cursor::{Bounds, RunCursor};
pub(crate) use describe::{Described, describe, header_version};
pub(crate) use heads::head;
pub(crate) use heal::Healer;
pub(crate) use meta::{TableMeta, decode_meta, encode_meta};
pub(crate) use pack::Room;
pub use reader::{CheckEnd, CheckedPiece, TableCheck};
pub(crate) use reader::{Found, OnDamage, Table, TableContext};
pub(crate) use run::Run;

/// Where table `file` lies.
pub(crate) fn table_path(dir: &Path, file: u64) -> PathBuf {
    dir.join(format!("{file:06}.sst"))
}

/// The number of a table from its name; `None` for other files.
pub(crate) fn table_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".sst")?;
    (digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}
