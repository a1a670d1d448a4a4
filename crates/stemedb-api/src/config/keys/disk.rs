//! `[disk]`: the lines of free room.

use crate::config::{BuiltIn, Key, Kind};

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "disk",
        name: "low",
        flag: "disk-low",
        about: "Warn when less is free than this",
        kind: Kind::Room(|to, line| to.database.engine.disk.lines.low = line),
        built_in: BuiltIn::Is("20%,64GiB"),
        ..Key::USUAL
    },
    Key {
        section: "disk",
        name: "scarce",
        flag: "disk-scarce",
        about: "Give spare files back when less is free than this",
        kind: Kind::Room(|to, line| to.database.engine.disk.lines.scarce = line),
        built_in: BuiltIn::Is("10%,16GiB"),
        ..Key::USUAL
    },
    Key {
        section: "disk",
        name: "full",
        flag: "disk-full",
        about: "Refuse writes when less is free than this, or than background work needs",
        kind: Kind::Room(|to, line| to.database.engine.disk.lines.full = line),
        built_in: BuiltIn::Is("5%,4GiB"),
        ..Key::USUAL
    },
];
