//! A router that is called without a socket, so that the peer can be anybody.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Request},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use stemedb_api::{
    Database, RouterOptions,
    http::{AuthMode, LimitOptions, RouterParts, SecurityOptions},
    router_with,
};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::support::database;

pub const LOCAL: Peer = Peer { address: Some("127.0.0.1:5000"), forwarded: false };
pub const PROXIED: Peer = Peer { address: Some("127.0.0.1:5000"), forwarded: true };
pub const REMOTE: Peer = Peer { address: Some("192.0.2.7:5000"), forwarded: false };
pub const UNKNOWN: Peer = Peer { address: None, forwarded: false };

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: Option<&'static str>,
    pub forwarded: bool,
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Status and code.
    pub fn problem(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// A router over a database of its own.
pub struct Setup {
    pub database: Database,
    pub router: Router,
    pub dir: TempDir,
    runtime: tokio::runtime::Runtime,
}

pub fn security(mode: AuthMode) -> SecurityOptions {
    let unlimited =
        LimitOptions { reads: None, writes: None, bulk: None, admin: None, ..LimitOptions::default() };
    let mut security = SecurityOptions { limits: unlimited, ..SecurityOptions::default() };
    security.auth.mode = mode;
    security
}

impl Setup {
    pub fn new(mode: AuthMode) -> Setup {
        Setup::with(RouterParts { security: security(mode), ..RouterParts::default() })
    }

    pub fn with(parts: RouterParts) -> Setup {
        let (database, dir) = database();
        Setup::over(database, dir, parts)
    }

    pub fn over(database: Database, dir: TempDir, parts: RouterParts) -> Setup {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let options = RouterOptions { max_exports: 10_000, max_feeds: 100_000, ..RouterOptions::default() };
        let router = runtime.block_on(async { router_with(database.clone(), options, parts) });
        Setup { database, router, dir, runtime }
    }

    /// Sends a request, and reads the reply if it is a document.
    pub fn send(
        &self,
        peer: Peer,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        self.send_to(self.router.clone(), peer, method, target, headers, body)
    }

    pub fn send_to(
        &self,
        router: Router,
        peer: Peer,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(target).header("host", "localhost:18180");
        if peer.forwarded {
            request = request.header("x-forwarded-for", "127.0.0.1");
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        if let Some(address) = peer.address {
            request.extensions_mut().insert(ConnectInfo(address.parse::<SocketAddr>().unwrap()));
        }
        self.runtime.block_on(async move {
            let reply = router.oneshot(request).await.unwrap();
            let (head, body) = reply.into_parts();
            let is_document = head.headers.get("content-type").is_some_and(|kind| {
                kind.to_str().unwrap().contains("json") && kind != "application/x-ndjson"
            });
            let body =
                if is_document { body.collect().await.unwrap().to_bytes().to_vec() } else { Vec::new() };
            Reply { status: head.status.as_u16(), headers: head.headers, body }
        })
    }

    /// Makes a key with these scopes; returns its id and itself.
    pub fn key(&self, scopes: &[&str], more: Value) -> (String, String) {
        let mut body = json!({ "scopes": scopes });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let made = self.send(LOCAL, "POST", "/v1/admin/keys", &[], &body.to_string());
        assert_eq!(made.status, 201, "{}", made.json());
        let text = |member: &str| made.json()[member].as_str().unwrap().to_owned();
        (text("id"), text("key"))
    }

    pub fn revoke(&self, id: &str) {
        assert_eq!(self.send(LOCAL, "DELETE", &format!("/v1/admin/keys/{id}"), &[], "").status, 204);
    }

    /// Sends with a key, from elsewhere.
    pub fn with_key(&self, key: &str, method: &str, target: &str, body: &str) -> Reply {
        self.send(REMOTE, method, target, &[("authorization", &format!("Bearer {key}"))], body)
    }
}
