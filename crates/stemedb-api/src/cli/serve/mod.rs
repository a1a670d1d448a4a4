//! `serve`: HTTP until told to stop.
//!
//! ```text
//! open ─▶ listen ─▶ say so ─▶ serve … signal ─▶ stop accepting ─▶ finish requests ─▶ flush ─▶ close ─▶ exit 0
//!                                       second signal, or the deadline ─▶ cut what is left ─▶ flush ─▶ close
//! ```

mod disk;
mod security;
mod stop;

use std::{io::Write, net::SocketAddr, path::PathBuf, time::Duration};

use axum::{Extension, Router};
use stemedb_api::{
    Code, Database, DatabaseOptions, RouterOptions, RouterParts,
    core::AuthorityPolicy,
    http::{Backups, Drain},
    router_with,
};
use stemedb_env::Env;
use stemedb_hybrid::{FallbackMode, OpenDamaged};
use tokio::net::TcpListener;

use super::{backup, failure::Failure, folder};
use stop::Stop;

/// Answer HTTP requests until told to stop (SIGTERM or SIGINT; a second one stops at once)
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The database's folder
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Address and port to listen on (port 0: any free one)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:18180")]
    bind: SocketAddr,
    /// Create the database if the folder is absent or empty
    #[arg(long)]
    init: bool,
    /// How long requests may take to finish after the first signal
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_seconds: u64,
    /// Whether a claim is protected from supersessions by a lower class than its own: enforce or off
    #[arg(long, value_name = "POLICY", env = "STEMEDB_SUPERSESSION_AUTHORITY", default_value_t = AuthorityPolicy::Enforce)]
    supersession_authority: AuthorityPolicy,
    /// Memory for the view: rows not yet in tables, indexes, cached blocks [default: 320]
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<u64>,
    /// Memory for questions that were asked before: their claims and answers (0: nothing is kept)
    #[arg(long, value_name = "MIB", env = "STEMEDB_CACHE_MIB", default_value_t = 64)]
    cache_mib: u64,
    /// Where `POST /v1/admin/backup` and `backup create --url` put backups: a folder, or s3://bucket/prefix
    #[arg(long, value_name = "TARGET")]
    backup_to: Option<String>,
    /// When there is a second view that answers if the first one cannot: on_demand, standby or off
    #[arg(long, value_name = "MODE", env = "STEMEDB_FALLBACK", default_value_t = FallbackMode::OnDemand)]
    fallback: FallbackMode,
    /// Where the second view lies, best on another disk [default: fallback/ in the database's folder]
    #[arg(long, value_name = "DIR", env = "STEMEDB_FALLBACK_DIR")]
    fallback_dir: Option<PathBuf>,
    /// If the journal is damaged where nothing else has its entries: serve what lies before that, and refuse writes
    #[arg(long)]
    read_only_if_damaged: bool,
    #[command(flatten)]
    disk: disk::DiskArgs,
    #[command(flatten)]
    security: security::SecurityArgs,
}

/// Serves.
pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    let backups = match &args.backup_to {
        None => None,
        Some(text) => Some(Backups::new(backup::open(&Env::real(), text)?)),
    };
    let database = open(args)?;
    if let Some(report) = database.open_report() {
        tracing::info!(lsn = %database.published_lsn(), replayed = report.replayed, "database open");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(error).context("cannot start the server"))?;
    let security = args.security.options(args.bind);
    security::announce(security.auth.mode, args.bind);
    let audit = args.security.audit(&args.data_dir)?;
    let parts = RouterParts { backups, security, audit };
    let router = router_with(database.clone(), RouterOptions::default(), parts);
    let served = runtime.block_on(serve(args, router));
    // Connections that were cut at the deadline hold the database; they end with the runtime.
    runtime.shutdown_timeout(Duration::from_secs(2));
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

fn open(args: &ServeArgs) -> Result<Database, Failure> {
    let (dir, env) = (&args.data_dir, Env::real());
    let supersession_authority = args.supersession_authority;
    let mut options = DatabaseOptions { supersession_authority, ..DatabaseOptions::default() };
    if let Some(mib) = args.memory_mib {
        options = options.with_memory_budget(mib.saturating_mul(1 << 20));
    }
    options.cache_bytes = args.cache_mib.saturating_mul(1 << 20);
    options.engine.fallback = args.fallback;
    options.engine.fallback_dir.clone_from(&args.fallback_dir);
    if args.read_only_if_damaged {
        options.engine.open_damaged = OpenDamaged::ReadOnly;
    }
    args.disk.apply(&mut options.engine);
    if !folder::is_absent_or_empty(&env, dir)? {
        return folder::open_with(dir, options);
    }
    if args.init {
        return folder::create_with(dir, options);
    }
    let what = format!("{} holds no database", dir.display());
    Err(Failure::new(what).hint("if its disk is not mounted, mount it; for a new database pass --init"))
}

async fn serve(args: &ServeArgs, router: Router) -> Result<(), Failure> {
    let cannot = |error| Failure::new(error).context(format!("cannot listen on {}", args.bind));
    let listener = TcpListener::bind(args.bind).await.map_err(cannot);
    let listener = listener.map_err(|failure| failure.hint("choose another address with --bind"))?;
    let address = listener.local_addr().map_err(cannot)?;
    // Installed before anybody can know the address: a signal after that is never lost.
    let mut stop = Stop::install()?;
    let mut out = anstream::stdout();
    writeln!(out, "listening on http://{address}")?;
    out.flush()?;
    tracing::info!(%address, dir = %args.data_dir.display(), "listening");

    let (begin_drain, draining) = tokio::sync::oneshot::channel::<()>();
    let drain = async move {
        // A dropped sender means the same.
        let _ = draining.await;
    };
    let (feeds, feeds_end) = Drain::new();
    let router = router.layer(Extension(feeds_end));
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, router).with_graceful_shutdown(drain).into_future();
    let mut server = tokio::spawn(server);
    tokio::select! {
        ended = &mut server => return finished(ended),
        signal = stop.signal() => tracing::info!(signal, "stopping: no new connections, requests are finished"),
    }
    drop(begin_drain);
    feeds.begin();
    let deadline = Duration::from_secs(args.drain_seconds);
    tokio::select! {
        ended = &mut server => finished(ended),
        signal = stop.signal() => {
            tracing::warn!(signal, "stopping at once: requests are cut");
            Ok(())
        }
        () = tokio::time::sleep(deadline) => {
            tracing::warn!("the time to finish requests is over: they are cut");
            Ok(())
        }
    }
}

fn finished(ended: Result<std::io::Result<()>, tokio::task::JoinError>) -> Result<(), Failure> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::new(error).context("the server ended")),
        Err(error) => Err(Failure::new(error).context("the server ended")),
    }
}
