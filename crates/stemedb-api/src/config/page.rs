//! The tables of `docs/configuration.md`.

use std::fmt::Write;

use super::{BuiltIn, Key, Keys, RULES};

/// The part of the page that is made from the table of keys: a table a section, and what production refuses.
pub fn tables() -> String {
    let keys = Keys::all();
    let mut text = String::new();
    for section in keys.sections() {
        let _ = write!(text, "### `[{section}]`\n\n{}.\n\n", keys.about_section(section));
        text.push_str("| key | built-in | allowed | what | variable | flag |\n|---|---|---|---|---|---|\n");
        for key in keys.iter().filter(|key| key.section == section) {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | `{}` | `--{}` |",
                key.name,
                built_in(key),
                key.kind.allowed(),
                key.about,
                key.variable(),
                key.flag
            );
        }
        text.push('\n');
    }
    text.push_str("### What production refuses\n\n| key | why |\n|---|---|\n");
    for rule in RULES {
        let _ = writeln!(text, "| `{}` | {} |", rule.key(), rule.reason);
    }
    text
}

fn built_in(key: &Key) -> String {
    match key.built_in {
        BuiltIn::Is(value) => format!("`{value}`"),
        BuiltIn::Unset { means, .. } => format!("not set: {means}"),
    }
}
