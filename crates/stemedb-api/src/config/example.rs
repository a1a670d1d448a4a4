//! The commented examples: `deploy/api.toml` and `.env.example`.

use std::fmt::Write;

use super::{BuiltIn, DEFAULT_FILE, FILE_VARIABLE, Key, Keys, kind::Raw};

/// Widest line of a comment.
const WIDTH: usize = 100;

/// A file with every key, each commented out and at its built-in value.
pub fn example_file() -> String {
    let mut text = String::from(
        "# Configuration of stemedb-api: every key, at the value that it has without this file.\n\
         # Made by `stemedb-api config example --format toml`; `stemedb-api check-config --config FILE` checks one.\n\
         #\n\
         # Stronger than this file are environment variables, and stronger than those the flags of `serve`.\n\
         # What is not known is refused. Remove the `#` in front of what is to be different.\n",
    );
    let keys = Keys::all();
    for section in keys.sections() {
        let _ = write!(text, "\n# {}\n[{section}]\n", keys.about_section(section));
        for key in keys.iter().filter(|key| key.section == section) {
            text.push('\n');
            comment(&mut text, key);
            let _ = writeln!(text, "#{} = {}", key.name, literal(key));
        }
    }
    text
}

/// Environment variables of every key, each commented out and at its built-in value.
pub fn example_environment() -> String {
    let mut text = format!(
        "# Environment of stemedb-api: every variable, at the value that it has when it is not set.\n\
         # Made by `stemedb-api config example --format env`; `stemedb-api check-config` checks what is set.\n\
         #\n\
         # Variables are stronger than the file, and weaker than the flags of `serve`. Variables that begin with STEMEDB_\n\
         # and are not known are refused. Remove the `#` in front of what is to be different.\n\
         \n\
         # The configuration file. One that is named here must exist.\n\
         #{FILE_VARIABLE}={DEFAULT_FILE}\n",
    );
    for key in Keys::all().iter() {
        text.push('\n');
        comment(&mut text, key);
        let _ = writeln!(text, "#{}={}", key.variable(), sample(key));
    }
    text
}

fn comment(text: &mut String, key: &Key) {
    let built_in = match key.built_in {
        BuiltIn::Is(_) => String::new(),
        BuiltIn::Unset { means, .. } => format!(" Not set: {means}."),
    };
    let secret = if key.holds_secret { " The file holds a secret." } else { "" };
    let sentence = format!("{}. Allowed: {}.{built_in}{secret}", key.about, key.kind.allowed());
    let mut line = String::from("#");
    for word in sentence.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

/// The value of an example, as a variable has it.
fn sample(key: &Key) -> &'static str {
    match key.built_in {
        BuiltIn::Is(value) | BuiltIn::Unset { example: value, .. } => value,
    }
}

/// The same, as the file has it.
fn literal(key: &Key) -> String {
    let value = key.kind.read(Raw::Words(sample(key).as_ref()));
    value.map(|value| value.literal()).unwrap_or_default()
}
