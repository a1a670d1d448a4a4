//! sled 0.34 with its defaults, and the sync that it leaves out.

use std::{fs::File, path::Path};

use sled::{Batch, Config, Db};

use super::{CACHE_BYTES, names};
use crate::engine::{Engine, Kind, Pair, Result, Store};

/// The contender. On Linux sled's own `flush` ends in `sync_file_range`, which does not reach the disk's cache; only with
/// an fdatasync of its file after it does a commit survive a power cut.
#[derive(Clone, Copy, Debug)]
pub struct Sled;

struct Opened {
    db: Db,
    /// A second handle of the file that sled writes its log to.
    file: File,
}

impl Engine for Sled {
    fn name(&self) -> &'static str {
        names::SLED
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        "sled 0.34.7: defaults, cache 256 MiB; durable: flush(), then our own fdatasync of its file, because its flush ends \
         in sync_file_range"
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Store>> {
        let folder = folder.join("sled");
        let db = Config::new().path(&folder).cache_capacity(CACHE_BYTES as u64).open()?;
        let file = File::options().read(true).write(true).open(folder.join("db"))?;
        Ok(Box::new(Opened { db, file }))
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
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }
}
