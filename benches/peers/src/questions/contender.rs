//! What a store of claims must be able to do here.

use std::path::Path;

use stemedb_core::{Answer, Candidate, Lens, LensParams, Micros, resolve};

use super::data::{Batch, Question};
use crate::engine::{Kind, Result};

/// A store with a configuration.
pub trait Contender {
    /// Short, unique name: the one for `--only`.
    fn name(&self) -> &'static str;

    /// On which side it stands.
    fn kind(&self) -> Kind;

    /// Product and version.
    fn version(&self) -> String;

    /// Version, settings that are not the defaults, and what makes a batch durable, in one line.
    fn configuration(&self) -> String;

    /// The contender whose folder it is asked over, if it does not load one itself.
    fn loaded_by(&self) -> Option<&'static str> {
        None
    }

    /// True if several contenders are asked over its folder: it is closed after each turn.
    fn is_shared(&self) -> bool {
        false
    }

    /// Makes an empty database in an empty folder.
    fn create(&self, folder: &Path) -> Result<Box<dyn ClaimStore>>;

    /// Opens what was made in a folder and closed, where folders are shared.
    fn open(&self, _folder: &Path) -> Result<Box<dyn ClaimStore>> {
        Err(format!("the folder of {} is not shared", self.name()).into())
    }
}

/// A database of claims.
pub trait ClaimStore {
    /// Records a batch atomically; durable when it returns.
    fn record(&mut self, batch: &Batch) -> Result<()>;

    /// Brings everything into the shape that is best to read.
    fn settle(&mut self) -> Result<()>;

    /// A way to ask.
    fn asker(&self) -> Result<Box<dyn Asker + '_>>;

    /// Bytes on disk beyond the folder it was given.
    fn further_bytes(&self) -> Result<u64> {
        Ok(0)
    }

    /// Leaves the folder to another process.
    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// What one thread asks with.
pub trait Asker {
    /// Answers a question through a lens from what is known now.
    fn ask(&mut self, question: &Question, lens: Lens) -> Result<Answer>;
}

/// The instant that every question is evaluated at: a year after the first batch.
pub const EVALUATED_AT: Micros = Micros(1_798_761_600_000_000);

/// The same lens for everybody.
pub fn look(lens: Lens, candidates: &[Candidate]) -> Answer {
    resolve(lens, candidates, &LensParams::at(EVALUATED_AT).with_decay(true))
}
