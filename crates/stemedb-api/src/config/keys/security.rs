//! `[security]`.

use stemedb_core::{AuthorityPolicy, SignaturePolicy};

use crate::{
    config::{
        BuiltIn, Choice, Key, Kind,
        security::{LIMITS_FORM, NETWORKS_FORM, ORIGINS_FORM, limits, networks, origins},
    },
    http::{AuthMode, LimitOptions},
};

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "security",
        name: "auth",
        flag: "auth",
        about: "When a key is asked for: auto is from the moment on when the first one is made",
        kind: Kind::Choice(&[
            Choice { name: "required", set: |to| to.auth = Some(AuthMode::Required) },
            Choice { name: "writes", set: |to| to.auth = Some(AuthMode::Writes) },
            Choice { name: "auto", set: |to| to.auth = Some(AuthMode::Auto) },
            Choice { name: "off", set: |to| to.auth = Some(AuthMode::Off) },
        ]),
        built_in: BuiltIn::Unset {
            means: "auto on a loopback address without a proxy in front, else required",
            example: "required",
        },
        ..Key::USUAL
    },
    Key {
        section: "security",
        name: "signatures",
        flag: "signatures",
        about: "Which signatures records must carry: those that are there are checked unless it is off",
        kind: Kind::Choice(&[
            Choice { name: "required", set: |to| to.database.signatures = SignaturePolicy::Required },
            Choice { name: "optional", set: |to| to.database.signatures = SignaturePolicy::Optional },
            Choice { name: "off", set: |to| to.database.signatures = SignaturePolicy::Off },
        ]),
        built_in: BuiltIn::Is("optional"),
        ..Key::USUAL
    },
    Key {
        section: "security",
        name: "supersession_authority",
        flag: "supersession-authority",
        about: "Whether a claim is protected from supersessions by a lower class than its own",
        kind: Kind::Choice(&[
            Choice {
                name: "enforce",
                set: |to| to.database.supersession_authority = AuthorityPolicy::Enforce,
            },
            Choice { name: "off", set: |to| to.database.supersession_authority = AuthorityPolicy::Off },
        ]),
        built_in: BuiltIn::Is("enforce"),
        ..Key::USUAL
    },
    Key {
        section: "security",
        name: "admin_needs_key",
        flag: "admin-needs-key",
        about: "Whether the admin plane asks also programs on this machine for a key; those on the socket file never need one",
        kind: Kind::Switch(|to, yes| to.security.admin_needs_key = yes),
        built_in: BuiltIn::Is("false"),
        ..Key::USUAL
    },
    Key {
        section: "security",
        name: "trusted_proxies",
        flag: "trusted-proxies",
        about: "Proxies whose `X-Forwarded-For` is believed, for limits and the audit log",
        kind: Kind::Text {
            form: NETWORKS_FORM,
            check: |text| networks(text).is_some(),
            set: |to, text| to.security.trusted_proxies = networks(&text).unwrap_or_default(),
        },
        built_in: BuiltIn::Is("none"),
        ..Key::USUAL
    },
    Key {
        section: "security",
        name: "cors_origins",
        flag: "cors-origins",
        about: "Origins whose pages may read replies in a browser",
        kind: Kind::Text {
            form: ORIGINS_FORM,
            check: |text| origins(text).is_some(),
            set: |to, text| to.security.cors_origins = origins(&text).unwrap_or_default(),
        },
        built_in: BuiltIn::Is("none"),
        ..Key::USUAL
    },
    Key {
        section: "security",
        name: "rate_limits",
        flag: "rate-limits",
        about: "What one caller may ask for, by group of routes; a group that is not named keeps what is built in",
        kind: Kind::Text {
            form: LIMITS_FORM,
            check: |text| limits(text).is_some(),
            set: |to, text| {
                let limit_local = to.security.limits.limit_local;
                to.security.limits = LimitOptions { limit_local, ..limits(&text).unwrap_or_default() };
            },
        },
        built_in: BuiltIn::Is("reads=5000/1,writes=5000/1,bulk=6000/60,admin=600/60"),
        ..Key::USUAL
    },
    Key {
        section: "security",
        name: "limit_local",
        flag: "limit-local",
        about: "Whether programs on this machine that come without a key are limited, too",
        kind: Kind::Switch(|to, yes| to.security.limits.limit_local = yes),
        built_in: BuiltIn::Is("false"),
        ..Key::USUAL
    },
];
