//! What is not known or not allowed is refused, with place and advice, and everything at once.

use super::Setup;

#[track_caller]
fn refused(text: &str, problem: &str) {
    assert_eq!(Setup::file(text).problems(), [problem], "{text}");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    refused(
        "[storage]\nlock_timeout = 10000\n",
        "api.toml:2:1: unknown key lock_timeout in [storage]; did you mean lock_timeout_ms?",
    );
    refused(
        "[storage]\n\ncache_mb = 1\n",
        "api.toml:3:1: unknown key cache_mb in [storage]; did you mean cache_mib?",
    );
    refused("[disk]\nLow = \"1%\"", "api.toml:2:1: unknown key Low in [disk]; did you mean low?");
    refused(
        "[logging]\nlock_timeout_ms = 1",
        "api.toml:2:1: unknown key lock_timeout_ms in [logging]; did you mean lock_timeout_ms in [storage]?",
    );
    refused("[disk]\nzzz = 1", "api.toml:2:1: unknown key zzz in [disk]; known are low, scarce, full");
}

#[test]
fn unknown_sections_are_refused_with_the_nearest_known_one() {
    refused("[storag]\nx = 1", "api.toml:1:2: unknown section [storag]; did you mean [storage]?");
    refused(
        "\n [wal.x]\ny = 1",
        "api.toml:2:3: unknown section [wal]; known are server, security, audit, http, connections, tls, storage, disk, backup, archive, logging, otlp",
    );
    refused(
        "cache_mib = 1",
        "api.toml:1:1: key cache_mib stands in no section; did you mean cache_mib in [storage]?",
    );
    refused("storage = 1", "api.toml:1:1: storage is a section: write [storage] and its keys below");
    refused("[[storage]]", "api.toml:1:3: storage is a section: write [storage] and its keys below");
}

#[test]
fn values_of_another_type_or_outside_of_the_range_are_refused_with_what_is_allowed() {
    let range = "api.toml:2:1: storage.lock_timeout_ms must be a whole number from 0 to 86400000 (ms)";
    refused("[storage]\nlock_timeout_ms = \"5000\"", &format!("{range}; it is \"5000\""));
    refused("[storage]\nlock_timeout_ms = 86400001", &format!("{range}; it is 86400001"));
    refused("[storage]\nlock_timeout_ms = -1", range);
    refused("[storage]\nlock_timeout_ms = 99999999999999999999999", range);
    refused("[storage]\nlock_timeout_ms = 5.0", &format!("{range}; it is 5.0"));
    refused("[storage]\nlock_timeout_ms = [5]", range);
    refused("[storage.lock_timeout_ms]\nx = 1", &range.replace(":2:1:", ":1:10:"));
    refused("[storage]\ninit = \"yes\"", "api.toml:2:1: storage.init must be true or false; it is \"yes\"");
    refused(
        "[logging]\nlevel = \"loud\"",
        "api.toml:2:1: logging.level must be error, warn, info, debug or trace; it is \"loud\"",
    );
    refused(
        "[server]\nbind = \"localhost\"",
        "api.toml:2:1: server.bind must be an IP address and a port, such as 127.0.0.1:18180 or [::1]:18180; it is \"localhost\"",
    );
    refused(
        "[storage]\ndata_dir = \"\"",
        "api.toml:2:1: storage.data_dir must be a path, not empty; it is \"\"",
    );
    let room = Setup::file("[disk]\nlow = \"half\"").problems();
    assert!(room[0].starts_with("api.toml:2:1: disk.low must be a share of the disk such as 5%"), "{room:?}");
    let target = Setup::file("[backup]\nto = \"ftp://x\"").problems();
    assert!(target[0].starts_with("api.toml:2:1: backup.to must be a folder"), "{target:?}");
}

#[test]
fn what_is_not_toml_or_not_text_is_refused_with_its_place() {
    let syntax = Setup::file("[storage]\ncache_mib = \nmemory_mib == 2\ninit = true\n").problems();
    assert_eq!(syntax.len(), 2, "{syntax:?}");
    assert!(syntax[0].starts_with("api.toml:2:") && syntax[1].starts_with("api.toml:3:"), "{syntax:?}");
    let twice = Setup::file("[storage]\ncache_mib = 1\ncache_mib = 2\n").problems();
    assert!(twice.len() == 1 && twice[0].starts_with("api.toml:3:1: duplicate key"), "{twice:?}");
    let again = Setup::file("[storage]\n[storage]\n").problems();
    assert!(again.len() == 1 && again[0].starts_with("api.toml:2:"), "{again:?}");
    assert_eq!(Setup::file(b"[storage]\n# \xc3\xa4 \xff\n".to_vec()).problems(), ["api.toml:2:5: not UTF-8"]);
    let long = Setup::file(vec![b'#'; (1 << 20) + 1]).problems();
    assert_eq!(long, ["api.toml: longer than 1048576 bytes"]);
    assert!(Setup::file(vec![b'#'; 1 << 20]).load().is_ok());
}

#[test]
fn columns_count_characters() {
    refused(
        "storage = { \"cache_mib\" = 1, \"äöü\" = 2 }",
        "api.toml:1:30: unknown key äöü in [storage]; known are data_dir, init, lock_timeout_ms, memory_mib, cache_mib, \
         enable_auto_compaction, compaction_trigger_mb, fallback, fallback_dir, read_only_if_damaged",
    );
    refused(
        "# é\nstorage = { \"init\" = true, é = 1 }".replace("é =", "\"é\" =").as_str(),
        "api.toml:2:28: unknown key é in [storage]; known are data_dir, init, lock_timeout_ms, memory_mib, cache_mib, \
         enable_auto_compaction, compaction_trigger_mb, fallback, fallback_dir, read_only_if_damaged",
    );
}

#[test]
fn unknown_variables_are_refused_with_the_nearest_known_one() {
    let variable = |name: &str, value: &str| Setup::default().variable(name, value).problems().join("\n");
    assert_eq!(
        variable("STEMEDB_CACHE_MB", "1"),
        "variable STEMEDB_CACHE_MB: not known; did you mean STEMEDB_CACHE_MIB?"
    );
    assert_eq!(
        variable("STEMEDB_CONFIG_FILE", "x"),
        "variable STEMEDB_CONFIG_FILE: not known; did you mean STEMEDB_CONFIG?"
    );
    let far = variable("STEMEDB_XYZZY", "1");
    assert!(far.contains("known are STEMEDB_ENV, STEMEDB_BIND"), "{far}");
    for (name, value) in [
        ("STEMEDB_SERVICE_HOST", "10.0.0.1"),
        ("STEMEDB_API_SERVICE_PORT_HTTP", "18180"),
        ("STEMEDB_PORT", "tcp://10.0.0.1:18180"),
        ("STEMEDB_PORT_18180_TCP_ADDR", "10.0.0.1"),
    ] {
        assert!(variable(name, value).contains("Kubernetes"), "{name}");
    }
    assert!(!variable("STEMEDB_PORT", "18180").contains("Kubernetes"));
    // What only clients look at is not the server's.
    let client = Setup::default().variable("STEMEDB_API_KEY", "x").variable("STEMEDB_API_KEY_FILE", "/x");
    assert!(client.variable("STEMEDB_URL", "http://x").load().is_ok());
    assert!(!variable("STEMEDB_API_KEYS", "x").is_empty());
    // What is not ours is nobody's business.
    assert!(Setup::default().variable("STEMED_CACHE", "1").variable("HOME", "/").load().is_ok());
}

#[test]
fn an_empty_variable_is_not_an_unset_one() {
    let empty = Setup::default().variable("STEMEDB_CACHE_MIB", "").problems();
    assert_eq!(
        empty,
        [
            "variable STEMEDB_CACHE_MIB: storage.cache_mib must be a whole number from 0 to 16777216 (MiB); it is \"\""
        ]
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once_in_the_order_of_the_layers() {
    let text = "\
[server]
bind = 18180
[storage]
lock_timeout = 1
cache_mib = 1_000_000_000
[loging]
level = \"info\"
";
    let problems = Setup::file(text)
        .variable("STEMEDB_DISK_FULL", "all")
        .variable("STEMEDB_DATADIR", "/x")
        .flag("drain-seconds", "soon")
        .problems();
    let places: Vec<&str> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "api.toml:2:1",
            "api.toml:4:1",
            "api.toml:5:1",
            "api.toml:6:2",
            "variable STEMEDB_DATADIR",
            "variable STEMEDB_DISK_FULL",
            "flag --drain-seconds",
        ],
        "{problems:#?}"
    );
}

#[test]
fn names_from_outside_neither_break_the_line_nor_fill_the_screen() {
    let long = "x".repeat(5000);
    let problems = Setup::file(format!("[storage]\n\"a\\nb\" = 1\n{long} = 1\n")).problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("api.toml:2:1: unknown key a\\nb in [storage]"), "{problems:?}");
    assert!(problems[1].len() < 400 && problems[1].contains('…'), "{problems:?}");
}

#[test]
fn a_part_of_a_whole_is_a_plain_number_from_0_to_1() {
    let ratio = |setup: Setup| setup.load().map(|config| config.settings().otlp.sample_ratio).ok();
    let word = |text: &str| ratio(Setup::default().flag("otlp-sample-ratio", text));
    let line = |text: &str| ratio(Setup::file(format!("[otlp]\nsample_ratio = {text}\n")));
    for (text, value) in [("0", 0.0), ("0.125", 0.125), ("1", 1.0), ("1.0", 1.0)] {
        assert_eq!((word(text), line(text)), (Some(value), Some(value)), "{text}");
    }
    assert_eq!((line("1e-3"), line("-0.0")), (Some(0.001), Some(0.0)));
    assert!(line("-0.0").is_some_and(f64::is_sign_positive));
    for bad in ["", ".", "1.5", "-1", "+0.5", "1e-3", "nan", "inf", "0,5", "50%", "0.5.5"] {
        assert_eq!(word(bad), None, "{bad}");
    }
    for bad in ["\"0.5\"", "1.5", "2", "-1", "-0.5", "nan", "inf", "true", "[]"] {
        assert_eq!(line(bad), None, "{bad}");
    }
}
