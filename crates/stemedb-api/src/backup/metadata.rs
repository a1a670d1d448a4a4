//! What a backup says about itself.

use serde::{Deserialize, Serialize};
use stemedb_env::{Lsn, Micros};

use super::{FORMAT, Hex};

/// Parts of segments: what a second backup sends again of a segment that has grown.
pub const SEGMENT_PART_BYTES: u64 = 1 << 20;
/// Parts of everything else. No part is longer, so one fits in memory anywhere.
pub const PART_BYTES: u64 = 8 << 20;

/// `metadata.json`. See `docs/formats/backup.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Of the document and of everything that it names.
    pub format: u32,
    /// The database.
    pub database: Hex<16>,
    /// Its timeline.
    pub timeline: u32,
    /// The last entry.
    pub lsn: u64,
    /// Its recorded time, microseconds since the epoch.
    pub recorded_at: Option<i64>,
    /// The last entry that the view's tables have.
    pub flushed: u64,
    /// Its recorded time.
    pub flushed_recorded_at: Option<i64>,
    /// The oldest entry of the journal.
    pub first_lsn: u64,
    /// Entries in the journal.
    pub entries: u64,
    /// Rows of the view at `lsn`.
    pub rows: u64,
    /// Their root, as the database itself had it.
    pub state_root: Hex<32>,
    /// Wall clock, microseconds since the epoch.
    pub created_at: i64,
    /// Version of the program.
    pub program: String,
    /// Every file, by path.
    pub files: Vec<FileEntry>,
}

/// A file of the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its path in the data directory.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Digest of all of it.
    pub blake3: Hex<32>,
    /// Of a segment of the journal: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentEntry>,
    /// What it consists of, in order.
    pub parts: Vec<Part>,
}

/// A segment of the journal, plain and up to its accepted length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// Its number.
    pub id: u64,
    /// First entry that it may hold.
    pub first_lsn: u64,
    /// Last entry; below the first if it has none.
    pub last_lsn: u64,
    /// The frame chain's value at its end.
    pub chain: Hex<16>,
    /// Recorded time of its first entry.
    pub recorded_at: Option<i64>,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Digest of its plain bytes.
    pub blake3: Hex<32>,
    /// How many these are.
    pub bytes: u64,
    /// It is stored as one zstd frame.
    pub packed: bool,
}

impl Metadata {
    /// What contradicts itself in it, if anything does. A digest that holds proves that it is what was written, not that
    /// whoever wrote it was right.
    pub fn problem(&self) -> Option<String> {
        let wrong = |what: &str| Some(what.to_owned());
        if self.format != FORMAT {
            return Some(format!("format {} is not known", self.format));
        }
        if self.flushed > self.lsn || self.first_lsn == 0 {
            return wrong("its LSNs contradict each other");
        }
        if Some(self.entries) != (self.lsn + 1).checked_sub(self.first_lsn) {
            return wrong("its number of entries contradicts its LSNs");
        }
        if !self.files.is_sorted_by(|a, b| a.path < b.path) {
            return wrong("its files are not in order");
        }
        self.files.iter().find_map(FileEntry::problem)
    }

    /// The sum of all files.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    /// The last entry.
    pub fn lsn(&self) -> Lsn {
        Lsn(self.lsn)
    }

    /// When it was made.
    pub fn created_at(&self) -> Micros {
        Micros(self.created_at)
    }
}

impl FileEntry {
    fn problem(&self) -> Option<String> {
        if !is_ours(&self.path) {
            return Some(format!("{:?} is no file of a database", self.path));
        }
        let whole = self
            .parts
            .iter()
            .try_fold(0u64, |sum, part| sum.checked_add(part.bytes).filter(|_| part.is_in_bounds()));
        let segment = self.path.strip_prefix("wal/").is_some_and(|name| name.ends_with(".wal"));
        if whole != Some(self.bytes) || segment != self.segment.is_some() {
            return Some(format!("the parts of {} contradict it", self.path));
        }
        None
    }
}

impl Part {
    fn is_in_bounds(&self) -> bool {
        (1..=PART_BYTES).contains(&self.bytes)
    }

    /// The name of the object that holds it.
    pub fn object(&self) -> String {
        let digest = self.blake3.to_string();
        let shard = digest.get(..2).unwrap_or_default();
        format!("blobs/{shard}/{digest}{}", if self.packed { ".zst" } else { "" })
    }
}

/// True if a path is one that a backup may write to: nothing ever leaves the folder that is restored into.
fn is_ours(path: &str) -> bool {
    let plain = |name: &str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    match path.split_once('/') {
        None => matches!(path, "IDENTITY.a" | "IDENTITY.b"),
        Some(("kv" | "wal", name)) => plain(name),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_database_are_ever_written() {
        for path in ["IDENTITY.a", "kv/000001.sst", "kv/CURRENT", "wal/HEAD", "wal/live.000001.wal"] {
            assert!(is_ours(path), "{path}");
        }
        for path in
            ["", "LOCK", "/etc/passwd", "kv/../x", "kv/", "kv/a/b", "../kv/x", "kv/.x", "wal/a b", "x/y"]
        {
            assert!(!is_ours(path), "{path}");
        }
    }
}
