//! Who a request is: its own id, and its place in a trace (W3C Trace Context).
//!
//! `traceparent` names the trace that a request is a part of; without a valid one it begins a trace of its own. Every line that is
//! logged on behalf of a request carries both ids, as fields of the span around it. The reply says them in `X-Request-Id` and
//! `traceresponse`.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use stemedb_core::identity::hex;
use tracing::Span;

use super::App;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");
const REQUEST_ID_MAX_BYTES: usize = 128;

/// The ids of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestIds {
    /// Its own: the client's, if that is a plain one.
    pub request: String,
    /// Of the trace, 32 hexadecimal digits.
    pub trace: String,
    /// Of the request within the trace, 16 hexadecimal digits.
    pub span: String,
    /// The trace's flags, as they came.
    flags: String,
}

impl RequestIds {
    /// The client's ids where it gives proper ones, else new ones.
    pub(super) fn of(app: &App, headers: &HeaderMap) -> RequestIds {
        let mut random = [0; 40];
        app.database.env().random.fill(&mut random);
        RequestIds::with(headers, random)
    }

    /// Those that the envelope has given a request.
    pub(super) fn of_request(request: &Request) -> Option<RequestIds> {
        request.extensions().get().cloned()
    }

    fn with(headers: &HeaderMap, random: [u8; 40]) -> RequestIds {
        let new = |range: std::ops::Range<usize>| hex::text(random.get(range).unwrap_or_default());
        let (trace, flags) = trace_parent(headers).unwrap_or_else(|| (new(16..32), "00".to_owned()));
        RequestIds {
            request: request_id(headers).unwrap_or_else(|| new(0..16)),
            trace,
            span: new(32..40),
            flags,
        }
    }

    /// The span that everything done for the request happens in. At the level of errors, so that an error is never without it.
    pub(super) fn span(&self, method: &str, path: &str) -> Span {
        tracing::error_span!(
            "request",
            request_id = self.request,
            trace_id = self.trace,
            span_id = self.span,
            method,
            path
        )
    }

    /// Says them in a reply.
    pub(super) fn answer(&self, headers: &mut HeaderMap) {
        let RequestIds { request, trace, span, flags } = self;
        let response = format!("00-{trace}-{span}-{flags}");
        for (name, value) in [(REQUEST_ID, request), (TRACE_RESPONSE, &response)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// The client's id if it is a plain one.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let given = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = (1..=REQUEST_ID_MAX_BYTES).contains(&given.len()) && given.bytes().all(plain);
    is_plain.then(|| given.to_owned())
}

/// Trace id and flags of a valid `traceparent`: `version-trace-parent-flags`, lower case. A later version may have more behind that.
fn trace_parent(headers: &HeaderMap) -> Option<(String, String)> {
    let mut given = headers.get_all(TRACE_PARENT).iter();
    let (first, second) = (given.next()?, given.next());
    let text = first.to_str().ok().filter(|_| second.is_none())?.trim();
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, count: usize| {
        text.len() == count && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let is_valid = digits(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && digits(trace, 32)
        && is_set(trace)
        && digits(parent, 16)
        && is_set(parent)
        && digits(flags, 2);
    is_valid.then(|| (trace.to_owned(), flags.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn ids(parents: &[&str]) -> RequestIds {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(TRACE_PARENT, HeaderValue::from_str(parent).unwrap());
        }
        RequestIds::with(&headers, [7; 40])
    }

    #[test]
    fn a_valid_parent_is_continued_and_answered_with_a_child() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let ids = ids(&[&parent]);
        assert_eq!((ids.trace.as_str(), ids.flags.as_str()), (TRACE, "01"));
        assert_ne!(ids.span, "00f067aa0ba902b7");
        let mut answer = HeaderMap::new();
        ids.answer(&mut answer);
        assert_eq!(answer[TRACE_RESPONSE], format!("00-{TRACE}-0707070707070707-01"));
        assert_eq!(answer[REQUEST_ID], "07".repeat(16));
        let later = super::tests::ids(&[&format!("01-{TRACE}-00f067aa0ba902b7-01-more")]);
        assert_eq!(later.trace, TRACE, "a later version may say more");
    }

    #[test]
    fn what_is_not_a_parent_begins_a_new_trace() {
        let bad = [
            String::new(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}0-00f067aa0ba902b7-01"),
        ];
        for parent in &bad {
            assert_eq!(ids(&[parent]).trace, "07".repeat(16), "{parent}");
        }
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(ids(&[&parent, &parent]).trace, "07".repeat(16), "two say nothing");
    }
}
