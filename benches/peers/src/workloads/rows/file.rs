//! Rows in a file, in the order of their keys, and in another one in random order.
//!
//! ```text
//! rows       u64
//! per row    key length u16, value length u32, number in key order u32, key, value     (all little-endian)
//! ```
//!
//! Both files are read from front to back in large pieces, so that making rows costs nothing beside storing them. Keys for
//! reads are a sample that is read before anything is measured.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use stemedb_index::Family;

use super::{Expected, Keys, Order, RowBatch, Walk, part_of, shuffled_path};
use crate::{
    engine::{Result, touch},
    random::{Shuffle, SplitMix64},
};

const PIECE_BYTES: usize = 1 << 20;
const HEADER_BYTES: u64 = 8;
const ROW_HEADER_BYTES: usize = 10;
const ORDER_SEED: u64 = 0x5EED;
/// Most keys of a sample: some tens of megabytes.
const SAMPLE_KEYS: u64 = 200_000;
/// A new key differs from an old one in its last bytes: those of a hash or of a position.
const CHANGED_BYTES: usize = 8;

/// See the module.
#[derive(Debug)]
pub struct RowFile {
    path: PathBuf,
    /// Rows with smaller numbers are in.
    rows: u64,
    /// Samples that were made, by the number of rows and the kind: threads share them.
    samples: Mutex<BTreeMap<(u64, Kind), Arc<Sample>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    All,
    /// Keys of claims: their groups are what is scanned.
    Groups,
    Absent,
}

/// Keys and what is known of their values.
#[derive(Debug, Default)]
struct Sample {
    keys: RowBatch,
    touches: Vec<Expected>,
}

impl RowFile {
    /// Writes rows into two files: in the order of their keys, and shuffled.
    pub fn write(path: &Path, rows: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<()> {
        let numbered: Vec<(&Vec<u8>, &Vec<u8>)> = rows.iter().collect();
        let count = numbered.len() as u64;
        let shuffle = Shuffle::of(count.max(1), ORDER_SEED);
        let sorted = (0..count).map(|row| row as usize);
        write_file(path, count, sorted.map(|row| (row, numbered[row])))?;
        let shuffled = (0..count).map(|place| shuffle.at(place) as usize);
        write_file(&shuffled_path(path), count, shuffled.map(|row| (row, numbered[row])))?;
        Ok(())
    }

    /// Opens the two files.
    pub fn open(path: &Path, part: f64) -> Result<RowFile> {
        let mut count = [0; 8];
        File::open(path)?.read_exact(&mut count)?;
        let rows = part_of(u64::from_le_bytes(count), part);
        Ok(RowFile { path: path.to_path_buf(), rows, samples: Mutex::default() })
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn walk(&self, order: Order) -> Result<FileWalk> {
        let path = match order {
            Order::Sorted => self.path.clone(),
            Order::Random => shuffled_path(&self.path),
        };
        let mut file = BufReader::with_capacity(PIECE_BYTES, File::open(path)?);
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
        Ok(FileWalk { file, rows: self.rows, row: Row::default(), change: None })
    }

    pub(super) fn more(&self, seed: u64) -> Result<FileWalk> {
        Ok(FileWalk { change: Some(SplitMix64::of(seed)), ..self.walk(Order::Random)? })
    }

    pub(super) fn keys(&self, part: f64, seed: u64) -> Result<FileKeys> {
        self.keys_of(part_of(self.rows, part), Kind::All, seed)
    }

    pub(super) fn group_keys(&self, seed: u64) -> Result<FileKeys> {
        self.keys_of(self.rows, Kind::Groups, seed)
    }

    pub(super) fn absent_keys(&self, seed: u64) -> Result<FileKeys> {
        self.keys_of(self.rows, Kind::Absent, seed)
    }

    fn keys_of(&self, rows: u64, kind: Kind, seed: u64) -> Result<FileKeys> {
        let mut samples = self.samples.lock().map_err(|_| "a thread panicked over its keys")?;
        let sample = match samples.entry((rows, kind)) {
            Entry::Occupied(sample) => Arc::clone(sample.get()),
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::new(self.sample(rows, kind)?))),
        };
        let count = sample.keys.len() as u64;
        let shuffle = Shuffle::of(count, seed);
        let order = (0..count).map(|place| shuffle.at(place) as u32).collect();
        Ok(FileKeys { sample, order, next: 0 })
    }

    fn sample(&self, rows: u64, kind: Kind) -> Result<Sample> {
        let mut walk = self.walk(Order::Sorted)?;
        let mut sample = Sample::default();
        let step = rows.div_ceil(SAMPLE_KEYS);
        let mut random = SplitMix64::of(rows);
        for number in 0..rows {
            if !walk.row.read(&mut walk.file)? {
                break;
            }
            let is_group = Family::of(&walk.row.key) == Some(Family::Claim);
            if number % step != 0 || (kind == Kind::Groups && !is_group) {
                continue;
            }
            if kind == Kind::Absent {
                change(&mut walk.row.key, &mut random);
            }
            sample.keys.push(&walk.row.key, &[]);
            sample.touches.push((kind != Kind::Absent).then(|| touch(&walk.row.value)));
        }
        if sample.keys.is_empty() { Err("the rows have no such keys".into()) } else { Ok(sample) }
    }
}

fn write_file<'a>(
    path: &Path,
    count: u64,
    rows: impl Iterator<Item = (usize, (&'a Vec<u8>, &'a Vec<u8>))>,
) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(PIECE_BYTES, File::create(path)?);
    file.write_all(&count.to_le_bytes())?;
    for (number, (key, value)) in rows {
        file.write_all(&(key.len() as u16).to_le_bytes())?;
        file.write_all(&(value.len() as u32).to_le_bytes())?;
        file.write_all(&(number as u32).to_le_bytes())?;
        file.write_all(key)?;
        file.write_all(value)?;
    }
    file.flush()
}

/// Bytes of all keys and values of a file.
pub(super) fn row_bytes(path: &Path) -> Result<u64> {
    let rows = RowFile::open(path, 1.0)?.rows;
    Ok(path.metadata()?.len() - HEADER_BYTES - rows * ROW_HEADER_BYTES as u64)
}

fn change(key: &mut [u8], random: &mut SplitMix64) {
    let start = key.len().saturating_sub(CHANGED_BYTES);
    random.fill(&mut key[start..]);
}

/// Length of the prefix under which the rows of a key's group lie: for a claim its subject.
pub(super) fn group_bytes(key: &[u8]) -> usize {
    key.iter().position(|byte| *byte == 0).map_or(key.len(), |at| at + 1)
}

#[derive(Debug, Default)]
struct Row {
    number: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Row {
    /// Reads the next row; false at the end of the file.
    fn read(&mut self, file: &mut impl Read) -> io::Result<bool> {
        let mut header = [0; ROW_HEADER_BYTES];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        let [k0, k1, v0, v1, v2, v3, n0, n1, n2, n3] = header;
        self.number = u64::from(u32::from_le_bytes([n0, n1, n2, n3]));
        self.key.resize(usize::from(u16::from_le_bytes([k0, k1])), 0);
        self.value.resize(u32::from_le_bytes([v0, v1, v2, v3]) as usize, 0);
        file.read_exact(&mut self.key)?;
        file.read_exact(&mut self.value)?;
        Ok(true)
    }
}

/// Rows in the order of a file.
#[derive(Debug)]
pub(super) struct FileWalk {
    file: BufReader<File>,
    rows: u64,
    row: Row,
    /// Keys are changed into new ones, over and over from the start of the file.
    change: Option<SplitMix64>,
}

impl Walk for FileWalk {
    fn next_batch(&mut self, count: usize, batch: &mut RowBatch) -> Result<bool> {
        batch.clear();
        while batch.len() < count {
            if !self.row.read(&mut self.file)? {
                if self.change.is_none() {
                    break;
                }
                self.file.seek(SeekFrom::Start(HEADER_BYTES))?;
                continue;
            }
            if self.row.number >= self.rows {
                continue;
            }
            if let Some(random) = &mut self.change {
                change(&mut self.row.key, random);
            }
            batch.push(&self.row.key, &self.row.value);
        }
        Ok(!batch.is_empty())
    }
}

/// A sample of keys in random order, over and over.
#[derive(Debug)]
pub(super) struct FileKeys {
    sample: Arc<Sample>,
    order: Vec<u32>,
    next: usize,
}

impl Keys for FileKeys {
    fn next_key(&mut self, key: &mut Vec<u8>) -> Expected {
        let at = self.order[self.next] as usize;
        self.next = (self.next + 1) % self.order.len();
        key.clear();
        key.extend_from_slice(self.sample.keys.key(at));
        self.sample.touches[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path) -> (RowFile, BTreeMap<Vec<u8>, Vec<u8>>) {
        let rows: BTreeMap<Vec<u8>, Vec<u8>> = (0..300_u32)
            .map(|n| {
                (
                    format!("{}subject{}\0key{n:08}", '\u{1}', n / 7).into_bytes(),
                    vec![n as u8; n as usize % 50],
                )
            })
            .collect();
        let path = folder.join("rows");
        RowFile::write(&path, &rows).unwrap();
        (RowFile::open(&path, 1.0).unwrap(), rows)
    }

    fn all(rows: &RowFile, order: Order) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (mut walk, mut batch, mut found) = (rows.walk(order).unwrap(), RowBatch::default(), Vec::new());
        while walk.next_batch(7, &mut batch).unwrap() {
            found.extend(batch.pairs().map(|pair| (pair.key.to_vec(), pair.value.to_vec())));
        }
        found
    }

    #[test]
    fn both_orders_give_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (file, rows) = file(folder.path());
        let expected: Vec<_> = rows.into_iter().collect();
        assert_eq!(all(&file, Order::Sorted), expected);
        let mut random = all(&file, Order::Random);
        assert_ne!(random, expected);
        random.sort();
        assert_eq!(random, expected);
    }

    #[test]
    fn a_part_has_the_same_rows_in_both_orders() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = file(folder.path());
        let quarter = RowFile::open(&file.path, 0.25).unwrap();
        let (sorted, mut random) = (all(&quarter, Order::Sorted), all(&quarter, Order::Random));
        random.sort();
        assert_eq!((sorted.len(), sorted), (75, random));
    }

    #[test]
    fn keys_are_there_with_their_values_and_absent_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, rows) = file(folder.path());
        let (mut keys, mut absent, mut key) =
            (file.keys(1.0, 1).unwrap(), file.absent_keys(2).unwrap(), Vec::new());
        for _ in 0..300 {
            let expected = keys.next_key(&mut key);
            assert_eq!(expected, rows.get(&key).map(|value| touch(value)));
            assert_eq!(absent.next_key(&mut key), None);
            assert!(!rows.contains_key(&key));
        }
    }
}
