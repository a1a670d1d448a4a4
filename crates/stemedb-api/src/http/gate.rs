//! What stands around every route that is not open to everybody: who calls, whether they may, how much, and the record of it.
//!
//! ```text
//! request ─ admission ─ peer ─ key, scope ─ rate ─▶ handler ─▶ reply
//!               └ 503        └────── 401, 403, 429 ─────────┤
//!                                                           └─ audit: writes, admin calls, refusals
//! ```

use axum::{
    body::HttpBody,
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    App, Problem,
    audit::{Audit, Entry},
    auth::{self, Access, Peer, Principal, Scope},
    envelope::AboutLsn,
    limits::{self, Group, Verdict},
    min_lsn,
    trace::RequestIds,
};
use crate::errors::Code;

/// Longest id that is put into the audit log, in bytes, and how many of them.
const ID_MAX_BYTES: usize = 200;
const IDS_MAX: usize = 8;

/// What the gate knows of a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub method: &'static str,
    pub path: &'static str,
    pub access: Access,
    pub group: Group,
    /// Units of the group's quota that a request costs.
    pub units: u32,
}

/// What a request touched, as a handler tells the audit log.
#[derive(Clone, Debug)]
pub(super) struct Touched(pub Vec<String>);

/// The gate of one route.
pub(super) async fn gate(State((app, rule)): State<(App, Rule)>, request: Request, next: Next) -> Response {
    let Access::Needs(scope) = rule.access else { return next.run(request).await };
    let (mut head, body) = request.into_parts();
    // No more than this is ever read of it: a longer one is let in, to be told that it is too long.
    let most = app.options.body_max_bytes as u64;
    let bytes = body.size_hint().upper().map_or(most, |bytes| bytes.min(most));
    let _place = match app.admission.enter(rule.group, bytes) {
        Ok(place) => place,
        Err(refusal) => {
            app.metrics.refused(refusal);
            return Problem::of(Code::Overloaded).into_response();
        }
    };
    let peer = Peer::of(&head, &app.security.auth.trusted_proxies);
    let decided = auth::decide(&app.security.auth, &app.keys, scope, &peer, &head.headers);
    let principal = decided.as_ref().map_or(Principal::Anonymous, Clone::clone);
    // Who is refused is charged like anybody else: guessing must not be cheaper than asking.
    let verdict = app.limits.charge(rule.group, rule.units, &principal, &peer);
    let waits = verdict.is_some_and(|verdict| verdict.wait.is_some());
    let recorded = scope != Scope::Read || decided.is_err() || waits;
    let record = app.audit.as_ref().filter(|_| recorded).map(|audit| {
        let key = decided.as_ref().map_or_else(|refused| refused.key, Principal::key);
        let entry = Entry {
            request_id: head.extensions.get::<RequestIds>().map(|ids| ids.request.clone()),
            key: key.map(|key| key.to_string()),
            peer: peer.shown(),
            method: Some(rule.method.to_owned()),
            route: Some(rule.path),
            ids: in_path(rule.path, head.uri.path()),
            ..Entry::new(app.database.env(), "request")
        };
        Record { audit: audit.clone(), entry: Some(entry) }
    });
    let mut response = match (verdict, decided) {
        (Some(verdict), _) if verdict.wait.is_some() => too_many(&verdict),
        (_, Err(refused)) => refused.into_response(),
        (_, Ok(principal)) => {
            let is_key = matches!(principal, Principal::Key(_));
            head.extensions.insert(principal);
            // Within the gate: who waits holds a place, and only who may ask waits.
            let mut response = match min_lsn::reached(&app, &head.headers).await {
                Ok(()) => next.run(Request::from_parts(head, body)).await,
                Err(problem) => problem.into_response(),
            };
            if is_key {
                keep_private(&mut response);
            }
            response
        }
    };
    if let Some(verdict) = &verdict {
        limits::describe(verdict, response.headers_mut());
    }
    if let Some(record) = record {
        record.finish(&response);
    }
    response
}

/// What a key may see, a cache that is shared must not give to others.
fn keep_private(response: &mut Response) {
    let headers = response.headers_mut();
    let given = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
    let private = given.and_then(|value| value.strip_prefix("public")).map(|rest| format!("private{rest}"));
    if let Some(private) = private.and_then(|value| HeaderValue::try_from(value).ok()) {
        headers.insert(header::CACHE_CONTROL, private);
    }
}

fn too_many(verdict: &Verdict) -> Response {
    let name = verdict.group.name();
    let detail = format!(
        "more than {} units of {name} in {} s; Retry-After says when there are some again",
        verdict.rate.quota, verdict.rate.window_seconds,
    );
    let policies = serde_json::json!([name]);
    Problem::new(Code::RateLimited, detail).with("violated-policies", policies).into_response()
}

/// An entry that is written however the request ends: also where the caller leaves or the handler panics.
struct Record {
    audit: Audit,
    entry: Option<Entry>,
}

impl Record {
    fn finish(mut self, response: &Response) {
        let Some(mut entry) = self.entry.take() else { return };
        entry.status = Some(response.status().as_u16());
        if let Some(problem) = response.extensions().get::<Problem>() {
            entry.code = Some(problem.code().name());
        }
        entry.lsn = response.extensions().get::<AboutLsn>().map(|lsn| lsn.0.0);
        if let Some(Touched(ids)) = response.extensions().get::<Touched>() {
            entry.ids.extend(ids.iter().map(|id| short(id)));
        }
        entry.ids.truncate(IDS_MAX);
        self.audit.record(entry);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.audit.record(entry);
        }
    }
}

/// The id that stands in a path where its template has one.
fn in_path(template: &str, path: &str) -> Vec<String> {
    // An application may have put the routes below a path of its own.
    let mut parts = template.rsplit('/').zip(path.rsplit('/'));
    let id = parts.find(|(template, _)| template.starts_with('{')).map(|(_, id)| short(id));
    id.into_iter().collect()
}

fn short(id: &str) -> String {
    let end =
        id.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= ID_MAX_BYTES).last();
    id.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

/// Whose records alone a request may make.
pub(super) fn bound_agent(extensions: &axum::http::Extensions) -> Option<stemedb_core::AgentId> {
    extensions.get::<Principal>().and_then(Principal::agent)
}
