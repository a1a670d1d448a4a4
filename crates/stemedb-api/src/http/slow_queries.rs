//! Questions that took long, and where their time went: the newest are kept, each also stands in the log.

use std::{collections::VecDeque, fmt::Write, time::Duration};

use parking_lot::Mutex;
use serde::Serialize;
use stemedb_core::Micros;

use super::{App, trace::RequestIds};
use crate::database::{QueryCost, Resolved};

/// Which questions are slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowQueryOptions {
    /// Questions that take at least so long, without the wait for their turn, are kept and logged. Zero: every one.
    pub threshold: Duration,
    /// How many are kept, the newest. Zero: none, and none is logged.
    pub kept: usize,
}

impl Default for SlowQueryOptions {
    fn default() -> SlowQueryOptions {
        SlowQueryOptions { threshold: Duration::from_millis(100), kept: 128 }
    }
}

/// Texts of a question are kept up to here.
const TEXT_MAX_BYTES: usize = 256;

/// The slow questions of one router.
#[derive(Debug)]
pub(crate) struct SlowQueries {
    options: SlowQueryOptions,
    newest: Mutex<VecDeque<SlowQuery>>,
}

/// Where the time of a question went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stages {
    /// Waiting for a thread.
    pub queue: Duration,
    /// Reading claims, votes, sources.
    pub gather: Duration,
    /// The lens.
    pub lens: Duration,
    /// The receipt.
    pub receipt: Duration,
    /// Writing the answer as JSON.
    pub render: Duration,
    /// When the first began, on the monotonic clock.
    pub began: Duration,
    /// When the last ended, on the monotonic clock.
    pub ended: Duration,
}

impl Stages {
    fn by_name(&self) -> [(&'static str, Duration); 5] {
        let Stages { queue, gather, lens, receipt, render, began: _, ended: _ } = *self;
        [("queue", queue), ("gather", gather), ("lens", lens), ("receipt", receipt), ("render", render)]
    }

    /// Those that took time, each with its beginning on the monotonic clock and how long it took. One follows the other, and rendering is
    /// last: what lies between is the way from thread to thread.
    pub(super) fn timeline(self) -> impl Iterator<Item = (&'static str, Duration, Duration)> {
        let (mut next, last) = (self.began, self.ended.saturating_sub(self.render));
        let placed = self.by_name().map(|(name, time)| {
            let begins = if name == "render" { last } else { next };
            next = begins.saturating_add(time);
            (name, begins, time)
        });
        placed.into_iter().filter(|(_, _, time)| !time.is_zero())
    }

    /// The value of `Server-Timing`, with all of the request in `total`. Without stages only that.
    pub(super) fn server_timing(stages: Option<&Stages>, total: Duration) -> String {
        let mut value = String::new();
        for (name, time) in stages.iter().flat_map(|stages| stages.by_name()) {
            // Writing to a string cannot fail.
            let _ = write!(value, "{name};dur={:.3}, ", time.as_secs_f64() * 1e3);
        }
        let _ = write!(value, "total;dur={:.3}", total.as_secs_f64() * 1e3);
        value
    }
}

/// A question that took long.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SlowQuery {
    at: String,
    duration_ms: f64,
    lens: &'static str,
    candidates: usize,
    considered: usize,
    /// What candidates and answer hold, in 10⁶ bytes.
    memory_mb: f64,
    subject: String,
    predicate: String,
    /// The moment that was asked for; absent for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
    /// The entry that the answer is of.
    lsn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    stages_ms: StagesJson,
    block_reads: u64,
    cache_hits: u64,
}

#[derive(Clone, Debug, Serialize)]
struct StagesJson {
    queue: f64,
    gather: f64,
    lens: f64,
    receipt: f64,
    render: f64,
}

/// Milliseconds to the microsecond.
fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

/// The text, or as much of its beginning as is kept.
fn clipped(text: &str) -> String {
    if text.len() <= TEXT_MAX_BYTES {
        return text.to_owned();
    }
    let mut end = TEXT_MAX_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

impl SlowQuery {
    pub(super) fn of(
        resolved: &Resolved,
        total: Duration,
        stages: Stages,
        cost: QueryCost,
        ids: Option<RequestIds>,
    ) -> SlowQuery {
        let query = &resolved.query;
        let (request_id, trace_id) = ids.map_or((None, None), |ids| (Some(ids.request), Some(ids.trace)));
        SlowQuery {
            at: String::new(),
            duration_ms: ms(total),
            lens: query.lens.name(),
            candidates: resolved.candidates.len(),
            considered: resolved.answer.considered,
            memory_mb: resolved.memory_bytes() as f64 / 1e6,
            subject: clipped(&query.subject),
            predicate: clipped(&query.predicate),
            as_of: query.as_of.or(query.known_at).map(|moment| moment.to_string()),
            lsn: resolved.lsn.0,
            request_id,
            trace_id: trace_id.filter(|trace| !trace.is_empty()),
            stages_ms: StagesJson {
                queue: ms(stages.queue),
                gather: ms(stages.gather),
                lens: ms(stages.lens),
                receipt: ms(stages.receipt),
                render: ms(stages.render),
            },
            block_reads: cost.block_reads,
            cache_hits: cost.cache_hits,
        }
    }
}

impl SlowQueries {
    pub(super) fn new(options: SlowQueryOptions) -> SlowQueries {
        SlowQueries { options, newest: Mutex::default() }
    }

    /// Keeps and logs a question if `took`, without the wait for its turn, is long. `describe` is called only then.
    pub(super) fn note(&self, app: &App, took: Duration, describe: impl FnOnce() -> SlowQuery) {
        if took < self.options.threshold || self.options.kept == 0 {
            return;
        }
        app.metrics.slow_query();
        let at = Micros(app.database.env().clock.wall().0).to_string();
        let query = SlowQuery { at, ..describe() };
        tracing::warn!(
            duration_ms = query.duration_ms,
            lens = query.lens,
            candidates = query.candidates,
            memory_mb = query.memory_mb,
            subject = query.subject,
            predicate = query.predicate,
            as_of = query.as_of,
            queue_ms = query.stages_ms.queue,
            gather_ms = query.stages_ms.gather,
            lens_ms = query.stages_ms.lens,
            render_ms = query.stages_ms.render,
            block_reads = query.block_reads,
            cache_hits = query.cache_hits,
            "slow query"
        );
        let mut newest = self.newest.lock();
        if newest.len() >= self.options.kept {
            newest.pop_front();
        }
        newest.push_back(query);
    }

    /// Those that are kept, the newest first.
    pub(super) fn newest(&self) -> Vec<SlowQuery> {
        self.newest.lock().iter().rev().cloned().collect()
    }

    pub(super) fn options(&self) -> SlowQueryOptions {
        self.options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_timing_names_stages_in_milliseconds() {
        let us = Duration::from_micros;
        let stages = Stages { queue: us(10), gather: us(1500), lens: us(250), ..Stages::default() };
        let value = Stages::server_timing(Some(&stages), us(2000));
        let expected = "queue;dur=0.010, gather;dur=1.500, lens;dur=0.250, receipt;dur=0.000, render;dur=0.000, \
                        total;dur=2.000";
        assert_eq!(value, expected);
        assert_eq!(Stages::server_timing(None, us(5)), "total;dur=0.005");
    }

    #[test]
    fn stages_that_took_time_follow_each_other_and_rendering_is_last() {
        let us = Duration::from_micros;
        let (began, ended) = (us(1000), us(1100));
        let stages = Stages {
            queue: us(5),
            gather: us(20),
            lens: us(7),
            render: us(9),
            began,
            ended,
            ..Stages::default()
        };
        let expected = [
            ("queue", us(1000), us(5)),
            ("gather", us(1005), us(20)),
            ("lens", us(1025), us(7)),
            ("render", us(1091), us(9)),
        ];
        assert_eq!(stages.timeline().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn long_texts_are_clipped_between_characters() {
        let text = "ä".repeat(TEXT_MAX_BYTES);
        let kept = clipped(&text);
        assert!(kept.ends_with('…') && kept.len() <= TEXT_MAX_BYTES + '…'.len_utf8());
        assert_eq!(clipped("short"), "short");
    }
}
