//! Refusals as the server words them: `application/problem+json` (RFC 9457).

use std::{fmt, time::Duration};

use serde::Deserialize;

/// A stable code of a refusal: one of `docs/errors/`, also one that came after this client was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Code(String);

impl Code {
    /// The code as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for Code {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Code {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// What is wrong with one part of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FieldError {
    /// In the body: a JSON pointer.
    pub pointer: Option<String>,
    /// A path or query parameter.
    pub parameter: Option<String>,
    /// What, for programs.
    pub code: Code,
    /// What, for people.
    pub detail: String,
}

/// A refusal.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What, for programs; empty if something between client and server answered.
    pub code: Code,
    /// What, in short.
    pub title: String,
    /// What, for people.
    pub detail: String,
    /// Under which the server's log has more.
    pub request_id: Option<String>,
    /// The same request may succeed later.
    pub retryable: bool,
    /// When it makes sense to try again.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Every part of the request that is wrong.
    pub errors: Vec<FieldError>,
    /// What else the server says.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// Codes of refusals of which nothing was applied, so that also what must not happen twice may be tried again.
const NOTHING_APPLIED: [&str; 4] = ["overloaded", "rate_limited", "lock_timeout", "storage_full"];
/// Longest text of a reply that is no problem which is kept.
const TEXT_MAX: usize = 200;

impl Problem {
    /// Reads the body of a reply that is no success.
    pub(crate) fn of_reply(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Problem {
        let mut problem = serde_json::from_slice::<Problem>(body).unwrap_or_else(|_| Problem {
            title: "no problem document".to_owned(),
            detail: String::from_utf8_lossy(body).chars().take(TEXT_MAX).collect(),
            // What proxies say of a server that is not there, or has too much to do.
            retryable: matches!(status, 429 | 502..=504),
            ..Problem::default()
        });
        problem.status = status;
        problem.retry_after = retry_after;
        problem
    }

    pub(crate) fn applied_nothing(&self) -> bool {
        NOTHING_APPLIED.contains(&self.code.as_str())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail)?;
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_codes_and_members_are_kept_and_a_page_of_a_proxy_is_a_problem_too() {
        let body = br#"{"type":"/x","title":"T","status":503,"detail":"d","code":"brand_new","request_id":"r1",
            "retryable":true,"errors":[{"pointer":"/a","code":"too_new","detail":"e","more":1}],"progress":{"claims":7}}"#;
        let problem = Problem::of_reply(503, Some(Duration::from_secs(3)), body);
        assert_eq!(problem.code, "brand_new");
        assert_eq!(problem.request_id.as_deref(), Some("r1"));
        assert_eq!(problem.errors[0].pointer.as_deref(), Some("/a"));
        assert_eq!(problem.more["progress"]["claims"], 7);
        assert_eq!(problem.retry_after, Some(Duration::from_secs(3)));
        assert!(problem.retryable);
        let proxy = Problem::of_reply(502, None, b"<html>Bad gateway</html>");
        assert!(proxy.retryable && proxy.code == "" && proxy.detail.contains("Bad gateway"));
        assert!(!Problem::of_reply(404, None, b"").retryable);
    }
}
