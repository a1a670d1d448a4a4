//! What is known about a job.

use serde::Serialize;
use stemedb_core::Micros;

use crate::errors::Code;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Merges the view's tables.
    Compaction,
    /// Reads every file back and checks it.
    Verification,
    /// Makes a backup.
    Backup,
    /// Copies released segments into the archive.
    Archive,
}

impl JobKind {
    /// All of them.
    pub const ALL: [JobKind; 4] =
        [JobKind::Compaction, JobKind::Verification, JobKind::Backup, JobKind::Archive];

    /// Its name in the API, in logs and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            JobKind::Compaction => "compaction",
            JobKind::Verification => "verification",
            JobKind::Backup => "backup",
            JobKind::Archive => "archive",
        }
    }

    /// True if one of the other kind must not run beside it. Backups and archiving share a target.
    pub(super) fn excludes(self, other: JobKind) -> bool {
        let uses_target = |kind| matches!(kind, JobKind::Backup | JobKind::Archive);
        self == other || (uses_target(self) && uses_target(other))
    }

    /// True if asking for it while it runs is answered with the one that runs.
    pub(super) fn is_shared(self) -> bool {
        matches!(self, JobKind::Compaction | JobKind::Verification)
    }
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It is under way.
    Running,
    /// It has done what it was to do.
    Done,
    /// It has failed.
    Failed,
    /// The server stopped before its end.
    Stopped,
}

impl JobState {
    /// Those in which a job has ended.
    pub const ENDED: [JobState; 3] = [JobState::Done, JobState::Failed, JobState::Stopped];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Stopped => "stopped",
        }
    }
}

/// Everything that is known about a job.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// Counts from 1 in the order in which they began, while the process lives.
    pub number: u64,
    /// What it does.
    pub kind: JobKind,
    /// Where it is.
    pub state: JobState,
    /// What was asked for.
    pub parameters: serde_json::Value,
    /// When it began.
    pub began: Micros,
    /// When it ended.
    pub ended: Option<Micros>,
    /// Bytes read so far.
    pub done_bytes: u64,
    /// Bytes to read, as far as is known; 0 before that.
    pub total_bytes: u64,
    /// What it says of what it has done; null before its end.
    pub result: serde_json::Value,
    /// Why it failed.
    pub problem: Option<(Code, String)>,
}

/// A [`JobRecord`] as the API shows it.
#[derive(Serialize)]
pub(crate) struct JobJson<'a> {
    job: u64,
    kind: &'static str,
    state: &'static str,
    began_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    parameters: &'a serde_json::Value,
    done_bytes: u64,
    total_bytes: u64,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    result: &'a serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemJson<'a>>,
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    code: &'static str,
    title: &'static str,
    detail: &'a str,
}

impl JobRecord {
    /// For a reply.
    pub(crate) fn json(&self) -> JobJson<'_> {
        JobJson {
            job: self.number,
            kind: self.kind.name(),
            state: self.state.name(),
            began_at: self.began.to_string(),
            ended_at: self.ended.map(|at| at.to_string()),
            parameters: &self.parameters,
            done_bytes: self.done_bytes,
            total_bytes: self.total_bytes,
            result: &self.result,
            problem: self.problem.as_ref().map(|(code, detail)| ProblemJson {
                code: code.name(),
                title: code.title(),
                detail,
            }),
        }
    }
}
