//! Whether a request may pass the gate, and as whom.
//!
//! | mode | read | write | admin |
//! |---|---|---|---|
//! | `off` | everybody | everybody | this machine, or a key with `admin` |
//! | `auto`, no key was ever made | everybody | everybody | likewise |
//! | `auto` otherwise, `required` | a key with `read` | a key with `write` | likewise |
//! | `writes` | everybody | a key with `write` | likewise |
//!
//! A key that is presented where one counts must be good and have the scope, also where nothing would have been asked of a
//! caller without one: a caller that believes to be known should be told when it is not.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{
    AuthMode, AuthOptions, KeyId, KeyStore, Peer, Scope, Token,
    store::{LiveKey, NotGood},
};
use crate::{core::AgentId, errors::Code, http::Problem};

/// Who a request is from.
#[derive(Clone, Debug)]
pub(crate) enum Principal {
    /// Whoever holds a key.
    Key(Arc<LiveKey>),
    /// A program on this machine, without a key.
    Local,
    /// Nobody in particular.
    Anonymous,
}

impl Principal {
    /// The key's public part.
    pub fn key(&self) -> Option<KeyId> {
        match self {
            Principal::Key(key) => Some(key.record.id),
            Principal::Local | Principal::Anonymous => None,
        }
    }

    /// Whose records alone may be made.
    pub fn agent(&self) -> Option<AgentId> {
        match self {
            Principal::Key(key) => key.record.agent,
            Principal::Local | Principal::Anonymous => None,
        }
    }
}

/// A refusal of the gate.
#[derive(Debug)]
pub(crate) struct Refused {
    problem: Box<Problem>,
    challenge: &'static str,
    /// The key that lacks the scope.
    pub key: Option<KeyId>,
}

impl Refused {
    fn unknown(code: Code) -> Refused {
        let challenge = match code {
            Code::KeyRequired => r#"Bearer realm="stemedb""#,
            Code::KeysDamaged => "",
            _ => r#"Bearer realm="stemedb", error="invalid_token""#,
        };
        Refused { problem: Box::new(Problem::of(code)), challenge, key: None }
    }

    fn without_scope(key: &LiveKey, scope: Scope) -> Refused {
        let challenge = match scope {
            Scope::Read => r#"Bearer realm="stemedb", error="insufficient_scope", scope="read""#,
            Scope::Write => r#"Bearer realm="stemedb", error="insufficient_scope", scope="write""#,
            Scope::Admin => r#"Bearer realm="stemedb", error="insufficient_scope", scope="admin""#,
        };
        let detail = format!("the key {} has not the scope {scope}", key.record.id);
        let problem = Problem::new(Code::ScopeMissing, detail).with("scope", scope.name().into());
        Refused { problem: Box::new(problem), challenge, key: Some(key.record.id) }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        if !self.challenge.is_empty() {
            let challenge = HeaderValue::from_static(self.challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Decides about a request to a route that needs a scope.
pub(crate) fn decide(
    options: &AuthOptions,
    keys: &KeyStore,
    scope: Scope,
    peer: &Peer,
    headers: &HeaderMap,
) -> Result<Principal, Refused> {
    let keyless = if peer.is_local { Principal::Local } else { Principal::Anonymous };
    let (looks, open) = match (scope, options.mode) {
        (Scope::Admin, _) => (true, peer.is_local && (options.local_admin || peer.socket.is_some())),
        (_, AuthMode::Off) => (false, true),
        (_, AuthMode::Auto) => (keys.has_keys(), !keys.has_keys()),
        (_, AuthMode::Required) => (true, false),
        (Scope::Read, AuthMode::Writes) => (true, true),
        (Scope::Write, AuthMode::Writes) => (true, false),
    };
    if !looks {
        return Ok(keyless);
    }
    let Some(token) = presented(headers).map_err(Refused::unknown)? else {
        return if open { Ok(keyless) } else { Err(Refused::unknown(Code::KeyRequired)) };
    };
    let key = keys.authenticate(&token).map_err(|not| {
        Refused::unknown(match not {
            NotGood::Refused => Code::KeyRefused,
            NotGood::Damaged => Code::KeysDamaged,
        })
    })?;
    if key.record.scopes.has(scope) {
        Ok(Principal::Key(key))
    } else {
        Err(Refused::without_scope(&key, scope))
    }
}

/// The key in `Authorization`. Nowhere else is one looked for: what stands in a URL ends up in logs.
fn presented(headers: &HeaderMap) -> Result<Option<Token>, Code> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), second) = (given.next(), given.next()) else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| second.is_none()).ok_or(Code::KeyMalformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Code::KeyMalformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Code::KeyMalformed);
    }
    Token::parse(token.trim()).map(Some).ok_or(Code::KeyMalformed)
}
