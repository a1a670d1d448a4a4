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
        .variable("STEMEDB_BIND", "0.0.0.0:18180")
        .flag("log-level", "trace")
        .problems();
    let starts = [
        "variable STEMEDB_BIND: server.bind is unsafe in production: whoever reaches this address can read and write",
        "built-in: server.tls_terminated_by_proxy is unsafe in production: whoever is on the way",
        "api.toml:4:1: security.signatures is unsafe in production: anybody can say anything",
        "flag --log-level: logging.level is unsafe in production: trace writes down",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
    assert!(problems[0].ends_with("; it is \"0.0.0.0:18180\""), "{problems:#?}");
}

#[test]
fn development_refuses_nothing_of_it() {
    let setup =
        Setup::default().flag("bind", "0.0.0.0:1").flag("signatures", "off").flag("log-level", "trace");
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
    assert!(one(public).contains("server.bind is unsafe"));
    assert!(one(production()).contains("security.signatures is unsafe"));
    assert!(one(production().flag("signatures", "off")).contains("security.signatures is unsafe"));
    assert!(one(safe().flag("log-level", "trace")).contains("logging.level is unsafe"));
    // The third only where the address is public, and until there are keys never alone.
    assert_eq!(safe().flag("bind", "192.0.2.1:18180").problems().len(), 2);
}

#[test]
fn a_value_that_is_wrong_is_not_judged_as_if_it_were_the_built_in_one() {
    let problems = production().flag("signatures", "requird").problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("must be required, optional or off"), "{problems:?}");
}
