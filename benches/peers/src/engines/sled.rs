//! sled 0.34 with its defaults, and the sync that it leaves out.

use std::{fs::File, path::Path};

use sled::{Batch, Config, Db};

use super::names;
use crate::engine::{Engine, Kind, Pair, Reader, Result, Setting, Store, Tally, touch};

/// The contender. On Linux sled's own `flush` ends in `sync_file_range`, which does not reach the disk's cache; only with
/// an fdatasync of its file after it does a commit survive a power cut.
#[derive(Clone, Copy, Debug)]
pub struct Sled;

struct Opened {
    db: Db,
    /// A second handle of the file that sled writes its log to.
    file: File,
    durable: bool,
}

/// sled has no views: every read sees the newest state.
struct View<'a> {
    db: &'a Db,
}

impl Engine for Sled {
    fn name(&self) -> &'static str {
        names::SLED
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        "sled 0.34.7: defaults, a quarter of the data; durable: flush(), then our own fdatasync of its file, because its flush ends \
         in sync_file_range"
    }

    fn open(&self, folder: &Path, setting: &Setting) -> Result<Box<dyn Store>> {
        let folder = folder.join("sled");
        let db = Config::new().path(&folder).cache_capacity(setting.cache_bytes as u64).open()?;
        let file = File::options().read(true).write(true).open(folder.join("db"))?;
        Ok(Box::new(Opened { db, file, durable: setting.durable }))
    }

    fn part_of_data(&self) -> f64 {
        0.25
    }
}

impl Opened {
    fn sync_if_durable(&self) -> Result<()> {
        if self.durable { self.persist() } else { Ok(()) }
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        if let [pair] = batch {
            self.db.insert(pair.key, pair.value)?;
        } else {
            let mut writes = Batch::default();
            for pair in batch {
                writes.insert(pair.key, pair.value);
            }
            self.db.apply_batch(writes)?;
        }
        self.sync_if_durable()
    }

    fn delete(&self, keys: &[&[u8]]) -> Result<()> {
        let mut writes = Batch::default();
        for key in keys {
            writes.remove(*key);
        }
        self.db.apply_batch(writes)?;
        self.sync_if_durable()
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View { db: &self.db }))
    }

    fn persist(&self) -> Result<()> {
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }

    fn flush(&self) -> Result<()> {
        self.persist()
    }
}

impl Reader for View<'_> {
    fn renew(&mut self) -> Result<()> {
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.db.get(key)?.map(|value| touch(&value)))
    }

    fn scan(&mut self, prefix: &[u8], limit: u64) -> Result<Tally> {
        let mut tally = Tally::default();
        for row in self.db.scan_prefix(prefix).take(limit as usize) {
            let (key, value) = row?;
            tally.add(&key, &value);
        }
        Ok(tally)
    }
}
