//! Options about what is observed: the log of the storage, slow questions.

use std::{path::PathBuf, time::Duration};

use stemedb_api::RouterOptions;

use crate::cli::{failure::Failure, storage_log::StorageLog};

/// Options about what is observed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Logs")]
pub struct ObserveArgs {
    /// Also write the events of the storage into this file, as JSON lines; it may be rotated at any time
    #[arg(long, value_name = "FILE", env = "STEMEDB_STORAGE_LOG")]
    storage_log: Option<PathBuf>,
    /// Questions that take at least so long are logged and listed by `GET /v1/admin/slow-queries` (0: every one)
    #[arg(long, value_name = "MS", default_value_t = 100, env = "STEMEDB_SLOW_QUERY_MS")]
    slow_query_ms: u64,
}

impl ObserveArgs {
    /// Opens the log of the storage, if one was asked for.
    pub fn storage_log(&self) -> Result<Option<StorageLog>, Failure> {
        self.storage_log.as_deref().map(StorageLog::open).transpose()
    }

    /// Puts the others into the router's options.
    pub fn apply(&self, options: &mut RouterOptions) {
        options.slow_queries.threshold = Duration::from_millis(self.slow_query_ms);
    }
}
