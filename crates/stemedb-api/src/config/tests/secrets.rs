//! A key of a secret, which stands for those that will come.

use super::Setup;
use crate::config::{BuiltIn, Key, Keys, Kind};

static SECTIONS: &[(&str, &str)] = &[("tls", "Keys of the server")];
static TABLE: &[&[Key]] = &[&[Key {
    section: "tls",
    name: "private_key_file",
    flag: "tls-private-key-file",
    about: "The private key",
    kind: Kind::Path(|to, path| to.data_dir = path),
    built_in: BuiltIn::Unset { means: "no TLS", example: "/etc/stemedb/tls.key" },
    holds_secret: true,
    ..Key::USUAL
}]];

const SECRET: &str = "hunter2-and-more";

fn keys() -> Keys {
    Keys::of(SECTIONS, TABLE)
}

#[test]
fn of_a_secret_the_file_is_shown_and_never_its_content() {
    let mut setup = Setup::file("[tls]\nprivate_key_file = \"/keys/tls.key\"\n");
    setup.files.push(("/keys/tls.key".to_owned(), SECRET.into()));
    let config = setup.load_keys(keys()).unwrap();
    let shown = config.show(true);
    assert!(shown.contains("/keys/tls.key") && !shown.contains(SECRET), "{shown}");
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn a_secret_that_was_written_where_it_does_not_belong_is_not_repeated() {
    for text in [
        // The wrong key, which is the likeliest.
        format!("[tls]\nprivate_key = \"{SECRET}\"\n"),
        format!("private_key_file = \"{SECRET}\"\n"),
        format!("[tls]\nprivate_key_file = [\"{SECRET}\"]\n"),
        format!("[tls]\nprivate_key_file = \"\\u0000{SECRET}\"\n"),
        // A broken line.
        format!("[tls]\nprivate_key_file = {SECRET}\n"),
        format!("[tls]\nprivate_key_file = \"{SECRET}\n"),
    ] {
        let problems = Setup::file(text.clone()).load_keys(keys()).unwrap_err().to_string();
        assert!(!problems.contains("hunter2"), "{text}: {problems}");
    }
    let setup = Setup::default().variable("STEMEDB_TLS_PRIVATE_KEY", SECRET);
    let problems = setup.load_keys(keys()).unwrap_err().to_string();
    assert_eq!(
        problems,
        "variable STEMEDB_TLS_PRIVATE_KEY: not known; did you mean STEMEDB_TLS_PRIVATE_KEY_FILE?"
    );
}

#[test]
fn an_address_with_a_password_in_it_is_not_repeated() {
    let address = format!("http://me:{SECRET}@collector:4318");
    let file = Setup::file(format!("[otlp]\nendpoint = \"{address}\"\n"));
    for setup in [file, Setup::default().flag("otlp-endpoint", &address)] {
        let problems = setup.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].contains("otlp.endpoint must be") && !problems[0].contains(SECRET),
            "{problems:?}"
        );
    }
}
