//! `serve`: HTTP until told to stop.
//!
//! ```text
//! open ─▶ listen ─▶ say so ─▶ serve … signal ─▶ not ready ─▶ stop accepting ─▶ finish requests ─▶ send spans ─▶ flush ─▶ close ─▶ exit 0
//!                                       second signal, or the deadline ─▶ cut what is left ─▶ flush ─▶ close
//! ```

mod hangup;
mod otlp;
mod replication;
mod security;
mod service;
mod stop;

use std::{io::Write, sync::Arc, time::Duration};

use axum::{Extension, Router};
use stemedb_api::{
    Code, Database, RouterParts,
    config::{Config, Origin, Settings, Value},
    http::{self, Backups, Drain, LogLevel, Otlp, SocketFile, Tls},
    jobs::Jobs,
    router_with,
};
use stemedb_env::Env;
use tokio::{net::TcpListener, time::Instant};

use super::{
    backup,
    config::{self, Flags},
    failure::Failure,
    folder,
    logs::{self, LogArgs},
    storage_log::StorageLog,
};
use stop::Stop;

/// Answer HTTP requests until told to stop (SIGTERM or SIGINT; a second one stops at once)
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    flags: Flags,
}

/// So long jobs may take to end when the server stops.
const JOBS_END_WITHIN: Duration = Duration::from_secs(10);

/// Serves.
pub fn run(args: &ServeArgs, logs: &LogArgs) -> Result<(), Failure> {
    let env = Env::real();
    let config = config::of_server(&env, &args.flags, logs)?;
    let settings = config.settings();
    let storage_log = settings.logs.storage_file.as_deref().map(StorageLog::open).transpose()?;
    let log_level = logs::start(&env, &settings.logs, storage_log.clone())?;
    let ran = open_and_serve(&config, &settings, log_level, storage_log.clone());
    if let Some(log) = storage_log {
        log.finish();
    }
    ran
}

fn open_and_serve(
    config: &Config,
    settings: &Settings,
    log_level: Arc<dyn LogLevel>,
    storage_log: Option<StorageLog>,
) -> Result<(), Failure> {
    let env = &settings.database.env;
    let backups = match &settings.backup_to {
        None => None,
        Some(text) => Some(Backups::new(backup::open(env, text)?)),
    };
    replication::prepare(settings)?;
    let database = open(settings)?;
    say_what_differs(config);
    if let Some(report) = database.open_report() {
        tracing::info!(lsn = %database.published_lsn(), replayed = report.replayed, "database open");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(error).context("cannot start the server"))?;
    let security = settings.security_options();
    security::announce(security.auth.mode, settings.bind);
    let audit = security::audit(settings)?;
    let jobs = Jobs::new(&database);
    let otlp = otlp::start(settings, runtime.handle())?;
    let replication = replication::Replication::begin(settings, &database)?;
    let parts = RouterParts {
        backups,
        security,
        audit,
        jobs: Some(jobs.clone()),
        log_level: Some(log_level),
        otlp: otlp.clone(),
        standby: replication.standby(),
    };
    let router = router_with(database.clone(), settings.router, parts);
    let served = runtime.block_on(serve(settings, &database, router, storage_log, otlp.as_ref()));
    let left = jobs.stop(JOBS_END_WITHIN);
    if left > 0 {
        tracing::warn!(left, "jobs are cut: they did not end in time");
    }
    // Connections that were cut at the deadline hold the database; they end with the runtime.
    runtime.shutdown_timeout(Duration::from_secs(2));
    // Everything that was acknowledged is sent before the end.
    replication.end();
    let flushed = database.flush();
    database.close()?;
    match flushed {
        Ok(lsn) => tracing::info!(%lsn, "database closed"),
        // The journal has everything; the next start goes on.
        Err(error) if error.code() == Code::Unavailable => {
            tracing::warn!("database closed while its view was being derived again: {error}");
        }
        Err(error) => return Err(error.into()),
    }
    served
}

/// What is not as it is built in, so that a log says under which settings its events came about.
fn say_what_differs(config: &Config) {
    let entries = config.entries().iter().filter(|entry| entry.origin != Origin::BuiltIn);
    for entry in entries {
        let value = entry.value.as_ref().map(Value::literal).unwrap_or_default();
        tracing::info!(key = entry.key.path(), value, origin = %entry.origin, "configured");
    }
}

fn open(settings: &Settings) -> Result<Database, Failure> {
    let (dir, options) = (&settings.data_dir, settings.database.clone());
    if !folder::is_absent_or_empty(&options.env, dir)? {
        return folder::open_with(dir, options);
    }
    if settings.init {
        return folder::create_with(dir, options);
    }
    let what = format!("{} holds no database", dir.display());
    Err(Failure::new(what).hint("if its disk is not mounted, mount it; for a new database pass --init"))
}

async fn serve(
    settings: &Settings,
    database: &Database,
    router: Router,
    storage_log: Option<StorageLog>,
    otlp: Option<&Otlp>,
) -> Result<(), Failure> {
    let cannot = |error| Failure::new(error).context(format!("cannot listen on {}", settings.bind));
    let listener = TcpListener::bind(settings.bind).await.map_err(cannot);
    let listener = listener.map_err(|failure| failure.hint("choose another address with --bind"))?;
    let address = listener.local_addr().map_err(cannot)?;
    let tls = tls(settings)?;
    let socket = admin_socket(settings).await?;
    // Installed before anybody can know the address: a signal after that is never lost.
    let mut stop = Stop::install()?;
    hangup::follow(storage_log)?;
    let mut out = anstream::stdout();
    let scheme = if tls.is_some() { "https" } else { "http" };
    writeln!(out, "listening on {scheme}://{address}")?;
    out.flush()?;
    tracing::info!(%address, dir = %settings.data_dir.display(), "listening");

    let (begin_drain, draining) = tokio::sync::watch::channel(());
    let drain = || {
        let mut draining = draining.clone();
        async move {
            // It never changes: the sender is dropped.
            let _ = draining.changed().await;
        }
    };
    let (feeds, feeds_end) = Drain::new();
    let router = router.layer(Extension(feeds_end));
    let connections = settings.connections;
    let on_socket = socket.map(|socket| http::serve_socket(socket, router.clone(), connections, drain()));
    let on_address = http::serve(listener, router, connections, tls.clone(), drain());
    let mut server = tokio::spawn(async move {
        match on_socket {
            Some(on_socket) => {
                tokio::join!(on_address, on_socket);
            }
            None => on_address.await,
        }
    });
    service::ready(address);
    service::feed_watchdog(database);
    let signal = tokio::select! {
        ended = &mut server => return finished(ended),
        signal = stop.signal(tls.as_ref()) => signal,
    };
    service::stopping();
    feeds.announce();
    let wait = settings.drain_wait;
    if !wait.is_zero() {
        let seconds = wait.as_secs();
        tracing::info!(signal, seconds, "stopping: not ready any more, requests are answered");
        tokio::select! {
            ended = &mut server => return finished(ended),
            signal = stop.signal(tls.as_ref()) => tracing::warn!(signal, "not waiting for others to notice"),
            () = tokio::time::sleep(wait) => {}
        }
    }
    tracing::info!(signal, "stopping: no new connections, requests are finished");
    drop(begin_drain);
    feeds.begin();
    let drained_at = Instant::now() + settings.drain;
    let ended = tokio::select! {
        ended = &mut server => finished(ended),
        signal = stop.signal(tls.as_ref()) => {
            tracing::warn!(signal, "stopping at once: requests are cut");
            return Ok(());
        }
        () = tokio::time::sleep_until(drained_at) => {
            tracing::warn!("the time to finish requests is over: they are cut");
            Ok(())
        }
    };
    if let Some(otlp) = otlp {
        tokio::select! {
            () = otlp::finish(otlp, drained_at) => {}
            signal = stop.signal(tls.as_ref()) => tracing::warn!(signal, "stopping at once: spans are cut"),
        }
    }
    ended
}

/// The socket file, if there is to be one.
async fn admin_socket(settings: &Settings) -> Result<Option<SocketFile>, Failure> {
    let Some(path) = &settings.admin_socket else { return Ok(None) };
    let socket = SocketFile::bind(path).await;
    let socket = socket.map_err(|error| Failure::new(error).context("no admin socket"))?;
    tracing::info!(path = %path.display(), "listening on a socket file");
    Ok(Some(socket))
}

/// The certificate, if there is one.
fn tls(settings: &Settings) -> Result<Option<Tls>, Failure> {
    match (&settings.tls_certificate, &settings.tls_key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            let tls = Tls::load(&settings.database.env, certificate, key);
            tls.map(Some).map_err(|error| Failure::new(error).context("no TLS"))
        }
        _ => Err(Failure::new("tls.certificate_file and tls.key_file need each other")),
    }
}

fn finished(ended: Result<(), tokio::task::JoinError>) -> Result<(), Failure> {
    ended.map_err(|error| Failure::new(error).context("the server ended"))
}
