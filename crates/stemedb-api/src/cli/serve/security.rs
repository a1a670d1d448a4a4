//! What is opened and said of who may do what; what it is stands in the configuration.

use std::net::SocketAddr;

use stemedb_api::{
    config::Settings,
    http::{Audit, AuthMode},
};

use crate::cli::failure::Failure;

/// Opens the audit log; `None` if it is off.
pub fn audit(settings: &Settings) -> Result<Option<Audit>, Failure> {
    let Some(options) = settings.audit_options() else { return Ok(None) };
    let audit = Audit::open(&settings.database.env, options);
    audit.map(Some).map_err(|error| Failure::new(error).context("cannot write the audit log"))
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
