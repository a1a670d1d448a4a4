//! `[server]`.

use std::time::Duration;

use crate::config::{BuiltIn, Choice, Environment, Key, Kind, Unit};

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "server",
        name: "environment",
        flag: "env",
        about: "What kind of installation this is; production refuses what is unsafe",
        kind: Kind::Choice(&[
            Choice { name: "production", set: |to| to.environment = Environment::Production },
            Choice { name: "development", set: |to| to.environment = Environment::Development },
        ]),
        built_in: BuiltIn::Is("development"),
        ..Key::USUAL
    },
    Key {
        section: "server",
        name: "bind",
        flag: "bind",
        about: "Address and port to listen on (port 0: any free one)",
        kind: Kind::Address(|to, address| to.bind = address),
        built_in: BuiltIn::Is("127.0.0.1:18180"),
        ..Key::USUAL
    },
    Key {
        section: "server",
        name: "admin_socket",
        flag: "admin-socket",
        about: "A socket file to listen on as well, for programs of this machine: whoever may open it needs no key for the admin plane",
        kind: Kind::Path(|to, file| to.admin_socket = Some(file)),
        built_in: BuiltIn::Unset { means: "no socket file", example: "/run/stemedb/admin.sock" },
        ..Key::USUAL
    },
    Key {
        section: "server",
        name: "tls_terminated_by_proxy",
        flag: "tls-terminated-by-proxy",
        about: "Whether a proxy in front speaks TLS with whoever is not on this machine",
        kind: Kind::Switch(|to, yes| to.is_tls_terminated_by_proxy = yes),
        built_in: BuiltIn::Is("false"),
        ..Key::USUAL
    },
    Key {
        section: "server",
        name: "drain_seconds",
        flag: "drain-seconds",
        about: "How long requests may take to finish after the first signal",
        kind: Kind::Number {
            unit: Unit::Seconds,
            least: 0,
            most: 86_400,
            set: |to, seconds| to.drain = Duration::from_secs(seconds),
        },
        built_in: BuiltIn::Is("30"),
        ..Key::USUAL
    },
    Key {
        section: "server",
        name: "drain_wait_seconds",
        flag: "drain-wait-seconds",
        about: "After the first signal: how long to say that it is not ready before anything ends, so that load balancers notice",
        kind: Kind::Number {
            unit: Unit::Seconds,
            least: 0,
            most: 3_600,
            set: |to, seconds| to.drain_wait = Duration::from_secs(seconds),
        },
        built_in: BuiltIn::Is("0"),
        ..Key::USUAL
    },
];
