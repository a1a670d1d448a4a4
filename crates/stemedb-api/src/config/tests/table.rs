//! The table of keys is consistent, and every key does something.

use std::collections::BTreeSet;

use super::{Setup, literal, shape, values};
use crate::config::{BuiltIn, Keys, Kind, Settings, kind::Raw};

#[test]
fn keys_flags_and_variables_are_words_of_their_own() {
    let keys = || Keys::all().iter();
    let distinct =
        |of: fn(&'static crate::config::Key) -> String| keys().map(of).collect::<BTreeSet<_>>().len();
    assert!(keys().count() > 25);
    assert_eq!(distinct(|key| key.path()), keys().count());
    assert_eq!(distinct(|key| key.flag.to_owned()), keys().count());
    assert_eq!(distinct(|key| key.variable()), keys().count());
    let is_word = |text: &str, joint: char| {
        text.split(joint).all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()))
    };
    for key in keys() {
        assert!(is_word(key.name, '_') && is_word(key.flag, '-'), "{}", key.path());
        assert!(!key.about.is_empty() && !key.about.ends_with('.'), "{}", key.path());
        assert!(Keys::all().sections().any(|section| section == key.section), "{}", key.path());
        let is_path = matches!(key.kind, Kind::Path(_));
        assert!(!key.holds_secret || (is_path && key.name.ends_with("_file")), "{}", key.path());
    }
    // Those of `serve` that are no keys.
    assert!(keys().all(|key| !["config", "origin", "format", "help", "version"].contains(&key.flag)));
}

#[test]
fn the_built_in_values_are_the_defaults_of_what_they_are_applied_to() {
    let config = Setup::default().load().unwrap();
    assert_eq!(shape(config.settings()), shape(Settings::default()));
    for entry in config.entries() {
        let is_there = matches!(entry.key.built_in, BuiltIn::Is(_));
        assert_eq!(entry.value.is_some(), is_there, "{}", entry.key.path());
    }
}

#[test]
fn every_key_changes_the_settings() {
    let usual = shape(Setup::default().load().unwrap().settings());
    for key in Keys::all().iter().filter(|key| !key.is("server", "environment")) {
        let changes = |value: &String| {
            let config = Setup::default().flag(key.flag, value).load().unwrap();
            shape(config.settings()) != usual
        };
        assert!(values(key).iter().any(changes), "{}", key.path());
    }
}

#[test]
fn the_literal_keys_of_the_runbook_reach_the_engine() {
    let text = "[storage]\nlock_timeout_ms = 10000 # Increase from default 5000\nenable_auto_compaction = false\n\
                compaction_trigger_mb = 2\n[logging]\nlevel = \"debug\"\n";
    let settings = Setup::file(text).load().unwrap().settings();
    let engine = settings.database.engine;
    assert_eq!(engine.commit.lock_timeout.as_millis(), 10_000);
    assert_eq!((engine.lsm.enable_auto_compaction, engine.lsm.compaction_trigger_bytes), (false, 2 << 20));
    assert_eq!(settings.logs.level, tracing::Level::DEBUG);
}

#[test]
fn a_literal_is_read_as_what_it_was_made_from() {
    for key in Keys::all().iter() {
        for value in values(key) {
            let config = Setup::file(format!("[{}]\n{} = {}\n", key.section, key.name, literal(key, &value)));
            let config = config.load().unwrap();
            let entry = config.entries().iter().find(|entry| entry.key.path() == key.path()).unwrap();
            assert_eq!(entry.value.as_ref().unwrap().text(), value, "{}", key.path());
        }
    }
}

#[test]
fn the_borders_of_numbers_are_where_they_are_said_to_be() {
    for key in Keys::all().iter() {
        let Kind::Number { least, most, .. } = key.kind else { continue };
        let reads = |number: Option<u64>| {
            let text = number.unwrap().to_string();
            key.kind.read(Raw::Words(text.as_ref())).is_some()
        };
        assert!(reads(Some(least)) && reads(Some(most)) && !reads(most.checked_add(1)), "{}", key.path());
        assert!(least == 0 || !reads(least.checked_sub(1)), "{}", key.path());
        // TOML has no larger ones.
        assert!(i64::try_from(most).is_ok(), "{}", key.path());
    }
}
