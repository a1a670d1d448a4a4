//! Which jobs there are.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use stemedb_core::Micros;
use stemedb_env::Clock;

use super::record::{JobKind, JobRecord, JobState};
use crate::{database::Database, errors::Code, metrics::JobCounts};

/// Jobs that have ended and are still known.
const ENDED_KEPT: usize = 64;
/// Idempotency keys of one job.
const KEYS_KEPT: usize = 16;
/// A running job says in the log how far it is this often.
const LOGGED_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at whether all jobs have ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The jobs of one server. Clones share them.
#[derive(Clone, Debug)]
pub struct Jobs {
    clock: Arc<dyn Clock>,
    list: Arc<Mutex<List>>,
}

#[derive(Debug, Default)]
struct List {
    newest: u64,
    /// In the order in which they began. The running ones are few: at most one of a kind.
    jobs: VecDeque<Entry>,
    /// How many have ended, by kind and state.
    ended: [[u64; JobState::ENDED.len()]; JobKind::ALL.len()],
    is_stopping: bool,
}

#[derive(Debug)]
struct Entry {
    record: JobRecord,
    /// Keys that requests named it by, with what these asked for.
    keys: Vec<(String, serde_json::Value)>,
}

/// What became of a request for a job.
pub(crate) enum Begun {
    /// It must be done now.
    New(Running),
    /// It is being done, or was done for the same key.
    Known(JobRecord),
}

/// Why no job was begun.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Another one is in the way.
    Busy(Box<JobRecord>),
    /// The key was given with another request.
    OtherRequest(u64),
    /// The server is about to stop.
    Stopping,
}

/// Why a job ends without a result.
#[derive(Debug)]
pub(crate) enum JobFailure {
    /// It was told to stop.
    Stopped,
    /// A code, words for whoever asks, and what it can say of what it has done.
    Failed(Code, String, serde_json::Value),
}

impl Jobs {
    /// No jobs yet, of a server over this database.
    pub fn new(database: &Database) -> Jobs {
        Jobs { clock: Arc::clone(&database.env().clock), list: Arc::default() }
    }

    /// Begins a job, unless one like it runs, or the key belongs to one that is known.
    pub(crate) fn begin(
        &self,
        kind: JobKind,
        parameters: serde_json::Value,
        key: Option<&str>,
    ) -> Result<Begun, Refused> {
        let mut list = self.list.lock();
        if let Some(key) = key
            && let Some((entry, asked)) = list.of_key(key)
        {
            return match entry.record.kind == kind && *asked == parameters {
                true => Ok(Begun::Known(entry.record.clone())),
                false => Err(Refused::OtherRequest(entry.record.number)),
            };
        }
        if list.is_stopping {
            return Err(Refused::Stopping);
        }
        let in_the_way =
            |entry: &&mut Entry| entry.record.state == JobState::Running && kind.excludes(entry.record.kind);
        if let Some(entry) = list.jobs.iter_mut().find(in_the_way) {
            if !kind.is_shared() {
                return Err(Refused::Busy(Box::new(entry.record.clone())));
            }
            if let Some(key) = key
                && entry.keys.len() < KEYS_KEPT
            {
                entry.keys.push((key.to_owned(), parameters));
            }
            return Ok(Begun::Known(entry.record.clone()));
        }
        list.newest += 1;
        let record = JobRecord {
            number: list.newest,
            kind,
            state: JobState::Running,
            parameters: parameters.clone(),
            began: Micros(self.clock.wall().0),
            ended: None,
            done_bytes: 0,
            total_bytes: 0,
            result: serde_json::Value::Null,
            problem: None,
        };
        tracing::info!(job = record.number, parameters = %record.parameters, "{} job began", kind.name());
        let keys = key.map(|key| (key.to_owned(), parameters)).into_iter().collect();
        list.jobs.push_back(Entry { record: record.clone(), keys });
        list.forget();
        let logged_at = self.clock.monotonic();
        Ok(Begun::New(Running { jobs: self.clone(), record, logged_at: Mutex::new(logged_at) }))
    }

    /// A job by its number.
    pub fn get(&self, number: u64) -> Option<JobRecord> {
        self.list.lock().find(number).map(|entry| entry.record.clone())
    }

    /// All that are known, the newest first.
    pub fn all(&self) -> Vec<JobRecord> {
        self.list.lock().jobs.iter().rev().map(|entry| entry.record.clone()).collect()
    }

    /// The newest one of these kinds.
    pub(crate) fn newest(&self, kinds: &[JobKind]) -> Option<JobRecord> {
        let list = self.list.lock();
        let entry = list.jobs.iter().rev().find(|entry| kinds.contains(&entry.record.kind));
        entry.map(|entry| entry.record.clone())
    }

    /// How many there are and were, for metrics.
    pub(crate) fn counts(&self) -> Vec<JobCounts> {
        let list = self.list.lock();
        let of = |(kind, ended): (&JobKind, &[u64; JobState::ENDED.len()])| {
            let running = list
                .jobs
                .iter()
                .filter(|entry| entry.record.kind == *kind && entry.record.state == JobState::Running);
            let [done, failed, stopped] = *ended;
            let [a, b, c] = JobState::ENDED.map(JobState::name);
            JobCounts {
                kind: kind.name(),
                running: running.count() as u64,
                ended: [(a, done), (b, failed), (c, stopped)],
            }
        };
        JobKind::ALL.iter().zip(&list.ended).map(of).collect()
    }

    /// Begins no more jobs, tells the running ones to stop, and waits for them at most so long. Returns how many still run.
    ///
    /// Compactions and verifications stop at once; of a backup and an archiving what was sent stays, and the next one goes on from
    /// there.
    pub fn stop(&self, limit: Duration) -> usize {
        self.list.lock().is_stopping = true;
        let deadline = self.clock.monotonic().saturating_add(limit);
        loop {
            let list = self.list.lock();
            let running = list.jobs.iter().filter(|entry| entry.record.state == JobState::Running).count();
            drop(list);
            if running == 0 || self.clock.monotonic() >= deadline {
                return running;
            }
            self.clock.sleep(LOOK_EVERY);
        }
    }
}

impl List {
    fn find(&self, number: u64) -> Option<&Entry> {
        self.jobs.iter().find(|entry| entry.record.number == number)
    }

    fn of_key(&self, key: &str) -> Option<(&Entry, &serde_json::Value)> {
        self.jobs.iter().rev().find_map(|entry| {
            let (_, asked) = entry.keys.iter().find(|(other, _)| other == key)?;
            Some((entry, asked))
        })
    }

    /// Lets go of what ended long ago.
    fn forget(&mut self) {
        let ended = |entry: &Entry| entry.record.state != JobState::Running;
        let mut surplus = self.jobs.iter().filter(|entry| ended(entry)).count().saturating_sub(ENDED_KEPT);
        self.jobs.retain(|entry| {
            let goes = surplus > 0 && ended(entry);
            surplus -= usize::from(goes);
            !goes
        });
    }
}

/// A job that is being done. Dropped without an end (a panic) it has failed.
pub(crate) struct Running {
    jobs: Jobs,
    record: JobRecord,
    logged_at: Mutex<Duration>,
}

impl Running {
    /// As it began.
    pub fn record(&self) -> &JobRecord {
        &self.record
    }

    /// True when it should end.
    pub fn is_stopped(&self) -> bool {
        self.jobs.list.lock().is_stopping
    }

    /// How far it is. Logged now and then.
    pub fn progress(&self, done_bytes: u64, total_bytes: u64) {
        self.change(|record| (record.done_bytes, record.total_bytes) = (done_bytes, total_bytes));
        let now = self.jobs.clock.monotonic();
        let mut logged_at = self.logged_at.lock();
        if now.saturating_sub(*logged_at) >= LOGGED_EVERY {
            *logged_at = now;
            let (job, kind) = (self.record.number, self.record.kind.name());
            tracing::info!(job, done_bytes, total_bytes, "{kind} job goes on");
        }
    }

    /// Does it, on this thread.
    pub fn run(self, work: impl FnOnce(&Running) -> Result<serde_json::Value, JobFailure>) {
        let outcome = work(&self);
        self.end(outcome);
    }

    fn end(&self, outcome: Result<serde_json::Value, JobFailure>) {
        let (job, kind) = (self.record.number, self.record.kind.name());
        let (state, result, problem) = match outcome {
            Ok(result) => {
                tracing::info!(job, %result, "{kind} job done");
                (JobState::Done, result, None)
            }
            Err(JobFailure::Stopped) => {
                tracing::info!(job, "{kind} job stopped: the server ends");
                (JobState::Stopped, serde_json::Value::Null, None)
            }
            Err(JobFailure::Failed(code, detail, result)) => {
                tracing::error!(job, code = code.name(), "{kind} job failed: {detail}");
                (JobState::Failed, result, Some((code, detail)))
            }
        };
        let ended = Micros(self.jobs.clock.wall().0);
        self.change(|record| {
            (record.state, record.ended) = (state, Some(ended));
            (record.result, record.problem) = (result, problem);
        });
        let mut list = self.jobs.list.lock();
        let kind = JobKind::ALL.iter().position(|other| *other == self.record.kind);
        let state = JobState::ENDED.iter().position(|other| *other == state);
        if let (Some(kind), Some(state)) = (kind, state)
            && let Some(count) = list.ended.get_mut(kind).and_then(|counts| counts.get_mut(state))
        {
            *count += 1;
        }
        list.forget();
    }

    fn change(&self, change: impl FnOnce(&mut JobRecord)) {
        let mut list = self.jobs.list.lock();
        let own = list.jobs.iter_mut().find(|entry| entry.record.number == self.record.number);
        if let Some(entry) = own {
            change(&mut entry.record);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let is_running =
            self.jobs.get(self.record.number).is_some_and(|record| record.state == JobState::Running);
        if is_running {
            let result = serde_json::Value::Null;
            self.end(Err(JobFailure::Failed(Code::InternalError, "the job was abandoned".into(), result)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs() -> Jobs {
        let (env, _) = stemedb_env::Env::sim(1);
        Jobs { clock: env.clock, list: Arc::default() }
    }

    fn none() -> serde_json::Value {
        serde_json::Value::Null
    }

    #[track_caller]
    fn begun(jobs: &Jobs, kind: JobKind, key: Option<&str>) -> Running {
        match jobs.begin(kind, none(), key) {
            Ok(Begun::New(running)) => running,
            Ok(Begun::Known(record)) => panic!("known: {record:?}"),
            Err(refused) => panic!("{refused:?}"),
        }
    }

    #[track_caller]
    fn known(jobs: &Jobs, kind: JobKind, key: Option<&str>) -> u64 {
        match jobs.begin(kind, none(), key) {
            Ok(Begun::Known(record)) => record.number,
            Ok(Begun::New(_)) => panic!("new"),
            Err(refused) => panic!("{refused:?}"),
        }
    }

    #[test]
    fn asking_again_while_one_runs_gives_the_one_that_runs_and_later_a_new_one() {
        let jobs = jobs();
        let first = begun(&jobs, JobKind::Compaction, None);
        assert_eq!(known(&jobs, JobKind::Compaction, None), 1);
        let other = begun(&jobs, JobKind::Verification, None);
        assert_eq!(other.record().number, 2, "another kind runs beside it");
        first.run(|_| Ok(none()));
        assert_eq!(jobs.get(1).unwrap().state, JobState::Done);
        assert_eq!(begun(&jobs, JobKind::Compaction, None).record().number, 3);
    }

    #[test]
    fn a_key_names_the_same_job_also_after_its_end_and_no_other_request() {
        let jobs = jobs();
        begun(&jobs, JobKind::Compaction, Some("k")).run(|_| Ok(none()));
        assert_eq!(known(&jobs, JobKind::Compaction, Some("k")), 1);
        let other = jobs.begin(JobKind::Verification, none(), Some("k"));
        assert!(matches!(other, Err(Refused::OtherRequest(1))));
        let other = jobs.begin(JobKind::Compaction, serde_json::json!({"force": true}), Some("k"));
        assert!(matches!(other, Err(Refused::OtherRequest(1))));
        // A key that came while another job ran belongs to that one.
        let running = begun(&jobs, JobKind::Compaction, None);
        assert_eq!(known(&jobs, JobKind::Compaction, Some("later")), 2);
        running.run(|_| Ok(none()));
        assert_eq!(known(&jobs, JobKind::Compaction, Some("later")), 2);
    }

    #[test]
    fn backups_and_archiving_exclude_each_other() {
        let jobs = jobs();
        let backup = begun(&jobs, JobKind::Backup, None);
        for kind in [JobKind::Backup, JobKind::Archive] {
            assert!(
                matches!(jobs.begin(kind, none(), None), Err(Refused::Busy(record)) if record.number == 1)
            );
        }
        drop(backup);
        assert_eq!(jobs.get(1).unwrap().state, JobState::Failed, "nobody ended it");
        begun(&jobs, JobKind::Archive, None);
    }

    #[test]
    fn ended_jobs_are_forgotten_by_age_and_a_running_one_never() {
        let jobs = jobs();
        let old = begun(&jobs, JobKind::Backup, None);
        for _ in 0..ENDED_KEPT + 10 {
            begun(&jobs, JobKind::Compaction, None).run(|_| Ok(none()));
        }
        assert_eq!(jobs.all().len(), ENDED_KEPT + 1);
        assert_eq!(jobs.get(old.record().number).unwrap().state, JobState::Running);
        assert!(jobs.get(2).is_none());
        let counts = jobs.counts();
        assert_eq!((counts[0].kind, counts[0].ended[0]), ("compaction", ("done", ENDED_KEPT as u64 + 10)));
        assert_eq!((counts[2].kind, counts[2].running), ("backup", 1));
    }

    #[test]
    fn stopping_tells_the_running_ones_and_refuses_new_ones() {
        let jobs = jobs();
        let running = begun(&jobs, JobKind::Verification, None);
        assert!(!running.is_stopped());
        assert_eq!(jobs.stop(Duration::from_millis(30)), 1, "it has not ended");
        assert!(running.is_stopped());
        assert!(matches!(jobs.begin(JobKind::Compaction, none(), None), Err(Refused::Stopping)));
        running.run(|_| Err(JobFailure::Stopped));
        assert_eq!(jobs.stop(Duration::ZERO), 0);
        assert_eq!(jobs.get(1).unwrap().state, JobState::Stopped);
    }
}
