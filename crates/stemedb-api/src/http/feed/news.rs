//! One thread that waits for the journal, for everybody who follows it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use stemedb_env::{Budget, Job, Lsn, Step, TaskHandle};
use tokio::sync::watch;

use crate::database::{Database, WeakDatabase};

/// How long the job waits before it looks whether somebody still follows.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Pauses while a view is behind the journal.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Tells followers how far the readable state has come. Costs nothing while nobody follows.
#[derive(Debug, Default)]
pub(crate) struct News {
    shared: Arc<Shared>,
    job: OnceLock<Option<TaskHandle>>,
}

#[derive(Debug, Default)]
struct Shared {
    published: watch::Sender<u64>,
    followers: AtomicUsize,
}

/// Somebody who follows.
pub(in crate::http) struct Follower {
    shared: Arc<Shared>,
    published: watch::Receiver<u64>,
}

impl News {
    /// Follows from now on.
    pub(in crate::http) fn follow(&self, database: &Database) -> Follower {
        self.shared.followers.fetch_add(1, Ordering::AcqRel);
        let published = self.shared.published.subscribe();
        let job = self.job.get_or_init(|| {
            let job =
                Wait { database: database.downgrade(), shared: Arc::clone(&self.shared), pause: PAUSE_MIN };
            let job = database.env().tasks.spawn("stemedb-feed", Box::new(job));
            job.inspect_err(|error| tracing::error!("feeds cannot follow: {error}")).ok()
        });
        if let Some(job) = job {
            job.wake();
        }
        Follower { shared: Arc::clone(&self.shared), published }
    }
}

impl Follower {
    /// Returns when an entry is readable. False if nobody tells any more.
    pub async fn reached(&mut self, lsn: Lsn) -> bool {
        self.published.wait_for(|published| *published >= lsn.0).await.is_ok()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.followers.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Wait {
    database: WeakDatabase,
    shared: Arc<Shared>,
    pause: Duration,
}

impl Job for Wait {
    fn step(&mut self, _budget: Budget) -> Step {
        if self.shared.followers.load(Ordering::Acquire) == 0 {
            return Step::Idle;
        }
        let Some(database) = self.database.upgrade() else { return Step::Done };
        let seen = Lsn(*self.shared.published.borrow());
        let durable = database.engine().journal().wait_durable(seen, LOOK_EVERY);
        let published = database.published_lsn();
        self.shared.published.send_if_modified(|last| {
            let is_new = published.0 > *last;
            *last = published.0.max(*last);
            is_new
        });
        if published < durable {
            // About to be shown, or no view can: then it takes as long as it takes.
            self.pause = (2 * self.pause).min(PAUSE_MAX);
            return Step::After(self.pause);
        }
        self.pause = PAUSE_MIN;
        Step::Again
    }
}
