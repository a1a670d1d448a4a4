//! The JSON of an export.
//!
//! Source: OpenTelemetry protocol (OTLP) 1.10, stable: `opentelemetry/proto/collector/trace/v1/trace_service.proto` and
//! `opentelemetry/proto/trace/v1/trace.proto`, with "JSON Protobuf Encoding" of the OTLP specification: keys in lowerCamelCase, ids as
//! hexadecimal digits, enumerations as numbers, 64-bit numbers as texts. Names of attributes: semantic conventions for HTTP 1.x.

use std::{borrow::Cow, time::Duration};

use serde::{Serialize, Serializer};
use stemedb_env::Random;

use super::Finished;

const KIND_INTERNAL: u8 = 1;
const KIND_SERVER: u8 = 2;
const STATUS_ERROR: u8 = 2;
/// Sampled, and it is known whether the parent is elsewhere.
const FLAGS: u32 = 0x101;
const PARENT_IS_ELSEWHERE: u32 = 0x200;
const SCOPE: &str = "stemedb-api";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Export<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: [Attribute<'a>; 3],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Span<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: &'a str,
    span_id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<&'a str>,
    flags: u32,
    name: Cow<'a, str>,
    kind: u8,
    start_time_unix_nano: Digits,
    end_time_unix_nano: Digits,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Attribute<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: AnyValue<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum AnyValue<'a> {
    StringValue(&'a str),
    IntValue(Digits),
}

/// A number of 64 bits, which JSON has as a text.
struct Digits(u64);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn text<'a>(key: &'static str, value: &'a str) -> Attribute<'a> {
    Attribute { key, value: AnyValue::StringValue(value) }
}

fn number<'a>(key: &'static str, value: u64) -> Attribute<'a> {
    Attribute { key, value: AnyValue::IntValue(Digits(value)) }
}

/// The body of a request to the collector. `instance` names this process, `random` gives ids to the spans of stages.
pub(super) fn export(
    instance: &str,
    requests: &[Finished],
    random: &dyn Random,
) -> serde_json::Result<Vec<u8>> {
    let spans = requests
        .iter()
        .flat_map(|request| std::iter::once(of_request(request)).chain(of_stages(request, random)));
    let scope_spans = [ScopeSpans { scope: Scope { name: SCOPE, version: VERSION }, spans: spans.collect() }];
    let attributes = [
        text("service.name", SCOPE),
        text("service.version", VERSION),
        text("service.instance.id", instance),
    ];
    let resource_spans = [ResourceSpans { resource: Resource { attributes }, scope_spans }];
    serde_json::to_vec(&Export { resource_spans })
}

fn of_request(request: &Finished) -> Span<'_> {
    let Finished { ids, route, status, code, lsn, elapsed, .. } = request;
    // Methods are the client's to choose; those that are not HTTP's own are not repeated.
    let method = match request.method.as_str() {
        known @ ("GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "PATCH") => known,
        _ => "_OTHER",
    };
    let is_route = route.starts_with('/');
    let verb = if method == "_OTHER" { "HTTP" } else { method };
    let name = if is_route { format!("{verb} {route}").into() } else { verb.into() };
    let mut attributes =
        vec![text("http.request.method", method), number("http.response.status_code", u64::from(*status))];
    if is_route {
        attributes.push(text("http.route", route));
    }
    if let Some(code) = code {
        attributes.push(text("stemedb.problem", code));
    }
    // What a client did wrong is not an error of the server.
    let is_error = *status >= 500;
    if is_error {
        attributes.push(text("error.type", code.unwrap_or("_OTHER")));
    }
    attributes.extend([number("stemedb.lsn", lsn.0), text("stemedb.request_id", &ids.request)]);
    let began = began(request);
    Span {
        trace_id: &ids.trace,
        span_id: (&*ids.span).into(),
        parent_span_id: ids.parent(),
        flags: if ids.parent().is_some() { FLAGS | PARENT_IS_ELSEWHERE } else { FLAGS },
        name,
        kind: KIND_SERVER,
        start_time_unix_nano: Digits(began),
        end_time_unix_nano: Digits(began.saturating_add(nanos(*elapsed))),
        attributes,
        status: is_error.then_some(Status { code: STATUS_ERROR }),
    }
}

fn of_stages<'a>(request: &'a Finished, random: &'a dyn Random) -> impl Iterator<Item = Span<'a>> {
    let timeline = request.stages.into_iter().flat_map(|stages| stages.timeline());
    timeline.map(move |(name, begins, time)| {
        let start = began(request).saturating_add(nanos(begins.saturating_sub(request.started)));
        Span {
            trace_id: &request.ids.trace,
            // Zero is no id.
            span_id: format!("{:016x}", random.next_u64().max(1)).into(),
            parent_span_id: Some(&request.ids.span),
            flags: FLAGS,
            name: name.into(),
            kind: KIND_INTERNAL,
            start_time_unix_nano: Digits(start),
            end_time_unix_nano: Digits(start.saturating_add(nanos(time))),
            attributes: Vec::new(),
            status: None,
        }
    })
}

/// When a request began, in nanoseconds since 1970.
fn began(request: &Finished) -> u64 {
    let ended = u64::try_from(request.ended.0).unwrap_or(0).saturating_mul(1000);
    ended.saturating_sub(nanos(request.elapsed))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
