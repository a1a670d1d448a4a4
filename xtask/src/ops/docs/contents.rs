//! What stands in a block that something reads: configurations, manifests, JSON, excerpts.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::ops::runbooks::page::Fence;

/// What reads them.
pub struct Contents<'a> {
    pub root: &'a Path,
    pub program: &'a Path,
    /// A folder for files that programs are to read.
    pub scratch: &'a Path,
}

impl Contents<'_> {
    /// Reads a block as what it says it is; blocks that are run are not looked at here.
    pub fn check(&self, fence: &Fence) -> Result<(), String> {
        if let Some((_, behind)) = fence.info.split_once("excerpt=\"") {
            return self.excerpt(behind.split('"').next().unwrap_or_default(), &fence.text);
        }
        match fence.info.as_str() {
            "toml" => self.configuration(&fence.text),
            "toml manifest" => self.manifest(&fence.text),
            "json" => {
                serde_json::from_str::<Value>(&fence.text).map(|_| ()).map_err(|error| error.to_string())
            }
            _ => Ok(()),
        }
    }

    /// By the program itself.
    fn configuration(&self, text: &str) -> Result<(), String> {
        let file = self.scratch.join("api.toml");
        // Buckets are for builds with the feature `s3`, which this one need not be: to it they are folders.
        fs::write(&file, text.replace("\"s3://", "\"/")).map_err(|error| error.to_string())?;
        let mut command = Command::new(self.program);
        command.args(["check-config", "--config"]).arg(&file);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STEMEDB_"))
        {
            command.env_remove(name);
        }
        ended_well(&command.output().map_err(|error| error.to_string())?).map(|_| ())
    }

    /// By cargo, as part of a package that has nothing else; what it names of ours is there, in that version.
    fn manifest(&self, text: &str) -> Result<(), String> {
        let package = self.scratch.join("package");
        fs::create_dir_all(package.join("src")).map_err(|error| error.to_string())?;
        let whole = format!("[package]\nname = \"reader\"\nedition = \"2024\"\n\n[workspace]\n\n{text}");
        let written = fs::write(package.join("src/lib.rs"), "")
            .and_then(|()| fs::write(package.join("Cargo.toml"), whole));
        written.map_err(|error| error.to_string())?;
        let mut command = Command::new("cargo");
        command.args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"]);
        command.arg(package.join("Cargo.toml"));
        let said = ended_well(&command.output().map_err(|error| error.to_string())?)?;
        let metadata: Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
        let needs = metadata["packages"][0]["dependencies"].as_array().cloned().unwrap_or_default();
        let root = fs::read_to_string(self.root.join("Cargo.toml")).map_err(|error| error.to_string())?;
        let version = root.lines().find_map(|line| line.strip_prefix("version = \""));
        let version = version.unwrap_or_default().trim_end_matches('"');
        for need in &needs {
            let (name, wants) =
                (need["name"].as_str().unwrap_or_default(), need["req"].as_str().unwrap_or_default());
            if !name.starts_with("stemedb") {
                continue;
            }
            if !self.root.join("crates").join(name).is_dir() {
                return Err(format!("no crate {name}"));
            }
            let is_path = need["path"].is_string();
            if !(is_path || version.starts_with(wants.trim_start_matches('^'))) {
                return Err(format!("{name} {wants} is not {version}"));
            }
        }
        Ok(())
    }

    /// Its lines stand in a file of the workspace, in their order; `…` stands for any.
    fn excerpt(&self, file: &str, text: &str) -> Result<(), String> {
        let whole = fs::read_to_string(self.root.join(file)).map_err(|error| format!("{file}: {error}"))?;
        match missing(text, &whole) {
            Some(line) => Err(format!("{file} has no line `{line}` there")),
            None => Ok(()),
        }
    }
}

/// The first line of an excerpt that does not stand behind the ones before it. How far a line is indented does not count.
fn missing<'a>(excerpt: &'a str, whole: &str) -> Option<&'a str> {
    let mut rest = whole.lines().map(str::trim);
    let wanted = excerpt.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "…");
    wanted.into_iter().find(|line| !rest.any(|found| found == *line))
}

fn ended_well(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!("{}{}", text(&output.stdout), text(&output.stderr)).trim().replace('\n', "; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(info: &str, text: &str) -> Result<(), String> {
        let fence = Fence { line: 1, info: info.to_owned(), text: text.to_owned() };
        let root = crate::workspace_root();
        let scratch = std::env::temp_dir().join(format!("stemedb-xtask-contents-{}", std::process::id()));
        fs::create_dir_all(&scratch).unwrap();
        Contents { root: &root, program: Path::new("/bin/true"), scratch: &scratch }.check(&fence)
    }

    #[test]
    fn an_excerpt_has_the_lines_of_its_file_in_their_order() {
        assert_eq!(missing("b\n…\n  d\n", "a\n  b\nc\nd\n"), None);
        assert_eq!(missing("b\na\n", "a\nb\n"), Some("a"));
        assert!(check("rust excerpt=\"examples/none.rs\"", "x\n").unwrap_err().contains("none.rs"));
    }

    #[test]
    fn a_manifest_names_crates_that_are_there_in_their_version() {
        let of = |line: &str| check("toml manifest", &format!("[dependencies]\n{line}\n"));
        assert_eq!(of("stemedb-client = \"0.1\""), Ok(()));
        assert!(of("stemedb-clients = \"0.1\"").unwrap_err().contains("no crate stemedb-clients"));
        assert!(of("stemedb-client = \"7\"").unwrap_err().contains("is not 0.1"));
        assert!(of("stemedb-client = ").is_err());
    }

    #[test]
    fn json_is_read_whole() {
        assert_eq!(check("json", "{\"a\": [1, 2]}\n"), Ok(()));
        assert!(check("json", "{\"a\": …}\n").is_err());
    }
}
