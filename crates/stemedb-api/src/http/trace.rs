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
const SPAN_DIGITS: usize = 16;

/// The ids of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestIds {
    /// Its own: the client's, if that is a plain one.
    pub request: String,
    /// Of the trace, 32 hexadecimal digits.
    pub trace: String,
    /// Of the request within the trace, 16 hexadecimal digits.
    pub span: String,
    /// Of whoever called, 16 hexadecimal digits, if the trace began elsewhere.
    parent: Option<[u8; SPAN_DIGITS]>,
    /// The trace's flags, as they came; of one that begins here, whether it is sampled.
    flags: String,
}

impl RequestIds {
    /// The client's ids where it gives proper ones, else new ones.
    pub(super) fn of(app: &App, headers: &HeaderMap, route: &str) -> RequestIds {
        let mut random = [0; 40];
        app.database.env().random.fill(&mut random);
        let is_sampled = |trace: &str| app.otlp.as_ref().is_some_and(|otlp| otlp.samples(trace, route));
        RequestIds::with(headers, random, is_sampled)
    }

    /// Those that the envelope has given a request.
    pub(super) fn of_request(request: &Request) -> Option<RequestIds> {
        request.extensions().get().cloned()
    }

    /// `samples` is asked about a trace that begins here.
    fn with(headers: &HeaderMap, random: [u8; 40], samples: impl FnOnce(&str) -> bool) -> RequestIds {
        let new = |range: std::ops::Range<usize>| hex::text(random.get(range).unwrap_or_default());
        let (trace, parent, flags) = match trace_parent(headers) {
            Some((trace, parent, flags)) => (trace, Some(parent), flags),
            None => {
                let trace = new(16..32);
                let flags = if samples(&trace) { "01" } else { "00" };
                (trace, None, flags.to_owned())
            }
        };
        let request = request_id(headers).unwrap_or_else(|| new(0..16));
        RequestIds { request, trace, span: new(32..40), parent, flags }
    }

    /// True where whoever began the trace wants to see it.
    pub(super) fn is_sampled(&self) -> bool {
        u8::from_str_radix(&self.flags, 16).is_ok_and(|flags| flags & 1 == 1)
    }

    /// What it holds in memory beside itself, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        [&self.request, &self.trace, &self.span, &self.flags].map(String::capacity).iter().sum()
    }

    /// Of whoever called, 16 hexadecimal digits, if the trace began elsewhere.
    pub(super) fn parent(&self) -> Option<&str> {
        self.parent.as_ref().and_then(|digits| std::str::from_utf8(digits).ok())
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
        let RequestIds { request, trace, span, flags, parent: _ } = self;
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

/// Trace id, caller's id and flags of a valid `traceparent`: `version-trace-parent-flags`, lower case. A later version may have more behind that.
fn trace_parent(headers: &HeaderMap) -> Option<(String, [u8; SPAN_DIGITS], String)> {
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
        && digits(parent, SPAN_DIGITS)
        && is_set(parent)
        && digits(flags, 2);
    let parent = parent.as_bytes().try_into().ok()?;
    is_valid.then(|| (trace.to_owned(), parent, flags.to_owned()))
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
        RequestIds::with(&headers, [7; 40], |_| false)
    }

    #[test]
    fn a_valid_parent_is_continued_and_answered_with_a_child() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let ids = ids(&[&parent]);
        assert_eq!((ids.trace.as_str(), ids.flags.as_str()), (TRACE, "01"));
        assert_eq!((ids.parent(), ids.is_sampled()), (Some("00f067aa0ba902b7"), true));
        assert_ne!(ids.span, "00f067aa0ba902b7");
        let mut answer = HeaderMap::new();
        ids.answer(&mut answer);
        assert_eq!(answer[TRACE_RESPONSE], format!("00-{TRACE}-0707070707070707-01"));
        assert_eq!(answer[REQUEST_ID], "07".repeat(16));
        let later = super::tests::ids(&[&format!("01-{TRACE}-00f067aa0ba902b7-01-more")]);
        assert_eq!(later.trace, TRACE, "a later version may say more");
    }

    #[test]
    fn the_flag_of_whoever_called_decides_and_only_without_one_it_is_decided_here() {
        let sampled = |flags: &str, here: bool| {
            let mut headers = HeaderMap::new();
            if !flags.is_empty() {
                let parent = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
                headers.insert(TRACE_PARENT, HeaderValue::from_str(&parent).unwrap());
            }
            RequestIds::with(&headers, [7; 40], |_| here).is_sampled()
        };
        for here in [false, true] {
            assert_eq!(sampled("", here), here);
            let by_parent = ["00", "01", "02", "03", "fe", "ff"].map(|flags| sampled(flags, here));
            assert_eq!(by_parent, [false, true, false, true, false, true]);
        }
        assert_eq!(ids(&[]).parent(), None);
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
