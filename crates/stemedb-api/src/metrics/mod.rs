//! Prometheus metrics, under the names that operators' alerts and dashboards rely on.
//!
//! What happens in requests is counted here as it happens; what the engine counts is read when metrics are asked for.
//! No global registry: two routers in one process count apart.

mod caches;
mod census;
mod engine;
mod exposition;
mod process;
mod recent;
mod reference;
mod series;
mod table;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry},
};
use stemedb_core::Lens;
use stemedb_env::TaskHandle;

pub(crate) use self::engine::journal_files;
use self::{census::Census, exposition::Exposition, recent::Recent};
pub use self::{
    reference::{all_series, reference_page},
    series::{Kind, Series, Unit},
};
use crate::{
    database::Database,
    http::{Refusal, otlp_outcomes},
    store_helpers::Operation,
};

/// The metrics of one router.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_requests: Family<HttpLabels, Counter>,
    http_duration: Family<RouteLabels, Histogram>,
    query_latency: Family<LensLabels, Histogram>,
    operations: Family<OperationLabels, Counter>,
    operation_errors: Family<OperationLabels, Counter>,
    put_duration: Histogram,
    recent: Recent,
    slow_queries: Counter,
    refused: Family<RefusalLabels, Counter>,
    feed_entries: Counter,
    watch_notices: Counter,
    /// Readers that are connected.
    feeds: AtomicU64,
    watchers: AtomicU64,
    census: Census,
    /// Counts the claims that were there at open. Held so that it stops with the router.
    _counting: Mutex<Option<TaskHandle>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HttpLabels {
    method: String,
    path: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    path: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LensLabels {
    lens: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

/// 100 µs to 13 s.
fn latency_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 18))
}

/// Registers a series of the table. The library adds `_total` to the names of counters and a full stop to the help.
fn register(registry: &mut Registry, series: &Series, metric: impl Metric) {
    let name = series.name.strip_suffix("_total").unwrap_or(series.name);
    registry.register(name, series.help, metric);
}

impl Metrics {
    /// Metrics of a database; starts counting its claims in the background.
    pub fn new(database: &Database) -> Metrics {
        let mut registry = Registry::default();
        let http_requests = Family::default();
        let http_duration = Family::new_with_constructor(latency_buckets as fn() -> Histogram);
        let query_latency = Family::new_with_constructor(latency_buckets as fn() -> Histogram);
        let operations = Family::default();
        let operation_errors = Family::default();
        let put_duration = latency_buckets();
        let (slow_queries, feed_entries, watch_notices) =
            (Counter::default(), Counter::default(), Counter::default());
        register(&mut registry, table::HTTP_REQUESTS.0, http_requests.clone());
        register(&mut registry, table::HTTP_DURATION.0, http_duration.clone());
        register(&mut registry, table::QUERY_LATENCY.0, query_latency.clone());
        register(&mut registry, table::OPERATIONS.0, operations.clone());
        register(&mut registry, table::OPERATION_ERRORS.0, operation_errors.clone());
        register(&mut registry, table::PUT_DURATION.0, put_duration.clone());
        register(&mut registry, table::SLOW_QUERIES.0, slow_queries.clone());
        register(&mut registry, table::FEED_ENTRIES.0, feed_entries.clone());
        register(&mut registry, table::WATCH_NOTICES.0, watch_notices.clone());
        let refused = Family::default();
        register(&mut registry, table::HTTP_REFUSED.0, refused.clone());
        for refusal in Refusal::ALL {
            let _ = refused.get_or_create(&RefusalLabels { reason: refusal.name() });
        }
        for operation in Operation::ALL {
            // Series that exist from the start: a rate needs the zero before the first error.
            let labels = OperationLabels { operation: operation.name() };
            let _ = (operations.get_or_create(&labels), operation_errors.get_or_create(&labels));
        }
        let (census, counting) = Census::start(database);
        Metrics {
            registry,
            http_requests,
            http_duration,
            query_latency,
            operations,
            operation_errors,
            put_duration,
            recent: Recent::default(),
            slow_queries,
            refused,
            feed_entries,
            watch_notices,
            feeds: AtomicU64::new(0),
            watchers: AtomicU64::new(0),
            census,
            _counting: Mutex::new(counting),
        }
    }

    /// A request was answered. `path` is the route's template, never the raw path.
    pub(crate) fn http_request(&self, method: &str, path: &str, status: u16, elapsed: Duration) {
        // Methods are the client's to choose; labels are not.
        let method = match method {
            "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "PATCH" => method,
            _ => "other",
        };
        let route = RouteLabels { method: method.to_owned(), path: path.to_owned() };
        self.http_duration.get_or_create(&route).observe(elapsed.as_secs_f64());
        let RouteLabels { method, path } = route;
        self.http_requests.get_or_create(&HttpLabels { method, path, status }).inc();
    }

    /// A request was refused because too much was in flight.
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refused.get_or_create(&RefusalLabels { reason: refusal.name() }).inc();
    }

    /// A question was answered.
    pub(crate) fn query_answered(&self, lens: Lens, elapsed: Duration) {
        self.query_latency.get_or_create(&LensLabels { lens: lens.name() }).observe(elapsed.as_secs_f64());
    }

    /// The storage was used, up to the moment `now` of the monotonic clock.
    pub(crate) fn storage_operation(
        &self,
        operation: Operation,
        failed: bool,
        elapsed: Duration,
        now: Duration,
    ) {
        let labels = OperationLabels { operation: operation.name() };
        self.operations.get_or_create(&labels).inc();
        if failed {
            self.operation_errors.get_or_create(&labels).inc();
        }
        if operation == Operation::Put {
            self.put_duration.observe(elapsed.as_secs_f64());
        }
        self.recent.note(now, failed);
    }

    /// Storage operations of the last five minutes, and how many of them failed.
    pub(crate) fn recent_operations(&self, now: Duration) -> (u64, u64) {
        self.recent.sums(now)
    }

    /// Storage operations of a kind so far, and how many of them failed.
    pub(crate) fn operations_so_far(&self, operation: Operation) -> (u64, u64) {
        let labels = OperationLabels { operation: operation.name() };
        let get = |family: &Family<OperationLabels, Counter>| family.get_or_create(&labels).get();
        (get(&self.operations), get(&self.operation_errors))
    }

    /// Somebody begins to read the feed or notices; until the guard is dropped.
    pub(crate) fn stream(self: &Arc<Metrics>, kind: Stream) -> StreamGuard {
        let guard = StreamGuard { metrics: Arc::clone(self), kind };
        guard.count().fetch_add(1, Ordering::Relaxed);
        guard
    }

    /// So many entries or notices were sent.
    pub(crate) fn streamed(&self, kind: Stream, count: u64) {
        match kind {
            Stream::Feed => self.feed_entries.inc_by(count),
            Stream::Watches => self.watch_notices.inc_by(count),
        };
    }

    /// A question was slow.
    pub(crate) fn slow_query(&self) {
        self.slow_queries.inc();
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    pub fn render(&self, database: &Database) -> String {
        self.rendered(database, 0, &[], &otlp_outcomes(None))
    }

    /// [`Metrics::render`], with what only the router knows.
    pub(crate) fn rendered(
        &self,
        database: &Database,
        in_flight: usize,
        jobs: &[JobCounts],
        otlp: &[(&str, u64)],
    ) -> String {
        let mut open_metrics = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut open_metrics, &self.registry);
        let mut out = Exposition::from_open_metrics(&open_metrics);
        out.gauge(table::HTTP_IN_FLIGHT, in_flight as f64);
        let streams = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let streams = [("feed", streams(&self.feeds)), ("watches", streams(&self.watchers))];
        out.gauges(table::STREAMS, &streams);
        out.jobs(jobs);
        out.counters(table::OTLP_SPANS, otlp);
        out.counter(table::ASSERTIONS_INDEXED, self.census.count(database));
        engine::write(&mut out, database);
        out.gauges(table::BUILD_INFO, &[(env!("CARGO_PKG_VERSION"), 1.0)]);
        process::write(&mut out);
        out.finish()
    }
}

/// What is read without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// The feed of everything that was recorded.
    Feed,
    /// Notices of watched answers.
    Watches,
}

/// Counts a reader while it lives.
pub(crate) struct StreamGuard {
    metrics: Arc<Metrics>,
    kind: Stream,
}

impl StreamGuard {
    fn count(&self) -> &AtomicU64 {
        match self.kind {
            Stream::Feed => &self.metrics.feeds,
            Stream::Watches => &self.metrics.watchers,
        }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.count().fetch_sub(1, Ordering::Relaxed);
    }
}

/// Jobs of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobCounts {
    pub kind: &'static str,
    pub running: u64,
    /// By how they ended.
    pub ended: [(&'static str, u64); 3],
}
