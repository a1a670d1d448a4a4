//! The rows that a run stores: the same for every engine, made again in every process.

mod file;
mod small;

use std::path::{Path, PathBuf};

pub use self::{file::RowFile, small::SmallRows};
use crate::engine::{Pair, Result, Shape};

/// Where rows come from. Cheap to make.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum RowSource {
    /// Computed.
    Small {
        /// Number of rows.
        rows: u64,
    },
    /// From a file that [`RowFile::write`] made, and its twin in another order.
    File {
        /// Rows in the order of their keys; beside it lies the other one.
        path: PathBuf,
    },
}

impl RowSource {
    /// Which kind of rows.
    pub fn shape(&self) -> Shape {
        match self {
            RowSource::Small { .. } => Shape::Small,
            RowSource::File { .. } => Shape::Claims,
        }
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> Result<u64> {
        match self {
            RowSource::Small { rows } => Ok(rows * (small::KEY_BYTES + small::VALUE_BYTES) as u64),
            RowSource::File { path } => file::row_bytes(path),
        }
    }

    /// Opens it. `part` is the part of the rows that an engine gets.
    pub fn open(&self, part: f64) -> Result<Rows> {
        Ok(match self {
            RowSource::Small { rows } => Rows::Small(SmallRows::new(part_of(*rows, part))),
            RowSource::File { path } => Rows::File(RowFile::open(path, part)?),
        })
    }
}

fn part_of(rows: u64, part: f64) -> u64 {
    ((rows as f64 * part) as u64).max(1)
}

/// In which order rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ascending keys.
    Sorted,
    /// Any.
    Random,
}

/// Rows that can be walked through, and keys of them.
#[derive(Debug)]
pub enum Rows {
    /// Computed.
    Small(SmallRows),
    /// From a file.
    File(RowFile),
}

/// Several rows, kept in one piece of memory.
#[derive(Debug, Default)]
pub struct RowBatch {
    bytes: Vec<u8>,
    /// Ends of key and value.
    ends: Vec<(usize, usize)>,
}

impl RowBatch {
    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Adds a row.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
    }

    /// The key of a row.
    pub fn key(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before].1);
        &self.bytes[start..self.ends[row].0]
    }

    /// The rows.
    pub fn pairs(&self) -> impl Iterator<Item = Pair<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |&(key_end, end)| {
            let pair = Pair { key: &self.bytes[start..key_end], value: &self.bytes[key_end..end] };
            start = end;
            pair
        })
    }
}

/// Gives rows batch by batch. Returns false at the end.
pub trait Walk {
    /// Replaces the batch by the next `count` rows, or by fewer at the end; false without any.
    fn next_batch(&mut self, count: usize, batch: &mut RowBatch) -> Result<bool>;
}

/// Gives keys of rows, one after the other, in random order and without end.
pub trait Keys: Send {
    /// Replaces `key` by the next key and says what is known of its value.
    fn next_key(&mut self, key: &mut Vec<u8>) -> Expected;
}

/// What must be found under a key: what [`crate::engine::touch`] says of the value, where it is known.
pub type Expected = Option<u64>;

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> u64 {
        match self {
            Rows::Small(rows) => rows.len(),
            Rows::File(rows) => rows.len(),
        }
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows in an order.
    pub fn walk(&self, order: Order) -> Result<Box<dyn Walk + '_>> {
        Ok(match self {
            Rows::Small(rows) => Box::new(rows.walk(order)),
            Rows::File(rows) => Box::new(rows.walk(order)?),
        })
    }

    /// Keys of the first `part` of the rows.
    pub fn keys(&self, part: f64, seed: u64) -> Result<Box<dyn Keys>> {
        Ok(match self {
            Rows::Small(rows) => Box::new(rows.keys(part, seed)),
            Rows::File(rows) => Box::new(rows.keys(part, seed)?),
        })
    }

    /// Keys whose groups are worth a scan.
    pub fn group_keys(&self, seed: u64) -> Result<Box<dyn Keys>> {
        Ok(match self {
            Rows::Small(rows) => Box::new(rows.keys(1.0, seed)),
            Rows::File(rows) => Box::new(rows.group_keys(seed)?),
        })
    }

    /// Keys of no row, but with the beginning of one.
    pub fn absent_keys(&self, seed: u64) -> Result<Box<dyn Keys>> {
        Ok(match self {
            Rows::Small(rows) => Box::new(rows.absent_keys(seed)),
            Rows::File(rows) => Box::new(rows.absent_keys(seed)?),
        })
    }

    /// Rows that are written beside reads: their keys lie behind or between the others, and are new.
    pub fn more(&self, seed: u64) -> Result<Box<dyn Walk + Send>> {
        Ok(match self {
            Rows::Small(rows) => Box::new(rows.more(seed)),
            Rows::File(rows) => Box::new(rows.more(seed)?),
        })
    }
}

/// Length of the prefix under which the rows of a key's group lie.
pub fn group_bytes(shape: Shape, key: &[u8]) -> usize {
    match shape {
        Shape::Small => key.len().min(small::GROUP_BYTES),
        Shape::Claims => file::group_bytes(key),
    }
}

/// The twin of a row file with the rows in another order.
pub fn shuffled_path(path: &Path) -> PathBuf {
    path.with_extension("shuffled")
}
