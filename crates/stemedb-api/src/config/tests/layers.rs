//! Which layer wins, and what is said about where a value came from.

use proptest::prelude::*;

use super::{Setup, literal, shape, values};
use crate::config::{Config, DEFAULT_FILE, FILE_VARIABLE, Keys, Origin};

/// For each key: which of its three values each layer has, if any.
fn choices() -> impl Strategy<Value = Vec<[Option<usize>; 3]>> {
    let one = || prop::option::of(0..3usize);
    let layers = (one(), one(), one()).prop_map(|(file, variable, flag)| [file, variable, flag]);
    prop::collection::vec(layers, Keys::all().iter().count())
}

fn setup(choices: &[[Option<usize>; 3]]) -> Setup {
    let mut setup = Setup::default();
    let mut text = String::new();
    let mut section = "";
    for (key, [file, variable, flag]) in Keys::all().iter().zip(choices) {
        if key.section != section {
            section = key.section;
            text += &format!("[{section}]\n");
        }
        let values = values(key);
        if let Some(at) = file {
            text += &format!("{} = {}\n", key.name, literal(key, &values[*at]));
        }
        if let Some(at) = variable {
            setup.variables.push((key.variable(), values[*at].clone()));
        }
        if let Some(at) = flag {
            setup.flags.push((key.flag, values[*at].clone()));
        }
    }
    setup.files.push((DEFAULT_FILE.to_owned(), text.into()));
    setup
}

fn texts(config: &Config) -> Vec<Option<String>> {
    let entries = config.entries().iter();
    entries.map(|entry| entry.value.as_ref().map(|value| value.text().to_owned())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_value_is_that_of_the_highest_layer_that_has_one(choices in choices()) {
        let config = setup(&choices).load().unwrap();
        for (entry, [file, variable, flag]) in config.entries().iter().zip(&choices) {
            let (at, origin) = match (flag, variable, file) {
                (Some(at), _, _) => (Some(at), "flag"),
                (None, Some(at), _) => (Some(at), "variable"),
                (None, None, Some(at)) => (Some(at), "file"),
                (None, None, None) => (None, "built-in"),
            };
            let found = match &entry.origin {
                Origin::Flag(name) => { prop_assert_eq!(*name, entry.key.flag); "flag" }
                Origin::Variable(name) => { prop_assert_eq!(name, &entry.key.variable()); "variable" }
                Origin::File { .. } => "file",
                Origin::BuiltIn => "built-in",
            };
            prop_assert_eq!(found, origin);
            let value = entry.value.as_ref().map(|value| value.text().to_owned());
            match at {
                Some(at) => prop_assert_eq!(value, Some(values(entry.key)[*at].clone())),
                None => prop_assert_eq!(value, texts(&Setup::default().load().unwrap())[config.entries()
                    .iter().position(|other| std::ptr::eq(other, entry)).unwrap()].clone()),
            }
        }
    }

    #[test]
    fn what_is_shown_is_a_file_that_gives_the_same_again(choices in choices()) {
        let config = setup(&choices).load().unwrap();
        for shown in [config.show(false), config.show(true)] {
            let again = Setup::file(shown).load().unwrap();
            prop_assert_eq!(texts(&again), texts(&config));
            prop_assert_eq!(shape(again.settings()), shape(config.settings()));
        }
    }
}

#[test]
fn origins_name_the_line_the_variable_and_the_flag() {
    let setup = Setup::file("# ours\n[storage]\n  cache_mib = 3\n[disk]\nlow = \"1%\"\n")
        .variable("STEMEDB_DISK_LOW", "2%")
        .flag("bind", "127.0.0.1:1");
    let shown = setup.load().unwrap().show(true);
    let line = |name: &str| {
        let line = shown.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("cache_mib"), format!("cache_mib = 3 # {DEFAULT_FILE}:3:3"));
    assert_eq!(line("low"), "low = \"2%\" # variable STEMEDB_DISK_LOW");
    assert_eq!(line("bind"), "bind = \"127.0.0.1:1\" # flag --bind");
    assert_eq!(line("lock_timeout_ms"), "lock_timeout_ms = 5000 # built-in");
    assert_eq!(
        line("# fallback_dir"),
        "# fallback_dir is not set: fallback/ in the database's folder # built-in"
    );
    // Without origins there is nothing of them.
    assert!(!setup.load().unwrap().show(false).contains("built-in"));
}

#[test]
fn a_file_that_is_named_must_be_there_and_the_default_one_need_not() {
    assert_eq!(Setup::default().load().unwrap().file(), None);
    let named = |variable: Option<&str>, flag: Option<&str>| {
        let mut setup = Setup::file("[storage]\ncache_mib = 1\n");
        setup.files.push(("/other/api.toml".to_owned(), b"[storage]\ncache_mib = 2\n".to_vec()));
        setup.file_flag = flag.map(str::to_owned);
        match variable {
            Some(path) => setup.variable(FILE_VARIABLE, path),
            None => setup,
        }
    };
    let cache = |setup: &Setup| {
        let config = setup.load().unwrap();
        (config.settings().database.cache_bytes >> 20, config.file().unwrap().to_str().unwrap().to_owned())
    };
    assert_eq!(cache(&named(None, None)), (1, DEFAULT_FILE.to_owned()));
    assert_eq!(cache(&named(Some("/other/api.toml"), None)), (2, "/other/api.toml".to_owned()));
    assert_eq!(cache(&named(Some(DEFAULT_FILE), Some("/other/api.toml"))).0, 2, "the flag wins");
    assert_eq!(named(Some("/nowhere.toml"), None).problems(), ["/nowhere.toml: does not exist"]);
    assert_eq!(named(None, Some("/nowhere.toml")).problems(), ["/nowhere.toml: does not exist"]);
    assert_eq!(named(None, Some("/other")).problems(), ["/other: is a folder"]);
}

#[test]
fn the_keys_of_a_section_may_be_written_in_any_way_that_toml_has() {
    for text in [
        "[storage]\ncache_mib = 7",
        "storage.cache_mib = 7",
        "storage = { cache_mib = 7 }",
        "[\"storage\"]\n\"cache_mib\" = 0x7",
        "[storage]\r\ncache_mib = 7\r\n",
        "\u{feff}[storage]\ncache_mib = 7",
    ] {
        let config = Setup::file(text).load().unwrap_or_else(|problems| panic!("{text}: {problems}"));
        assert_eq!(config.settings().database.cache_bytes, 7 << 20, "{text}");
    }
}
