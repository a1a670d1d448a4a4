//! Where a collector is.

use std::{fmt, net::IpAddr};

use axum::http::Uri;

/// The address of a collector: `http://host:4318` or with https, with a path below which its routes are, if they are not at the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint {
    is_tls: bool,
    host: String,
    port: u16,
    base: String,
}

impl OtlpEndpoint {
    /// What [`OtlpEndpoint::parse`] takes, for people.
    pub const FORM: &'static str =
        "an address such as http://127.0.0.1:4318 or https://collector.example, without a name or a query";

    /// Reads one; `None` where it is none. The port is the scheme's where it is not named.
    pub fn parse(text: &str) -> Option<OtlpEndpoint> {
        let uri: Uri = text.parse().ok()?;
        let is_tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        let has_port = authority.as_str().len() > host.len();
        let port = match authority.port_u16() {
            Some(0) => return None,
            Some(port) => port,
            None if has_port => return None,
            None => {
                if is_tls {
                    443
                } else {
                    80
                }
            }
        };
        if host.is_empty() || authority.as_str().contains('@') || uri.query().is_some() || text.contains('#')
        {
            return None;
        }
        Some(OtlpEndpoint {
            is_tls,
            host: host.to_owned(),
            port,
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// True for an address of this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.bare_host();
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Host and port to connect to: an address of version 6 is without its brackets.
    pub(super) fn place(&self) -> (&str, u16) {
        (self.bare_host(), self.port)
    }

    /// As the header `Host` has it.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The path that spans are sent to.
    pub(super) fn traces(&self) -> String {
        format!("{}/v1/traces", self.base)
    }

    fn bare_host(&self) -> &str {
        let inner = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.unwrap_or(&self.host)
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port_and_may_have_a_path() {
        let shown = |text: &str| OtlpEndpoint::parse(text).map(|endpoint| endpoint.to_string());
        for (text, wanted) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
            ("http://collector/", "http://collector:80"),
            ("https://collector.example/otlp/", "https://collector.example:443/otlp"),
            ("http://[::1]:4318", "http://[::1]:4318"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(wanted), "{text}");
        }
        for bad in [
            "",
            "127.0.0.1:4318",
            "grpc://h:4317",
            "http://",
            "http://:4318",
            "http://h:0",
            "http://h:99999",
            "http://h:",
            "http://name:password@h:4318",
            "http://h/?key=1",
            "http://h/#x",
            "http://h h",
            "/v1/traces",
        ] {
            assert_eq!(shown(bad), None, "{bad}");
        }
        let endpoint = OtlpEndpoint::parse("http://[::1]:4318/below").unwrap();
        assert_eq!((endpoint.place(), endpoint.traces()), (("::1", 4318), "/below/v1/traces".to_owned()));
        assert_eq!(endpoint.authority(), "[::1]:4318");
        assert!(endpoint.is_loopback() && !endpoint.is_tls());
        assert!(!OtlpEndpoint::parse("http://collector:4318").unwrap().is_loopback());
    }
}
