//! What production refuses.

use stemedb_core::SignaturePolicy;
use tracing::Level;

use super::{AuditPlace, Config, Environment, Problem, Settings};
use crate::http::AuthMode;

/// A setting that is unsafe in production.
#[derive(Debug)]
pub struct Rule {
    /// Section and name of the key that has to be changed.
    pub about: (&'static str, &'static str),
    /// True where the effective settings are unsafe.
    pub is_unsafe: fn(&Settings) -> bool,
    /// Why, and what to do.
    pub reason: &'static str,
}

impl Rule {
    /// The key that has to be changed.
    pub fn key(&self) -> String {
        format!("{}.{}", self.about.0, self.about.1)
    }
}

/// All rules. Each is asked, and all that refuse are told.
pub static RULES: &[Rule] = &[
    Rule {
        about: ("security", "auth"),
        // Unset, it asks for keys there.
        is_unsafe: |settings| {
            settings.is_reachable_by_others() && matches!(settings.auth, Some(AuthMode::Off | AuthMode::Auto))
        },
        reason: "whoever reaches the server can read and write, with \"auto\" until the first key is made; say \"required\", or \"writes\" if everybody may read",
    },
    Rule {
        about: ("server", "tls_terminated_by_proxy"),
        is_unsafe: |settings| {
            is_public(settings) && !settings.is_tls_terminated_by_proxy && settings.tls_certificate.is_none()
        },
        reason: "whoever is on the way to this address can read along; name a certificate in [tls], or put a proxy that speaks TLS in front and say true",
    },
    Rule {
        about: ("security", "signatures"),
        is_unsafe: |settings| settings.database.signatures != SignaturePolicy::Required,
        reason: "anybody can say anything in anybody's name unless it is \"required\"",
    },
    Rule {
        about: ("security", "trusted_proxies"),
        is_unsafe: |settings| settings.security.trusted_proxies.iter().any(|net| net.prefix_len() == 0),
        reason: "everybody is believed to be a proxy: whoever writes X-Forwarded-For chooses whom limits and the audit log mean; name the networks of your proxies",
    },
    Rule {
        about: ("security", "cors_origins"),
        is_unsafe: |settings| {
            settings.security.cors_origins.iter().any(|origin| !origin.as_bytes().starts_with(b"https://"))
        },
        reason: "a page that came without TLS may be anybody's, and it could read with its reader's key; name origins with https://",
    },
    Rule {
        about: ("audit", "log"),
        is_unsafe: |settings| settings.security.audit.place == AuditPlace::Off,
        reason: "afterwards nobody can say who did what; name a file, or leave it in the database's folder",
    },
    Rule {
        about: ("logging", "level"),
        is_unsafe: |settings| settings.logs.level == Level::TRACE,
        reason: "trace writes down what requests contain, and fills the disk; \"debug\" is the most",
    },
    Rule {
        about: ("otlp", "headers_file"),
        is_unsafe: |settings| {
            let is_open = settings.otlp.endpoint.as_ref().is_some_and(|to| !to.is_tls() && !to.is_loopback());
            is_open && settings.otlp.headers_file.is_some()
        },
        reason: "whoever is on the way to the collector can read the key in it; say https:// in otlp.endpoint, or name a collector on this machine",
    },
];

fn is_public(settings: &Settings) -> bool {
    !settings.bind.ip().is_loopback()
}

/// Asks the rules, except those about keys that have a problem already: what they would say is not known yet.
pub(super) fn check(config: &Config, problems: &[Problem]) -> Vec<Problem> {
    let settings = config.settings();
    if settings.environment != Environment::Production {
        return Vec::new();
    }
    let is_known = |rule: &&Rule| {
        let (section, name) = rule.about;
        !problems
            .iter()
            .any(|problem| matches!(problem, Problem::Refused { key, .. } if key.is(section, name)))
    };
    let refused = RULES.iter().filter(is_known).filter(|rule| (rule.is_unsafe)(&settings));
    refused
        .filter_map(|rule| {
            let (section, name) = rule.about;
            let entry = config.entries().iter().find(|entry| entry.key.is(section, name))?;
            let value = entry.value.as_ref().map(|value| value.literal());
            Some(Problem::Unsafe { at: entry.origin.clone(), rule, value })
        })
        .collect()
}
