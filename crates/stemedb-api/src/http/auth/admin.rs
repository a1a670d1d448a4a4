//! `/v1/admin/keys`: making, listing and revoking keys. What they answer is in force.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use stemedb_core::{AgentId, Micros};

use super::{KeyId, KeyRecord, KeyStore, KeysError, NewKey, Scope, Scopes};
use crate::{
    errors::{Code, FieldError},
    http::{App, Problem, body, gate::Touched, params::Params, reply},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRequest {
    #[serde(default)]
    label: String,
    scopes: Vec<Scope>,
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
}

/// A key as it is shown.
#[derive(Debug, Serialize)]
pub struct KeyJson {
    id: String,
    label: String,
    scopes: Vec<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    state: &'static str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    /// Since the server was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
    /// The whole key: in the answer to its making alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl KeyJson {
    /// A key, and when it was last presented.
    pub fn new(key: &KeyRecord, last_used: Option<Micros>, now: Micros) -> KeyJson {
        let time = |at: Option<Micros>| at.map(|at| at.to_string());
        KeyJson {
            id: key.id.to_string(),
            label: key.label.clone(),
            scopes: key.scopes.iter().collect(),
            agent: key.agent.map(|agent| agent.to_string()),
            state: key.state(now).name(),
            created_at: key.created_at.to_string(),
            expires_at: time(key.expires_at),
            revoked_at: time(key.revoked_at),
            last_used_at: time(last_used),
            key: None,
        }
    }

    /// With the secret, which is told once.
    #[must_use]
    pub fn with_token(mut self, token: &super::Token) -> KeyJson {
        self.key = Some(token.reveal());
        self
    }
}

/// `GET /v1/admin/keys`
pub(crate) async fn list(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    let now = app.keys.now();
    let keys = app.keys.list().map_err(|error| problem(&error))?;
    let keys: Vec<KeyJson> = keys.iter().map(|(key, used)| KeyJson::new(key, *used, now)).collect();
    let body = serde_json::json!({ "mode": app.security.auth.mode.name(), "keys": keys });
    reply::json(StatusCode::OK, None, &body)
}

/// `POST /v1/admin/keys`
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    Params::parse(head.uri.query(), &[]).finish()?;
    let body = body::json(&app, &head.headers, body).await?;
    let asked: KeyRequest = serde_json::from_slice(&body).map_err(|error| {
        let code = if error.is_data() { Code::UnknownField } else { Code::InvalidJson };
        Problem::new(code, error.to_string())
    })?;
    let new = read(asked)?;
    let (token, key) = change(&app, move |keys| keys.create(new)).await?;
    let json = KeyJson::new(&key, None, app.keys.now()).with_token(&token);
    let mut response = reply::json(StatusCode::CREATED, None, &json)?;
    response.extensions_mut().insert(Touched(vec![key.id.to_string()]));
    if let Ok(location) = HeaderValue::try_from(format!("/v1/admin/keys/{}", key.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `DELETE /v1/admin/keys/{id}`
pub(crate) async fn revoke(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    let text = request.uri().path().rsplit('/').next().unwrap_or_default();
    let id = KeyId::parse(text).ok_or_else(|| {
        FieldError::in_parameter("id", Code::InvalidParameter, "is not 12 lower-case hexadecimal digits")
    })?;
    match change(&app, move |keys| keys.revoke(id)).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::of(Code::KeyNotFound)),
    }
}

/// Runs a change on a thread that may wait for the disk.
async fn change<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&KeyStore) -> Result<T, KeysError> + Send + 'static,
) -> Result<T, Problem> {
    let keys = Arc::clone(&app.keys);
    let done = tokio::task::spawn_blocking(move || work(&keys)).await;
    let done = done.map_err(|error| {
        tracing::error!("a change of keys panicked: {error}");
        Problem::of(Code::InternalError)
    })?;
    done.map_err(|error| problem(&error))
}

fn read(asked: KeyRequest) -> Result<NewKey, Problem> {
    let scopes = Scopes::new(asked.scopes)
        .ok_or_else(|| FieldError::in_body("/scopes", Code::Empty, "names no scope"))?;
    let agent = match asked.agent {
        None => None,
        Some(text) => Some(
            text.parse::<AgentId>()
                .map_err(|_| FieldError::in_body("/agent", Code::NotHex, "is not 64 hexadecimal digits"))?,
        ),
    };
    let expires_at = match asked.expires_at {
        None => None,
        Some(text) => Some(
            Micros::parse_rfc3339(&text)
                .map_err(|error| FieldError::in_body("/expires_at", Code::NotATime, error.to_string()))?,
        ),
    };
    Ok(NewKey { label: asked.label, scopes, agent, expires_at })
}

/// What is told of an error; the log has the rest.
fn problem(error: &KeysError) -> Problem {
    match error {
        KeysError::Label { .. } => FieldError::in_body("/label", Code::TooLong, error.to_string()).into(),
        KeysError::NeverGood => {
            FieldError::in_body("/expires_at", Code::OutOfRange, error.to_string()).into()
        }
        KeysError::TooMany { .. } => Problem::new(Code::TooMany, error.to_string()),
        KeysError::Damaged { .. } => Problem::of(Code::KeysDamaged),
        KeysError::Env(error) if error.kind() == Some(std::io::ErrorKind::StorageFull) => {
            tracing::error!("the file of keys cannot be written: {error}");
            Problem::of(Code::StorageFull)
        }
        KeysError::Env(_) | KeysError::Randomness(_) => {
            tracing::error!("keys cannot be changed: {error}");
            Problem::of(Code::IoError)
        }
    }
}
