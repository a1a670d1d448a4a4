//! The HTTP router.
//!
//! [`router`] is a value that any axum application can mount: it owns no socket, no signal and no global state, and two
//! of them over two databases live in one process.
//!
//! ```text
//! headers     what browsers are told · CORS where origins are named
//!  └ envelope    request id · metrics by route template · problems rendered · Stemedb-Lsn
//!     └ catch panic
//!        └ gate      admission · peer · key, scope · rate · audit           (of each route by itself)
//!           └ handler   parameters · body within its limit ─▶ store_helpers (a blocking thread) ─▶ reply
//! ```
//!
//! Every reply that is not a success is `application/problem+json` (RFC 9457) with a code of [`crate::errors::Code`],
//! also where the framework alone would have answered.

mod admin;
mod admission;
mod audit;
mod auth;
mod backups;
mod body;
mod chunks;
mod claims;
mod connections;
mod console;
mod diff;
mod envelope;
mod events;
mod export;
mod feed;
mod gate;
mod health;
mod import;
mod limits;
mod list;
mod min_lsn;
mod openapi;
mod otlp;
mod params;
mod problem;
mod promote;
mod read;
mod reply;
mod routes;
mod schemas;
mod security;
mod slow_queries;
mod storage;
mod trace;
mod watches;
mod write;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use admin::log_level::LogControl;
pub use admin::log_level::LogLevel;
pub use admission::AdmissionOptions;
pub(crate) use admission::{Admission, Refusal, Told};
pub use audit::{Audit, AuditBreak, AuditError, AuditOptions, AuditReport, verify as verify_audit};
pub use auth::{
    Access, AuthMode, AuthOptions, KEYS_MAX, KeyId, KeyJson, KeyRecord, KeyState, KeyStore, KeysError,
    NewKey, Scope, Scopes, Token,
};
use axum::{Router, middleware};
pub use backups::Backups;
pub use connections::{
    ConnectionOptions, SocketError, SocketFile, SocketPeer, Tls, TlsError, serve, serve_socket,
};
pub use feed::{Drain, Draining};
pub use limits::{Group, LimitOptions, Rate};
pub use openapi::{document, document_text};
pub(crate) use otlp::outcomes as otlp_outcomes;
pub use otlp::{Otlp, OtlpEndpoint, OtlpError, OtlpOptions, read_headers as read_otlp_headers};
pub use problem::Problem;
pub use routes::{route_access, route_list};
pub use security::SecurityOptions;
use slow_queries::SlowQueries;
pub use slow_queries::SlowQueryOptions;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{database::Database, jobs::Jobs, metrics::Metrics, replication::Standby, store_helpers::Storage};

/// Limits of a router.
#[derive(Clone, Copy, Debug)]
pub struct RouterOptions {
    /// Largest body of any route but the import, in bytes.
    pub body_max_bytes: usize,
    /// Largest body of an import after decompression, in bytes.
    pub import_max_bytes: u64,
    /// How much is let in at once; what is beyond it is refused with `overloaded`. Health and metrics are always answered.
    pub admission: AdmissionOptions,
    /// Imports handled at once.
    pub max_imports: usize,
    /// Exports handled at once.
    pub max_exports: usize,
    /// Feeds read at once; each holds one open file and a few hundred kilobytes.
    pub max_feeds: usize,
    /// How long a body may take, how long the next part of an import is waited for, and how long a reader of a feed may not read.
    pub body_timeout: Duration,
    /// Whether the router answers paths that it does not know. Say no where an application merges it and has a fallback
    /// of its own.
    pub answer_unknown_paths: bool,
    /// Whether `/` is the console. Say no where an application merges the router and has a page of its own there.
    pub console: bool,
    /// Which questions are slow, and how many of them are kept.
    pub slow_queries: SlowQueryOptions,
    /// `/livez` fails once the commit pipeline has stood still for so long though somebody waits: then only a restart helps.
    pub dead_after: Duration,
}

/// What a router is given beside the database. Each part is the owner's to keep a clone of.
#[derive(Clone, Debug, Default)]
pub struct RouterParts {
    /// Who may do what.
    pub security: SecurityOptions,
    /// Where it is written down who did what.
    pub audit: Option<Audit>,
    /// Where backups go; without it there are none.
    pub backups: Option<Backups>,
    /// The jobs of the admin plane: whoever keeps a clone can end them before the database is closed. Without it the router has its
    /// own.
    pub jobs: Option<Jobs>,
    /// The log, if its level may be changed while the server runs.
    pub log_level: Option<Arc<dyn LogLevel>>,
    /// Where spans of requests go; without it there are none.
    pub otlp: Option<Otlp>,
    /// What follows another server, if this one does: it can be promoted by a request then.
    pub standby: Option<Arc<Standby>>,
}

impl Default for RouterOptions {
    fn default() -> RouterOptions {
        RouterOptions {
            body_max_bytes: 1 << 20,
            import_max_bytes: 4 << 30,
            admission: AdmissionOptions::default(),
            max_imports: 4,
            max_feeds: 64,
            max_exports: 2,
            body_timeout: Duration::from_secs(30),
            answer_unknown_paths: true,
            console: true,
            slow_queries: SlowQueryOptions::default(),
            dead_after: Duration::from_secs(30),
        }
    }
}

/// What the handlers share.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub database: Database,
    pub storage: Storage,
    pub metrics: Arc<Metrics>,
    pub options: RouterOptions,
    pub imports: Arc<Semaphore>,
    pub feeds: Arc<Semaphore>,
    pub news: feed::News,
    pub exports: Arc<Semaphore>,
    pub backups: Option<Backups>,
    pub standby: Option<Arc<Standby>>,
    pub jobs: Jobs,
    pub slow_queries: SlowQueries,
    pub log: Arc<LogControl>,
    pub security: SecurityOptions,
    pub keys: Arc<KeyStore>,
    limits: limits::Limits,
    audit: Option<Audit>,
    otlp: Option<Otlp>,
    admission: Arc<Admission>,
    refusals_told: Told,
    /// Requests of every kind, open routes included.
    in_flight: AtomicUsize,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Requests in flight.
    fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Counts a request as in flight while the guard lives.
    fn enter(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(self.clone())
    }
}

/// A request in flight.
struct InFlight(App);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The routes of a database.
///
/// Starts one background job that counts the claims for `stemedb_assertions_indexed_total`; it ends by itself.
pub fn router(database: Database, options: RouterOptions) -> Router {
    router_with_backups(database, options, None)
}

/// [`router`], whose admin routes make backups where there is a place for them.
pub fn router_with_backups(database: Database, options: RouterOptions, backups: Option<Backups>) -> Router {
    router_with(database, options, RouterParts { backups, ..RouterParts::default() })
}

/// [`router`], with everything that its owner brings.
///
/// Its keys are those of the database's folder. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: without the
/// peer's address nobody counts as a program on this machine, so that the admin plane needs a key.
pub fn router_with(database: Database, options: RouterOptions, parts: RouterParts) -> Router {
    let RouterParts { backups, jobs, log_level, security, audit, otlp, standby } = parts;
    let keys = KeyStore::open(database.env(), database.engine().layout().api_keys());
    let metrics = Arc::new(Metrics::new(&database));
    let admission = Arc::new(Admission::new(options.admission));
    let app = App(Arc::new(Shared {
        storage: Storage::new(database.clone(), Arc::clone(&metrics), Arc::clone(&admission)),
        jobs: jobs.unwrap_or_else(|| Jobs::new(&database)),
        slow_queries: SlowQueries::new(options.slow_queries),
        log: Arc::new(LogControl::new(log_level)),
        metrics,
        options,
        imports: Arc::new(Semaphore::new(options.max_imports)),
        feeds: Arc::new(Semaphore::new(options.max_feeds)),
        news: feed::News::default(),
        exports: Arc::new(Semaphore::new(options.max_exports)),
        backups,
        standby,
        limits: limits::Limits::new(security.limits, database.env()),
        security,
        keys: Arc::new(keys),
        audit,
        otlp,
        admission,
        refusals_told: Told::default(),
        in_flight: AtomicUsize::new(0),
        database,
    }));
    let mut router = Router::new();
    for route in routes::table() {
        let rule = route.rule();
        // Around each route by itself: what it asks for cannot depend on where the router is mounted.
        let gate = middleware::from_fn_with_state((app.clone(), rule), gate::gate);
        router = router.route(route.path, route.handler.route_layer(gate));
    }
    if options.console {
        router = router.merge(console::routes());
    }
    if options.answer_unknown_paths {
        router = router.fallback(envelope::unknown_path);
    }
    wrapped(router, &app).with_state(app)
}

/// Puts the layers around routes.
fn wrapped(router: Router<App>, app: &App) -> Router<App> {
    let router = router
        .layer(CatchPanicLayer::custom(envelope::after_panic))
        .layer(middleware::from_fn_with_state(app.clone(), envelope::envelope))
        .layer(middleware::map_response(security::headers));
    match security::cors(&app.security.cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    }
}
