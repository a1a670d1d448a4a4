//! The layer of the command line.

use std::ffi::OsString;

use super::{
    Keys, Origin, Problem,
    kind::Raw,
    layers::{Given, take},
};

/// Reads flags, by their names without dashes. The command line knows no others than those of the keys.
pub(super) fn read(
    keys: Keys,
    flags: &[(&'static str, OsString)],
    problems: &mut Vec<Problem>,
) -> Vec<Given> {
    let mut given = Vec::new();
    for (flag, value) in flags {
        if let Some(key) = keys.iter().find(|key| key.flag == *flag) {
            take(key, Raw::Words(value), Origin::Flag(flag), &mut given, problems);
        }
    }
    given
}
