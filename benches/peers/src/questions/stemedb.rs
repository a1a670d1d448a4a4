//! StemeDB, embedded: without its caches of candidates and answers, as everybody else is asked, and with them, over the same
//! folder.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use stemedb_api::database::{Database, DatabaseOptions, Query};
use stemedb_core::{Answer, Command, Lens, SignaturePolicy};
use stemedb_env::{Clock, Env, Micros};

use super::{
    contender::{Asker, ClaimStore, Contender, EVALUATED_AT},
    data::{Batch, Question},
};
use crate::engine::{Kind, Result};

/// Without caches of candidates and answers.
pub const PLAIN: &str = "stemedb";
/// With those that it has unless told otherwise.
pub const CACHED: &str = "stemedb, cached";

/// The contender.
#[derive(Clone, Copy, Debug)]
pub struct StemeDb {
    /// For blocks.
    pub cache_bytes: usize,
    /// Whether candidates and answers are kept as well.
    pub keeps_answers: bool,
}

impl StemeDb {
    fn options(&self, env: Env) -> DatabaseOptions {
        let mut options =
            DatabaseOptions { env, signatures: SignaturePolicy::Optional, ..DatabaseOptions::default() };
        if !self.keeps_answers {
            options.cache_bytes = 0;
        }
        options.engine.lsm.block_cache_bytes = self.cache_bytes as u64;
        options.engine.lsm.memory_bytes = self.cache_bytes as u64 + (192 << 20);
        options
    }
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
    folder: PathBuf,
    /// While it is loaded.
    clock: Option<Arc<BatchClock>>,
}

/// Longest wait for the journal's files to be packed.
const PACKING: Duration = Duration::from_secs(120);

impl Opened {
    /// Packing goes on behind the writers: until it is done, a file is there as it was written.
    fn wait_until_packed(&self) -> Result<()> {
        let started = Instant::now();
        let is_plain = |name: &str| name.starts_with("segment.") && name.ends_with(".wal");
        loop {
            let mut waiting = 0;
            for entry in fs::read_dir(self.folder.join("wal"))? {
                waiting += usize::from(entry?.file_name().to_str().is_some_and(is_plain));
            }
            if waiting == 0 {
                return Ok(());
            }
            if started.elapsed() > PACKING {
                return Err(format!("{waiting} files of the journal are not packed yet").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

struct View<'a> {
    database: &'a Database,
}

impl Contender for StemeDb {
    fn name(&self) -> &'static str {
        if self.keeps_answers { CACHED } else { PLAIN }
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn version(&self) -> String {
        // The crates of the repository have one version.
        concat!("StemeDB ", env!("CARGO_PKG_VERSION")).to_owned()
    }

    fn configuration(&self) -> String {
        let version = self.version();
        if self.keeps_answers {
            let kept = DatabaseOptions::default().cache_bytes >> 20;
            return format!(
                "{version} over the same folder, with {kept} MiB for candidates and answers, as by default: \
                 questions that were asked before. No ratio is made from it"
            );
        }
        format!(
            "{version} embedded, without its caches of candidates and answers (`cache_bytes` = 0): a block cache of {} \
             MiB, the other options by default; compacted before it is asked; durable: the journal's sync",
            self.cache_bytes >> 20
        )
    }

    fn loaded_by(&self) -> Option<&'static str> {
        self.keeps_answers.then_some(PLAIN)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn create(&self, folder: &Path) -> Result<Box<dyn ClaimStore>> {
        let mut env = Env::real();
        let clock = Arc::new(BatchClock { real: Arc::clone(&env.clock), wall_us: AtomicI64::new(0) });
        env.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let folder = folder.join("stemedb");
        let database = Database::create(&folder, self.options(env))?;
        Ok(Box::new(Opened { database, folder, clock: Some(clock) }))
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn ClaimStore>> {
        let folder = folder.join("stemedb");
        let database = Database::open(&folder, self.options(Env::real()))?;
        Ok(Box::new(Opened { database, folder, clock: None }))
    }
}

impl ClaimStore for Opened {
    fn record(&mut self, batch: &Batch) -> Result<()> {
        let clock = self.clock.as_ref().ok_or("it was opened to be asked")?;
        clock.wall_us.store(batch.recorded_at.0, Ordering::Release);
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
        self.database.compact()?;
        self.wait_until_packed()
    }

    fn asker(&self) -> Result<Box<dyn Asker + '_>> {
        Ok(Box::new(View { database: &self.database }))
    }

    fn close(self: Box<Self>) -> Result<()> {
        let Opened { database, folder, clock } = *self;
        database.close()?;
        if clock.is_none() {
            return Ok(());
        }
        // Closing seals the newest part of the journal, and the next open packs it as every older one: nobody should be weighed
        // between the two.
        let options = DatabaseOptions { signatures: SignaturePolicy::Optional, ..DatabaseOptions::default() };
        let again = Opened { database: Database::open(&folder, options)?, folder, clock: None };
        again.wait_until_packed()?;
        Ok(again.database.close()?)
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
