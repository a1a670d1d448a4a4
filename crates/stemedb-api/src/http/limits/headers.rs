//! Limits as headers: draft-ietf-httpapi-ratelimit-headers, the form with structured fields.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Verdict;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Says what the limit is, what is left, and of a refusal when to come again.
pub(in super::super) fn describe(verdict: &Verdict, headers: &mut HeaderMap) {
    let Verdict { group, rate, remaining, wait } = verdict;
    let name = group.name();
    let mut put = |header: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(header, value);
        }
    };
    put(POLICY, format!("\"{name}\";q={};w={}", rate.quota, rate.window_seconds));
    match wait {
        None => put(LIMIT, format!("\"{name}\";r={remaining}")),
        Some(wait) => {
            // Rounded up: who comes then, passes.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            put(LIMIT, format!("\"{name}\";r=0;t={seconds}"));
            put(header::RETRY_AFTER, seconds.to_string());
        }
    }
}
