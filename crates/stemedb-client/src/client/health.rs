//! How the server is. Asked without a session, and not repeated where the answer is no.

use super::Client;
use crate::{
    error::Error,
    replies::{Check, Health, Readiness},
    transport::Call,
};

#[derive(serde::Deserialize)]
struct Checks {
    checks: Vec<Check>,
}

impl Client {
    /// How the server is, in detail.
    ///
    /// # Errors
    /// [`Error`].
    pub fn health(&self) -> Result<Health, Error> {
        self.json(&Call::look("/v1/health"))
    }

    /// Whether the process answers and commits go on: false means that only a restart helps.
    ///
    /// # Errors
    /// [`Error::Connection`] where nobody answers.
    pub fn is_alive(&self) -> Result<bool, Error> {
        match self.whole(&Call::look("/livez").once()) {
            Ok(_) => Ok(true),
            Err(Error::Refused(problem)) if problem.code == "unavailable" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether requests should be sent to the server, and the checks behind it.
    ///
    /// # Errors
    /// [`Error::Connection`] where nobody answers.
    pub fn readiness(&self) -> Result<Readiness, Error> {
        match self.whole(&Call::look("/readyz").with("verbose", "true").once()) {
            Ok(reply) => Ok(Readiness { ready: true, checks: reply.json::<Checks>()?.checks }),
            Err(Error::Refused(problem)) if problem.code == "unavailable" => {
                let checks = problem.more.get("checks").cloned().unwrap_or_default();
                Ok(Readiness { ready: false, checks: serde_json::from_value(checks).unwrap_or_default() })
            }
            Err(error) => Err(error),
        }
    }

    /// The server's figures, as Prometheus reads them.
    ///
    /// # Errors
    /// [`Error`].
    pub fn metrics(&self) -> Result<String, Error> {
        self.whole(&Call { accept: "text/plain", ..Call::look("/metrics") })?.text()
    }

    /// The description of the server's routes (OpenAPI 3.1).
    ///
    /// # Errors
    /// [`Error`].
    pub fn openapi(&self) -> Result<serde_json::Value, Error> {
        self.json(&Call::look("/openapi.json"))
    }
}
