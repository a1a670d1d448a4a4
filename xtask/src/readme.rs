//! The README's commands are run as they stand there.
//!
//! A fenced block whose info string is `sh runnable` (or `bash runnable`) is run by `bash -euo pipefail` in the root of the
//! workspace, all blocks in one shell, in their order: what one block sets, the next one sees. Servers that they start
//! are ended after the last block. Every other block is for reading only.

use std::{fs, path::Path, process::Command, time::Duration};

use crate::steps::{self, Outcome};

/// All blocks together: the first may build a release from nothing.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Runs the README's blocks; it must have at least one.
pub fn run(root: &Path) -> Outcome {
    let path = root.join("README.md");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let blocks = runnable(&text);
    if blocks.is_empty() {
        return Err("README.md has no block marked `sh runnable`".to_owned());
    }
    let mut script = String::from("set -euo pipefail\n");
    for (line, block) in &blocks {
        script.push_str(&format!("echo '· README.md:{line}'\n{block}\n"));
    }
    steps::command_within(
        Command::new("bash").arg("-c").arg(script).env("CARGO_TERM_QUIET", "true").current_dir(root),
        LIMIT,
    )
}

/// The blocks to run, each with the line that it starts on.
fn runnable(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let mut skipping = false;
    for (number, line) in text.lines().enumerate() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            if let Some((_, block)) = &mut open {
                block.push_str(line);
                block.push('\n');
            }
            continue;
        };
        if let Some(block) = open.take() {
            blocks.push(block);
        } else if skipping {
            skipping = false;
        } else if matches!(info.trim(), "sh runnable" | "bash runnable") {
            open = Some((number + 2, String::new()));
        } else {
            skipping = true;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_are_run() {
        let text =
            "```sh\nnot this\n```\ntext\n```sh runnable\necho 1\necho 2\n```\n```text\n```sh runnable\n```\n";
        assert_eq!(runnable(text), [(6, "echo 1\necho 2\n".to_owned())]);
    }
}
