//! Nothing committed names a path of the machine that it was written on.

use std::{fs, path::Path, process::Command};

use crate::steps::Outcome;

/// Starts of paths that exist on one machine only. Put together here so that this file does not name them.
fn private_starts() -> [String; 5] {
    [
        ["/", "tmp/w"].concat(),
        ["/", "work/"].concat(),
        ["/", "root/"].concat(),
        ["/", "home/"].concat(),
        ["..", "/shared"].concat(),
    ]
}

/// Checks every text file that git knows.
pub fn check(root: &Path) -> Outcome {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    if !listed.status.success() {
        return Err(format!("git ls-files ended with {}", listed.status));
    }
    let names = String::from_utf8_lossy(&listed.stdout);
    let mut problems = Vec::new();
    let mut files = 0;
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        // Files that are not text (or not there any more) have no paths to read.
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        files += 1;
        problems.extend(found(&text).into_iter().map(|(line, start)| format!("{name}:{line}: {start}")));
    }
    println!("{files} files name no private path");
    if problems.is_empty() { Ok(()) } else { Err(format!("private paths\n{}", problems.join("\n"))) }
}

fn found(text: &str) -> Vec<(usize, String)> {
    let starts = private_starts();
    let mut hits = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for start in &starts {
            let names = line.match_indices(start.as_str()).any(|(at, _)| {
                // Inside a longer path or an address it is a part of something public.
                !line[..at].ends_with(|before: char| before.is_alphanumeric() || "-_.".contains(before))
            });
            if names {
                hits.push((number + 1, start.clone()));
            }
        }
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_path_is_found_with_its_line() {
        let [_, private, ..] = private_starts();
        assert_eq!(found(&format!("fine\nsee `{private}x`\n")), [(2, private.clone())]);
        assert!(found(&format!("https://example.org{private}x")).is_empty());
    }
}
