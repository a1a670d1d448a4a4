//! When a key is asked for.

use std::{fmt, str::FromStr};

use ipnet::IpNet;

/// When the data plane asks for a key. The admin plane always does, but for callers on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// From the moment when the first key is made, and never again not; before that everybody may read and write.
    #[default]
    Auto,
    /// Never: keys that are presented are not looked at.
    Off,
    /// Always, also while there is no key.
    Required,
    /// For writing only; a key that is presented for reading must be good.
    Writes,
}

impl AuthMode {
    /// Every mode with its name.
    pub const ALL: [(&'static str, AuthMode); 4] = [
        ("auto", AuthMode::Auto),
        ("off", AuthMode::Off),
        ("required", AuthMode::Required),
        ("writes", AuthMode::Writes),
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            AuthMode::Auto => "auto",
            AuthMode::Off => "off",
            AuthMode::Required => "required",
            AuthMode::Writes => "writes",
        }
    }
}

impl fmt::Display for AuthMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AuthMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<AuthMode, &'static str> {
        let found = AuthMode::ALL.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, mode)| mode).ok_or("is none of auto, off, required, writes")
    }
}

/// How callers are recognised.
#[derive(Clone, Debug)]
pub struct AuthOptions {
    /// When the data plane asks for a key.
    pub mode: AuthMode,
    /// Whether the admin plane answers callers on this machine without a key. They are those whose connection comes from a
    /// loopback address, without a sign that a proxy or a web page of another origin is behind it. Whoever comes over a socket file
    /// needs none either way: the file's mode decides who may.
    pub local_admin: bool,
    /// Whose `X-Forwarded-For` is believed. It says who is limited and audited, never who may do what.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for AuthOptions {
    fn default() -> AuthOptions {
        AuthOptions { mode: AuthMode::Auto, local_admin: true, trusted_proxies: Vec::new() }
    }
}
