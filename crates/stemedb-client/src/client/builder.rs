//! Making a client.

use std::{path::Path, sync::Arc, time::Duration};

use ureq::Agent;

use super::Client;
use crate::{
    error::{Error, Source},
    machine::{self, Machine, Real},
    session::Session,
    transport::{RetryPolicy, Transport},
};

const DEFAULT_URL: &str = "http://127.0.0.1:18180";
const URL_VARIABLE: &str = "STEMEDB_URL";
const KEY_VARIABLE: &str = "STEMEDB_API_KEY";
const KEY_FILE_VARIABLE: &str = "STEMEDB_API_KEY_FILE";
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client is told before it is made.
#[derive(Debug)]
pub struct ClientBuilder {
    url: String,
    key: Option<String>,
    retry: RetryPolicy,
    patience: Duration,
    session: Option<Session>,
    #[cfg(feature = "tls")]
    authorities: Vec<ureq::tls::Certificate<'static>>,
    #[cfg(feature = "tls")]
    only_named_authorities: bool,
    machine: Arc<dyn Machine>,
    /// The first thing that was wrong.
    failed: Option<Error>,
}

fn setup(what: &'static str, source: impl Into<Source>) -> Error {
    Error::Setup { what, source: source.into() }
}

impl ClientBuilder {
    pub(super) fn new(url: &str) -> ClientBuilder {
        ClientBuilder {
            url: url.trim_end_matches('/').to_owned(),
            key: None,
            retry: RetryPolicy::default(),
            patience: PATIENCE,
            session: Some(Session::new()),
            #[cfg(feature = "tls")]
            authorities: Vec::new(),
            #[cfg(feature = "tls")]
            only_named_authorities: false,
            machine: Arc::new(Real::new()),
            failed: None,
        }
    }

    /// What the environment says: the address in `STEMEDB_URL` (else the server's own port on this machine), the API key in
    /// `STEMEDB_API_KEY`, or in the file that `STEMEDB_API_KEY_FILE` names.
    pub(super) fn from_env() -> ClientBuilder {
        let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut builder = ClientBuilder::new(&given(URL_VARIABLE).unwrap_or_else(|| DEFAULT_URL.to_owned()));
        if let Some(path) = given(KEY_FILE_VARIABLE) {
            builder = builder.key_file(path);
        }
        builder.key = given(KEY_VARIABLE).or(builder.key);
        builder
    }

    /// Presents this API key (`stemedb_…`).
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> ClientBuilder {
        ClientBuilder { key: Some(key.into()), ..self }
    }

    /// Presents the API key in this file, which is read once, now.
    #[must_use]
    pub fn key_file(mut self, path: impl AsRef<Path>) -> ClientBuilder {
        match machine::read_file(path.as_ref()).map(String::from_utf8) {
            Ok(Ok(text)) => self.key = Some(text.trim().to_owned()),
            Ok(Err(error)) => self.fail(setup("the file with the API key", error)),
            Err(error) => self.fail(setup("the file with the API key", error)),
        }
        self
    }

    /// How often and how long requests are tried.
    #[must_use]
    pub fn retry(self, retry: RetryPolicy) -> ClientBuilder {
        ClientBuilder { retry, ..self }
    }

    /// How long each next sign of life of the server is waited for; 30 s unless said.
    #[must_use]
    pub fn patience(self, patience: Duration) -> ClientBuilder {
        ClientBuilder { patience, ..self }
    }

    /// Goes on from what was seen elsewhere.
    #[must_use]
    pub fn session(self, session: Session) -> ClientBuilder {
        ClientBuilder { session: Some(session), ..self }
    }

    /// Notes no positions and takes every answer, also one that does not show yet what was written.
    #[must_use]
    pub fn without_session(self) -> ClientBuilder {
        ClientBuilder { session: None, ..self }
    }

    /// Trusts these certificates, too (PEM).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn authorities(mut self, pem: &[u8]) -> ClientBuilder {
        let before = self.authorities.len();
        for item in ureq::tls::parse_pem(pem) {
            match item {
                Ok(ureq::tls::PemItem::Certificate(certificate)) => self.authorities.push(certificate),
                Ok(_) => {}
                Err(error) => self.fail(setup("a certificate", error)),
            }
        }
        if self.authorities.len() == before {
            self.fail(setup("the certificates", "there is none in them"));
        }
        self
    }

    /// Trusts the certificates in this file, too (PEM).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn authorities_file(mut self, path: impl AsRef<Path>) -> ClientBuilder {
        match machine::read_file(path.as_ref()) {
            Ok(pem) => self.authorities(&pem),
            Err(error) => {
                self.fail(setup("the file with certificates", error));
                self
            }
        }
    }

    /// Trusts the certificates that were named, and not those of the system.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn only_named_authorities(self) -> ClientBuilder {
        ClientBuilder { only_named_authorities: true, ..self }
    }

    #[cfg(test)]
    pub(crate) fn machine(self, machine: Arc<dyn Machine>) -> ClientBuilder {
        ClientBuilder { machine, ..self }
    }

    fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Setup`]: an address, file or certificate that cannot be used.
    pub fn build(mut self) -> Result<Client, Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let address = self.url.parse::<ureq::http::Uri>().map_err(|error| setup("the address", error))?;
        let is_tls = match (address.scheme_str(), address.host(), address.query()) {
            (Some("http"), Some(_), None) => false,
            (Some("https"), Some(_), None) => true,
            _ => return Err(setup("the address", "must look like http://127.0.0.1:18180")),
        };
        let authorization = match self.key.take() {
            Some(key) if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Some(format!("Bearer {key}"))
            }
            Some(_) => return Err(setup("the API key", "it is empty, or has characters that no key has")),
            None => None,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A reply from elsewhere is no answer, and the key is for this server alone.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .no_delay(true)
            .timeout_connect(Some(CONNECT_WITHIN))
            .user_agent(concat!("stemedb-client/", env!("CARGO_PKG_VERSION")));
        let agent = match is_tls {
            false => config.build().new_agent(),
            #[cfg(feature = "tls")]
            true => config.tls_config(self.tls()?).build().new_agent(),
            #[cfg(not(feature = "tls"))]
            true => return Err(setup("the address", "https needs the feature `tls`")),
        };
        let transport = Transport {
            agent,
            base: self.url,
            authorization,
            retry: self.retry,
            patience: self.patience,
            machine: self.machine,
        };
        Ok(Client { transport: Arc::new(transport), session: self.session })
    }

    #[cfg(feature = "tls")]
    fn tls(&mut self) -> Result<ureq::tls::TlsConfig, Error> {
        let mut roots = std::mem::take(&mut self.authorities);
        if !self.only_named_authorities {
            // Some of a system's certificates may be unreadable; the others are good.
            let found = rustls_native_certs::load_native_certs();
            roots.extend(found.certs.iter().map(|der| ureq::tls::Certificate::from_der(der).to_owned()));
        }
        if roots.is_empty() {
            return Err(setup("TLS", "no certificate is trusted"));
        }
        let provider = rustls::crypto::ring::default_provider();
        Ok(ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::from(roots))
            .unversioned_rustls_crypto_provider(Arc::new(provider))
            .build())
    }
}
