//! LMDB with its default flags.

use std::path::Path;

use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, WithTls, types::Bytes};

use super::names;
use crate::engine::{Engine, Kind, Pair, Result, Store};

/// Address space, not memory or disk: LMDB cannot grow beyond its map.
const MAP_BYTES: usize = 64 << 30;

/// The contender.
#[derive(Clone, Copy, Debug)]
pub struct Lmdb;

struct Opened {
    env: Env<WithTls>,
    entries: Database<'static, Bytes, Bytes>,
}

impl Engine for Lmdb {
    fn name(&self) -> &'static str {
        names::LMDB
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        "LMDB 0.9.70 (heed 0.23.1): default flags, map 64 GiB, no cache of its own; durable: a plain commit (fdatasync, then \
         the meta page through O_DSYNC: two flushes), one write transaction at a time"
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Store>> {
        // SAFETY: the map is sound while nobody else changes the file, and the folder is new and this process's own.
        #[allow(unsafe_code)]
        let env = unsafe { EnvOpenOptions::new().map_size(MAP_BYTES).open(folder)? };
        let transaction = env.write_txn()?;
        let entries = env
            .create_databases_and_commit(transaction, |opener, transaction| -> heed::Result<_> {
                let unnamed = opener.create_database::<Bytes, Bytes>(transaction, None)?;
                Ok(CommitOrAbort::<_, ()>::Commit(unnamed))
            })?
            .commit()
            .ok_or("the database was not created")?;
        Ok(Box::new(Opened { env, entries }))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for pair in batch {
            self.entries.put(&mut transaction, pair.key, pair.value)?;
        }
        Ok(transaction.commit()?)
    }
}
