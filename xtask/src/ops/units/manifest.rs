//! `deploy/package/files`: what is installed, read once for the installer, the package and the tests of both.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Where it stands.
pub const LIST: &str = "deploy/package/files";
/// How the list and the package call the program.
const PROGRAM: [&str; 2] = ["program", "target/release/stemedb-api"];

/// One installed file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// Below the repository; `program` is the program.
    pub source: String,
    /// Where it goes, absolute.
    pub destination: String,
    /// Its permissions.
    pub mode: u32,
    /// Kept where an administrator has changed it.
    pub is_config: bool,
}

/// Reads the list.
pub fn read(root: &Path) -> Result<Vec<Entry>, String> {
    let text = fs::read_to_string(root.join(LIST)).map_err(|error| format!("{LIST}: {error}"))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let entry = |(number, line): (usize, &str)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (source, destination, mode, is_config) = match words[..] {
            [source, destination, mode] => (source, destination, mode, false),
            [source, destination, mode, "config"] => (source, destination, mode, true),
            _ => return Err(format!("{LIST}:{}: {line}", number + 1)),
        };
        let mode = u32::from_str_radix(mode, 8).map_err(|error| format!("{LIST}: {mode}: {error}"))?;
        Ok(Entry { source: source.to_owned(), destination: destination.to_owned(), mode, is_config })
    };
    lines.map(entry).collect()
}

/// What `[package.metadata.deb]` says, in the same form.
pub fn of_package(root: &Path) -> Result<Vec<Entry>, String> {
    let mut metadata = Command::new("cargo");
    metadata.args(["metadata", "--no-deps", "--locked", "--format-version", "1"]).current_dir(root);
    let told = metadata.output().map_err(|error| format!("cargo metadata: {error}"))?;
    let told: serde_json::Value =
        serde_json::from_slice(&told.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = told["packages"].as_array().cloned().unwrap_or_default();
    let package = packages.iter().find(|package| package["name"] == "stemedb-api").ok_or("no stemedb-api")?;
    let deb = &package["metadata"]["deb"];
    let words = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| Some(word.as_str()?.to_owned())).collect()
    };
    let configs = words(&deb["conf-files"]);
    let assets = deb["assets"].as_array().ok_or("[package.metadata.deb] has no assets")?;
    let entry = |asset: &serde_json::Value| match &words(asset)[..] {
        [source, destination, mode] => {
            let destination = format!("/{destination}");
            Ok(Entry {
                source: if source == PROGRAM[1] { PROGRAM[0] } else { source.trim_start_matches("../") }
                    .to_owned(),
                is_config: configs.contains(&destination),
                destination,
                mode: u32::from_str_radix(mode, 8).map_err(|error| format!("{asset}: {error}"))?,
            })
        }
        _ => Err(format!("[package.metadata.deb] has {asset}")),
    };
    assets.iter().map(entry).collect()
}

/// What differs between the list and the package; nothing if all is well.
pub fn differences(list: &[Entry], package: &[Entry]) -> Vec<String> {
    let only = |these: &[Entry], those: &[Entry], whose: &str| -> Vec<String> {
        these
            .iter()
            .filter(|one| !those.contains(one))
            .map(|one| format!("{whose} alone has {one:?}"))
            .collect()
    };
    [only(list, package, LIST), only(package, list, "[package.metadata.deb]")].concat()
}

/// What is not as it should be below a folder that was installed into.
pub fn missing(list: &[Entry], folder: &Path) -> Vec<String> {
    let place = |entry: &Entry| -> PathBuf { folder.join(entry.destination.trim_start_matches('/')) };
    let judge = |entry: &Entry| match fs::metadata(place(entry)) {
        Err(error) => Some(format!("{}: {error}", entry.destination)),
        Ok(found) if found.permissions().mode() & 0o7777 != entry.mode => {
            Some(format!("{}: mode {:o}", entry.destination, found.permissions().mode() & 0o7777))
        }
        Ok(_) => None,
    };
    list.iter().filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_file_and_what_differs_is_told_from_both_sides() {
        let list = parse("# why\n\na /usr/a 0755\nb /etc/b 0640 config\n").unwrap();
        assert_eq!((list[1].mode, list[1].is_config), (0o640, true));
        assert!(
            parse("a /usr/a\n").is_err()
                && parse("a /a 0799\n").is_err()
                && parse("a /a 0644 conf\n").is_err()
        );
        let mut other = list.clone();
        assert!(differences(&list, &other).is_empty());
        other[0].mode = 0o644;
        assert_eq!(differences(&list, &other).len(), 2);
        other.pop();
        assert_eq!(differences(&list, &other).len(), 3);
    }
}
