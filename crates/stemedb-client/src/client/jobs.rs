//! Long work: begun, looked at, waited for.

use std::time::Duration;

use super::Client;
use crate::{
    error::Error,
    replies::{Job, JobList},
    transport::Call,
};

/// How often a job is looked at: at first, and at the longest.
const LOOK_FIRST: Duration = Duration::from_millis(100);
const LOOK_LAST: Duration = Duration::from_secs(2);

impl Client {
    /// Begins to merge the view's tables; `force`: those in shape are written anew, too.
    ///
    /// # Errors
    /// [`Error`].
    pub fn compact(&self, force: bool) -> Result<Job, Error> {
        self.begin("/v1/admin/storage/compact", &serde_json::json!({ "force": force }))
    }

    /// Begins to read every file back and check it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn verify(&self) -> Result<Job, Error> {
        self.begin("/v1/admin/storage/verify", &serde_json::json!({}))
    }

    /// Begins a backup into the server's target; `verify`: it is proven afterwards.
    ///
    /// # Errors
    /// `unavailable` where the server has no target.
    pub fn backup(&self, verify: bool) -> Result<Job, Error> {
        self.begin("/v1/admin/backup", &serde_json::json!({ "verify": verify }))
    }

    /// Begins to archive released segments of the journal; `rotate`: the present one is ended first.
    ///
    /// # Errors
    /// As [`backup`](Client::backup).
    pub fn archive(&self, rotate: bool) -> Result<Job, Error> {
        self.begin("/v1/admin/wal/archive", &serde_json::json!({ "rotate": rotate }))
    }

    /// The newest backup or archiving.
    ///
    /// # Errors
    /// `unavailable` where the server has no target.
    pub fn backup_status(&self) -> Result<Job, Error> {
        self.json(&Call::look("/v1/admin/backup/status"))
    }

    /// The jobs that run and the newest that have ended, the newest first.
    ///
    /// # Errors
    /// [`Error`].
    pub fn jobs(&self) -> Result<Vec<Job>, Error> {
        self.json::<JobList>(&Call::look("/v1/admin/jobs")).map(|list| list.jobs)
    }

    /// A job by its number.
    ///
    /// # Errors
    /// `job_not_found`.
    pub fn job(&self, number: u64) -> Result<Job, Error> {
        self.json(&Call::look(format!("/v1/admin/jobs/{number}")))
    }

    /// Waits until a job has ended, well or not ([`Job::is_done`]).
    ///
    /// # Errors
    /// [`Error::JobNotEnded`] after `within`; `job_not_found` where the server was started again.
    pub fn wait_for(&self, job: &Job, within: Duration) -> Result<Job, Error> {
        let machine = &self.transport.machine;
        let began = machine.now();
        let mut pause = LOOK_FIRST;
        loop {
            let known = self.job(job.job)?;
            if !known.is_running() {
                return Ok(known);
            }
            let left = within.saturating_sub(machine.now().saturating_sub(began));
            if left.is_zero() {
                return Err(Error::JobNotEnded { job: job.job });
            }
            machine.sleep(pause.min(left));
            pause = (2 * pause).min(LOOK_LAST);
        }
    }

    /// A key of its own for each job that is meant makes repeating safe: the server answers with the job that it has begun.
    fn begin(&self, path: &str, parameters: &serde_json::Value) -> Result<Job, Error> {
        let machine = &self.transport.machine;
        let key = format!("{:016x}{:016x}", machine.random(), machine.random());
        let call = Call::send("POST", path, parameters.to_string().into_bytes());
        self.json(&Call { idempotency_key: Some(key), ..call })
    }
}
