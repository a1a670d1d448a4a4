//! Nothing: what the workload itself costs.

use std::path::Path;

use super::names;
use crate::engine::{Engine, Kind, Pair, Reader, Result, Setting, Store, Tally, touch};

/// Takes everything and keeps nothing. Where an engine comes near its figures, the workload is measured and not the
/// engine.
#[derive(Clone, Copy, Debug)]
pub struct Driver;

struct Opened;

impl Engine for Driver {
    fn name(&self) -> &'static str {
        names::DRIVER
    }

    fn kind(&self) -> Kind {
        Kind::Limit
    }

    fn configuration(&self) -> &'static str {
        "no engine: rows and keys are made and looked at, nothing is kept"
    }

    fn open(&self, _folder: &Path, _setting: &Setting) -> Result<Box<dyn Store>> {
        Ok(Box::new(Opened))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        let mut tally = Tally::default();
        batch.iter().for_each(|pair| tally.add(pair.key, pair.value));
        std::hint::black_box(tally);
        Ok(())
    }

    fn delete(&self, keys: &[&[u8]]) -> Result<()> {
        keys.iter().for_each(|key| {
            std::hint::black_box(touch(key));
        });
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Opened))
    }
}

impl Reader for Opened {
    fn renew(&mut self) -> Result<()> {
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<u64>> {
        Ok(Some(touch(key)))
    }

    fn scan(&mut self, prefix: &[u8], _limit: u64) -> Result<Tally> {
        Ok(Tally { rows: 1, bytes: 1, sum: touch(prefix) })
    }
}
