//! What every request passes: its ids and span, metrics, the position header, and the rendering of problems.

use std::any::Any;

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use stemedb_env::Lsn;
use tracing::Instrument;

use super::{App, Problem, otlp::Finished, slow_queries::Stages, trace::RequestIds};
use crate::errors::Code;

const STEMEDB_LSN: HeaderName = HeaderName::from_static("stemedb-lsn");
/// A request that has it, whatever its value, is answered with `Server-Timing`.
const STEMEDB_TIMING: HeaderName = HeaderName::from_static("stemedb-timing");
/// Of a standby: for how many milliseconds it has not been known to have everything that the archive has.
const STEMEDB_STANDBY_LAG: HeaderName = HeaderName::from_static("stemedb-standby-lag");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The LSN that a reply is about, where a handler knows better than "everything readable now".
#[derive(Clone, Copy, Debug)]
pub(super) struct AboutLsn(pub Lsn);

pub(super) async fn envelope(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let clock = &app.database.env().clock;
    let started = clock.monotonic();
    let method = request.method().clone();
    let template = request.extensions().get::<MatchedPath>().cloned();
    let path = template.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let ids = RequestIds::of(&app, request.headers(), &path);
    let is_timed = request.headers().contains_key(STEMEDB_TIMING);
    let span = ids.span(method.as_str(), &path);
    request.extensions_mut().insert(ids.clone());

    let in_flight = app.enter();
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(in_flight);

    let mut code = None;
    if let Some(problem) = problem_of(&mut response) {
        code = Some(problem.code().name());
        if response.status().is_server_error() {
            let (code, status) = (problem.code().name(), response.status().as_u16());
            span.in_scope(|| match problem.code() {
                Code::Overloaded => {
                    if let Some(requests) = app.refusals_told.note(clock.monotonic()) {
                        tracing::warn!(
                            code,
                            status,
                            requests,
                            "requests refused: more than this server can do"
                        );
                    }
                }
                _ => tracing::warn!(code, status, "request failed"),
            });
        }
        let body = problem.render(&ids.request);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(body);
    }
    let lsn =
        response.extensions().get::<AboutLsn>().map_or_else(|| app.database.published_lsn(), |about| about.0);
    let position = format!("{}.{lsn}", app.database.timeline());
    let elapsed = clock.monotonic().saturating_sub(started);
    let timing = is_timed.then(|| Stages::server_timing(response.extensions().get::<Stages>(), elapsed));
    let headers = response.headers_mut();
    if let Ok(position) = HeaderValue::try_from(position) {
        headers.insert(STEMEDB_LSN, position);
    }
    if let Some(lag) = app.database.standby_lag() {
        headers.insert(
            STEMEDB_STANDBY_LAG,
            HeaderValue::from(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
        );
    }
    if let Some(timing) = timing.and_then(|timing| HeaderValue::try_from(timing).ok()) {
        headers.insert(SERVER_TIMING, timing);
    }
    ids.answer(headers);
    let status = response.status().as_u16();
    app.metrics.http_request(method.as_str(), &path, status, elapsed);
    if let Some(otlp) = app.otlp.as_ref().filter(|_| ids.is_sampled()) {
        let stages = response.extensions().get::<Stages>().copied();
        let ended = clock.wall();
        otlp.record(Finished {
            ids,
            method,
            route: path,
            status,
            code,
            lsn,
            started,
            elapsed,
            ended,
            stages,
        });
    }
    response
}

/// The problem that a reply stands for: the handler's, or one for what the framework refused by itself.
fn problem_of(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let code = match response.status() {
        status if !status.is_client_error() && !status.is_server_error() => return None,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        status if status.is_client_error() => Code::BadRequest,
        StatusCode::SERVICE_UNAVAILABLE => Code::Overloaded,
        _ => Code::InternalError,
    };
    *response.status_mut() = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Some(Problem::of(code))
}

/// A handler panicked. The panic's own words go to the log only.
pub(super) fn after_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let words =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!("a handler panicked: {}", words.unwrap_or("(no message)"));
    Problem::of(Code::InternalError).into_response()
}

/// The answer to paths that are not ours.
pub(super) async fn unknown_path() -> Problem {
    Problem::of(Code::NotFound)
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, http::Request, routing::get};
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    async fn panicking() -> StatusCode {
        panic!("secret words")
    }

    #[test]
    fn a_panic_becomes_an_internal_error_that_does_not_tell_its_words() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let routes: Router =
                Router::new().route("/", get(panicking)).layer(CatchPanicLayer::custom(after_panic));
            let request = Request::builder().uri("/").body(Body::empty()).unwrap();
            let mut response = routes.oneshot(request).await.unwrap();
            let problem = problem_of(&mut response).unwrap();
            assert_eq!(problem.code(), Code::InternalError);
            let body: serde_json::Value = serde_json::from_slice(&problem.render("r1")).unwrap();
            assert_eq!(body["code"], "internal_error");
            assert_eq!(body["request_id"], "r1");
            assert!(!body.to_string().contains("secret"));
            assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        });
    }
}
