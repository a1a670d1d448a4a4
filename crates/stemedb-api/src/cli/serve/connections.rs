//! Options about connections.

use std::{path::PathBuf, time::Duration};

use stemedb_api::http::{ConnectionOptions, Tls};
use stemedb_env::Env;

use crate::cli::failure::Failure;

/// Options about connections.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connections")]
pub struct ConnectionArgs {
    /// Connections at once; one more is refused
    #[arg(long, value_name = "N", env = "STEMEDB_MAX_CONNECTIONS", default_value_t = ConnectionOptions::default().max_connections)]
    max_connections: usize,
    /// How long the head of a request may take, and a connection may be idle
    #[arg(long, value_name = "SECONDS", env = "STEMEDB_HEAD_TIMEOUT_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    head_timeout_seconds: u64,
    /// How long a client may take nothing of its reply
    #[arg(long, value_name = "SECONDS", env = "STEMEDB_STALL_TIMEOUT_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    stall_timeout_seconds: u64,
    /// A chain of certificates in PEM, the server's own first: HTTPS instead of HTTP. Read again when it changes, and on SIGHUP
    #[arg(long, value_name = "FILE", env = "STEMEDB_TLS_CERT_FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", env = "STEMEDB_TLS_KEY_FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// After the first signal: say "not ready" for so long before anything ends, so that load balancers notice
    #[arg(long, value_name = "SECONDS", env = "STEMEDB_DRAIN_WAIT_SECONDS", default_value_t = 0)]
    drain_wait_seconds: u64,
}

impl ConnectionArgs {
    /// As the router's connections are served.
    pub fn options(&self) -> ConnectionOptions {
        ConnectionOptions {
            max_connections: self.max_connections.max(1),
            head_timeout: Duration::from_secs(self.head_timeout_seconds),
            stall_timeout: Duration::from_secs(self.stall_timeout_seconds),
            ..ConnectionOptions::default()
        }
    }

    /// The certificate, if there is one.
    pub fn tls(&self) -> Result<Option<Tls>, Failure> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let tls = Tls::load(&Env::real(), certificate, key);
        tls.map(Some).map_err(|error| Failure::new(error).context("no TLS"))
    }

    /// How long others have to notice that the server stops.
    pub fn drain_wait(&self) -> Option<Duration> {
        (self.drain_wait_seconds > 0).then(|| Duration::from_secs(self.drain_wait_seconds))
    }
}
