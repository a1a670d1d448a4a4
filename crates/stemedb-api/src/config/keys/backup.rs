//! `[backup]`.

use crate::{
    backup,
    config::{BuiltIn, Key, Kind},
};

pub(super) const KEYS: &[Key] = &[Key {
    section: "backup",
    name: "to",
    flag: "backup-to",
    about: "Where `POST /v1/admin/backup` and `backup create --url` put backups",
    kind: Kind::Text {
        form: "a folder, or s3://bucket/prefix in a build with feature `s3`",
        check: |text| backup::check_target(text).is_ok(),
        set: |to, target| to.backup_to = Some(target),
    },
    built_in: BuiltIn::Unset { means: "backups are not made over HTTP", example: "/backup/stemedb" },
    ..Key::USUAL
}];
