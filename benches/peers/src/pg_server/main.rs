//! `pg-server`: what somebody would have built instead of StemeDB's server. PostgreSQL behind a minimal axum server that does the same
//! work: the same questions with the same answers, byte for byte but for times, and the same durable asserts.
//!
//! ```text
//! GET  /v1/query   ─▶ pool ─▶ one prepared statement over a Unix socket ─▶ candidates ─▶ the same lens ─▶ the same JSON
//! POST /v1/assert  ─▶ the same parser ─▶ pool ─▶ one INSERT, synchronous_commit=on ─▶ 201
//! ```
//!
//! It loads its claims, says where it listens, and serves until its standard input ends: then the database server that it has
//! started ends, too, whatever became of whoever started this.
#![deny(missing_docs)]

mod answers;
mod loading;

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use axum::{
    Router,
    routing::{get, post},
};
use clap::Parser;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use stemedb_peers::{
    engine::Result,
    questions::{
        contender::Contender,
        postgres::{OWNER, Postgres},
    },
};
use tokio::io::AsyncReadExt;
use tokio_postgres::NoTls;

use answers::App;

/// PostgreSQL behind a minimal axum server, for a comparison.
#[derive(Parser)]
#[command(name = "pg-server", version)]
struct Arguments {
    /// The claims, a record of `stemedb-api export` a line.
    #[arg(long)]
    claims: PathBuf,
    /// An empty folder for the database, on a real disk.
    #[arg(long)]
    dir: PathBuf,
    /// Connections to the database.
    #[arg(long, default_value_t = 32)]
    pool: usize,
    /// PostgreSQL's shared buffers, in MiB.
    #[arg(long, default_value_t = 384)]
    cache_mib: usize,
}

fn run(arguments: &Arguments) -> Result<()> {
    let postgres = Postgres::find(arguments.cache_mib << 20)?;
    eprintln!("pg-server: {}; a pool of {} connections", postgres.configuration(), arguments.pool);
    let mut store = postgres.create(&arguments.dir)?;
    let last = loading::load(&mut *store, &arguments.claims)?;
    store.settle()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host_path(Postgres::socket(&arguments.dir)).user(OWNER).dbname("postgres");
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, NoTls, recycling);
        let pool = Pool::builder(manager).max_size(arguments.pool).build()?;
        let app = Arc::new(App::new(pool, last));
        app.check().await?;
        let router = Router::new()
            .route("/v1/query", get(answers::query))
            .route("/v1/assert", post(answers::assert))
            .with_state(app);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        axum::serve(listener, router)
            .with_graceful_shutdown(async {
                // An error is an end, too.
                let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
            })
            .await?;
        Ok(())
    })
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
