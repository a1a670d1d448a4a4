//! Every command line of ours in units, scripts and the guide: the program knows the command, and each of its flags.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::steps::Outcome;

/// Where command lines stand.
const PLACES: [&str; 6] = [
    "deploy/install.sh",
    "deploy/package",
    "deploy/package/debian",
    "deploy/scripts",
    "deploy/systemd",
    "docs/operations/install.md",
];
/// Fewer were not found, but not looked for.
const AT_LEAST: usize = 12;
/// What ends a command on its line.
const ENDS: [&str; 7] = ["||", "&&", "|", ";", ")", ">", "<<<"];

/// One command line: where it stands, and its words behind the program's name.
type Found = (String, Vec<String>);

/// Looks all of them up in the program's help.
pub fn exist(root: &Path, program: &Path) -> Outcome {
    let mut found = Vec::new();
    for place in PLACES {
        for path in files(&root.join(place))? {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            found.extend(in_text(&name, &text));
        }
    }
    let mut helps: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let mut problems = Vec::new();
    for (place, words) in &found {
        let names: Vec<String> = words.iter().take_while(|word| is_name(word)).cloned().collect();
        if !helps.contains_key(&names) {
            let mut help = Command::new(program);
            let told = help.args(&names).arg("--help").output().map_err(|error| error.to_string())?;
            let text = if told.status.success() { told.stdout } else { Vec::new() };
            helps.insert(names.clone(), String::from_utf8_lossy(&text).into_owned());
        }
        let help = &helps[&names];
        if help.is_empty() {
            problems.push(format!("{place}: no command {}", names.join(" ")));
        }
        let flags = words
            .iter()
            .filter_map(|word| Some(word.strip_prefix("--")?.split('=').next().unwrap_or_default()));
        problems.extend(
            flags
                .filter(|flag| !knows(help, flag))
                .map(|flag| format!("{place}: {} has no --{flag}", names.join(" "))),
        );
    }
    println!(
        "{} command lines of stemedb-api, {} commands: all exist with their flags",
        found.len(),
        helps.len()
    );
    match (problems.is_empty(), found.len() >= AT_LEAST) {
        (false, _) => Err(problems.join("\n")),
        (true, false) => Err(format!("only {} command lines were found: {found:?}", found.len())),
        (true, true) => Ok(()),
    }
}

/// A file, or those directly in a folder.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect())
}

/// The word of a command: `backup`, `check-config`.
fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
        && word.chars().all(|one| one.is_ascii_lowercase() || one == '-')
}

fn in_text(place: &str, text: &str) -> Vec<Found> {
    // Of the guide only what is typed, of a unit only what is started.
    let is_guide = place.ends_with(".md");
    let is_unit = place.ends_with(".service") || place.ends_with(".timer");
    let counts = |line: &str| match (is_guide, is_unit) {
        (true, _) => line.starts_with("$ ") || line.starts_with("# "),
        (_, true) => line.starts_with("Exec"),
        _ => !line.starts_with('#'),
    };
    let lines = text.lines().enumerate().filter(|(_, line)| counts(line.trim_start()));
    lines
        .flat_map(|(number, line)| {
            let words = in_line(line);
            words.into_iter().map(move |words| (format!("{place}:{}", number + 1), words))
        })
        .collect()
}

/// The words behind each `stemedb-api` of a line that is followed by a command.
fn in_line(line: &str) -> Vec<Vec<String>> {
    let starts = line.match_indices("stemedb-api ").map(|(at, name)| (at, &line[at + name.len()..]));
    // `systemctl restart stemedb-api` means the unit.
    let starts = starts
        .filter(|(at, _)| *at == 0 || line[..*at].ends_with(['/', ' ', '(']))
        .filter(|(at, _)| !line[..*at].contains("systemctl "));
    starts
        .map(|(_, rest)| {
            let mut words = Vec::new();
            for word in rest.split_whitespace() {
                let bare = word.trim_end_matches([')', ';']);
                if ENDS.contains(&word) || bare.is_empty() {
                    break;
                }
                words.push(bare.trim_matches(['"', '\'', '`']).to_owned());
                if bare != word {
                    break;
                }
            }
            words
        })
        // `journalctl -u stemedb-api -n 50` means the unit, too.
        .filter(|words| words.first().is_some_and(|word| is_name(word)))
        .collect()
}

/// True if a help text explains the flag.
fn knows(help: &str, flag: &str) -> bool {
    let flag = format!("--{flag}");
    help.lines().any(|line| {
        let line = line.trim_start();
        let line =
            line.split_once(", ").map_or(line, |(short, long)| if short.len() == 2 { long } else { line });
        line.strip_prefix(flag.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '[', '=']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_found_in_units_scripts_and_guides_and_others_are_not() {
        let words = |line: &str| in_line(line).into_iter().map(|words| words.join(" ")).collect::<Vec<_>>();
        assert_eq!(words("ExecStart=/usr/bin/stemedb-api serve --config /etc/x"), ["serve --config /etc/x"]);
        assert_eq!(words("shown=$(stemedb-api config show) || return"), ["config show"]);
        assert_eq!(
            words("setpriv --init-groups stemedb-api init --data-dir \"$data\""),
            ["init --data-dir $data"]
        );
        for other in [
            "systemctl edit stemedb-api stemedb-backup",
            "journalctl -u stemedb-api -n 50",
            "my-stemedb-api serve",
        ] {
            assert!(words(other).is_empty(), "{other}");
        }
        assert!(in_text("a.service", "Description=stemedb-api serve\n").is_empty());
        assert_eq!(in_text("a", "# stemedb-api serve\nstemedb-api verify\n")[0].0, "a:2");
    }

    #[test]
    fn a_flag_is_known_only_as_a_whole() {
        let help =
            "Options:\n      --keep <N>\n  -h, --help\n      --limit-local[=<true|false>]\n text --other";
        assert!(knows(help, "keep") && knows(help, "help") && knows(help, "limit-local"));
        assert!(!knows(help, "kee") && !knows(help, "keeps") && !knows(help, "other"));
    }
}
