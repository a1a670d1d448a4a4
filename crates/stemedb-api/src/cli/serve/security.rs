//! Options of who may do what.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use axum::http::HeaderValue;
use ipnet::IpNet;
use stemedb_api::http::{
    Audit, AuditOptions, AuthMode, AuthOptions, Group, LimitOptions, Rate, SecurityOptions,
};
use stemedb_env::Env;

use crate::cli::failure::Failure;

/// Who may do what, and how much.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Security")]
pub struct SecurityArgs {
    /// Ask for a key on the admin plane also of programs on this machine
    #[arg(long)]
    admin_needs_key: bool,
    /// A network of proxies whose X-Forwarded-For is believed; several with commas
    #[arg(long, value_name = "NET", value_delimiter = ',')]
    trusted_proxies: Vec<IpNet>,
    /// An origin whose pages may read replies, such as https://app.example; several with commas
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    cors_origins: Vec<Origin>,
    /// A limit for each caller: reads, writes, bulk or admin, = units/seconds or off; several with commas
    #[arg(long, value_name = "GROUP=LIMIT", value_delimiter = ',')]
    rate_limits: Vec<Limit>,
    /// Limit also programs on this machine that come without a key
    #[arg(long)]
    limit_local: bool,
    /// Where it is written down who did what, or off [default: audit.log in the database's folder]
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Size at which a new file of that log is begun
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    audit_mib: u64,
}

impl SecurityArgs {
    /// What the router is told. Without a word from its operator a server that others can reach asks for keys.
    pub fn options(&self, bind: SocketAddr, mode: Option<AuthMode>) -> SecurityOptions {
        let absent = if bind.ip().is_loopback() { AuthMode::Auto } else { AuthMode::Required };
        let mut limits = LimitOptions { limit_local: self.limit_local, ..LimitOptions::default() };
        for Limit { group, rate } in &self.rate_limits {
            let place = match group {
                Group::Reads => &mut limits.reads,
                Group::Writes => &mut limits.writes,
                Group::Bulk => &mut limits.bulk,
                Group::Admin => &mut limits.admin,
            };
            *place = *rate;
        }
        SecurityOptions {
            auth: AuthOptions {
                mode: mode.unwrap_or(absent),
                local_admin: !self.admin_needs_key,
                trusted_proxies: self.trusted_proxies.clone(),
            },
            limits,
            cors_origins: self.cors_origins.iter().map(|origin| origin.0.clone()).collect(),
        }
    }

    /// Opens the audit log; `None` if it is off.
    pub fn audit(&self, data_dir: &Path) -> Result<Option<Audit>, Failure> {
        let file = match &self.audit_log {
            Some(file) if file.as_os_str() == "off" => return Ok(None),
            Some(file) => file.clone(),
            None => data_dir.join("audit.log"),
        };
        let options = AuditOptions { rotate_bytes: self.audit_mib.max(1) << 20, ..AuditOptions::new(file) };
        let audit = Audit::open(&Env::real(), options);
        audit.map(Some).map_err(|error| Failure::new(error).context("cannot write the audit log"))
    }
}

/// What is logged about a server's door when it is opened.
pub fn announce(mode: AuthMode, bind: SocketAddr) {
    match mode {
        AuthMode::Off if !bind.ip().is_loopback() => {
            tracing::warn!(%bind, "whoever reaches this address can read and write: --auth off");
        }
        mode => tracing::info!(auth = %mode, "who may read and write"),
    }
}

/// A limit of one group.
#[derive(Clone, Copy, Debug)]
struct Limit {
    group: Group,
    rate: Option<Rate>,
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Limit, &'static str> {
        let bad = "must look like reads=5000/1 or bulk=off";
        let (name, limit) = text.split_once('=').ok_or(bad)?;
        let group = Group::ALL.into_iter().find(|group| group.name() == name);
        let group = group.ok_or("names none of reads, writes, bulk, admin")?;
        if limit == "off" {
            return Ok(Limit { group, rate: None });
        }
        let (quota, window) = limit.split_once('/').ok_or(bad)?;
        match (quota.parse(), window.parse()) {
            (Ok(quota @ 1..), Ok(window_seconds @ 1..=86_400)) => {
                Ok(Limit { group, rate: Some(Rate { quota, window_seconds }) })
            }
            _ => Err(bad),
        }
    }
}

/// An origin as browsers send it.
#[derive(Clone, Debug)]
struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Origin, &'static str> {
        let bad = "must look like https://app.example, without a path";
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(bad)?;
        if host.is_empty() || host.contains(['/', '*', ' ']) {
            return Err(bad);
        }
        HeaderValue::try_from(text).map(Origin).map_err(|_| bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_origins_are_read_strictly() {
        assert!(matches!("bulk=off".parse(), Ok(Limit { group: Group::Bulk, rate: None })));
        let rate = "reads=10/60".parse::<Limit>().unwrap().rate;
        assert_eq!(rate, Some(Rate { quota: 10, window_seconds: 60 }));
        for bad in ["reads", "reads=", "reads=0/1", "reads=1/0", "reads=1", "other=1/1", "reads=-1/1"] {
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
        assert!("https://app.example".parse::<Origin>().is_ok());
        for bad in ["*", "https://app.example/", "app.example", "https://", "https://*.example"] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
