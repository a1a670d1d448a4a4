//! What production refuses.

use super::Setup;
use crate::config::{Keys, RULES};

fn production() -> Setup {
    Setup::default().flag("env", "production")
}

#[test]
fn rules_are_about_keys_that_exist() {
    for rule in RULES {
        assert!(Keys::all().find(rule.about.0, rule.about.1).is_some(), "{}", rule.key());
    }
}

#[test]
fn what_is_safe_is_accepted() {
    let config = production().flag("signatures", "required").load().unwrap();
    assert_eq!(config.settings().environment, crate::config::Environment::Production);
    let debug = production().flag("signatures", "required").flag("log-level", "debug");
    debug.flag("bind", "[::1]:18180").load().unwrap();
}

#[test]
fn all_reasons_are_told_at_once_and_where_each_was_set() {
    let problems = Setup::file("[server]\nenvironment = \"production\"\n[security]\nsignatures = \"off\"\n")
        .flag("bind", "0.0.0.0:18180")
        .variable("STEMEDB_AUTH", "off")
        .flag("log-level", "trace")
        .problems();
    let starts = [
        "variable STEMEDB_AUTH: security.auth is unsafe in production: whoever reaches the server can read and write",
        "built-in: server.tls_terminated_by_proxy is unsafe in production: whoever is on the way",
        "api.toml:4:1: security.signatures is unsafe in production: anybody can say anything",
        "flag --log-level: logging.level is unsafe in production: trace writes down",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
    assert!(problems[0].ends_with("; it is \"off\""), "{problems:#?}");
}

#[test]
fn development_refuses_nothing_of_it() {
    let open = Setup::default().flag("bind", "0.0.0.0:1").flag("auth", "auto");
    let setup = open.flag("signatures", "off").flag("log-level", "trace");
    setup.clone().load().unwrap();
    assert_eq!(setup.flag("env", "production").problems().len(), 4);
}

#[test]
fn each_rule_refuses_alone() {
    let safe = || production().flag("signatures", "required");
    let one = |setup: Setup| {
        let problems = setup.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.into_iter().next().unwrap()
    };
    let public = safe().flag("bind", "192.0.2.1:18180").flag("tls-terminated-by-proxy", "true");
    public.clone().load().unwrap();
    public.clone().flag("auth", "writes").load().unwrap();
    for open in ["off", "auto"] {
        assert!(one(public.clone().flag("auth", open)).contains("security.auth is unsafe"));
    }
    assert!(one(production()).contains("security.signatures is unsafe"));
    assert!(one(production().flag("signatures", "off")).contains("security.signatures is unsafe"));
    assert!(one(safe().flag("log-level", "trace")).contains("logging.level is unsafe"));
    // Behind a proxy others reach a server that listens on this machine alone.
    let behind = safe().flag("tls-terminated-by-proxy", "true");
    assert!(one(behind.clone().flag("auth", "auto")).contains("security.auth is unsafe"));
    let unsaid = behind.load().unwrap().settings().security_options().auth.mode;
    assert_eq!(unsaid, crate::http::AuthMode::Required);
    safe().flag("auth", "auto").load().unwrap();
    for (flag, bad, good, refused) in [
        ("trusted-proxies", "10.0.0.0/8,::/0", "10.0.0.0/8", "security.trusted_proxies is unsafe"),
        (
            "cors-origins",
            "https://a.example,http://b.example",
            "https://a.example",
            "security.cors_origins is",
        ),
        ("audit-log", "off", "/var/log/stemedb/audit.log", "audit.log is unsafe"),
    ] {
        assert!(one(safe().flag(flag, bad)).contains(refused), "{flag}");
        safe().flag(flag, good).load().unwrap();
    }
    let key = || safe().flag("otlp-headers-file", "headers");
    key().load().unwrap();
    assert!(
        one(key().flag("otlp-endpoint", "http://192.0.2.1:4318")).contains("otlp.headers_file is unsafe")
    );
    for good in ["https://192.0.2.1:4318", "http://127.0.0.1:4318", "http://localhost", "http://[::1]:4318"] {
        key().flag("otlp-endpoint", good).load().unwrap();
    }
    let plain = safe().flag("bind", "192.0.2.1:18180");
    assert!(one(plain.clone()).contains("server.tls_terminated_by_proxy is unsafe"));
    plain.flag("tls-certificate-file", "chain.pem").flag("tls-key-file", "key.pem").load().unwrap();
}

#[test]
fn a_value_that_is_wrong_is_not_judged_as_if_it_were_the_built_in_one() {
    let problems = production().flag("signatures", "requird").problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("must be required, optional or off"), "{problems:?}");
}
