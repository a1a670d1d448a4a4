//! `[security]`.

use stemedb_core::{AuthorityPolicy, SignaturePolicy};

use crate::{
    config::{BuiltIn, Choice, Key, Kind},
    http::AuthMode,
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
        built_in: BuiltIn::Unset { means: "auto on a loopback address, else required", example: "required" },
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
];
