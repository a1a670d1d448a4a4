//! What a server says to those who look after it.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::names::{JobState, Scope};

/// A figure beside its thresholds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct StorageCheck {
    /// Its name.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// `healthy`, `warning` or `failing`.
    pub verdict: String,
}

/// Figures of the storage.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct StorageStats {
    /// Files of the view.
    pub sst_file_count: u64,
    /// Their bytes.
    pub total_bytes: u64,
    /// Bytes that wait for compaction.
    pub pending_compaction_bytes: u64,
    /// Memory of indexes and filters.
    pub index_memory_bytes: u64,
    /// Memory of caches.
    pub cache_memory_bytes: u64,
    /// Bytes written for each byte applied.
    pub write_amplification: f64,
    /// Tables that are damaged.
    #[serde(default)]
    pub damaged_tables: u64,
    /// The worst of the checks.
    pub verdict: String,
    /// Figures beside their thresholds.
    pub checks: Vec<StorageCheck>,
    /// Everything else: `levels`, `memory`, `compactions`, `journal`, `commits`, `operations`, …
    #[serde(flatten)]
    pub more: Map<String, Json>,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct JobProblem {
    /// For programs.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// Long work.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// Its number; 0 if there was none yet.
    #[serde(default)]
    pub job: u64,
    /// `compaction`, `verification`, `backup` or `archive`.
    #[serde(default)]
    pub kind: String,
    /// Where it is.
    pub state: JobState,
    /// When it began.
    pub began_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// What was asked for.
    #[serde(default)]
    pub parameters: Json,
    /// Bytes read so far.
    #[serde(default)]
    pub done_bytes: u64,
    /// Bytes to read; 0 before that is known.
    #[serde(default)]
    pub total_bytes: u64,
    /// What it says of what it has done.
    #[serde(default)]
    pub result: Json,
    /// Why it failed.
    pub problem: Option<JobProblem>,
    /// Where backups go, of a backup's status.
    pub target: Option<String>,
}

impl Job {
    /// Whether it goes on.
    pub fn is_running(&self) -> bool {
        self.state == JobState::Running
    }

    /// Whether it did what it was to do.
    pub fn is_done(&self) -> bool {
        self.state == JobState::Done
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct JobList {
    pub jobs: Vec<Job>,
}

/// A question that took long.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct SlowQuery {
    /// When it was asked.
    pub at: String,
    /// How long it took.
    pub duration_ms: f64,
    /// Through which lens.
    pub lens: String,
    /// Claims that were looked at.
    pub candidates: u64,
    /// What they and the answer held, in 10⁶ bytes.
    pub memory_mb: f64,
    /// What it was about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
    /// Under which the log has more.
    pub request_id: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub more: Map<String, Json>,
}

/// The newest questions that took long.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct SlowQueries {
    /// Questions that took at least so long are listed.
    pub threshold_ms: u64,
    /// The newest first.
    pub queries: Vec<SlowQuery>,
}

/// From which level on events are logged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct LogLevel {
    /// The level now.
    pub level: String,
    /// The level of the configuration.
    pub configured: String,
    /// When it will be that again.
    pub until: Option<String>,
}

/// Something that happened to the files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct StorageEvent {
    /// Its number.
    pub number: u64,
    /// When.
    pub at: String,
    /// What, for programs.
    pub kind: String,
    /// To which file.
    pub file: Option<String>,
    /// What, for people.
    pub text: String,
}

/// What happened to the files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct StorageEvents {
    /// What to ask after next.
    pub newest: u64,
    /// The oldest first.
    pub events: Vec<StorageEvent>,
}

/// Whose receipts a server signs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ServerKey {
    /// The public key: 64 hexadecimal digits.
    pub server_key: String,
    /// The database: 32 hexadecimal digits.
    pub database: String,
    /// The timeline of its LSNs.
    pub timeline: u32,
}

/// An API key.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ApiKey {
    /// Its public part.
    pub id: String,
    /// What it is called.
    pub label: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The agent that it is bound to.
    pub agent: Option<String>,
    /// `active`, `expired` or `revoked`.
    pub state: String,
    /// When it was made.
    pub created_at: String,
    /// Until when it is good.
    pub expires_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// When it was last used.
    pub last_used_at: Option<String>,
    /// The whole key: in the answer to its making alone.
    pub key: Option<String>,
}

/// Without the secret.
impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("label", &self.label)
            .field("scopes", &self.scopes)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListedKeys {
    pub mode: String,
    pub keys: Vec<ApiKey>,
}

/// The API keys of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeys {
    /// When one is asked for: `auto`, `off`, `required` or `writes`.
    pub mode: String,
    /// All of them.
    pub keys: Vec<ApiKey>,
}

/// How the background reading of every file goes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Scrub {
    /// Whether there is one.
    pub enabled: bool,
    /// Whether it reads now.
    pub running: bool,
    /// The number of the round.
    pub round: u64,
    /// Places that were damaged, since the database was opened.
    pub findings: u64,
    /// Of these, mended.
    pub healed: u64,
    /// Everything else.
    #[serde(flatten)]
    pub more: Map<String, Json>,
}
