//! How many claims there are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stemedb_env::{Budget, Job, Lsn, Step, TaskHandle};
use stemedb_index::keys;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use crate::{
    database::{Database, Snapshot, WeakDatabase},
    errors::Error,
};

/// Claims that were there when the database was opened, counted in the background, plus those that are new since.
#[derive(Debug)]
pub(super) struct Census {
    at_open: Arc<AtomicU64>,
}

impl Census {
    /// Starts counting, as soon as a view can be read. Without a background thread the count stays at what is new.
    pub(super) fn start(database: &Database) -> (Census, Option<TaskHandle>) {
        let at_open = Arc::new(AtomicU64::new(0));
        let (_, opened_at) = database.created_since_open();
        let counting = (opened_at > Lsn::ZERO).then(|| {
            let job = Count {
                database: database.downgrade(),
                rows: None,
                opened_at,
                at_open: Arc::clone(&at_open),
            };
            database.env().tasks.spawn("stemedb-census", Box::new(job)).ok()
        });
        (Census { at_open }, counting.flatten())
    }

    /// The count so far; never falls.
    pub(super) fn count(&self, database: &Database) -> u64 {
        self.at_open.load(Ordering::Relaxed) + database.created_since_open().0
    }
}

struct Count {
    database: WeakDatabase,
    rows: Option<<Snapshot as KvSnapshot>::Iter>,
    opened_at: Lsn,
    at_open: Arc<AtomicU64>,
}

/// Between two looks at whether a view can be read.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Count {
    /// All claims of a view that can be read; `None` when the database is closed.
    fn begin(database: &WeakDatabase) -> Result<Option<<Snapshot as KvSnapshot>::Iter>, Error> {
        let Some(database) = database.upgrade() else { return Ok(None) };
        let reader = database.reader(None)?;
        let range = KeyRange::prefix(keys::family_prefix(keys::Family::ById));
        Ok(Some(reader.snapshot().scan(&KeyRange { prefix_bytes: 0, ..range }, Direction::Forward)))
    }
}

impl Job for Count {
    fn step(&mut self, budget: Budget) -> Step {
        let rows = match &mut self.rows {
            Some(rows) => rows,
            none => match Count::begin(&self.database) {
                Ok(Some(rows)) => none.insert(rows),
                Ok(None) => return Step::Done,
                Err(_) => return Step::After(LOOK_EVERY),
            },
        };
        let (mut bytes, mut claims) = (0, 0);
        let next = loop {
            if bytes >= budget.bytes {
                break Step::Again;
            }
            match rows.advance() {
                Ok(true) => {}
                // What cannot be read is not counted; reads and `verify` say what is damaged.
                Ok(false) | Err(_) => break Step::Done,
            }
            bytes += (rows.key().len() + rows.value().len()) as u64;
            if keys::parse_by_id_value(rows.value()).is_ok_and(|(at, ..)| at.lsn <= self.opened_at) {
                claims += 1;
            }
        };
        self.at_open.fetch_add(claims, Ordering::Relaxed);
        next
    }
}
