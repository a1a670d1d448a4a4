//! The pilot's gates, by the command that operators use (`docs/operations/pilot.md`).

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::Depth;
use crate::{server, steps::Outcome};

/// Gates that say how fast something was. A machine that does other things at the same time is not judged by them.
const OF_TIME: [&str; 4] =
    ["questions_per_second", "question_p99_ms", "assertions_per_second", "assertion_p99_ms"];

/// Runs the gates: for six seconds each, where only what is counted must hold, or for a minute, where everything must.
pub fn run(root: &Path, depth: Depth) -> Outcome {
    let program = server::program(root)?;
    let folder = server::target(root).join("ops-pilot");
    let shown = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(shown)?;
    }
    fs::create_dir_all(&folder).map_err(shown)?;
    let json = folder.join("pilot.json");
    let minutes = if depth == Depth::Quick { "0.1" } else { "1" };
    let mut pilot = Command::new(program);
    pilot.args(["bench", "pilot", "--minutes", minutes, "--data-dir"]).arg(folder.join("server"));
    let status = pilot.arg("--json").arg(&json).stdin(Stdio::null()).status().map_err(shown)?;
    let text =
        fs::read(&json).map_err(|error| format!("the pilot has written no {}: {error}", json.display()))?;
    let seen: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    fs::remove_dir_all(&folder).map_err(shown)?;
    judge(&seen, status.success(), depth)
}

fn judge(seen: &Value, succeeded: bool, depth: Depth) -> Outcome {
    let gates = seen["gates"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |gate: &Value| gate["name"].as_str().unwrap_or_default().to_owned();
    let missed: Vec<String> = gates.iter().filter(|gate| gate["passed"] != true).map(name).collect();
    if gates.is_empty() || succeeded != missed.is_empty() {
        return Err(format!("the exit code and the gates disagree: {seen}"));
    }
    let counts = |name: &&String| depth == Depth::Whole || !OF_TIME.contains(&name.as_str());
    let failing: Vec<&String> = missed.iter().filter(counts).collect();
    if failing.is_empty() { Ok(()) } else { Err(format!("gates are not passed: {failing:?}")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_busy_machine_may_be_slow_but_may_not_lose_anything() {
        let seen = |name: &str| json!({ "gates": [{"name": "sst_files", "passed": true}, {"name": name, "passed": false}] });
        assert!(judge(&seen("assertion_p99_ms"), false, Depth::Quick).is_ok());
        assert!(judge(&seen("assertion_p99_ms"), false, Depth::Whole).is_err());
        assert!(judge(&seen("acknowledged_lost"), false, Depth::Quick).is_err());
        // It must have failed itself, and must have looked.
        assert!(judge(&seen("acknowledged_lost"), true, Depth::Quick).is_err());
        assert!(judge(&json!({}), true, Depth::Quick).is_err());
    }
}
