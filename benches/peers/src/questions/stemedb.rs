//! StemeDB, embedded.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use stemedb_api::database::{Database, DatabaseOptions, Query};
use stemedb_core::{Answer, Command, Lens, SignaturePolicy};
use stemedb_env::{Clock, Env, Micros};

use super::{
    contender::{Asker, ClaimStore, Contender, EVALUATED_AT},
    data::{Batch, Question},
};
use crate::engine::{Kind, Result};

/// The contender.
#[derive(Clone, Copy, Debug)]
pub struct StemeDb {
    /// For blocks.
    pub cache_bytes: usize,
}

/// The system's clock, but for the time that entries are recorded at: that of their batch, as with everybody else.
#[derive(Debug)]
struct BatchClock {
    real: Arc<dyn Clock>,
    wall_us: AtomicI64,
}

impl Clock for BatchClock {
    fn wall(&self) -> Micros {
        Micros(self.wall_us.load(Ordering::Acquire))
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }

    fn sleep(&self, duration: Duration) {
        self.real.sleep(duration);
    }
}

struct Opened {
    database: Database,
    clock: Arc<BatchClock>,
}

struct View<'a> {
    database: &'a Database,
}

impl Contender for StemeDb {
    fn name(&self) -> &'static str {
        "stemedb"
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn configuration(&self) -> String {
        format!(
            "StemeDB embedded: default options but a block cache of {} MiB; compacted before it is asked; durable: the \
             journal's sync",
            self.cache_bytes >> 20
        )
    }

    fn create(&self, folder: &Path) -> Result<Box<dyn ClaimStore>> {
        let mut env = Env::real();
        let clock = Arc::new(BatchClock { real: Arc::clone(&env.clock), wall_us: AtomicI64::new(0) });
        env.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let mut options =
            DatabaseOptions { env, signatures: SignaturePolicy::Optional, ..DatabaseOptions::default() };
        options.engine.lsm.block_cache_bytes = self.cache_bytes as u64;
        options.engine.lsm.memory_bytes = self.cache_bytes as u64 + (192 << 20);
        let database = Database::create(folder.join("stemedb"), options)?;
        Ok(Box::new(Opened { database, clock }))
    }
}

impl ClaimStore for Opened {
    fn record(&mut self, batch: &Batch) -> Result<()> {
        self.clock.wall_us.store(batch.recorded_at.0, Ordering::Release);
        let commands: Vec<Command> = batch.commands.iter().map(|(command, _)| command.clone()).collect();
        let outcomes = self.database.submit(&commands)?;
        // Places are part of the answers that are compared.
        match outcomes.iter().all(|outcome| outcome.created && outcome.position.lsn.0 == batch.lsn) {
            true => Ok(()),
            false => Err(format!("batch {} is not new, or has another place", batch.lsn).into()),
        }
    }

    fn settle(&mut self) -> Result<()> {
        self.database.flush()?;
        Ok(self.database.compact()?)
    }

    fn asker(&self) -> Result<Box<dyn Asker + '_>> {
        Ok(Box::new(View { database: &self.database }))
    }
}

impl Asker for View<'_> {
    fn ask(&mut self, question: &Question, lens: Lens) -> Result<Answer> {
        let mut query = Query::new(question.subject.as_str(), question.predicate.as_str(), lens);
        query.decay = true;
        query.evaluated_at = Some(EVALUATED_AT);
        Ok(self.database.query(query)?.answer)
    }
}
