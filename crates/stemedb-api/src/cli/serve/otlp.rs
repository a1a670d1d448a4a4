//! Spans of requests: their way to a collector is opened, and given a last chance.

use std::time::Duration;

use stemedb_api::{
    config::Settings,
    http::{Otlp, OtlpOptions, read_otlp_headers},
};
use tokio::{runtime::Handle, time::Instant};

use crate::cli::failure::Failure;

/// So long spans may take to be sent when the server stops, if the time to drain is not over before.
const SENT_WITHIN: Duration = Duration::from_secs(5);

/// Begins to export; `None` if no collector is named.
pub fn start(settings: &Settings, runtime: &Handle) -> Result<Option<Otlp>, Failure> {
    let (env, otlp) = (&settings.database.env, &settings.otlp);
    let Some(endpoint) = otlp.endpoint.clone() else { return Ok(None) };
    let cannot = |error| Failure::new(error).context("cannot export spans");
    let headers = otlp.headers_file.as_deref().map(|file| read_otlp_headers(env, file)).transpose();
    let options = OtlpOptions {
        sample_ratio: otlp.sample_ratio,
        timeout: otlp.timeout,
        headers: headers.map_err(cannot)?.unwrap_or_default(),
        ..OtlpOptions::new(endpoint)
    };
    tracing::info!(endpoint = %options.endpoint, sample_ratio = options.sample_ratio, "spans are exported");
    Otlp::start(runtime, env, options).map(Some).map_err(cannot)
}

/// Sends what still waits, until that moment or for a few seconds.
pub async fn finish(otlp: &Otlp, until: Instant) {
    let within = until.saturating_duration_since(Instant::now()).min(SENT_WITHIN);
    let cut = otlp.stop(within).await;
    if cut > 0 {
        tracing::warn!(cut, "spans are cut: they could not be sent in time");
    }
}
