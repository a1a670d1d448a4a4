//! What is known of a request that was answered.

use std::time::Duration;

use axum::http::Method;
use stemedb_env::{Lsn, Micros};

use crate::http::{slow_queries::Stages, trace::RequestIds};

/// A request that was answered: everything that is ever exported of it.
#[derive(Debug)]
pub(in crate::http) struct Finished {
    pub ids: RequestIds,
    pub method: Method,
    /// The route's template, `unmatched` for a path that is none.
    pub route: String,
    pub status: u16,
    /// The code of the problem, if it is one.
    pub code: Option<&'static str>,
    /// What the reply is about.
    pub lsn: Lsn,
    /// When it began, on the monotonic clock.
    pub started: Duration,
    /// How long it took.
    pub elapsed: Duration,
    /// When it ended, on the wall.
    pub ended: Micros,
    /// Where the time of a question went.
    pub stages: Option<Stages>,
}

impl Finished {
    /// Spans that it becomes: itself, and one for each stage.
    pub(super) fn spans(&self) -> usize {
        1 + self.stages.map_or(0, |stages| stages.timeline().count())
    }

    /// What it holds in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Finished>() + self.ids.heap_bytes() + self.route.capacity()
    }
}
