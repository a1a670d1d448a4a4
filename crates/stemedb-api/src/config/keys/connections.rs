//! `[connections]` and `[tls]`.

use std::time::Duration;

use crate::config::{BuiltIn, Key, Kind, Unit};

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "connections",
        name: "max",
        flag: "max-connections",
        about: "Connections at once; one more is refused",
        kind: Kind::Number {
            unit: Unit::Count,
            least: 1,
            most: 1_000_000,
            set: |to, most| to.connections.max_connections = usize::try_from(most).unwrap_or(usize::MAX),
        },
        built_in: BuiltIn::Is("8192"),
        ..Key::USUAL
    },
    Key {
        section: "connections",
        name: "head_timeout_seconds",
        flag: "head-timeout-seconds",
        about: "How long the head of a request may take, and how long a connection may be idle",
        kind: Kind::Number {
            unit: Unit::Seconds,
            least: 1,
            most: 3_600,
            set: |to, seconds| to.connections.head_timeout = Duration::from_secs(seconds),
        },
        built_in: BuiltIn::Is("30"),
        ..Key::USUAL
    },
    Key {
        section: "connections",
        name: "stall_timeout_seconds",
        flag: "stall-timeout-seconds",
        about: "How long a client may take nothing of a reply that is ready",
        kind: Kind::Number {
            unit: Unit::Seconds,
            least: 1,
            most: 3_600,
            set: |to, seconds| to.connections.stall_timeout = Duration::from_secs(seconds),
        },
        built_in: BuiltIn::Is("30"),
        ..Key::USUAL
    },
];

pub(super) const TLS_KEYS: &[Key] = &[
    Key {
        section: "tls",
        name: "certificate_file",
        flag: "tls-certificate-file",
        about: "A chain of certificates in PEM, the server's own first; read again when it changes, and on SIGHUP",
        kind: Kind::Path(|to, file| to.tls_certificate = Some(file)),
        built_in: BuiltIn::Unset { means: "HTTP without TLS", example: "/etc/stemedb/tls/chain.pem" },
        ..Key::USUAL
    },
    Key {
        section: "tls",
        name: "key_file",
        flag: "tls-key-file",
        about: "The private key of the certificate, in PEM",
        kind: Kind::Path(|to, file| to.tls_key = Some(file)),
        built_in: BuiltIn::Unset { means: "HTTP without TLS", example: "/etc/stemedb/tls/key.pem" },
        holds_secret: true,
        ..Key::USUAL
    },
];
