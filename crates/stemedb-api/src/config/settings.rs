//! The effective configuration, in the types of those who use it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tracing::Level;

use super::SecuritySettings;
use crate::{
    DatabaseOptions, RouterOptions,
    http::{AuthMode, ConnectionOptions, OtlpEndpoint},
};

/// What a server is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What unsafe settings are refused.
    pub environment: Environment,
    /// Where to listen.
    pub bind: SocketAddr,
    /// How long requests may take to finish after the first signal.
    pub drain: Duration,
    /// How long others have to notice that the server stops, before it does.
    pub drain_wait: Duration,
    /// How connections are treated.
    pub connections: ConnectionOptions,
    /// A chain of certificates in PEM.
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key in PEM.
    pub tls_key: Option<PathBuf>,
    /// Something in front speaks TLS with whoever is not on this machine.
    pub is_tls_terminated_by_proxy: bool,
    /// When a key is asked for; `None`: it depends on who can reach the server.
    pub auth: Option<AuthMode>,
    /// Who may do what beside that, and what is written down of it.
    pub security: SecuritySettings,
    /// A socket file on which programs of this machine reach the admin plane without a key.
    pub admin_socket: Option<PathBuf>,
    /// The database's folder.
    pub data_dir: PathBuf,
    /// An absent or empty folder becomes a new database.
    pub init: bool,
    /// Where backups go that are asked for over HTTP.
    pub backup_to: Option<String>,
    /// Where the journal is archived as it is written.
    pub archive_to: Option<String>,
    /// How often.
    pub archive_interval: Duration,
    /// The archive of another server to follow.
    pub standby: Option<String>,
    /// The database.
    pub database: DatabaseOptions,
    /// The routes.
    pub router: RouterOptions,
    /// Events.
    pub logs: LogSettings,
    /// Spans of requests.
    pub otlp: OtlpSettings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            environment: Environment::Development,
            bind: (Ipv4Addr::LOCALHOST, 18180).into(),
            drain: Duration::from_secs(30),
            drain_wait: Duration::ZERO,
            connections: ConnectionOptions::default(),
            tls_certificate: None,
            tls_key: None,
            is_tls_terminated_by_proxy: false,
            auth: None,
            security: SecuritySettings::default(),
            admin_socket: None,
            data_dir: PathBuf::from("/var/lib/stemedb"),
            init: false,
            backup_to: None,
            archive_to: None,
            archive_interval: Duration::from_secs(5),
            standby: None,
            database: DatabaseOptions::default(),
            router: RouterOptions::default(),
            logs: LogSettings::default(),
            otlp: OtlpSettings::default(),
        }
    }
}

/// What kind of installation this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Nothing is refused.
    Development,
    /// Unsafe settings are refused: [`super::RULES`].
    Production,
}

/// Which events are written, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least of them.
    pub level: Level,
    /// How they are written to standard error.
    pub format: LogFormat,
    /// A file that gets them as well, as JSON lines.
    pub file: Option<PathBuf>,
    /// A file that gets those of the storage alone, as JSON lines.
    pub storage_file: Option<PathBuf>,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { level: Level::INFO, format: LogFormat::Auto, file: None, storage_file: None }
    }
}

/// How events are written to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, else for machines.
    Auto,
    /// Lines for people.
    Human,
    /// JSON lines with `"level":"ERROR"`.
    Json,
}

/// Where spans of requests go.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpSettings {
    /// The collector; without it there are no spans.
    pub endpoint: Option<OtlpEndpoint>,
    /// The part of the traces that begin here which is exported.
    pub sample_ratio: f64,
    /// How long the collector may take for an answer.
    pub timeout: Duration,
    /// A file with headers that each request to the collector carries.
    pub headers_file: Option<PathBuf>,
}

impl Default for OtlpSettings {
    fn default() -> OtlpSettings {
        OtlpSettings {
            endpoint: None,
            sample_ratio: 1.0,
            timeout: Duration::from_secs(10),
            headers_file: None,
        }
    }
}
