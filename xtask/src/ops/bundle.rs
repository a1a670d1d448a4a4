//! The bundle for whoever helps (`docs/operations/debug-bundle.md`), and the sizes of the guide (`docs/operations/sizing.md`), by the
//! commands that operators use.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use super::Depth;
use crate::{
    server::{self, Server},
    steps::Outcome,
};

/// What the claims of this part say: it must be in no bundle.
const CLAIM: &str = r#"{"subject":"zyxogen:Qwabble-77","predicate":"frobnicates with","object":"Purple Wombat","source":"WOMBAT-9"}"#;
const TEXTS: [&str; 4] = ["qwabble", "frobnicates", "wombat", "zyxogen"];
/// Parts that a running server gives.
const OF_SERVER: [&str; 6] =
    ["health.json", "readiness.json", "stats.json", "metrics.txt", "slow-queries.jsonl", "process.json"];

/// A bundle of a running server, one of the same folder without it, and the sizes of the guide.
pub fn run(root: &Path, _depth: Depth) -> Outcome {
    let program = server::program(root)?;
    let folder = server::target(root).join("ops-bundle");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let running = Server::start(&program, &folder, &["--slow-query-ms", "0"])?;
    let claims = folder.join("claims.jsonl");
    fs::write(&claims, format!("{CLAIM}\n")).map_err(|error| error.to_string())?;
    let data = folder.join("db");
    call(&program, &["import", "--url", &running.url, text(&claims)?])?;
    call(&program, &["query", "--url", &running.url, "zyxogen:Qwabble-77", "frobnicates with"])?;
    let mut seen = Vec::new();
    let made = |name: &str, url: &str| -> Result<(Value, u64), String> {
        let out = folder.join(name);
        let told = call(
            &program,
            &["debug-bundle", "--json", "--url", url, "--data-dir", text(&data)?, "--out", text(&out)?],
        )?;
        let manifest: Value =
            serde_json::from_slice(&told.stdout).map_err(|error| format!("{name}: {error}"))?;
        let bytes = examined(&out, &manifest)?;
        Ok((manifest, bytes))
    };
    let (manifest, bytes) = made("running.tar", &running.url)?;
    let missing = missing_of(&manifest);
    if let Some(part) = OF_SERVER.iter().find(|part| missing.contains(part)) {
        return Err(format!("a running server gave no {part}: {manifest}"));
    }
    seen.push(format!("{bytes} bytes of a running server"));
    let url = running.url.clone();
    running.stop()?;
    let (manifest, bytes) = made("dead.tar", &url)?;
    let missing = missing_of(&manifest);
    if OF_SERVER.iter().any(|part| !missing.contains(part)) || missing.contains(&"journal.json") {
        return Err(format!("a folder without its server gave other parts: {manifest}"));
    }
    seen.push(format!("{bytes} bytes of its folder alone"));
    println!("bundles: {}", seen.join(", "));
    fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    sizes(root, &program)
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is no text", path.display()))
}

fn call(program: &Path, arguments: &[&str]) -> Result<Output, String> {
    let ran = Command::new(program)
        .args(arguments)
        .env_remove(server::PROGRAM)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    match ran.status.success() {
        true => Ok(ran),
        false => Err(format!("{}: {}", arguments.join(" "), String::from_utf8_lossy(&ran.stderr))),
    }
}

fn missing_of(manifest: &Value) -> Vec<&str> {
    let parts = manifest["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().filter(|part| part["missing"].is_string()).filter_map(|part| part["part"].as_str()).collect()
}

/// Looks into the file with the system's own tar: every part that the manifest names, and no text of a claim.
fn examined(file: &Path, manifest: &Value) -> Result<u64, String> {
    let listed =
        Command::new("tar").arg("-tf").arg(file).output().map_err(|error| format!("tar: {error}"))?;
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    let missing = missing_of(manifest);
    for part in manifest["parts"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let name = part["part"].as_str().unwrap_or_default();
        let is_there = names.lines().any(|line| line == format!("stemedb-debug/{name}"));
        if is_there == missing.contains(&name) {
            return Err(format!(
                "{}: the manifest and the file disagree about {name}:\n{names}",
                file.display()
            ));
        }
    }
    let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?.to_ascii_lowercase();
    let leaked = TEXTS.iter().find(|text| bytes.windows(text.len()).any(|part| part == text.as_bytes()));
    match leaked {
        None => Ok(bytes.len() as u64),
        Some(text) => Err(format!("{} has {text} in it", file.display())),
    }
}

/// Every example of the guide prints what the guide shows.
fn sizes(root: &Path, program: &Path) -> Outcome {
    let page = root.join("docs/operations/sizing.md");
    let page = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
    let mut examples = 0;
    for block in page.split("```console\n").skip(1).filter_map(|block| block.split("```").next()) {
        let Some((command, shown)) =
            block.strip_prefix("$ stemedb-api ").and_then(|text| text.split_once('\n'))
        else {
            continue;
        };
        // Without anything below it the command takes its time, and is for the machine that is meant.
        if shown.is_empty() {
            continue;
        }
        examples += 1;
        let words: Vec<&str> = command.split_whitespace().collect();
        let printed = call(program, &words)?.stdout;
        if printed != shown.as_bytes() {
            return Err(format!("{command} prints\n{}", String::from_utf8_lossy(&printed)));
        }
    }
    println!("sizes: {examples} examples of the guide print what it shows");
    if examples < 2 { Err("the guide has no examples".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_without_content_are_those_with_a_reason() {
        let manifest = json!({ "parts": [{"part": "a", "missing": "so"}, {"part": "b", "bytes": 1}] });
        assert_eq!(missing_of(&manifest), ["a"]);
    }
}
