//! Requests over HTTP: sent, repeated where that is safe, and their positions noted.

mod call;
mod reply;
mod retry;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use ureq::{
    Agent, AsSendBody, Body,
    http::{HeaderMap, Request, Response, header, request::Builder},
};

pub use self::retry::RetryPolicy;
use self::retry::with_retries;
pub(crate) use self::{
    call::{Call, path_of},
    reply::{Stream, Whole, not_understood},
    retry::Failure,
};
use crate::{
    error::{Error, Problem},
    machine::Machine,
    session::Session,
};

const STEMEDB_LSN: &str = "stemedb-lsn";
const STEMEDB_MIN_LSN: &str = "stemedb-min-lsn";

/// Sends requests to one server.
#[derive(Debug)]
pub(crate) struct Transport {
    pub agent: Agent,
    /// `http://host:port`, and a path before the routes if there is one.
    pub base: String,
    pub authorization: Option<String>,
    pub retry: RetryPolicy,
    /// How long each next sign of life of the server is waited for.
    pub patience: Duration,
    pub machine: Arc<dyn Machine>,
}

impl Transport {
    /// Sends a request and reads its reply whole.
    pub fn whole(&self, call: &Call, session: Option<&Session>) -> Result<Whole, Error> {
        with_retries(&self.retry, &*self.machine, call.safety, |left| {
            let mut response =
                self.attempt(call, session, Some(left.max(Duration::from_millis(1)) + call.wait))?;
            let status = response.status().as_u16();
            let body = reply::whole(response.body_mut())?;
            Ok(Whole { path: call.path.clone(), status, body })
        })
    }

    /// Sends a request whose reply is read as it comes: what breaks later is the reader's matter.
    pub fn stream(&self, call: &Call, session: Option<&Session>) -> Result<Stream, Error> {
        with_retries(&self.retry, &*self.machine, call.safety, |_| {
            let response = self.attempt(call, session, None)?;
            let position = position(response.headers());
            Ok(Stream::new(call.path.clone(), position, response.into_body()))
        })
    }

    /// Waits before something is tried again; `failures` counts from 1.
    pub fn pause(&self, failures: u32) {
        self.machine.sleep(self.retry.wait(failures, self.machine.random()));
    }

    /// Sends it once. Replies that are no success become failures.
    fn attempt(
        &self,
        call: &Call,
        session: Option<&Session>,
        all_within: Option<Duration>,
    ) -> Result<Response<Body>, Failure> {
        let request = self.request(call, session);
        let unsendable = |error: ureq::http::Error| {
            Failure::Final(Error::Unsendable { member: "the request", detail: error.to_string() })
        };
        let answered = match &call.body {
            None => self.run(request.body(()).map_err(unsendable)?, call.wait, all_within),
            Some((_, bytes)) => {
                self.run(request.body(bytes.as_slice()).map_err(unsendable)?, call.wait, all_within)
            }
        };
        let mut response = answered.map_err(failure)?;
        if let (Some(session), Some(position)) = (session, position(response.headers())) {
            session.observe(position);
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = reply::whole(response.body_mut())?;
        Err(Failure::Refused(Box::new(Problem::of_reply(status, after, &body))))
    }

    fn run<B: AsSendBody>(
        &self,
        request: Request<B>,
        wait: Duration,
        all_within: Option<Duration>,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(all_within)
            .timeout_per_read(Some(self.patience + wait))
            .timeout_per_write(Some(self.patience))
            .build();
        self.agent.run(request)
    }

    fn request(&self, call: &Call, session: Option<&Session>) -> Builder {
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.base, call.target()))
            .header(header::ACCEPT, call.accept);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(position) = session.filter(|_| call.is_ordered).and_then(Session::position) {
            request = request.header(STEMEDB_MIN_LSN, position.to_string());
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some((media_type, _)) = &call.body {
            request = request.header(header::CONTENT_TYPE, *media_type);
        }
        request
    }
}

/// What an error of the HTTP library means for another attempt.
fn failure(error: ureq::Error) -> Failure {
    use ureq::Error as E;
    match error {
        E::HostNotFound
        | E::ConnectionFailed
        | E::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => Failure::Unsent(error.into()),
        // Nobody listens there: nothing was sent.
        E::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Failure::Unsent(error.into())
        }
        E::Io(_) | E::Timeout(_) | E::Protocol(_) | E::BodyStalled => Failure::Broken(error.into()),
        other => Failure::Final(Error::Connection { attempts: 1, source: other.into() }),
    }
}

fn position(headers: &HeaderMap) -> Option<crate::Position> {
    headers.get(STEMEDB_LSN)?.to_str().ok()?.parse().ok()
}

/// Seconds, or nothing: the server never says a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
