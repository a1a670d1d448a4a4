//! Problems: what a reply says when it is not a success (RFC 9457).

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::errors::{Code, Error, FieldError, Invalid, Place};

/// A reply that is not a success. The envelope renders it, because it alone knows the request's id.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// A member of its own beside the standard ones.
    extension: Option<(&'static str, serde_json::Value)>,
}

impl Problem {
    /// A problem whose meaning says all.
    pub fn of(code: Code) -> Problem {
        Problem { code, detail: code.meaning().into(), errors: Vec::new(), extension: None }
    }

    /// A problem with a detail for people.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { detail: detail.into(), ..Problem::of(code) }
    }

    /// The problem of a database's error. What only operators may know (paths, offsets, the system's words) stays out:
    /// the log has it.
    pub fn from_error(error: &Error) -> Problem {
        match error {
            Error::Invalid(invalid) => invalid.clone().into(),
            Error::Input(error) => Problem::new(error_code_of_input(error), error.to_string()),
            Error::Building { questions, claims } => {
                let progress = serde_json::json!({"questions": questions, "claims": claims});
                Problem::of(error.code()).with("progress", progress)
            }
            Error::Engine(_)
            | Error::Standby
            | Error::Fenced { .. }
            | Error::StandbyMark(_)
            | Error::ServerKey(_)
            | Error::Watches(_)
            | Error::Receipt(_)
            | Error::Output(_) => Problem::of(error.code()),
        }
    }

    /// Adds a member beside the standard ones.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: serde_json::Value) -> Problem {
        self.extension = Some((name, value));
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What it says to people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The body of the reply.
    pub(super) fn render(&self, request_id: &str) -> Vec<u8> {
        let place = |place: &'_ Place| match place {
            Place::Body(pointer) => (Some(pointer.to_string()), None),
            Place::Parameter(name) => (None, Some(name.to_string())),
        };
        let errors = self.errors.iter().map(|error| {
            let (pointer, parameter) = place(&error.place);
            ErrorJson { pointer, parameter, code: error.code.name(), detail: &error.detail }
        });
        let json = ProblemJson {
            kind: self.code.page(),
            title: self.code.title(),
            status: self.code.status(),
            detail: &self.detail,
            code: self.code.name(),
            request_id,
            retryable: self.code.is_retryable(),
            errors: errors.collect(),
            extension: self
                .extension
                .clone()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        };
        // Maps with texts as keys always serialize.
        serde_json::to_vec(&json).unwrap_or_default()
    }
}

/// The code of an input that could not be read: the body's reader says it in the error's payload.
pub(super) fn error_code_of_input(error: &std::io::Error) -> Code {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<super::import::InputFault>());
    inner.map_or(Code::InvalidEncoding, |fault| fault.code())
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Problem {
        Problem {
            code: invalid.code(),
            detail: invalid.to_string().into(),
            errors: invalid.errors().cloned().collect(),
            extension: None,
        }
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Problem {
        Invalid::new(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        if self.code.is_retryable() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorJson<'a>>,
    #[serde(flatten)]
    extension: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    code: &'static str,
    detail: &'a str,
}
