//! Spans of requests for an OpenTelemetry collector, by OTLP over HTTP with JSON.
//!
//! ```text
//! envelope ─ a sampled request was answered ─▶ queue, bounded ─▶ worker: a batch ─▶ POST …/v1/traces ─ 2xx ─▶ counted as exported
//!                                                └ full: counted      ▲                  └ 429, 502, 503, 504, nothing: waits
//!                                                                     └──────────────────────────┘ at most a minute, then counted
//! ```
//!
//! A request never waits: it puts what is known about it into the queue, or counts it as lost. Everything else, the ids of
//! child spans and the encoding included, happens in one task. What leaves is what [`Finished`] holds: never a path, a parameter, a
//! body, a claim or a key.
//!
//! Without an [`Otlp`] a request pays for one comparison. Why this is written here and not brought by a crate:
//! `docs/design/tracing.md`.

mod encode;
mod endpoint;
mod headers;
mod post;
mod queue;
mod sample;
mod span;
mod worker;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::HeaderMap;
pub use endpoint::OtlpEndpoint;
pub use headers::read_headers;
use parking_lot::Mutex;
use queue::Queue;
use sample::Sampler;
pub(super) use span::Finished;
use stemedb_env::Env;
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

/// How spans are exported.
#[derive(Clone, Debug)]
pub struct OtlpOptions {
    /// The collector.
    pub endpoint: OtlpEndpoint,
    /// The part of the traces beginning here that is exported, from 0 to 1.
    pub sample_ratio: f64,
    /// How long the collector may take for an answer.
    pub timeout: Duration,
    /// What each request to the collector carries beside what it needs. Values that are secret should be marked so.
    pub headers: HeaderMap,
    /// Spans that may wait. What finds no room is lost, and counted.
    pub queue_spans: usize,
    /// Memory that they may take, in bytes.
    pub queue_bytes: usize,
    /// Spans that are sent at once, or a few more: those of one request stay together.
    pub batch_spans: usize,
    /// How long a span may wait for others.
    pub flush_every: Duration,
    /// How long to wait before a batch is sent for the second time. The wait doubles, up to half a minute; the collector's
    /// `Retry-After` goes before.
    pub backoff: Duration,
    /// After this time a batch that was not taken is lost.
    pub give_up_after: Duration,
}

impl OtlpOptions {
    /// Everything to this collector: 8192 spans or 4 MiB wait at most, 512 are sent at once, after a second at the latest.
    pub fn new(endpoint: OtlpEndpoint) -> OtlpOptions {
        OtlpOptions {
            endpoint,
            sample_ratio: 1.0,
            timeout: Duration::from_secs(10),
            headers: HeaderMap::new(),
            queue_spans: 8192,
            queue_bytes: 4 << 20,
            batch_spans: 512,
            flush_every: Duration::from_secs(1),
            backoff: Duration::from_secs(1),
            give_up_after: Duration::from_secs(60),
        }
    }
}

/// Why spans cannot be exported at all.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The file of headers cannot be read.
    #[error("the file of headers cannot be read: {0}")]
    Unreadable(#[from] stemedb_env::Error),
    /// A line of that file is no header. What it holds may be secret, so it is not repeated.
    #[error("line {line} of the file of headers is not `Name: value`")]
    NotAHeader {
        /// Which, from 1.
        line: usize,
    },
    /// The system has no certificate that a collector could be known by.
    #[error("no certificates of the system to know the collector by; SSL_CERT_FILE may name a file of them")]
    NoCertificates,
    /// TLS cannot be set up.
    #[error("no TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The collector has it.
    Exported,
    /// No room to wait.
    QueueFull,
    /// The collector does not want it.
    Refused,
    /// The collector did not take it in time.
    Unanswered,
    /// The server ended before it was sent.
    Cut,
}

impl Outcome {
    const ALL: [(Outcome, &'static str); 5] = [
        (Outcome::Exported, "exported"),
        (Outcome::QueueFull, "queue_full"),
        (Outcome::Refused, "refused"),
        (Outcome::Unanswered, "unanswered"),
        (Outcome::Cut, "cut"),
    ];
}

/// Spans so far, by what became of them.
pub(crate) fn outcomes(otlp: Option<&Otlp>) -> [(&'static str, u64); 5] {
    Outcome::ALL.map(|(outcome, name)| (name, otlp.map_or(0, |otlp| otlp.0.shared.counts.of(outcome))))
}

#[derive(Debug, Default)]
struct Counts([AtomicU64; 5]);

impl Counts {
    fn add(&self, outcome: Outcome, spans: u64) {
        if let Some(count) = self.0.get(outcome as usize) {
            count.fetch_add(spans, Ordering::Relaxed);
        }
    }

    fn of(&self, outcome: Outcome) -> u64 {
        self.0.get(outcome as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// What requests and the worker share.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    counts: Counts,
}

/// Exports spans while it lives. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Otlp(Arc<Exporter>);

struct Exporter {
    shared: Arc<Shared>,
    sampler: Sampler,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Otlp {
    /// Begins to export, in a task of the runtime. The collector need not be there yet.
    ///
    /// # Errors
    /// Only for an endpoint with https: the system has no certificates, or TLS cannot be set up.
    pub fn start(runtime: &Handle, env: &Env, options: OtlpOptions) -> Result<Otlp, OtlpError> {
        let sampler = Sampler::new(options.sample_ratio);
        let shared = Arc::new(Shared { queue: Queue::new(&options), counts: Counts::default() });
        let worker = worker::Worker::new(env, options, Arc::clone(&shared))?;
        let worker = Mutex::new(Some(runtime.spawn(worker.run())));
        Ok(Otlp(Arc::new(Exporter { shared, sampler, worker })))
    }

    /// Sends what still waits, for at most this time; what is left then is cut. Returns how many spans were cut so far. Whatever
    /// comes afterwards is cut, too.
    pub async fn stop(&self, within: Duration) -> u64 {
        let Exporter { shared, worker, .. } = &*self.0;
        shared.queue.stop();
        let worker = worker.lock().take();
        if let Some(mut worker) = worker
            && timeout(within, &mut worker).await.is_err()
        {
            worker.abort();
            // It counts what it held as cut; afterwards nobody takes from the queue.
            let _ = worker.await;
        }
        shared.counts.add(Outcome::Cut, shared.queue.clear());
        shared.counts.of(Outcome::Cut)
    }

    /// Whether a trace that begins with a request to this route is exported.
    pub(super) fn samples(&self, trace: &str, route: &str) -> bool {
        self.0.sampler.samples(trace, route)
    }

    /// Exports a request, if there is room. Cost: a lock that is held for a moment; never waits for the collector.
    pub(super) fn record(&self, request: Finished) {
        let Shared { queue, counts } = &*self.0.shared;
        if let Err((why, spans)) = queue.push(request) {
            counts.add(why, spans);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.lock().take() {
            worker.abort();
        }
    }
}
