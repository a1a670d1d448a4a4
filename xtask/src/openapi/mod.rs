//! What a change of the HTTP interface would break: `docs/openapi.json` beside the document of the last release.
//!
//! `docs/openapi.json` is what the server serves (a test of `stemedb-api` holds the two equal), so that nothing is built here.

mod breaking;
mod schema;

use std::path::Path;

use serde_json::Value;

use crate::steps::Outcome;

const PRESENT: &str = "docs/openapi.json";
const BASELINE: &str = "docs/openapi/baseline.json";

/// Refuses what clients of the last release would notice.
pub fn check(root: &Path) -> Outcome {
    let (baseline, present) = (read(root, BASELINE)?, read(root, PRESENT)?);
    let breaks = breaking::breaks(&baseline, &present);
    let operations = baseline["paths"].as_object().map_or(0, serde_json::Map::len);
    if operations == 0 {
        return Err(format!("{BASELINE} describes nothing"));
    }
    if breaks.is_empty() {
        println!("{operations} paths of the last release are as its clients know them");
        return Ok(());
    }
    let listed: Vec<String> = breaks.iter().map(|one| format!("{}: {}", one.pointer, one.what)).collect();
    Err(format!(
        "clients of the last release would break. Where that is meant, and said in the release's notes, copy {PRESENT} to \
         {BASELINE}\n{}",
        listed.join("\n")
    ))
}

fn read(root: &Path, name: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))
}
