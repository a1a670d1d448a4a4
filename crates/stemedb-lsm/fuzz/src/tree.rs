//! A small tree, one file of it damaged, opened and read in every way.
//!
//! ```text
//! 0  1  which file
//! 1  1  bit 0: parts of a table are made to verify again; bit 1: without a cache
//! 2  6  each damage: kind, offset (3), value, length
//! ```
//!
//! Whatever the damage: no panic. Without forging also: every answer is right, or an error names the file; a table does not
//! keep the tree from opening, and `verify` finds what was changed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use stemedb_env::{
    Env, Lsn,
    clock::{Micros, SimClock},
    frame::DatabaseId,
    fs::SimFs,
};
use stemedb_lsm::{
    Direction, Error, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, WriteBatch,
};

use super::{input::Input, page};

const DATABASE: DatabaseId = DatabaseId([4; 16]);
const DIR: &str = "/db/kv";
const KEYS: u64 = 24;
const FORGE: u8 = 1;
const UNCACHED: u8 = 2;
const DAMAGES: usize = 3;

fn declared_prefix(key: &[u8]) -> usize {
    key.iter().position(|byte| *byte == b'/').map_or(0, |at| at + 1)
}

fn options(flags: u8) -> LsmOptions {
    LsmOptions {
        memtable_bytes: 64 << 10,
        target_table_bytes: 64 << 10,
        l0_trigger: 5,
        block_cache_bytes: if flags & UNCACHED != 0 { 0 } else { 16 << 10 },
        prefix_extractor: Some(declared_prefix),
        ..LsmOptions::tiny()
    }
}

fn key(n: u64) -> Vec<u8> {
    format!("s{}/predicate/{n:03}", n % 5).into_bytes()
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

struct Base {
    files: BTreeMap<PathBuf, Vec<u8>>,
    rows: Rows,
    last: Lsn,
    /// Of each table: what carries a checksum of its own.
    parts: BTreeMap<PathBuf, Vec<(usize, usize)>>,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let (env, handles) = Env::sim(1);
        handles.fs.install_dir(Path::new("/db")).unwrap();
        let mut store = LsmStore::create(env.clone(), Path::new(DIR), DATABASE, options(0)).unwrap();
        let mut rows = Rows::new();
        let mut last = Lsn::ZERO;
        for round in 0..3u64 {
            let mut batch = WriteBatch::new();
            for n in (0..KEYS).filter(|n| round == 0 || n % 3 == round) {
                if (n + round) % 5 == 4 {
                    batch.delete(&key(n));
                    rows.remove(&key(n));
                } else {
                    let value = format!("value {round} {}", "na".repeat(12)).into_bytes();
                    batch.put(&key(n), &value);
                    rows.insert(key(n), value);
                }
            }
            last = last.next();
            store.apply(&batch, last).unwrap();
            store.publish(last);
            match round {
                0 => {
                    store.compact().unwrap();
                    // Opening removes what nobody needs: every table left is read.
                    store.close();
                    store = LsmStore::open(env.clone(), Path::new(DIR), DATABASE, options(0)).unwrap();
                }
                _ => drop(store.flush().unwrap()),
            }
        }
        store.close();
        let files: BTreeMap<PathBuf, Vec<u8>> = handles
            .fs
            .paths()
            .into_iter()
            .map(|path| (path.clone(), handles.fs.read_all(&path).unwrap()))
            .collect();
        let tables = files.iter().filter_map(|(path, bytes)| Some((path, bytes, number(path)?)));
        let parts = tables
            .map(|(path, bytes, file)| (path.clone(), page::table(bytes, DATABASE.0, file).unwrap().parts))
            .collect();
        Base { files, rows, last, parts }
    })
}

/// The number of a table.
fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".sst")?.parse().ok()
}

/// One input.
pub fn run(data: &[u8]) {
    let base = base();
    let mut input = Input::new(data);
    let nth = usize::from(input.byte()) % base.files.len();
    let flags = input.byte();
    let Some((path, whole)) = base.files.iter().nth(nth) else { return };
    let mut bytes = whole.clone();
    for _ in 0..DAMAGES {
        if input.rest().is_empty() {
            break;
        }
        let [kind, a, b, c, value, length] = input.take();
        let at = u32::from_le_bytes([a, b, c, 0]) as usize % whole.len();
        let end = (at + usize::from(length)).min(bytes.len());
        match kind % 5 {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= value.max(1)),
            2 => bytes.get_mut(at..end).into_iter().flatten().for_each(|byte| *byte = value),
            3 => bytes.truncate(at),
            _ => {
                // Bytes of another place.
                let from = usize::from(value) * 16 % whole.len();
                let copied: Vec<u8> = whole.iter().skip(from).take(usize::from(length)).copied().collect();
                bytes.iter_mut().skip(at).zip(copied).for_each(|(byte, copied)| *byte = copied);
            }
        }
    }
    let forged = flags & FORGE != 0 && number(path).is_some();
    if let (true, Some(file)) = (forged, number(path)) {
        let parts = base.parts.get(path).map_or(&[][..], Vec::as_slice);
        parts.iter().for_each(|part| forge(&mut bytes, file, *part));
    }
    let fs = SimFs::new();
    for (other, content) in &base.files {
        fs.install(other, if other == path { &bytes } else { content }).unwrap();
    }
    let judge = Judge { base, path, changed: bytes != *whole, sound: !forged };
    judge.open(&Env::over(fs, Arc::new(SimClock::new(Micros(0))), 1).0, flags);
}

/// Gives a part of a table the checksum that it should have.
fn forge(bytes: &mut [u8], file: u64, (offset, n): (usize, usize)) {
    // The footer's last eight bytes are a magic number.
    let is_footer = offset + n == bytes.len();
    let end = offset + n - if is_footer { 8 } else { 0 };
    let Some(part) = bytes.get_mut(offset..end) else { return };
    let covered = part.len() - 8;
    let sum = page::checksum(&DATABASE.0, file, offset as u64, &part[..covered]);
    part[covered..].copy_from_slice(&sum.to_le_bytes());
}

struct Judge<'a> {
    base: &'a Base,
    path: &'a Path,
    changed: bool,
    /// Nothing was forged: what is read can be trusted.
    sound: bool,
}

impl Judge<'_> {
    fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        assert!(holds || !self.sound, "{}: {}", self.path.display(), what());
    }

    fn named(&self, error: &Error) {
        let fine = matches!(error, Error::Corruption { file, .. } if file == self.path);
        self.expect(fine && self.changed, || format!("not an error that names the file: {error}"));
    }

    fn open(&self, env: &Env, flags: u8) {
        let is_table = number(self.path).is_some();
        let store = match LsmStore::open(env.clone(), Path::new(DIR), DATABASE, options(flags)) {
            Ok(store) => store,
            Err(error) => {
                self.named(&error);
                self.expect(!is_table, || "a table keeps the tree from opening".to_owned());
                return;
            }
        };
        let flushed = store.flushed_lsn();
        if flushed == self.base.last {
            self.read(&store.snapshot());
        } else {
            // The last edit, with its mark: nothing proves that it was ever there.
            self.expect(!is_table && self.changed && flushed < self.base.last, || {
                format!("flushed {flushed}")
            });
        }
        match store.verify() {
            Ok(_) => self.expect(!is_table || !self.changed, || "a check finds nothing".to_owned()),
            Err(error) => self.named(&error),
        }
        if !self.sound {
            // Whatever the rows are now, merging them must end.
            let _ = store.compact();
            let _ = store.flush();
        }
    }

    fn right(&self, key: &[u8], found: Option<&[u8]>) {
        let wanted = self.base.rows.get(key).map(Vec::as_slice);
        self.expect(found == wanted, || format!("{} has another value", String::from_utf8_lossy(key)));
    }

    fn read(&self, snapshot: &impl KvSnapshot) {
        let keys: Vec<Vec<u8>> = (0..KEYS + 4).map(key).collect();
        let borrowed: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        match snapshot.multi_get(&borrowed) {
            Ok(values) => keys.iter().zip(values).for_each(|(key, value)| self.right(key, value.as_deref())),
            Err(error) => self.named(&error),
        }
        for key in &keys {
            match snapshot.get(key) {
                Ok(value) => self.right(key, value.as_deref()),
                Err(error) => self.named(&error),
            }
        }
        for range in [KeyRange::all(), KeyRange::prefix(&b"s3/"[..]), KeyRange::between(key(7), key(3))] {
            for direction in [Direction::Forward, Direction::Backward] {
                self.scan(snapshot, &range, direction);
            }
        }
    }

    fn scan(&self, snapshot: &impl KvSnapshot, range: &KeyRange, direction: Direction) {
        let mut wanted: Vec<_> = self.base.rows.iter().filter(|(key, _)| range.contains(key)).collect();
        if direction == Direction::Backward {
            wanted.reverse();
        }
        let mut wanted = wanted.into_iter();
        let mut iter = snapshot.scan(range, direction);
        loop {
            match iter.advance() {
                Ok(true) => {
                    let right =
                        wanted.next().is_some_and(|(key, value)| key == iter.key() && value == iter.value());
                    self.expect(right, || format!("a row of a {direction:?} scan is wrong"));
                }
                Ok(false) => {
                    self.expect(wanted.next().is_none(), || "a scan ended early".to_owned());
                    return;
                }
                Err(error) => {
                    self.named(&error);
                    assert!(iter.advance().is_err(), "an iterator that failed goes on failing");
                    return;
                }
            }
        }
    }
}
