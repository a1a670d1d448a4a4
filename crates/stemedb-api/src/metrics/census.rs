//! How many claims there are.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use stemedb_env::{Budget, Job, Lsn, Step, TaskHandle};
use stemedb_index::keys;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use crate::database::{Database, Snapshot};

/// Claims that were there when the database was opened, counted in the background, plus those that are new since.
#[derive(Debug)]
pub(super) struct Census {
    at_open: Arc<AtomicU64>,
}

impl Census {
    /// Starts counting. Without a background thread, or where the view cannot be read, the count stays at what is new.
    pub(super) fn start(database: &Database) -> (Census, Option<TaskHandle>) {
        let at_open = Arc::new(AtomicU64::new(0));
        let (_, opened_at) = database.created_since_open();
        let counting = (opened_at > Lsn::ZERO).then(|| {
            let reader = database.reader(None).ok()?;
            let range = KeyRange::prefix(keys::family_prefix(keys::Family::ById));
            let rows = reader.snapshot().scan(&KeyRange { prefix_bytes: 0, ..range }, Direction::Forward);
            let job = Count { rows, opened_at, at_open: Arc::clone(&at_open) };
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
    rows: <Snapshot as KvSnapshot>::Iter,
    opened_at: Lsn,
    at_open: Arc<AtomicU64>,
}

impl Job for Count {
    fn step(&mut self, budget: Budget) -> Step {
        let (mut bytes, mut claims) = (0, 0);
        let next = loop {
            if bytes >= budget.bytes {
                break Step::Again;
            }
            match self.rows.advance() {
                Ok(true) => {}
                // What cannot be read is not counted; reads and `verify` say what is damaged.
                Ok(false) | Err(_) => break Step::Done,
            }
            bytes += (self.rows.key().len() + self.rows.value().len()) as u64;
            if keys::parse_by_id_value(self.rows.value()).is_ok_and(|(at, ..)| at.lsn <= self.opened_at) {
                claims += 1;
            }
        };
        self.at_open.fetch_add(claims, Ordering::Relaxed);
        next
    }
}
