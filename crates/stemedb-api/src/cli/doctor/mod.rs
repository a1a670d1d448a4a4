//! `doctor`: looks where an operator would look, says what it finds, and names the page that says what to do.
//!
//! ```text
//! configuration ─▶ where the server and its folder are
//!      ├─▶ server   health, readiness, figures, events, reading back, backups, two looks at /metrics
//!      ├─▶ folder   room, names, moved-aside folders, the journal's segments, the storage's log: read, never written
//!      ├─▶ backups  how old the newest proven one is
//!      └─▶ machine  memory
//! findings ─▶ severity, words, `docs/operations/runbooks/…`
//! ```
//!
//! Nothing is changed and no lock is taken, so it may run beside a server as well as over a folder that nobody has open.

mod backups;
mod configuration;
mod finding;
mod folder;
mod machine;
mod scrape;
mod series;
mod server;

use std::{path::PathBuf, time::Duration};

use stemedb_env::Env;

use self::finding::{Finding, Report, Runbook, Severity};
use super::{
    client::{Client, ServerUrl},
    failure::Failure,
    paint,
};

/// Look at a server and its files as an operator would, and name the page that says what to do
///
/// Without --url and --data-dir: at the configuration that `serve` would be started with, at the server that it describes, and at
/// its folder. Ends with 0 if there is nothing to do, with 1 if there is.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// A running server, such as http://127.0.0.1:18180, and nothing else
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    url: Option<ServerUrl>,
    /// A database's folder, and nothing else; a server may have it open
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration file of `serve` [default: /etc/stemedb/api.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the backups are: a folder, or s3://bucket/prefix [default: `to` of [backup] in the configuration]
    #[arg(long, value_name = "TARGET")]
    backups: Option<String>,
    /// A newest backup that is older than this is something to do
    #[arg(long, value_name = "HOURS", default_value_t = 26)]
    backup_hours: u64,
    /// Seconds between two looks at the server's counters (0: one look)
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    seconds: u64,
    /// Read all of the journal's segments, however many there are
    #[arg(long)]
    full: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Looks, prints, and fails if there is something to do.
pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let env = Env::real();
    let mut report = Report::default();
    let settings = configuration::look(&env, args, &mut report);
    if let Some(url) = server_of(args, &settings, &mut report) {
        let answers = server::look(&env, &url, Duration::from_secs(args.seconds), &mut report)?;
        if answers && url.is_loopback() {
            machine::look(&mut report);
        }
    }
    if args.url.is_none() {
        folder::look(&env, &settings, args.full, &mut report);
    }
    let target = args.backups.as_ref().or(settings.backup_to.as_ref());
    backups::look(&env, target.map(String::as_str), args, &mut report);
    report.print(args.json)?;
    match report.to_do() {
        0 => Ok(()),
        count => Err(Failure::new(paint::count(count as u64, "thing to do", "things to do"))),
    }
}

/// What it finds in a server and in a folder, each if there is one, as `--json` prints it: a part of `debug-bundle`.
pub(super) fn report_of(
    env: &Env,
    server: Option<&ServerUrl>,
    data_dir: Option<&std::path::Path>,
    config: Option<&std::path::Path>,
) -> Result<serde_json::Value, Failure> {
    let args = DoctorArgs {
        url: None,
        data_dir: data_dir.map(PathBuf::from),
        config: config.map(PathBuf::from),
        backups: None,
        backup_hours: 26,
        seconds: 1,
        full: false,
        json: true,
    };
    let mut report = Report::default();
    let settings = configuration::look(env, &args, &mut report);
    if let Some(url) = server
        && server::look(env, url, Duration::from_secs(args.seconds), &mut report)?
        && url.is_loopback()
    {
        machine::look(&mut report);
    }
    if data_dir.is_some() {
        folder::look(env, &settings, args.full, &mut report);
        backups::look(env, settings.backup_to.as_deref(), &args, &mut report);
    }
    Ok(report.json())
}

/// The server to ask: the one that was named, or the one that the configuration describes.
fn server_of(
    args: &DoctorArgs,
    settings: &stemedb_api::config::Settings,
    report: &mut Report,
) -> Option<ServerUrl> {
    if args.url.is_some() || args.data_dir.is_some() {
        return args.url.clone();
    }
    if settings.tls_certificate.is_some() {
        let text = "the server speaks TLS alone and was not asked; --url takes a plain address of it";
        report.push(Finding::info("server", text, Runbook::ServerWontStart));
        return None;
    }
    address_of(settings)
}

/// Where the server is reached from this machine that these settings describe.
pub(super) fn address_of(settings: &stemedb_api::config::Settings) -> Option<ServerUrl> {
    let mut address = settings.bind;
    if address.ip().is_unspecified() {
        let loopback = match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    format!("http://{address}").parse().ok()
}
